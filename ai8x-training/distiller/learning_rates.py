"""The learning-rate schedulers that a schedule can name: those of PyTorch, and one of Distiller."""

import inspect
import math
import warnings
from collections.abc import Callable, Sequence
from typing import Any, get_type_hints

import torch
from pydantic import create_model
from torch.optim import Optimizer, lr_scheduler

from distiller.settings import Settings


class MultiStepMultiGammaLR(lr_scheduler.LambdaLR):
    """Multiply the learning rate by `gammas[n]` at the start of epoch `milestones[n]`."""

    def __init__(self, optimizer: Optimizer, milestones: list[int], gammas: list[float], last_epoch: int = -1) -> None:
        if len(milestones) != len(gammas):
            raise ValueError(f"needs as many gammas as milestones, not {len(gammas)} and {len(milestones)}")
        drops = tuple(zip(milestones, gammas, strict=True))
        super().__init__(optimizer, lambda now: math.prod(gamma for start, gamma in drops if now >= start), last_epoch)


PER_EPOCH = (
    lr_scheduler.StepLR,
    lr_scheduler.MultiStepLR,
    MultiStepMultiGammaLR,
    lr_scheduler.ConstantLR,
    lr_scheduler.LinearLR,
    lr_scheduler.ExponentialLR,
    lr_scheduler.PolynomialLR,
    lr_scheduler.CosineAnnealingLR,
    lr_scheduler.CosineAnnealingWarmRestarts,
    lr_scheduler.ReduceLROnPlateau,
)
PER_BATCH = (lr_scheduler.OneCycleLR, lr_scheduler.CyclicLR)
"""The schedulers that PyTorch documents as stepping after every batch."""
CLASSES = {constructor.__name__: constructor for constructor in (*PER_EPOCH, *PER_BATCH)}


def settings_of(constructor: type[lr_scheduler.LRScheduler]) -> type[Settings]:
    """The arguments of a scheduler's constructor, but for what YAML cannot write (functions) and the run decides."""
    hints = get_type_hints(constructor.__init__, localns={"Iterable": list, "Callable": Callable})
    fields: dict[str, Any] = {}
    for name, parameter in inspect.signature(constructor).parameters.items():
        if name not in ("optimizer", "last_epoch", "scale_fn", "scale_mode"):
            fields[name] = (hints[name], ... if parameter.default is inspect.Parameter.empty else parameter.default)
    if constructor is lr_scheduler.OneCycleLR:
        fields["max_lr"] = (fields["max_lr"][0] | None, None)
    return create_model(constructor.__name__, __base__=Settings, **fields)


LR_SCHEDULERS = {name: settings_of(constructor) for name, constructor in CLASSES.items()}


def build(settings: Settings, optimizer: Optimizer, run: dict[str, Any]) -> lr_scheduler.LRScheduler:
    """The scheduler that `settings` describe; ValueError, TypeError or the like for values that it refuses.

    Args:
        run: what OneCycleLR takes where the file is silent: max_lr, epochs, steps_per_epoch.
    """
    constructor = CLASSES[type(settings).__name__]
    arguments = settings.model_dump(exclude_unset=True)
    if constructor is lr_scheduler.OneCycleLR:
        arguments = run | arguments
    return constructor(optimizer, **arguments)


def step(scheduler: lr_scheduler.LRScheduler, scores: Sequence[float]) -> None:
    """Step a scheduler; ReduceLROnPlateau looks at the validation's loss or, with mode 'max', at its Top1 accuracy.

    Args:
        scores: (loss, Top1) of the epoch.
    """
    if isinstance(scheduler, lr_scheduler.ReduceLROnPlateau):
        scheduler.step(scores[scheduler.mode == "max"])
    else:
        scheduler.step()


def rehearse(settings: Settings, optimizer: Optimizer, run: dict[str, Any], steps: int) -> str:
    """What will go wrong within `steps` steps; empty when nothing will. `optimizer` stays as it is."""
    scratch = Optimizer([torch.nn.Parameter(torch.zeros(1))], dict(optimizer.defaults))
    try:
        scheduler = build(settings, scratch, run)
        with warnings.catch_warnings(action="ignore"):  # nothing is optimized here
            for number in range(steps):
                step(scheduler, (1.0, 1.0))
                rate = float(scratch.param_groups[0]["lr"])
                if not 0 <= rate < math.inf:
                    return f"makes the learning rate {rate:g} in step {number + 1} of {steps}"
    except (TypeError, ValueError, ArithmeticError, IndexError) as error:
        return f"refuses its arguments: {error}"
    return ""
