"""Runs a schedule while training proceeds."""

import warnings
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, cast

import torch
from torch import Tensor, nn
from torch.optim import Optimizer
from torch.optim.lr_scheduler import ReduceLROnPlateau

from distiller import learning_rates
from distiller.config import Component, Policy, Schedule
from distiller.policies import (
    Batch,
    LearningRatePolicy,
    Masked,
    PruningPolicy,
    RegularizationPolicy,
    ScheduledPolicy,
    Scores,
)
from distiller.pruners import ANY, Pruner
from distiller.quantizers import Quantizer, Range
from distiller.regularizers import Regularizer
from errors import UserError

EMPTY = Schedule(Path(), "", ())
"""The schedule of a run without --compress."""


class CompressionScheduler:
    """The schedule of one training run. The methods `on_...` are to be called at the points that they name.

    The learning rate depends only on the batches, epochs and validations that have passed, so resuming replays these
    instead of restoring a state; of the rest, `state_dict` is the state.

    Args:
        schedule: what the YAML file says.
        model: whose parameters are pruned, regularized and quantized.
        optimizer: whose learning rate (and, for OneCycleLR, momentum) is set.
        epochs: length of the run. OneCycleLR takes it when the file does not give `epochs`.
        steps_per_epoch: batches in an epoch. OneCycleLR takes it likewise, and the learning rate as `max_lr`.

    Raises:
        UserError: the schedule does not fit the run: all that is wrong, with file and line.
    """

    def __init__(
        self, schedule: Schedule, model: nn.Module, optimizer: Optimizer, epochs: int, steps_per_epoch: int
    ) -> None:
        run = {"epochs": epochs, "steps_per_epoch": steps_per_epoch, "max_lr": optimizer.param_groups[0]["lr"]}
        self.model, self.steps_per_epoch = model, steps_per_epoch
        self.masked = {name: Masked(parameter) for name, parameter in model.named_parameters()}
        check(schedule, model, self.masked, optimizer, run)
        self.memory: dict[str, dict[str, float]] = {}
        self.schedulers = {
            component.name: learning_rates.build(component.settings, optimizer, run)
            for component in used(schedule, "lr_scheduler")
        }
        self.quantization = next((policy for policy in schedule.policies if policy.component.kind == "quantizer"), None)
        self.policies = [self.scheduled(policy) for policy in schedule.policies if policy is not self.quantization]
        self.ranges: dict[str, Range] = {}
        self.quantized = False
        self.scores: list[Scores] = []

    def scheduled(self, policy: Policy) -> ScheduledPolicy:
        """A policy at work."""
        name = policy.component.name
        if policy.component.kind == "pruner":
            return PruningPolicy(policy, self.masked, self.memory.setdefault(name, {}))
        if policy.component.kind == "regularizer":
            return RegularizationPolicy(policy, self.masked)
        return LearningRatePolicy(policy, self.schedulers[name])

    def active(self, epoch: int) -> Iterator[ScheduledPolicy]:
        """The policies that are active in `epoch`, in the order of the file."""
        return (scheduled for scheduled in self.policies if epoch in scheduled.policy.epochs)

    @torch.no_grad()
    def on_epoch_begin(self, epoch: int) -> None:
        """Before the first batch. Quantization begins with the first epoch of its policy and stays."""
        if self.quantization is not None and epoch >= self.quantization.epochs[0] and not self.quantized:
            self.quantizer.quantize_parameters(self.model)
            self.quantizer.quantize_activations(self.model, self.ranges)
            self.quantized = True
        for policy in self.active(epoch):
            policy.on_epoch_begin(epoch)

    @torch.no_grad()
    def on_minibatch_begin(self, epoch: int, number: int) -> None:
        """Before the forward pass of batch `number`, from 0."""
        for policy in self.active(epoch):
            policy.on_minibatch_begin(Batch(epoch, number, self.steps_per_epoch))

    def before_backward_pass(self, epoch: int, loss: Tensor) -> Tensor:
        """`loss` with what the regularizers add to it."""
        terms = [term for policy in self.active(epoch) if (term := policy.loss()) is not None]
        return torch.stack([loss, *terms]).sum() if terms else loss

    @torch.no_grad()
    def before_parameter_optimization(self, epoch: int) -> None:
        """Between the backward pass and the optimizer's step."""
        for policy in self.active(epoch):
            policy.before_parameter_optimization()

    @torch.no_grad()
    def on_minibatch_end(self, epoch: int, number: int) -> None:
        """After the optimizer's step: whatever it changed, the masks hold."""
        for masked in self.masked.values():
            if not masked.arguments.mask_on_forward_only:
                masked.apply()
        for policy in self.active(epoch):
            policy.on_minibatch_end(Batch(epoch, number, self.steps_per_epoch))

    @torch.no_grad()
    def on_epoch_end(self, epoch: int) -> None:
        """After the last batch, before the validation."""
        for policy in self.active(epoch):
            policy.on_epoch_end(epoch)

    def on_validation_end(self, epoch: int, loss: float, top1: float) -> None:
        """After the validation, before the checkpoint is written."""
        self.scores.append((loss, top1))
        for policy in self.active(epoch):
            policy.on_validation_end(self.scores[-1])

    @property
    def quantizer(self) -> Quantizer:
        """The quantizer of the schedule that has one."""
        return cast(Quantizer, cast(Policy, self.quantization).component.settings)

    def quantization_begins(self, epoch: int) -> bool:
        """Whether the network is another one from `epoch` on."""
        return self.quantization is not None and epoch == self.quantization.epochs[0]

    def quantize_like(self, exported: nn.Module, epoch: int) -> None:
        """Make a network with the weights that were exported after `epoch` round its activations as it did there."""
        if self.quantization is not None and epoch >= self.quantization.epochs[0]:
            self.quantizer.quantize_activations(exported, self.ranges)

    def state_dict(self, model: nn.Module) -> dict[str, Any]:
        """What a checkpoint of `model` stores under compression_sched."""
        masks = {name: masked.mask for name, masked in self.masked.items()}
        return {
            "masks_dict": {name: masks.get(name) for name, _ in model.named_parameters()},
            "thresholds": self.memory,
            "activation_ranges": {name: [entry.low, entry.high, entry.weight] for name, entry in self.ranges.items()},
            "scores": [list(scores) for scores in self.scores],
        }

    def restore(self, state: Mapping[str, Any], epochs: int) -> None:
        """Continue after `epochs` epochs that ended with this state; ValueError when it does not fit this run."""
        self.load_masks(state)
        for name, memory in self.memory.items():
            memory.update(state.get("thresholds", {}).get(name, {}))
        self.ranges = {name: Range(*entry) for name, entry in state.get("activation_ranges", {}).items()}
        self.scores = [(float(loss), float(top1)) for loss, top1 in state.get("scores", [])]
        self.replay(epochs)

    def load_masks(self, state: Mapping[str, Any]) -> None:
        """Take over the masks of a checkpoint."""
        for name, mask in state.get("masks_dict", {}).items():
            if mask is not None and name in self.masked:
                parameter = self.masked[name].parameter
                if mask.shape != parameter.shape:
                    raise ValueError(f"the mask of {name} has shape {tuple(mask.shape)}, not {tuple(parameter.shape)}")
                self.masked[name].mask = mask.to(parameter)

    def replay(self, epochs: int) -> None:
        """Bring the learning rate, and how masks are applied, to where they are after `epochs` epochs."""
        needed = any(isinstance(scheduler, ReduceLROnPlateau) for scheduler in self.schedulers.values())
        if needed and len(self.scores) != epochs:
            raise ValueError(f"ReduceLROnPlateau needs the scores of {epochs} validations, not {len(self.scores)}")
        with warnings.catch_warnings(action="ignore"):  # the optimizer does not step here
            for epoch in range(epochs):
                self.replay_epoch(epoch, self.scores[epoch] if epoch < len(self.scores) else (0.0, 0.0))

    def replay_epoch(self, epoch: int, scores: Scores) -> None:
        """Do what policies do to the learning rate and to the way in which masks are applied, and nothing else."""
        rates = [policy for policy in self.active(epoch) if isinstance(policy, LearningRatePolicy)]
        for policy in self.active(epoch):
            policy.replay(epoch)
        for number in range(self.steps_per_epoch):
            for policy in rates:
                policy.on_minibatch_end(Batch(epoch, number, self.steps_per_epoch))
        for policy in rates:
            policy.on_validation_end(scores)


