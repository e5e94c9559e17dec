#!/bin/sh
# Evaluates a float and a quantized ai85nascifarnet on the test set of CIFAR-10 and prints both accuracies.
# usage: ./evaluate_cifar_ai85.sh FLOAT.pth.tar QUANTIZED.pth.tar [options of train.py]
[ $# -ge 2 ] || { echo "usage: $0 FLOAT.pth.tar QUANTIZED.pth.tar [options of train.py]" >&2; exit 2; }
exec "$(dirname "$0")/evaluate.sh" ai85nascifarnet CIFAR10 cifar10 "$@"
