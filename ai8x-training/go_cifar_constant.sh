#!/bin/sh
# Trains ai84cifarnet on CIFAR-10 for AI84, behind a constant channel: 100 epochs alone, then 56 with an ai85cifarnet as its
# teacher, the last four of them with quantization. What is given on the command line is appended to both and wins, for
# example: ./go_cifar_constant.sh --seed 1 --data DIR
# Called again with the same options, it goes on where it was.
set -e
here=$(dirname "$0")
alone=$here/logs/cifar_constant_alone
part() {
    python3 "$here/train.py" --device 84 --model ai84cifarnet --dataset CIFAR10_constant --batch-norm --batch-size 128 \
        --optimizer AdamW --wd 0.02 --validation-split 0.05 --compress "$here/schedules/onecycle.yaml" --deterministic \
        --print-freq 100 --data "$here/data" --out-dir "$here/logs" --resume-from auto "$@"
}
part --epochs 100 --lr 0.005 "$@" --out-dir "$alone"
part --epochs 56 --lr 0.003 --qat-policy "$here/schedules/qat_policy_cifar_constant.yaml" --confusion \
    --kd-teacher ai85cifarnet --kd-resume "$here/../ai8x-synthesis/trained/ai85-cifarnet-teacher.pth.tar" \
    --kd-temp 4 --kd-distill-wt 0.8 --kd-student-wt 0.2 --exp-load-weights-from "$alone/latest/checkpoint.pth.tar" "$@"