def check(
    schedule: Schedule, model: nn.Module, masked: Mapping[str, Masked], optimizer: Optimizer, run: Mapping[str, Any]
) -> None:
    """UserError with all that does not fit the network or the run."""
    problems = [problem for kind in ("pruner", "regularizer") for component in used(schedule, kind)
                for problem in misfits(component, masked)]  # fmt: skip
    for component in used(schedule, "quantizer"):
        if reason := cast(Quantizer, component.settings).refusal(model):
            problems.append(component.error((), reason))
    for component in used(schedule, "lr_scheduler"):
        constructor, steps = learning_rates.CLASSES[type(component.settings).__name__], 0
        for policy in schedule.policies:
            if policy.component is component:
                epochs = sum(epoch < run["epochs"] for epoch in policy.epochs)
                steps += epochs * (run["steps_per_epoch"] if constructor in learning_rates.PER_BATCH else 1)
        if problem := learning_rates.rehearse(component.settings, optimizer, dict(run), steps):
            problems.append(component.error((), problem))
    if problems:
        raise UserError("\n".join(map(str, problems)))


def used(schedule: Schedule, kind: str) -> list[Component]:
    """The components of a kind that policies name, each once."""
    components = {policy.component.name: policy.component for policy in schedule.policies
                  if policy.component.kind == kind}  # fmt: skip
    return list(components.values())


def misfits(component: Component, masked: Mapping[str, Masked]) -> Iterator[UserError]:
    """What a pruner or regularizer names that the network does not have or that cannot be grouped as it says."""
    settings = cast(Pruner | Regularizer, component.settings)
    for name in settings.targets():
        if name == ANY:
            continue
        if name not in masked:
            yield component.mention(name, f"the network has no parameter {name!r}; it has {', '.join(masked)}")
        elif reason := settings.refusal(name, masked[name].parameter):
            yield component.mention(name, f"{name}: {reason}")
