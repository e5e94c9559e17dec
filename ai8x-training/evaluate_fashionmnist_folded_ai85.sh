#!/bin/sh
# Evaluates the trained and the quantized ai85foldednet on the 10,000 test images of Fashion-MNIST and prints both accuracies.
# usage: ./evaluate_fashionmnist_folded_ai85.sh [FLOAT.pth.tar [QUANTIZED.pth.tar [options of train.py]]]
exec "$(dirname "$0")/evaluate.sh" ai85foldednet FashionMNIST_folded fashionmnist-folded "$@"
