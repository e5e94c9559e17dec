#!/usr/bin/env python3
"""Time and peak memory of cnn-gen.py as a whole process, for each network."""

import argparse
import os
import statistics
import subprocess
import sys
import tempfile
import time

from tabulate import tabulate

from networks import SYNTHESIS, networks, networks85

KINDS = {
    "embedded": ("-L", "--embedded-code", "--unload"),
    "embedded --verbose": ("-L", "--embedded-code", "--unload", "--verbose"),
    "rtlsim": ("-L",),
    "rtlsim --verbose": ("-L", "--verbose"),
}

KINDS85 = {
    "embedded": ("-L", "--embedded-code"),
    "embedded --verbose": ("-L", "--embedded-code", "--verbose"),
    "rtlsim": ("-L", "--top-level", "cnn"),
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
    """Run each network and kind several times, in turn, and print a table."""
    parser = argparse.ArgumentParser(description=__doc__, epilog="example: benchmarks/generate.py --runs 20")
    parser.add_argument("--runs", type=int, default=5, help="runs of each network and kind (default: 5)")
    runs = parser.parse_args().runs
    cases = {(name, kind): (*options, *more) for name, options in networks().items() for kind, more in KINDS.items()}
    cases |= {(name, kind): (*options, *more) for name, options in networks85().items()
              for kind, more in KINDS85.items()}  # fmt: skip
    results: dict[tuple[str, str], list[tuple[float, int]]] = {case: [] for case in cases}
    with tempfile.TemporaryDirectory() as folder:
        output = ("--test-dir", folder, "--autogen", folder)
        for _ in range(runs):
            for case, options in cases.items():
                results[case].append(measure((*options, *output)))
    rows = []
    for case, measured in results.items():
        seconds = [second for second, _ in measured]
        peak = max(memory for _, memory in measured) / 1024
        rows.append((*case, min(seconds), statistics.median(seconds), max(seconds), peak))
    print(tabulate(rows, ("network", "output", "min s", "median s", "max s", "peak MiB"), floatfmt=".2f"))


if __name__ == "__main__":
    main()
