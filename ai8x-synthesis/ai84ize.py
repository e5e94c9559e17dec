#!/usr/bin/env python3
"""Quantize the weights of a checkpoint for AI84: one fixed scale, integers from -128 to 127."""

import argparse
import sys
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from izer import torchfile
from izer.checkpoint import state_dict
from izer.errors import IzerError
from izer.quantize import Quantized, quantize

DEFAULT_SCALE = 0.85
EXAMPLE = """example:
  ./ai84ize.py trained/fashionmnist.pth.tar trained/ai84-fashionmnist.pth.tar --scale 1.0

The scale of 0.85 suits networks that were trained without limits on their weights; networks whose weights stay in the
range of Q7 (train.py sees to that) lose least with 1.0."""


def parse(arguments: list[str]) -> argparse.Namespace:
    """The command line; argparse ends the program with status 2 where it is wrong."""
    parser = argparse.ArgumentParser(description=__doc__, epilog=EXAMPLE,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("input", type=Path, help="float checkpoint")
    parser.add_argument("output", type=Path, help="quantized checkpoint to write")
    parser.add_argument("--scale", type=float, metavar="S",
                        help=f"a weight of 1.0 becomes 128 * S (default: {DEFAULT_SCALE}, with a warning)")
    parser.add_argument("-f", "--fc", type=int, default=8, choices=range(2, 9), metavar="BITS",
                        help="bits of the weights of the classification layer, 2 to 8 (default: 8)")
    parser.add_argument("-v", "--verbose", action="store_true", help="print a line for every tensor")
    options = parser.parse_args(arguments)
    if options.scale is not None and not 0 < options.scale < 1e6:
        parser.error("--scale is a positive number")
    return options


def quantized_checkpoint(content: dict[str, Any], path: Path, scale: float, fc_bits: int
                         ) -> tuple[dict[str, Any], tuple[Quantized, ...]]:
    """The checkpoint with integers in `state_dict` and the method in `extras`; everything else as it was."""
    extras = content.get("extras") or {}
    if not isinstance(extras, dict):
        raise IzerError(f"{path}: `extras` of a checkpoint is a dictionary.")
    if "clipping_method" in extras:
        raise IzerError(f"{path}: this checkpoint is quantized already (its extras name a clipping method).")
    tensors = state_dict(content, path)
    for name, value in tensors.items():
        check(name, value, path)
    tensors, log = quantize(tensors, scale, fc_bits)
    if not log:
        raise IzerError(f"{path}: there are no weights in this checkpoint.")
    extras = {**extras, "clipping_method": "SCALE", "clipping_scale": scale}
    return {**content, "state_dict": tensors, "extras": extras}, log


def check(name: str, value: NDArray[Any], path: Path) -> None:
    """Raise IzerError for a weight or bias that has no integer on the device."""
    kind = name.rpartition(".")[2]
    if kind == "weight" and value.ndim not in (2, 4):
        raise IzerError(f"{path}: {name} has {value.ndim} dimensions; weights are [Cout, Cin, 3, 3], of the "
                        "classification layer [R, N]. Fold batch normalization into the weights first.")
    if kind in ("weight", "bias") and not np.all(np.isfinite(value)):
        raise IzerError(f"{path}: {name} holds values that are not finite; the training has diverged.")


def report(entry: Quantized) -> str:
    """One line on what was done to a tensor."""
    share = f"{100 * entry.clipped / entry.size:.2f} %"
    return f"{entry.name:30} * {entry.factor:9.3f} -> {entry.low:4}..{entry.high}, {entry.clipped} clipped ({share})"


def main(arguments: list[str]) -> int:
    """Run the program; returns the exit status."""
    options = parse(arguments)
    if options.scale is None:
        print(f"ai84ize.py: warning: --scale is not given; using {DEFAULT_SCALE}", file=sys.stderr)
    scale = DEFAULT_SCALE if options.scale is None else options.scale
    try:
        content, log = quantized_checkpoint(torchfile.read(options.input), options.input, scale, options.fc)
        torchfile.write(options.output, content)
    except IzerError as error:
        print(f"ai84ize.py: error: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("ai84ize.py: interrupted, nothing was written", file=sys.stderr)
        return 130
    if options.verbose:
        print("\n".join(map(report, log)))
    clipped, size = sum(entry.clipped for entry in log), sum(entry.size for entry in log)
    print(f"{options.output}: {size:,} values quantized with scale {scale}, {clipped:,} clipped")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
