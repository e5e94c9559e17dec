#!/bin/sh
# Evaluates the float and the quantized weights of a network on a data set's test images and prints both accuracies.
# usage: ./evaluate.sh MODEL DATASET NAME [FLOAT.pth.tar [QUANTIZED.pth.tar [options of train.py]]]
# Without files: NAME.pth.tar and ai84-NAME.pth.tar in ../ai8x-synthesis/trained.
set -e
here=$(dirname "$0")
model=$1 dataset=$2
float=${4:-$here/../ai8x-synthesis/trained/$3.pth.tar}
quantized=${5:-$here/../ai8x-synthesis/trained/ai84-$3.pth.tar}
if [ $# -ge 5 ]; then shift 5; else shift $#; fi
evaluate() {
    python3 "$here/train.py" --model "$model" --dataset "$dataset" --device 84 --evaluate --batch-size 500 \
        --data "$here/data" "$@"
}
echo "Float network: $float"
evaluate --exp-load-weights-from "$float" "$@"
echo "Quantized network: $quantized"
evaluate -8 --exp-load-weights-from "$quantized" "$@"
