#!/usr/bin/env python3
"""Make signals.npz, an example of one-dimensional data: noisy waves of five kinds, to be told apart."""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from converters import natural, positive
from datasets import signals
from files import replacing

CLASSES = ("noise", "sine", "square", "triangle", "sawtooth")
TRAINING, TEST, LENGTH = 5000, 1000, 512
NOISE = 0.3
EXAMPLE = """example:
  ./make_waves.py /tmp/waves
  ./train.py --device 85 --model ai85signalnet --dataset Signals --data /tmp/waves --batch-norm --epochs 8 \\
      --optimizer Adam --lr 0.003
"""


def waves(seed: int, length: int = LENGTH) -> dict[str, np.ndarray]:
    """The arrays of signals.npz: waves of `length` samples, 2 to 20 periods, random phase and size, float32, -1..1."""
    random = np.random.default_rng(seed)
    count = TRAINING + TEST
    labels = random.integers(0, len(CLASSES), count)
    periods, phases, sizes = (random.uniform(*limits, (count, 1)) for limits in ((2, 20), (0, 1), (0.2, 1)))
    ramp = 2 * ((periods * np.arange(length) / length + phases) % 1) - 1
    shapes = np.stack((np.zeros_like(ramp), np.sin(np.pi * ramp), np.sign(ramp), 2 * np.abs(ramp) - 1, ramp))
    data = sizes * shapes[labels, np.arange(count)] + random.normal(0, NOISE, ramp.shape)
    data = np.clip(data / np.abs(data[:TRAINING]).max(), -1, 1).astype(np.float32)
    return {
        "classes": np.array(CLASSES),
        "train_data": data[:TRAINING],
        "train_labels": labels[:TRAINING],
        "test_data": data[TRAINING:],
        "test_labels": labels[TRAINING:],
    }


def main(arguments: Sequence[str]) -> int:
    """Run the program; returns the exit status."""
    parser = argparse.ArgumentParser(
        description=__doc__, epilog=EXAMPLE, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("folder", type=Path, help=f"where {signals.FILE} is put; made where it is not there")
    parser.add_argument("--seed", type=natural, default=1, metavar="N", help="other waves for another number [1]")
    parser.add_argument("--length", type=positive, default=LENGTH, metavar="N", help=f"samples of a wave [{LENGTH}]")
    options = parser.parse_args(arguments)
    path = options.folder / signals.FILE
    try:
        options.folder.mkdir(parents=True, exist_ok=True)
        with replacing(path) as scratch, scratch.open("wb") as file:
            np.savez(file, allow_pickle=False, **waves(options.seed, options.length))
    except OSError as error:
        print(f"make_waves.py: error: {path}: cannot be written ({error.strerror})", file=sys.stderr)
        return 1
    print(f"{path}: {TRAINING} waves for training, {TEST} for the test, of {options.length} samples")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
