#!/usr/bin/env python3
"""Time and peak memory of cnn-gen.py as a whole process, on the Fashion-MNIST network."""

import argparse
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from tabulate import tabulate

SYNTHESIS = Path(__file__).resolve().parents[1] / "ai8x-synthesis"
NETWORK = ("--top-level", "cnn", "-L", "--prefix", "FashionMNIST", "--checkpoint-file",
           "trained/ai84-fashionmnist.pth.tar", "--config-file", "networks/fashionmnist-chw.yaml")  # fmt: skip
KINDS = {
    "embedded": ("--fc-layer", "--embedded-code"),
    "embedded --verbose": ("--fc-layer", "--embedded-code", "--verbose"),
    "rtlsim": (),
    "rtlsim --verbose": ("--verbose",),
}


def measure(arguments: tuple[str, ...]) -> tuple[float, int]:
    """Seconds and peak resident KiB of one run."""
    start = time.perf_counter()
    process = subprocess.Popen([sys.executable, "cnn-gen.py", *arguments], cwd=SYNTHESIS, stdout=subprocess.DEVNULL)
    _, status, usage = os.wait4(process.pid, 0)
    if status:
        sys.exit("cnn-gen.py failed")
    return time.perf_counter() - start, usage.ru_maxrss


def main() -> None:
    """Run each kind several times, in turn, and print a table."""
    parser = argparse.ArgumentParser(description=__doc__, epilog="example: benchmarks/generate.py --runs 20")
    parser.add_argument("--runs", type=int, default=10, help="runs of each kind (default: 10)")
    runs = parser.parse_args().runs
    results: dict[str, list[tuple[float, int]]] = {kind: [] for kind in KINDS}
    with tempfile.TemporaryDirectory() as folder:
        output = ("--test-dir", folder, "--autogen", folder)
        for _ in range(runs):
            for kind, options in KINDS.items():
                results[kind].append(measure((*NETWORK, *output, *options)))
    rows = []
    for kind, measured in results.items():
        seconds = [second for second, _ in measured]
        rows.append((kind, min(seconds), statistics.median(seconds), max(seconds), max(m for _, m in measured) / 1024))
    print(tabulate(rows, ("output", "min s", "median s", "max s", "peak MiB"), floatfmt=".2f"))


if __name__ == "__main__":
    main()
