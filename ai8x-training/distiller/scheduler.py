"""Runs the learning-rate schedulers of a schedule while training proceeds."""

import inspect
import warnings
from typing import Any

from torch import nn
from torch.optim import Optimizer, lr_scheduler

from distiller.config import Component, Schedule

PER_EPOCH = (
    "StepLR",
    "MultiStepLR",
    "ConstantLR",
    "LinearLR",
    "ExponentialLR",
    "PolynomialLR",
    "CosineAnnealingLR",
    "CosineAnnealingWarmRestarts",
)
PER_BATCH = ("OneCycleLR", "CyclicLR")
"""The schedulers that PyTorch documents as stepping after every batch."""


class CompressionScheduler:
    """The schedule of one training run.

    What the learning rate is depends only on how many batches and epochs have passed, so resuming replays the steps
    instead of restoring a state.

    Args:
        schedule: what the YAML file says.
        optimizer: whose learning rate (and, for OneCycleLR, momentum) is set.
        epochs: length of the run. OneCycleLR takes it when the file does not give `epochs`.
        steps_per_epoch: batches in an epoch. OneCycleLR takes it likewise, and the learning rate as `max_lr`.
    """

    def __init__(self, schedule: Schedule, optimizer: Optimizer, epochs: int, steps_per_epoch: int) -> None:
        self.schedule = schedule
        self.steps_per_epoch = steps_per_epoch
        run = {"epochs": epochs, "steps_per_epoch": steps_per_epoch, "max_lr": optimizer.param_groups[0]["lr"]}
        self.schedulers = {
            name: build(schedule, component, optimizer, run) for name, component in schedule.lr_schedulers.items()
        }

    def on_minibatch_end(self, epoch: int) -> None:
        """Call after every optimizer step."""
        self.step(epoch, PER_BATCH)

    def on_epoch_end(self, epoch: int) -> None:
        """Call when an epoch is over, before its checkpoint is written."""
        self.step(epoch, PER_EPOCH)

    def step(self, epoch: int, kinds: tuple[str, ...]) -> None:
        """Step the schedulers whose class is one of `kinds` and whose policy is active in `epoch`."""
        for policy in self.schedule.policies:
            if epoch in policy.epochs and self.schedule.lr_schedulers[policy.instance_name].class_name in kinds:
                self.schedulers[policy.instance_name].step()

    def replay(self, epochs: int) -> None:
        """Bring the learning rate to where it is after `epochs` epochs."""
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", message="Detected call of `lr_scheduler.step")
            for epoch in range(epochs):
                for _ in range(self.steps_per_epoch):
                    self.on_minibatch_end(epoch)
                self.on_epoch_end(epoch)


def state_dict(model: nn.Module) -> dict[str, Any]:
    """What a checkpoint stores under compression_sched: no mask for any parameter, since nothing is pruned."""
    return {"masks_dict": {name: None for name, _ in model.named_parameters()}}


def build(
    schedule: Schedule, component: Component, optimizer: Optimizer, run: dict[str, Any]
) -> lr_scheduler.LRScheduler:
    """The learning-rate scheduler that `component` describes; UserError for an unknown class or argument."""
    if component.class_name not in PER_EPOCH + PER_BATCH:
        raise schedule.error(
            component.line,
            f"unknown class {component.class_name!r} for {component.name!r}; known are "
            f"{', '.join(PER_EPOCH + PER_BATCH)}",
        )
    constructor = getattr(lr_scheduler, component.class_name)
    known = [name for name in inspect.signature(constructor).parameters if name not in ("optimizer", "last_epoch")]
    for name in component.arguments:
        if name not in known:
            raise schedule.error(
                component.line,
                f"{component.class_name} of {component.name!r} has no argument {name!r}; it has {', '.join(known)}",
            )
    arguments = dict(component.arguments)
    if component.class_name == "OneCycleLR":
        arguments = run | arguments
    try:
        return constructor(optimizer, **arguments)
    except (TypeError, ValueError) as error:
        raise schedule.error(
            component.line, f"{component.class_name} of {component.name!r} refuses its arguments: {error}"
        ) from error
