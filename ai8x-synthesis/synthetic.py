#!/usr/bin/env python3
"""Make weights for ai84net7 from a seed, and samples of sound, for where there are no recordings of speech."""

import argparse
import io
import json
import sys
from collections.abc import Mapping
from itertools import pairwise
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from izer import output, torchfile
from izer.errors import IzerError

EXAMPLE = """example:
  ./synthetic.py --checkpoint demos/ai84net7-random.pth.tar
  ./cnn-gen.py --config-file networks/ai84net7.yaml --checkpoint-file demos/ai84net7-random.pth.tar \\
      --top-level cnn --test-dir demos --prefix ai84net7 --fc-layer --embedded-code

The weights are random: the network recognizes nothing. The samples are no speech: a tone rises for a second."""

CHANNELS = (1, 15, 30, 60, 30, 30, 30)
CLASSES = 7
FEATURES = CHANNELS[-1] * 4 * 4
RATE = 16000  # samples per second
SIDE = 64
WINDOW = 2 * SIDE  # a spectrum of so many samples has SIDE bins (and the one at half the rate, which is dropped)
FOLDED = 128  # samples side by side as the channels of a step
LOUDEST = 60  # dB between the values -128 and 127


def random_weights(random: np.random.Generator, shape: tuple[int, ...]) -> NDArray[np.float32]:
    """Integers from -128 to 127, so spread that the values behind a ReLU are about as large as those before."""
    spread = 128 * np.sqrt(2 / np.prod(shape[1:]))
    return np.clip(np.rint(random.normal(0, spread, shape)), -128, 127).astype(np.float32)


def weights(seed: int) -> Mapping[str, NDArray[np.float32]]:
    """The quantized weights of ai84net7 by name, in the order of its layers."""
    random = np.random.default_rng(seed)
    pairs = enumerate(pairwise(CHANNELS), 1)
    convolutions = {f"conv{n}.conv2d.weight": random_weights(random, (out, given, 3, 3)) for n, (given, out) in pairs}
    fc = {"fc.linear.weight": random_weights(random, (CLASSES, FEATURES)), "fc.linear.bias": np.zeros(CLASSES, "f4")}
    return convolutions | fc


def chirp() -> NDArray[np.float64]:
    """A second of a tone that rises from 250 to 7750 Hz, -1 to 1."""
    time = np.arange(RATE) / RATE
    tone: NDArray[np.float64] = np.sin(2 * np.pi * (250 + 3750 * time) * time)
    return tone


def chirp_folded() -> NDArray[np.int64]:
    """The tone at half its loudness, then silence: [128 channels, 128 steps, 1], -128..127; a step is 128 samples."""
    samples = np.zeros(FOLDED * FOLDED)
    samples[:RATE] = chirp() / 2
    folded: NDArray[np.int64] = np.rint(samples * 128).astype(np.int64).reshape(FOLDED, FOLDED).T[:, :, None]
    return folded


def chirp_spectrogram() -> NDArray[np.int64]:
    """The loudness of the tone as -128..127, [1, frequency, time], low first."""
    tone = chirp()
    starts = np.linspace(0, RATE - WINDOW, SIDE).astype(int)
    frames = tone[starts[:, None] + np.arange(WINDOW)] * np.hanning(WINDOW)
    spectrum = np.abs(np.fft.rfft(frames))[:, :SIDE].T
    loudness = 20 * np.log10(np.maximum(spectrum / spectrum.max(), 1e-9)) / LOUDEST + 1
    levels: NDArray[np.int64] = np.rint(np.clip(loudness, 0, 1) * 255 - 128).astype(np.int64)
    return levels[None]


def write_checkpoint(path: Path, seed: int) -> None:
    """Write a quantized checkpoint; IzerError when that is not possible."""
    extras = {"clipping_method": "SCALE", "clipping_scale": 1.0, "synthetic": f"synthetic.py, seed {seed}"}
    torchfile.write(path, {"epoch": 0, "arch": "ai84net7", "state_dict": dict(weights(seed)), "extras": extras})


def parse(arguments: list[str]) -> argparse.Namespace:
    """The command line; argparse ends the program with status 2 where it is wrong."""
    parser = argparse.ArgumentParser(description=__doc__, epilog=EXAMPLE,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--checkpoint", type=Path, metavar="FILE", help="write a quantized checkpoint (.pth.tar)")
    parser.add_argument("--sample", type=Path, metavar="FILE", help="write the sample for SpeechCom (.npy)")
    parser.add_argument("--folded-sample", type=Path, metavar="FILE", help="write the sample for KWS_20 (.npy)")
    parser.add_argument("--seed", type=int, default=1, metavar="N", help="seed of the weights (default: 1)")
    options = parser.parse_args(arguments)
    if not (options.checkpoint or options.sample or options.folded_sample):
        parser.error("nothing to make: give --checkpoint, --sample or --folded-sample")
    if options.seed < 0:
        parser.error("--seed is at least 0")
    return options


def write_sample(path: Path, dataset: str, what: str, sample: NDArray[np.int64]) -> None:
    """Write a sample and, beside it, what it is; IzerError when that is not possible."""
    stream = io.BytesIO()
    np.save(stream, sample, allow_pickle=False)
    about = {"dataset": dataset, "synthetic": f"{what}, from synthetic.py", "label": None}
    text = json.dumps(about, indent=2) + "\n"
    output.write_folder(path.parent, {path.name: stream.getvalue(), f"{path.stem}.json": text.encode()})


def main(arguments: list[str]) -> int:
    """Run the program; returns the exit status."""
    options = parse(arguments)
    try:
        if options.checkpoint:
            write_checkpoint(options.checkpoint, options.seed)
        if options.sample:
            write_sample(options.sample, "SpeechCom", "spectrogram of a rising tone", chirp_spectrogram())
        if options.folded_sample:
            write_sample(options.folded_sample, "KWS_20", "a rising tone", chirp_folded())
    except IzerError as error:
        print(f"synthetic.py: error: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
