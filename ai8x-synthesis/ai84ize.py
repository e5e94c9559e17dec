#!/usr/bin/env python3
"""Quantize the weights of a checkpoint: for AI84 with one fixed scale to 8 bits, for AI85 with a scale of its own for
each layer to 8, 4, 2 or 1 bits."""

import argparse
import sys
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from tabulate import tabulate

from izer import torchfile
from izer.ai85.quantize import BIT_SHIFT, Method, quantize_checkpoint
from izer.ai85.scales import SATURATIONS
from izer.ai85.widths import WEIGHT_BITS, read_widths
from izer.checkpoint import state_dict
from izer.errors import IzerError
from izer.quantize import Quantized, quantize

DEFAULTS = {"scale": 0.85, "stddev": 2.0}
AI84_ONLY, AI85_ONLY = ("fc",), ("config_file", "clip_method", "stddev", "qat_weight_bits")
EXAMPLE = """examples:
  ./ai84ize.py trained/fashionmnist.pth.tar trained/ai84-fashionmnist.pth.tar --scale 1.0
  ./ai84ize.py trained/ai85-fashionmnist-qat8.pth.tar trained/ai85-fashionmnist-q8.pth.tar --ai85
  ./ai84ize.py trained/fashionmnist.pth.tar /tmp/quantized.pth.tar --scale 0.85 --compare

For AI84, the scale of 0.85 suits networks that were trained without limits on their weights; networks whose weights
stay in the range of Q7 (train.py sees to that) lose least with 1.0. For AI85, each layer's weights are multiplied by
the largest power of two that keeps them in range, which is also what training with quantization does."""


