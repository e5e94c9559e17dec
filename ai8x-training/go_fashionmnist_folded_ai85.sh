#!/bin/sh
# Trains ai85foldednet on Fashion-MNIST for AI85, on folded images: 36 epochs, the last three with quantization. What is given
# on the command line is appended and wins, for example: ./go_fashionmnist_folded_ai85.sh --seed 1
set -e
here=$(dirname "$0")
exec python3 "$here/train.py" --device 85 --model ai85foldednet --dataset FashionMNIST_folded --batch-norm --epochs 36 \
    --batch-size 128 --optimizer AdamW --lr 0.005 --wd 0.05 --erase 4 --validation-split 0.05 \
    --compress "$here/schedules/onecycle.yaml" --qat-policy "$here/schedules/qat_policy_folded_ai85.yaml" --deterministic \
    --confusion --print-freq 100 --data "$here/data" --out-dir "$here/logs" "$@"
