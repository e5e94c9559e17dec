#!/bin/sh
# Trains ai85cifarnet on CIFAR-10 for AI85: 110 epochs, the last four with quantization. What is given on the command line is
# appended and wins, for example: ./go_cifarnet_ai85.sh --seed 1
set -e
here=$(dirname "$0")
exec python3 "$here/train.py" --device 85 --model ai85cifarnet --dataset CIFAR10 --batch-norm --epochs 110 \
    --batch-size 128 --optimizer AdamW --lr 0.005 --wd 0.05 --cutmix 0.5 --validation-split 0.05 \
    --compress "$here/schedules/onecycle.yaml" --qat-policy "$here/schedules/qat_policy_cifarnet_ai85.yaml" --deterministic \
    --confusion --print-freq 100 --data "$here/data" --out-dir "$here/logs" "$@"
