#!/bin/sh
# Trains ai85foldednet on Fashion-MNIST for AI85, on folded images: 24 epochs, the last two with quantization. It is also
# the teacher of go_fashionmnist_folded.sh. What is given on the command line is appended and wins.
set -e
here=$(dirname "$0")
exec python3 "$here/train.py" --device 85 --model ai85foldednet --dataset FashionMNIST_folded --batch-norm --epochs 24 \
    --batch-size 128 --optimizer SGD --lr 0.1 --wd 5e-4 --erase 8 --compress "$here/schedules/onecycle.yaml" \
    --qat-policy "$here/schedules/qat_policy_late.yaml" --deterministic --confusion --print-freq 100 \
    --data "$here/data" --out-dir "$here/logs" "$@"
