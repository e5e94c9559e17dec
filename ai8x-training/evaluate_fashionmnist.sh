#!/bin/sh
# Evaluates the float and the quantized ai84net5 on the 10,000 test images of Fashion-MNIST and prints both accuracies.
# usage: ./evaluate_fashionmnist.sh [FLOAT.pth.tar [QUANTIZED.pth.tar [options of train.py]]]
set -e
here=$(dirname "$0")
float=${1:-$here/../ai8x-synthesis/trained/fashionmnist.pth.tar}
quantized=${2:-$here/../ai8x-synthesis/trained/ai84-fashionmnist.pth.tar}
if [ $# -ge 2 ]; then shift 2; else shift $#; fi
evaluate() {
    python3 "$here/train.py" --model ai84net5 --dataset FashionMNIST --device 84 --evaluate --batch-size 500 \
        --data "$here/data" "$@"
}
echo "Float network: $float"
evaluate --exp-load-weights-from "$float" "$@"
echo "Quantized network: $quantized"
evaluate -8 --exp-load-weights-from "$quantized" "$@"
