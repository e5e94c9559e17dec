#!/usr/bin/env python3
"""Weights, and the time to load and to run them, of each AI85 network: the table of docs/ai85.md."""

import argparse
import json
import re
import tempfile
from pathlib import Path

from tabulate import tabulate

from networks import networks85, run

HEADERS = ("network", "packed bytes", "load instructions", "all instructions", "accelerator clocks", "known answer")


def measure(name: str, options: tuple[str, ...], folder: Path) -> tuple[object, ...]:
    """One row: generate the program and run it on the emulated chip."""
    run("cnn-gen.py", *options, "--test-dir", folder, "--embedded-code")
    run("cnn-run.py", folder / name, "--json", folder / "result.json")
    result = json.loads((folder / "result.json").read_text(encoding="utf-8"))
    return (name, packed_bytes(folder / name / "weights.h"), result["load_instructions"], result["instructions"],
            result["cycles"], "PASS" if result["passed"] else "FAIL")  # fmt: skip


def packed_bytes(path: Path) -> int:
    """Size of the array of weights, with the address code and the length of every run."""
    text = path.read_text(encoding="utf-8").split("#define KERNELS", 1)[1].split("}", 1)[0]
    return 4 * len(re.findall("0x", text))


def main() -> None:
    """Print the table."""
    argparse.ArgumentParser(description=__doc__, epilog="example: benchmarks/ai85.py").parse_args()
    with tempfile.TemporaryDirectory() as folder:
        rows = [measure(name, options, Path(folder)) for name, options in networks85().items()]
    print(tabulate(rows, HEADERS, intfmt=","))


if __name__ == "__main__":
    main()
