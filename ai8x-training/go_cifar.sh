#!/bin/sh
# Trains ai84net5 on CIFAR-10: 200 epochs, then four with quantization. What is given on the command line is appended to both
# and wins, for example: ./go_cifar.sh --seed 1 --data DIR
# Called again with the same options, it goes on where it was.
set -e
here=$(dirname "$0")
alone=$here/logs/cifar_alone
part() {
    python3 "$here/train.py" --model ai84net5 --dataset CIFAR10 --device 84 --batch-size 128 --optimizer SGD --wd 1e-4 \
        --validation-split 0.05 --compress "$here/schedules/onecycle.yaml" --deterministic --confusion --print-freq 100 \
        --data "$here/data" --out-dir "$here/logs" --resume-from auto "$@"
}
part --epochs 200 --lr 0.1 "$@" --out-dir "$alone"
part --epochs 4 --lr 0.005 --qat-policy "$here/schedules/qat_finetune_ai84.yaml" \
    --exp-load-weights-from "$alone/latest/best.pth.tar" "$@"
