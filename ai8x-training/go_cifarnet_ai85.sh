#!/bin/sh
# Trains ai85cifarnet on CIFAR-10 for AI85: 110 epochs, then 80 with the best of those as its teacher, the last four of them
# with quantization. What is given on the command line is appended to both and wins, for example:
# ./go_cifarnet_ai85.sh --seed 1 --data DIR
# Called again with the same options, it goes on where it was.
set -e
here=$(dirname "$0")
alone=$here/logs/cifarnet_ai85_alone
part() {
    python3 "$here/train.py" --device 85 --model ai85cifarnet --dataset CIFAR10 --batch-norm --batch-size 128 \
        --optimizer AdamW --wd 0.05 --cutmix 0.5 --validation-split 0.05 --compress "$here/schedules/onecycle.yaml" \
        --deterministic --confusion --print-freq 100 --data "$here/data" --out-dir "$here/logs" --resume-from auto "$@"
}
part --epochs 110 --lr 0.005 "$@" --out-dir "$alone"
part --epochs 80 --lr 0.003 --qat-policy "$here/schedules/qat_policy_cifarnet_ai85.yaml" \
    --kd-teacher ai85cifarnet --kd-resume "$alone/latest/best.pth.tar" --kd-temp 4 --kd-distill-wt 0.8 \
    --kd-student-wt 0.2 --exp-load-weights-from "$alone/latest/checkpoint.pth.tar" "$@"
