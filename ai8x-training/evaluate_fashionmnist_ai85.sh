#!/bin/sh
# Evaluates the float and the quantized ai85net5 on the test images of Fashion-MNIST and prints both accuracies.
# usage: ./evaluate_fashionmnist_ai85.sh [FLOAT.pth.tar [QUANTIZED.pth.tar [options of train.py]]]
exec "$(dirname "$0")/evaluate.sh" ai85net5 FashionMNIST fashionmnist "$@"
