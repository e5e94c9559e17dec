#!/bin/sh
# Trains ai85nascifarnet on CIFAR-10 for AI85: the full recipe, 200 epochs, with quantization from epoch 30 on. What is given on the
# command line is appended and wins, for example: ./go_cifar_ai85.sh --epochs 40 --seed 1
set -e
here=$(dirname "$0")
exec python3 "$here/train.py" --device 85 --model ai85nascifarnet --dataset CIFAR10 --batch-norm --epochs 200 --batch-size 64 \
    --optimizer Adam --lr 0.003 --wd 1e-4 --compress "$here/schedules/onecycle.yaml" \
    --qat-policy "$here/schedules/qat_policy.yaml" --deterministic --confusion --print-freq 100 \
    --data "$here/data" --out-dir "$here/logs" "$@"
