"""`train.py --sense`: what accuracy is left when one layer after the other loses some of its weights.

As in Distiller: of one tensor of weights the smallest elements, filters or input channels become zero, all others stay,
and the network is evaluated without being trained again.
"""

import argparse
import logging
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import astuple, dataclass, fields

import numpy as np
from matplotlib.figure import Figure
from rich.console import Console
from rich.progress import Progress
from tabulate import tabulate
from torch import Tensor, nn

import construction
from analysis.outputs import new_figure, save_figure, write_csv
from analysis.report import log_directory
from analysis.subject import evaluation_of, load_network, load_phase
from distiller.pruners import GROUPS, L1RankedStructureParameterPruner, level_mask
from evaluation import Evaluation

log = logging.getLogger(__name__)

STRUCTURES = {"filter": "Filters", "channel": "Channels"}
TABLE, PICTURE = "sensitivity.csv", "sensitivity.png"
TOLERANCE = 1.0
"""A loss of accuracy that is small, in percentage points."""


@dataclass(frozen=True)
class Point:
    """Accuracy in percent and loss with `sparsity` (0 to 1) of the weights `parameter` removed."""

    parameter: str
    sparsity: float
    top1: float
    top5: float
    loss: float


def measure_sensitivity(options: argparse.Namespace, arguments: Sequence[str]) -> None:
    """Do what --sense asks; UserError when weights or data do not fit."""
    device = construction.compute_device(options)
    model = load_network(options, device)
    weights = targets(model, options.sense)
    images = load_phase(options, "valid", device)
    with log_directory(options, arguments) as directory:
        trial = Trial(options.sense, weights, lambda: evaluation_of(options, model, images))
        before = trial.evaluate().top1
        log.info("Top1 of %d validation images: %.2f with all weights", len(images), before)
        points = sweep(trial, levels(*options.sense_range))
        write_csv(directory / TABLE, [field.name for field in fields(Point)], map(astuple, points))
        save_figure(plot(points, options.sense, before), directory / PICTURE)
        log.info("%s", tolerance_table(points, before))
        log.info("Table: %s", directory / TABLE)
        log.info("Picture: %s", directory / PICTURE)


@dataclass(frozen=True)
class Trial:
    """What is removed, a key of STRUCTURES or "element", of which weights, and how what is left is judged."""

    kind: str
    weights: dict[str, nn.Parameter]
    evaluate: Callable[[], Evaluation]


def levels(start: float, end: float, step: float) -> list[float]:
    """The sparsities from `start` up to, not including, `end`."""
    return [float(level) for level in np.arange(start, end, step).round(6)]


def targets(model: nn.Module, kind: str) -> dict[str, nn.Parameter]:
    """The weights by name that have elements, filters or channels to remove: the latter only convolutions."""
    dimensions = GROUPS[STRUCTURES[kind]][1] if kind in STRUCTURES else (2, 3, 4)
    return {name: weight for name, weight in model.named_parameters() if weight.ndim in dimensions}


def mask(kind: str, name: str, weight: Tensor, level: float) -> Tensor:
    """0 for the share `level` of the elements, or of the filters or channels by their sum of magnitudes, else 1."""
    if kind == "element":
        return level_mask(weight, level)
    pruner = L1RankedStructureParameterPruner(group_type=STRUCTURES[kind], weights=[name], desired_sparsity=level)
    return pruner.masks({name: weight}, 1.0, {})[name]


def sweep(trial: Trial, steps: Sequence[float]) -> list[Point]:
    """Evaluate with each of the sparsities `steps` of each weight tensor alone; the network ends as it began."""
    console = Console()
    points: list[Point] = []
    with Progress(console=console, disable=not console.is_terminal, transient=True) as progress:
        task = progress.add_task("sensitivity", total=len(trial.weights) * len(steps))
        for name, weight in trial.weights.items():
            for level in steps:
                with masked(weight, mask(trial.kind, name, weight.detach(), level)):
                    result = trial.evaluate()
                points.append(Point(name, level, result.top1, result.top5, result.loss))
                progress.advance(task)
            log.info("%s: Top1 %.2f with %g of it removed", name, points[-1].top1, points[-1].sparsity)
    return points


@contextmanager
def masked(weight: nn.Parameter, kept: Tensor) -> Iterator[None]:
    """Multiply `weight` by `kept` inside the `with` block."""
    original = weight.detach().clone()
    try:
        weight.data.mul_(kept)
        yield
    finally:
        weight.data.copy_(original)


def tolerance_table(points: Sequence[Point], before: float) -> str:
    """How much of each weight tensor can go before accuracy falls more than TOLERANCE below `before`."""
    rows = []
    for name in dict.fromkeys(point.parameter for point in points):
        good = []
        for point in (point for point in points if point.parameter == name):
            if point.top1 < before - TOLERANCE:
                break
            good.append(point)
        rows.append((name, f"{100 * good[-1].sparsity:g} %" if good else "nothing"))
    return tabulate(rows, ("weights", f"can be removed for {TOLERANCE:g} point of accuracy"))


def plot(points: Sequence[Point], kind: str, before: float) -> Figure:
    """Accuracy against sparsity, one curve for each weight tensor."""
    figure = new_figure(7, 4.5, "constrained")
    axes = figure.add_subplot()
    axes.axhline(before, color="#7b8794", linewidth=0.8, linestyle="--")
    for name in dict.fromkeys(point.parameter for point in points):
        curve = [(100 * point.sparsity, point.top1) for point in points if point.parameter == name]
        axes.plot(*zip(*curve, strict=True), marker=".", label=name)
    axes.set(xlabel=f"{kind}s removed in %", ylabel="Top1 in %", title="Sensitivity to pruning, one layer at a time")
    axes.grid(alpha=0.3)
    axes.legend(fontsize=8)
    return figure
