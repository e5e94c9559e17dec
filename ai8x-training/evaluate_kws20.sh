#!/bin/sh
# Evaluates a float and a quantized ai85kws20net on the test set of 20 spoken words and prints both accuracies.
# usage: ./evaluate_kws20.sh FLOAT.pth.tar QUANTIZED.pth.tar [options of train.py]
[ $# -ge 2 ] || { echo "usage: $0 FLOAT.pth.tar QUANTIZED.pth.tar [options of train.py]" >&2; exit 2; }
exec "$(dirname "$0")/evaluate.sh" ai85kws20net KWS_20 kws20 "$@"
