#!/bin/sh
# Evaluates the trained and the quantized ai84cifarnet on the 10,000 test images of CIFAR-10 and prints both accuracies.
# usage: ./evaluate_cifar_constant.sh [FLOAT.pth.tar [QUANTIZED.pth.tar [options of train.py]]]
exec "$(dirname "$0")/evaluate.sh" ai84cifarnet CIFAR10_constant cifar10-constant "$@"
