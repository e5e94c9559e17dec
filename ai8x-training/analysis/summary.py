"""`train.py --summary`: what a network consists of, what it costs, and how many of its weights are zero."""

import argparse
import logging
from collections.abc import Sequence
from pathlib import Path

import torch
from tabulate import tabulate
from torch import Tensor, nn

import construction
from analysis import picture
from analysis.layers import LayerInfo, layers_of, times
from analysis.report import log_directory
from analysis.subject import load_network

log = logging.getLogger(__name__)

PICTURE = "model.png"


def summarize(options: argparse.Namespace, arguments: Sequence[str]) -> None:
    """Do what --summary asks; UserError when the network does not fit the device or its weights."""
    model = load_network(options, torch.device("cpu"))
    layers = layers_of(model, construction.data_set(options).input)
    with log_directory(options, arguments) as directory:
        for kind in options.summary:
            log.info("%s", KINDS[kind](model, layers, directory))


def structure(model: nn.Module, layers: Sequence[LayerInfo], directory: Path) -> str:
    """What each layer is."""
    rows = [
        (layer.name, layer.operation, times(layer.input), layer.pooling, layer.kernel, layer.padding,
         layer.activation, times(layer.output), layer.weights + layer.biases)
        for layer in layers
    ]  # fmt: skip
    headers = ("layer", "operation", "input", "pooling", "kernel", "padding", "activation", "output", "parameters")
    total = sum(layer.weights + layer.biases for layer in layers)
    return f"{tabulate(rows, headers)}\n{len(layers)} layers, {total:,} parameters"


def compute(model: nn.Module, layers: Sequence[LayerInfo], directory: Path) -> str:
    """What each layer costs: multiplications, and bytes of weights and data."""
    macs = sum(layer.macs for layer in layers)
    rows = [
        (layer.name, f"{layer.macs:,}", f"{100 * layer.macs / macs:.1f} %", f"{layer.weights:,}", layer.weight_bits,
         f"{weight_bytes(layer):,}", f"{size(layer.input):,}", f"{size(layer.output):,}")
        for layer in layers
    ]  # fmt: skip
    headers = ("layer", "MACs", "share", "weights", "bits", "bytes", "values in", "values out")
    table = tabulate(rows, headers, disable_numparse=True, colalign=("left", *["right"] * (len(headers) - 1)))
    total = sum(map(weight_bytes, layers))
    return f"{table}\n{macs:,} multiplications (MACs) for an input; {total:,} bytes of weights"


def weight_bytes(layer: LayerInfo) -> int:
    """The weights of a layer on the device, in whole bytes."""
    return -(-layer.weights * layer.weight_bits // 8)


def size(shape: Sequence[int]) -> int:
    """Number of values of a sample."""
    return torch.Size(shape).numel()


def sparsity(model: nn.Module, layers: Sequence[LayerInfo], directory: Path) -> str:
    """How many weights are zero, one by one and as whole kernels, filters and input channels."""
    weights = {name: value for name, value in model.named_parameters() if value.ndim > 1}
    headers = ("weights", "shape", "values", "not 0", "kernels", "filters", "channels", "zero", "std", "mean",
               "abs mean")  # fmt: skip
    table = tabulate(
        [sparsity_row(name, value.detach()) for name, value in weights.items()],
        headers, floatfmt=".5f", colalign=("left", "left", *["right"] * (len(headers) - 2)),
    )  # fmt: skip
    values = sum(weight.numel() for weight in weights.values())
    zeros = values - sum(int(weight.count_nonzero()) for weight in weights.values())
    return f"{table}\n{zeros:,} of {values:,} weights are 0: {100 * zeros / values:.2f} %"


def sparsity_row(name: str, weight: Tensor) -> tuple[object, ...]:
    """Zeros of weights [out, in, ...]: of its groups the shares that are 0 throughout, of its elements the share."""
    kernels = weight.flatten(2) if weight.ndim > 2 else weight[:, :, None]
    zero = (kernels == 0).all(2)
    shares = (zero, zero.all(1), zero.all(0), weight == 0)
    percents = [f"{100 * float(share.float().mean()):.2f} %" for share in shares]
    moments = (float(weight.std()), float(weight.mean()), float(weight.abs().mean()))
    return name, times(tuple(weight.shape)), weight.numel(), int(weight.count_nonzero()), *percents, *moments


def draw(model: nn.Module, layers: Sequence[LayerInfo], directory: Path) -> str:
    """A picture of the layers."""
    picture.save(layers, directory / PICTURE)
    return f"Picture: {directory / PICTURE}"


KINDS = {"model": structure, "compute": compute, "sparsity": sparsity, "png": draw}
"""What --summary can be asked for."""
