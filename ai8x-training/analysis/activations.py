"""`train.py --activation-stats`: what values the layers of a network give, and how often they saturate."""

import argparse
import logging
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np
import torch
from matplotlib.figure import Figure
from tabulate import tabulate
from torch import Tensor, nn

import ai8x
import ai84
import ai85
import construction
from ai8x import Range
from analysis.layers import is_layer
from analysis.outputs import new_figure, save_figure, write_csv
from analysis.report import log_directory
from analysis.subject import evaluation_of, load_network, load_phase

log = logging.getLogger(__name__)

LAYERS, CHANNELS, PICTURE = "activations.csv", "channels.csv", "activations.png"
CODES = 256
"""How many values 8 bits have."""
WIDE_BINS = 64
HEADERS = ("layer", "mean", "std", "min", "max", "zeros_percent", "saturated_percent", "silent_channels")
CHANNEL_HEADERS = ("layer", "channel", "mean", "mean_magnitude", "zeros_percent")


@dataclass(frozen=True)
class Activations:
    """What a layer gave for N samples, in units of full scale (float mode) or as integers.

    Attributes:
        mean, magnitude, zeros: of each channel: mean, mean of |a|, and share of zeros (0 to 1); float64 [channels].
        std: of all values.
        low, high: the smallest and the largest value.
        saturated: share of the values (0 to 1) that are at an end of the layer's range.
        counts, edges: histogram; counts[i] values are from edges[i] up to edges[i + 1].
    """

    mean: np.ndarray
    magnitude: np.ndarray
    zeros: np.ndarray
    std: float
    low: float
    high: float
    saturated: float
    counts: np.ndarray
    edges: np.ndarray


def report_activations(options: argparse.Namespace, arguments: Sequence[str]) -> None:
    """Do what --activation-stats asks; UserError when weights or data do not fit."""
    device = construction.compute_device(options)
    model = load_network(options, device)
    images = load_phase(options, options.activation_stats, device)
    with log_directory(options, arguments) as directory, recording(model) as recorders:
        result = evaluation_of(options, model, images)
        log.info("%d images (%s): Top1 %.2f", len(images), options.activation_stats, result.top1)
        activations = {name: recorder.activations() for name, recorder in recorders.items()}
        log.info("%s", table(activations))
        write_csv(directory / LAYERS, HEADERS, layer_rows(activations))
        write_csv(directory / CHANNELS, CHANNEL_HEADERS, channel_rows(activations))
        save_figure(plot(activations), directory / PICTURE)
        for file in (LAYERS, CHANNELS, PICTURE):
            log.info("Written: %s", directory / file)


def range_of(layer: nn.Module) -> Range | None:
    """To what a layer saturates its outputs; None for the 32 bits of AI85, which it does not fill."""
    if isinstance(layer, ai85.Layer) and layer.settings.wide:
        return None
    wide = isinstance(layer, ai84.SoftwareLinear)
    if layer.simulate:
        return ai8x.INT16 if wide else ai8x.INT8
    return ai8x.Q8_7 if wide else ai8x.Q7


