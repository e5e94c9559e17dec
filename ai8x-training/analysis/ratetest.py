"""`train.py --lr-range-test`: the loss while the learning rate grows from step to step (Smith, 2015).

Below the useful range the loss stays, within it falls, above it explodes.
"""

import argparse
import itertools
import logging
import math
from collections.abc import Iterator, Sequence
from dataclasses import astuple, dataclass, fields

import numpy as np
from matplotlib.figure import Figure
from rich.console import Console
from rich.progress import track
from torch import Tensor

import checkpoint
import construction
import pipeline
import training
from analysis.outputs import new_figure, save_figure, write_csv
from analysis.report import log_directory
from errors import UserError
from launch import ALONE
from loop import Trainer

log = logging.getLogger(__name__)

TABLE, PICTURE = "lr_range.csv", "lr_range.png"
SMOOTHING = 0.9
"""Weight of the steps before in the mean that is judged."""
EXPLODED = 4.0
"""The test ends when the mean loss is so many times its smallest value."""


@dataclass(frozen=True)
class Trial:
    """One step with a learning rate: the loss before it, and the mean over this and the steps before."""

    learning_rate: float
    loss: float
    smoothed: float


def find_learning_rate(options: argparse.Namespace, arguments: Sequence[str]) -> None:
    """Do what --lr-range-test asks; UserError when weights or data do not fit, or the first rate is too large."""
    device = construction.compute_device(options)
    seed = construction.choose_seed(options.seed)
    construction.seed_everything(seed, options.deterministic)
    images = construction.load_images(options, seed, device)
    trainer = training.build_trainer(options, None, images, seed, device, ALONE)
    if options.exp_load_weights_from is not None:
        checkpoint.load_weights(trainer.model, checkpoint.load(options.exp_load_weights_from), options.arch)
    with log_directory(options, arguments) as directory:
        log.info("Seed %d; --compress and --qat-policy have no part in this", seed)
        trials = sweep(trainer, np.geomspace(*options.lr_range, options.lr_steps).tolist())
        if len(trials) < 3:
            raise UserError(
                f"the loss explodes at a learning rate of {options.lr_range[0]:g}; give smaller ones with --lr-range"
            )
        write_csv(directory / TABLE, [field.name for field in fields(Trial)], map(astuple, trials))
        save_figure(plot(trials), directory / PICTURE)
        log.info("%s", advice(trials))
        log.info("Table: %s", directory / TABLE)
        log.info("Picture: %s", directory / PICTURE)


def endless_batches(trainer: Trainer) -> Iterator[tuple[Tensor, Tensor]]:
    """The batches of one epoch after the other."""
    for epoch in itertools.count():
        yield from pipeline.training_batches(
            trainer.training_set, trainer.augmentation, trainer.batch_size, trainer.seed, epoch, ALONE
        )


def sweep(trainer: Trainer, rates: Sequence[float]) -> list[Trial]:
    """Train one step with each of `rates`, which grow, until the loss explodes."""
    console = Console()
    trials: list[Trial] = []
    mean, best = 0.0, math.inf
    trainer.model.train()
    show = track(rates, "learning rates", console=console, disable=not console.is_terminal, transient=True)
    for number, (rate, (images, labels)) in enumerate(zip(show, endless_batches(trainer), strict=False)):
        trainer.optimizer.param_groups[0]["lr"] = rate
        loss = float(trainer.train_batch(images, labels, 0, number)[0])
        mean = SMOOTHING * mean + (1 - SMOOTHING) * loss
        smoothed = mean / (1 - SMOOTHING ** (number + 1))
        if not math.isfinite(loss) or smoothed > EXPLODED * best:
            break
        best = min(best, smoothed)
        trials.append(Trial(rate, loss, smoothed))
    return trials


def lowest_rate(trials: Sequence[Trial]) -> float:
    """The learning rate at which the mean loss is smallest."""
    return min(trials, key=lambda trial: trial.smoothed).learning_rate


def steepest_rate(trials: Sequence[Trial]) -> float:
    """The learning rate at which the mean loss falls fastest, by the logarithm of the rate."""
    slopes = np.gradient([trial.smoothed for trial in trials], np.log([trial.learning_rate for trial in trials]))
    return trials[int(slopes.argmin())].learning_rate


def advice(trials: Sequence[Trial]) -> str:
    """What the curve says about the learning rate."""
    lowest = lowest_rate(trials)
    return (
        f"The mean loss falls fastest at {steepest_rate(trials):.2g}, is smallest at {lowest:.2g}, and was followed up "
        f"to {trials[-1].learning_rate:.2g}.\nA tenth of where it is smallest is a safe choice: --lr {lowest / 10:.1g}"
    )


def plot(trials: Sequence[Trial]) -> Figure:
    """Loss against learning rate, with the two rates of `advice`."""
    figure = new_figure(7, 4.2, "constrained")
    axes = figure.add_subplot()
    rates = [trial.learning_rate for trial in trials]
    axes.plot(rates, [trial.loss for trial in trials], color="#b4bcc5", linewidth=0.8, label="loss of a batch")
    axes.plot(rates, [trial.smoothed for trial in trials], color="#2864a6", label="mean")
    axes.axvline(steepest_rate(trials), color="#23784a", linestyle="--", linewidth=0.9, label="falls fastest")
    axes.axvline(lowest_rate(trials), color="#b23a2e", linestyle="--", linewidth=0.9, label="smallest")
    axes.set(xscale="log", xlabel="learning rate", ylabel="loss", title="Learning-rate range test")
    axes.set_ylim(0, 1.1 * max(trial.smoothed for trial in trials))
    axes.grid(alpha=0.3)
    axes.legend(fontsize=8)
    return figure
