#!/bin/sh
# Trains ai84net5 on Fashion-MNIST: the full recipe, 200 epochs. What is given on the command line is appended and wins,
# for example: ./go_fashionmnist.sh --epochs 20 --seed 1
# The schedule is one cycle over however many epochs there are. The first generation's recipe was
# ./go_fashionmnist.sh --optimizer SGD --lr 0.1 --batch-size 256 --compress schedules/schedule.yaml
set -e
here=$(dirname "$0")
exec python3 "$here/train.py" --model ai84net5 --dataset FashionMNIST --device 84 --epochs 200 --batch-size 64 \
    --optimizer Adam --lr 0.0015 --wd 1e-4 --compress "$here/schedules/onecycle.yaml" --deterministic --confusion \
    --print-freq 100 --data "$here/data" --out-dir "$here/logs" "$@"
