#!/bin/sh
# Evaluates the float and the quantized weights of a network on a data set's test images and prints both accuracies.
# usage: ./evaluate.sh MODEL DATASET NAME [FLOAT.pth.tar [QUANTIZED.pth.tar [options of train.py]]]
# Without files, in ../ai8x-synthesis/trained: NAME.pth.tar and ai84-NAME.pth.tar; for networks of AI85, whose convolutions
# have biases, ai85-NAME-float.pth.tar and ai85-NAME-q8.pth.tar.
set -e
here=$(dirname "$0")
trained=$here/../ai8x-synthesis/trained
model=$1 dataset=$2
case $model in
    ai85*) device=85 bias=--use-bias float=$trained/ai85-$3-float.pth.tar quantized=$trained/ai85-$3-q8.pth.tar ;;
    *) device=84 bias= float=$trained/$3.pth.tar quantized=$trained/ai84-$3.pth.tar ;;
esac
float=${4:-$float} quantized=${5:-$quantized}
if [ $# -ge 5 ]; then shift 5; else shift $#; fi
evaluate() {
    # shellcheck disable=SC2086 # nothing, where there is no bias
    python3 "$here/train.py" --model "$model" --dataset "$dataset" --device $device $bias --evaluate --batch-size 500 \
        --data "$here/data" "$@"
}
echo "Float network: $float"
evaluate --exp-load-weights-from "$float" "$@"
echo "Quantized network: $quantized"
evaluate -8 --exp-load-weights-from "$quantized" "$@"
