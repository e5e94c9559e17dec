#!/bin/sh
# Evaluates a float and a quantized ai85net80wide on the test set of MNIST and prints both accuracies.
# usage: ./evaluate_mnist_wide.sh FLOAT.pth.tar QUANTIZED.pth.tar [options of train.py]
[ $# -ge 2 ] || { echo "usage: $0 FLOAT.pth.tar QUANTIZED.pth.tar [options of train.py]" >&2; exit 2; }
exec "$(dirname "$0")/evaluate.sh" ai85net80wide MNIST mnist-80wide "$@"
