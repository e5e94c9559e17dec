#!/usr/bin/env python3
"""Time of an inference of each AI84 network by compiled firmware on the emulated chip."""

import argparse
import json
import tempfile
from pathlib import Path

import numpy as np
from tabulate import tabulate

from networks import networks, run


def measure(name: str, options: tuple[str, ...], images: int, folder: Path) -> tuple[object, ...]:
    """A row of the table: generate, build, run, then classify random images one after the other."""
    run("cnn-gen.py", *options, "--embedded-code", "--fc-layer", "--test-dir", folder)
    manifest = json.loads((folder / name / "cnn-run.json").read_text())
    random = np.random.default_rng(0)
    np.save(folder / "images.npy", random.integers(-128, 128, (images, *manifest["input"]), np.int8))
    run("cnn-run.py", folder / name, "--images", folder / "images.npy", "--json", folder / "result.json")
    result = json.loads((folder / "result.json").read_text())
    return name, 1000 / result["images_per_second"], result["instructions"], result["cycles"]


def main() -> None:
    """Print a table."""
    parser = argparse.ArgumentParser(description=__doc__, epilog="example: benchmarks/emulate.py --images 1000")
    parser.add_argument("--images", type=int, default=200, help="images of each network (default: 200)")
    images = parser.parse_args().images
    with tempfile.TemporaryDirectory() as folder:
        rows = [measure(name, options, images, Path(folder)) for name, options in networks().items()
                if "--checkpoint-file" in options]  # fmt: skip
    print(tabulate(rows, ("network", "ms an inference", "instructions of main()", "accelerator clocks (estimate)"),
                   floatfmt=".2f", intfmt=","))  # fmt: skip


if __name__ == "__main__":
    main()
