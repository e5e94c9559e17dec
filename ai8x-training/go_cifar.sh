#!/bin/sh
# Trains ai84net5 on CIFAR-10: the full recipe, 200 epochs. What is given on the command line is appended and wins,
# for example: ./go_cifar.sh --epochs 50 --seed 1
set -e
here=$(dirname "$0")
exec python3 "$here/train.py" --model ai84net5 --dataset CIFAR10 --device 84 --epochs 200 --batch-size 128 \
    --optimizer SGD --lr 0.1 --wd 1e-4 --validation-split 0.05 --compress "$here/schedules/onecycle.yaml" --deterministic \
    --confusion --print-freq 100 --data "$here/data" --out-dir "$here/logs" "$@"
