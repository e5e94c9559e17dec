#!/bin/sh
# Trains ai85foldednet on Fashion-MNIST for AI85, on folded images: 80 epochs, then 20 with the best of those as its teacher,
# the last three of them with quantization. What is given on the command line is appended to both and wins, for example:
# ./go_fashionmnist_folded_ai85.sh --seed 1
# Called again with the same options, it goes on where it was.
set -e
here=$(dirname "$0")
alone=$here/logs/folded_ai85_alone
part() {
    python3 "$here/train.py" --device 85 --model ai85foldednet --dataset FashionMNIST_folded --batch-norm \
        --batch-size 128 --optimizer AdamW --wd 0.05 --erase 4 --cutmix 0.25 --validation-split 0.05 \
        --compress "$here/schedules/onecycle.yaml" --deterministic --confusion --print-freq 100 --data "$here/data" \
        --out-dir "$here/logs" --resume-from auto "$@"
}
part --epochs 80 --lr 0.005 "$@" --out-dir "$alone"
part --epochs 20 --lr 0.002 --qat-policy "$here/schedules/qat_policy_folded_ai85.yaml" \
    --kd-teacher ai85foldednet --kd-resume "$alone/latest/best.pth.tar" --kd-temp 4 --kd-distill-wt 0.8 \
    --kd-student-wt 0.2 --exp-load-weights-from "$alone/latest/checkpoint.pth.tar" "$@"
