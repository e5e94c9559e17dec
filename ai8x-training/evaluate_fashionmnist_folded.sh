#!/bin/sh
# Evaluates the trained and the quantized ai84foldednet on the 10,000 test images of Fashion-MNIST and prints both accuracies.
# usage: ./evaluate_fashionmnist_folded.sh [FLOAT.pth.tar [QUANTIZED.pth.tar [options of train.py]]]
exec "$(dirname "$0")/evaluate.sh" ai84foldednet FashionMNIST_folded fashionmnist-folded "$@"
