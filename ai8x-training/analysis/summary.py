"""`train.py --summary`: what a network consists of, what it costs, and how many of its weights are zero."""

import argparse
import logging
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from tabulate import tabulate
from torch import Tensor, nn

import construction
from analysis import picture, samples
from analysis.layers import LayerInfo, layers_of, times
from analysis.outputs import save_figure
from analysis.report import log_directory
from analysis.subject import load_network
from datasets import ImageSet

log = logging.getLogger(__name__)

PICTURE, SAMPLES = "model.png", "samples.png"


@dataclass(frozen=True)
class Subject:
    """What a summary is about: a network, its layers, the training images (only for `samples`), the log directory."""

    options: argparse.Namespace
    model: nn.Module
    layers: tuple[LayerInfo, ...]
    training: ImageSet | None
    directory: Path


def summarize(options: argparse.Namespace, arguments: Sequence[str]) -> None:
    """Do what --summary asks; UserError when the network does not fit the device or its weights."""
    model = load_network(options, torch.device("cpu"))
    data_set = construction.data_set(options)
    layers = layers_of(model, data_set.input)
    training = data_set.load(options.data)[0] if "samples" in options.summary else None
    with log_directory(options, arguments) as directory:
        subject = Subject(options, model, layers, training, directory)
        for kind in options.summary:
            log.info("%s", KINDS[kind](subject))


def structure(subject: Subject) -> str:
    """What each layer is."""
    rows = [
        (layer.name, layer.operation, times(layer.input), layer.pooling, layer.kernel, layer.padding,
         layer.activation, times(layer.output), layer.weights + layer.biases)
        for layer in subject.layers
    ]  # fmt: skip
    headers = ("layer", "operation", "input", "pooling", "kernel", "padding", "activation", "output", "parameters")
    total = sum(layer.weights + layer.biases for layer in subject.layers)
    return f"{tabulate(rows, headers)}\n{len(subject.layers)} layers, {total:,} parameters"


def compute(subject: Subject) -> str:
    """What each layer costs: multiplications, and bytes of weights and data."""
    macs = sum(layer.macs for layer in subject.layers)
    rows = [
        (layer.name, f"{layer.macs:,}", f"{100 * layer.macs / macs:.1f} %", f"{layer.weights:,}", layer.weight_bits,
         f"{weight_bytes(layer):,}", f"{size(layer.input):,}", f"{size(layer.output):,}")
        for layer in subject.layers
    ]  # fmt: skip
    headers = ("layer", "MACs", "share", "weights", "bits", "bytes", "values in", "values out")
    table = tabulate(rows, headers, disable_numparse=True, colalign=("left", *["right"] * (len(headers) - 1)))
    total = sum(map(weight_bytes, subject.layers))
    return f"{table}\n{macs:,} multiplications (MACs) for an input; {total:,} bytes of weights"


def weight_bytes(layer: LayerInfo) -> int:
    """The weights of a layer on the device, in whole bytes."""
    return -(-layer.weights * layer.weight_bits // 8)


def size(shape: Sequence[int]) -> int:
    """Number of values of a sample."""
    return torch.Size(shape).numel()


def sparsity(subject: Subject) -> str:
    """How many weights are zero, one by one and as whole kernels, filters and input channels."""
    weights = {name: value for name, value in subject.model.named_parameters() if value.ndim > 1}
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


def draw(subject: Subject) -> str:
    """A picture of the layers."""
    picture.save(subject.layers, subject.directory / PICTURE)
    return f"Picture: {subject.directory / PICTURE}"


def draw_samples(subject: Subject) -> str:
    """A picture of the data set."""
    assert subject.training is not None
    data_set = construction.data_set(subject.options)
    figure = samples.draw(data_set, subject.training, construction.augmentation(subject.options))
    save_figure(figure, subject.directory / SAMPLES)
    return f"Picture: {subject.directory / SAMPLES}"


KINDS = {"model": structure, "compute": compute, "sparsity": sparsity, "png": draw, "samples": draw_samples}
"""What --summary can be asked for."""
