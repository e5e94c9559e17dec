#!/bin/sh
# Evaluates the float and the quantized ai84netsmall on the test images of MNIST and prints both accuracies.
# usage: ./evaluate_mnist_small.sh [FLOAT.pth.tar [QUANTIZED.pth.tar [options of train.py]]]
exec "$(dirname "$0")/evaluate.sh" ai84netsmall MNIST mnist-smallnet "$@"