def parser() -> argparse.ArgumentParser:
    """The options; those of one device are None where they are not given."""
    result = argparse.ArgumentParser(description=__doc__, epilog=EXAMPLE,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    result.add_argument("input", type=Path, help="float checkpoint")
    result.add_argument("output", type=Path, help="quantized checkpoint to write")
    device = result.add_mutually_exclusive_group()
    device.add_argument("--device", type=int, choices=QUANTIZERS, help="device (default: 84)")
    device.add_argument("--ai85", action="store_const", const=85, dest="device", help="the same as --device 85")
    result.add_argument("-v", "--verbose", action="store_true", help="print a line for every tensor")
    result.add_argument("--compare", action="store_true",
                        help="print what each layer loses: signal to noise, clipped values, values that became 0")
    result.add_argument("--scale", type=float, metavar="S", help="a weight of 1.0 becomes the full range times S; for "
                        f"AI84, and AI85 with --clip-method SCALE (default: {DEFAULTS['scale']}, with a warning)")
    ai84 = result.add_argument_group("AI84")
    ai84.add_argument("-f", "--fc", type=int, choices=range(2, 9), metavar="BITS",
                      help="bits of the weights of the classification layer, 2 to 8 (default: 8)")
    ai85 = result.add_argument_group("AI85")
    ai85.add_argument("-c", "--config-file", type=Path, metavar="YAML",
                      help="network description; its key `quantization` gives the bits of a layer's weights")
    ai85.add_argument("--qat-weight-bits", type=int, choices=WEIGHT_BITS, metavar="BITS",
                      help="bits of weights where neither the description nor the training says (default: 8)")
    ai85.add_argument("--clip-method", choices=(BIT_SHIFT, *SATURATIONS),
                      help=f"how a layer's scale is chosen (default: {BIT_SHIFT})")
    ai85.add_argument("--stddev", type=float, metavar="N", help="the number of standard deviations for --clip-method "
                      f"STDDEV (default: {DEFAULTS['stddev']}, with a warning)")
    return result


def parse(arguments: list[str]) -> argparse.Namespace:
    """The command line; argparse ends the program with status 2 where it is wrong."""
    options = (command := parser()).parse_args(arguments)
    options.device = options.device or 84
    for name in AI85_ONLY if options.device == 84 else AI84_ONLY:
        if getattr(options, name) is not None:
            command.error(f"--{name.replace('_', '-')} is not for AI{options.device}")
    for name in DEFAULTS:
        value = getattr(options, name)
        if value is not None and not 0 < value < 1e6:
            command.error(f"--{name} is a positive number")
        if value is not None and constant_of(options) != name:
            command.error(f"--{name} belongs to --clip-method {name.upper()}")
    return options


def constant_of(options: argparse.Namespace) -> str | None:
    """The option with the constant of the chosen method; None if it has none."""
    if options.device == 84:
        return "scale"
    return {"SCALE": "scale", "STDDEV": "stddev"}.get(options.clip_method)


def complete(options: argparse.Namespace) -> None:
    """Give the method's constant its default, with a warning, where the command line has none."""
    name = constant_of(options)
    if name and getattr(options, name) is None:
        print(f"ai84ize.py: warning: --{name} is not given; using {DEFAULTS[name]}", file=sys.stderr)
        setattr(options, name, DEFAULTS[name])


def quantize_ai84(content: dict[str, Any], options: argparse.Namespace
                  ) -> tuple[dict[str, Any], tuple[Quantized, ...]]:
    """The checkpoint with integers in `state_dict` and the method in `extras`; everything else as it was."""
    path, scale = options.input, options.scale
    extras = content.get("extras") or {}
    if not isinstance(extras, dict):
        raise IzerError(f"{path}: `extras` of a checkpoint is a dictionary.")
    if "clipping_method" in extras:
        raise IzerError(f"{path}: this checkpoint is quantized already (its extras name a clipping method).")
    tensors = state_dict(content, path)
    for name, value in tensors.items():
        check(name, value, path)
    tensors, log = quantize(tensors, scale, options.fc or 8)
    if not log:
        raise IzerError(f"{path}: there are no weights in this checkpoint.")
    extras = {**extras, "clipping_method": "SCALE", "clipping_scale": scale}
    return {**content, "state_dict": tensors, "extras": extras}, log


def check(name: str, value: NDArray[Any], path: Path) -> None:
    """Raise IzerError for a weight or bias that has no integer on AI84."""
    kind = name.rpartition(".")[2]
    if kind == "weight" and value.ndim not in (2, 3, 4):
        raise IzerError(f"{path}: {name} has {value.ndim} dimensions; weights are [Cout, Cin, 3, 3], [Cout, Cin, 9] "
                        "(1D), of the classification layer [R, N]. Fold batch normalization into the weights first.")
    with np.errstate(over="ignore"):
        single = value.astype(np.float32)
    if kind in ("weight", "bias") and not np.all(np.isfinite(single)):
        raise IzerError(f"{path}: {name} holds values that are not finite; the training has diverged.")


def quantize_ai85(content: dict[str, Any], options: argparse.Namespace
                  ) -> tuple[dict[str, Any], tuple[Quantized, ...]]:
    """The checkpoint with integers, shifts and widths in `state_dict`."""
    constant = constant_of(options)
    method = Method(options.clip_method or BIT_SHIFT, getattr(options, constant) if constant else 0.0)
    widths = read_widths(options.config_file) if options.config_file else None
    return quantize_checkpoint(content, options.input, method, widths, options.qat_weight_bits or 8)


QUANTIZERS = {84: quantize_ai84, 85: quantize_ai85}


def report(entry: Quantized) -> str:
    """One line on what was done to a tensor."""
    clipped = f"{entry.clipped} clipped ({percent(entry.clipped, entry)})"
    return f"{entry.name:30} * {entry.factor:9.3f} -> {entry.low:4}..{entry.high}, {clipped}"


def percent(count: int, entry: Quantized) -> str:
    """A share of the values of a tensor."""
    return f"{100 * count / entry.size:.2f} %"


def comparison(log: tuple[Quantized, ...]) -> str:
    """What every tensor loses, as a table, and which loses most."""
    rows = [
        (entry.name, (entry.high - entry.low).bit_length(), entry.size, f"{entry.decibels:.1f} dB",
         percent(entry.clipped, entry), percent(entry.zeros, entry))
        for entry in log
    ]  # fmt: skip
    headers = ("tensor", "bits", "values", "signal to noise", "clipped", "zero")
    table = tabulate(rows, headers, disable_numparse=True, colalign=("left", *["right"] * 5))
    worst = [largest_loss(kind, log) for kind in ("weight", "bias")]
    return "\n".join([table, *filter(None, worst)])


def largest_loss(kind: str, log: tuple[Quantized, ...]) -> str:
    """Which of all tensors of a kind, "weight" or "bias", loses most; empty where none of them loses anything."""
    entries = [entry for entry in log if entry.name.endswith(kind) and entry.noise]
    if not entries:
        return ""
    worst = min(entries, key=lambda entry: entry.decibels)
    return f"The {kind} that loses most: {worst.name}, {worst.decibels:.1f} dB"


def print_log(options: argparse.Namespace, log: tuple[Quantized, ...]) -> None:
    """What was done; weights of nothing but 0 are a warning, since the layer ignores its input."""
    for entry in log:
        if entry.zeros == entry.size and entry.name.endswith("weight"):
            print(f"ai84ize.py: warning: all weights of {entry.name} are 0 in {entry.low}..{entry.high}",
                  file=sys.stderr)
    if options.verbose:
        print("\n".join(map(report, log)))
    if options.compare:
        print(comparison(log))
    constant = constant_of(options)
    clipped, size = sum(entry.clipped for entry in log), sum(entry.size for entry in log)
    how = f"{constant} {getattr(options, constant)}" if constant else options.clip_method or BIT_SHIFT
    print(f"{options.output}: {size:,} values quantized with {how}, {clipped:,} clipped")


def main(arguments: list[str]) -> int:
    """Run the program; returns the exit status."""
    options = parse(arguments)
    complete(options)
    try:
        content, log = QUANTIZERS[options.device](torchfile.read(options.input), options)
        torchfile.write(options.output, content)
    except IzerError as error:
        print(f"ai84ize.py: error: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("ai84ize.py: interrupted, nothing was written", file=sys.stderr)
        return 130
    print_log(options, log)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
