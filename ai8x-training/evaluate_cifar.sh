#!/bin/sh
# Evaluates the float and the quantized ai84net5 on the 10,000 test images of CIFAR-10 and prints both accuracies.
# usage: ./evaluate_cifar.sh [FLOAT.pth.tar [QUANTIZED.pth.tar [options of train.py]]]
exec "$(dirname "$0")/evaluate.sh" ai84net5 CIFAR10 cifar10 "$@"