class Recorder:
    """Adds up what one layer gives, batch by batch.

    Of the 8-bit outputs of most layers it counts the 256 codes; wider ones, which only last layers have, it keeps.
    """

    def __init__(self, layer: nn.Module) -> None:
        self.range = range_of(layer)
        self.narrow = self.range in (ai8x.Q7, ai8x.INT8)
        self.unit = 1 if layer.simulate else ai8x.FULL_SCALE
        self.per_channel, self.saturated = 0, 0
        self.low, self.high = np.inf, -np.inf
        self.sums = np.zeros(1)
        self.codes = np.zeros(CODES, np.int64)
        self.wide: list[np.ndarray] = []

    def add(self, layer: nn.Module, inputs: object, output: Tensor) -> None:
        """Count one batch [N, C, ...]; a forward hook of PyTorch."""
        values = output.detach().float()
        others = [dimension for dimension in range(values.ndim) if dimension != 1]
        sums = torch.stack([part.sum(others) for part in (values, values.abs(), values == 0, values.square())])
        self.sums = self.sums + sums.double().cpu().numpy()
        self.per_channel += values.numel() // values.shape[1]
        self.low, self.high = min(self.low, float(values.min())), max(self.high, float(values.max()))
        if self.range is not None:
            self.saturated += int((values <= self.range.low).sum() + (values >= self.range.high).sum())
        if self.narrow:
            codes = (values * self.unit).floor_().add_(CODES // 2).to(torch.uint8).flatten()
            self.codes += torch.bincount(codes, minlength=CODES).cpu().numpy()
        else:
            self.wide.append(values.flatten().cpu().numpy())

    def activations(self) -> Activations:
        """What all batches were like."""
        mean, magnitude, zeros, square = self.sums / self.per_channel
        values = self.per_channel * len(mean)
        edges = np.arange(-CODES // 2, CODES // 2 + 1) / self.unit
        counts = self.codes
        if not self.narrow:
            counts, edges = np.histogram(np.concatenate(self.wide), WIDE_BINS)
        std = float(np.sqrt(max(square.mean() - mean.mean() ** 2, 0.0)))
        return Activations(mean, magnitude, zeros, std, self.low, self.high, self.saturated / values, counts, edges)


@contextmanager
def recording(model: nn.Module) -> Iterator[dict[str, Recorder]]:
    """Record, inside the `with` block, what the layers of `model` give; by their names, in the order of the model."""
    layers = {name: layer for name, layer in model.named_modules() if is_layer(layer)}
    recorders = {name: Recorder(layer) for name, layer in layers.items()}
    hooks = [layer.register_forward_hook(recorders[name].add) for name, layer in layers.items()]
    try:
        yield recorders
    finally:
        for hook in hooks:
            hook.remove()


def layer_rows(activations: Mapping[str, Activations]) -> list[tuple[object, ...]]:
    """One row for each layer, as HEADERS says. A silent channel gives nothing but zeros."""
    return [
        (name, float(layer.mean.mean()), layer.std, layer.low, layer.high, 100 * float(layer.zeros.mean()),
         100 * layer.saturated, int((layer.zeros == 1).sum()))
        for name, layer in activations.items()
    ]  # fmt: skip


def channel_rows(activations: Mapping[str, Activations]) -> list[tuple[object, ...]]:
    """One row for each channel of each layer: mean, mean magnitude, percentage of zeros."""
    return [
        (name, channel, *map(float, (mean, magnitude, 100 * zeros)))
        for name, layer in activations.items()
        for channel, (mean, magnitude, zeros) in enumerate(zip(layer.mean, layer.magnitude, layer.zeros, strict=True))
    ]


def table(activations: Mapping[str, Activations]) -> str:
    """The rows of all layers as text."""
    headers = [name.replace("_percent", " %").replace("_", " ") for name in HEADERS]
    return tabulate(layer_rows(activations), headers, floatfmt=("", ".4g", ".4g", ".4g", ".4g", ".2f", ".2f", ""))


def plot(activations: Mapping[str, Activations]) -> Figure:
    """A histogram for each layer, with a logarithmic scale because zeros outnumber all others."""
    rows = -(-len(activations) // 2)
    figure = new_figure(8, 2.1 * rows + 0.3, "constrained")
    for axes, (name, layer) in zip(figure.subplots(rows, 2, squeeze=False).flat, activations.items(), strict=False):
        axes.stairs(layer.counts, layer.edges, fill=True, color="#2864a6")
        axes.set_yscale("log")
        shares = f"{100 * layer.zeros.mean():.1f} % zero, {100 * layer.saturated:.2f} % saturated"
        axes.set_title(f"{name}: {shares}", fontsize=9)
        axes.tick_params(labelsize=7)
    for axes in figure.axes[len(activations) :]:
        axes.remove()
    return figure
