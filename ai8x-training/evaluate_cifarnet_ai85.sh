#!/bin/sh
# Evaluates the trained and the quantized ai85cifarnet on the 10,000 test images of CIFAR-10 and prints both accuracies.
# usage: ./evaluate_cifarnet_ai85.sh [FLOAT.pth.tar [QUANTIZED.pth.tar [options of train.py]]]
exec "$(dirname "$0")/evaluate.sh" ai85cifarnet CIFAR10 cifarnet "$@"
