#!/bin/sh
# Trains ai84foldednet on Fashion-MNIST for AI84, on folded images: 60 epochs, the last four with quantization. What is given
# on the command line is appended and wins, for example: ./go_fashionmnist_folded.sh --seed 1
set -e
here=$(dirname "$0")
exec python3 "$here/train.py" --device 84 --model ai84foldednet --dataset FashionMNIST_folded --batch-norm --epochs 60 \
    --batch-size 128 --optimizer AdamW --lr 0.005 --wd 0.02 --erase 4 --validation-split 0.05 \
    --compress "$here/schedules/onecycle.yaml" --qat-policy "$here/schedules/qat_policy_folded.yaml" --deterministic \
    --confusion --print-freq 100 --data "$here/data" --out-dir "$here/logs" "$@"
