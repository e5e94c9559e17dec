#!/bin/sh
# Trains ai84netextrasmall on MNIST: the full recipe, 200 epochs. What is given on the command line is appended and
# wins, for example: ./go_mnist_extrasmall.sh --epochs 20 --seed 1
set -e
here=$(dirname "$0")
exec python3 "$here/train.py" --model ai84netextrasmall --dataset MNIST --device 84 --epochs 200 --batch-size 64 \
    --optimizer Adam --lr 0.0015 --wd 1e-4 --compress "$here/schedules/onecycle.yaml" --deterministic --confusion \
    --print-freq 100 --data "$here/data" --out-dir "$here/logs" "$@"
