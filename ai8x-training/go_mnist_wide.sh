#!/bin/sh
# Trains ai85net80wide on MNIST for AI85: the full recipe, 200 epochs, with quantization from epoch 30 on. What is given on the
# command line is appended and wins, for example: ./go_mnist_wide.sh --epochs 40 --seed 1
set -e
here=$(dirname "$0")
exec python3 "$here/train.py" --device 85 --model ai85net80wide --dataset MNIST --batch-norm --epochs 200 --batch-size 64 \
    --optimizer Adam --lr 0.003 --wd 1e-4 --compress "$here/schedules/onecycle.yaml" \
    --qat-policy "$here/schedules/qat_policy.yaml" --deterministic --confusion --print-freq 100 \
    --data "$here/data" --out-dir "$here/logs" "$@"
