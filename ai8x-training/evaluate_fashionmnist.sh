#!/bin/sh
# Evaluates the float and the quantized ai84net5 on the 10,000 test images of Fashion-MNIST and prints both accuracies.
# usage: ./evaluate_fashionmnist.sh [FLOAT.pth.tar [QUANTIZED.pth.tar [options of train.py]]]
exec "$(dirname "$0")/evaluate.sh" ai84net5 FashionMNIST fashionmnist "$@"
