"""What the policies of a schedule do at each point of training."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import cast

import torch
from torch import Tensor
from torch.optim.lr_scheduler import LRScheduler

from distiller import learning_rates
from distiller.config import Policy
from distiller.pruners import ANY, Pruner, PruningArguments
from distiller.regularizers import RegularizationArguments, Regularizer

Scores = tuple[float, float]
"""The loss and the Top1 accuracy of a validation."""
FOR_GOOD = PruningArguments()
"""How masks are applied that nothing else is said about: after every batch, to the weights themselves."""


@dataclass(frozen=True)
class Batch:
    """Batch `number` of `count`, from 0, of an epoch."""

    epoch: int
    number: int
    count: int

    @property
    def is_last(self) -> bool:
        """Whether the epoch ends with it."""
        return self.number == self.count - 1


@dataclass
class Masked:
    """A parameter with its mask.

    Attributes:
        mask: 1 for every element that stays, 0 for every other; None when nothing is pruned.
        arguments: how the mask is applied, as the last policy says that pruned the parameter.
        original: what the parameter was before it was masked for the forward pass.
    """

    parameter: Tensor
    mask: Tensor | None = None
    arguments: PruningArguments = FOR_GOOD
    original: Tensor | None = field(default=None, init=False)

    def apply(self) -> None:
        """Set what is masked to zero."""
        if self.mask is not None:
            self.parameter.mul_(self.mask)

    def apply_for_forward_pass(self) -> None:
        """The same, but so that `revert` can undo it."""
        if self.arguments.use_double_copies and self.mask is not None:
            self.original = self.parameter.clone()
        self.apply()

    def revert(self) -> None:
        """Undo `apply_for_forward_pass`, and mask the gradient, where the policy says so."""
        gradient = self.parameter.grad
        if self.arguments.mask_gradients and self.mask is not None and gradient is not None:
            gradient.mul_(self.mask)
        if self.original is not None:
            self.parameter.copy_(self.original)
            self.original = None


class ScheduledPolicy:
    """A policy at work; each method is called, in the epochs in which the policy is active, at the point it names."""

    def __init__(self, policy: Policy) -> None:
        self.policy = policy

    def on_epoch_begin(self, epoch: int) -> None:
        """Before the first batch."""

    def on_minibatch_begin(self, batch: Batch) -> None:
        """Before the forward pass."""

    def loss(self) -> Tensor | None:
        """Between forward and backward pass: what is added to the loss."""
        return None

    def before_parameter_optimization(self) -> None:
        """Between the backward pass and the optimizer's step."""

    def on_minibatch_end(self, batch: Batch) -> None:
        """After the optimizer's step, when the masks are applied."""

    def on_epoch_end(self, epoch: int) -> None:
        """After the last batch."""

    def on_validation_end(self, scores: Scores) -> None:
        """After the validation that follows."""

    def replay(self, epoch: int) -> None:
        """In place of `on_epoch_begin` and `on_epoch_end` for an epoch that an earlier process trained."""


class PruningPolicy(ScheduledPolicy):
    """Has masks computed at the beginning of each of its epochs."""

    def __init__(self, policy: Policy, masked: Mapping[str, Masked], memory: dict[str, float]) -> None:
        super().__init__(policy)
        self.pruner, self.arguments = cast(Pruner, policy.component.settings), cast(PruningArguments, policy.arguments)
        self.masked = {name: masked[name] for name in resolved(self.pruner, masked)}
        self.memory = memory

    def on_epoch_begin(self, epoch: int) -> None:
        self.decide(self.arguments)
        self.compute_masks(epoch)

    def decide(self, arguments: PruningArguments) -> None:
        """From now on the masks are applied like this."""
        for masked in self.masked.values():
            masked.arguments = arguments

    def compute_masks(self, epoch: int) -> None:
        """Compute the masks of all weights of this policy."""
        first, last = self.policy.epochs[0], self.policy.epochs[-1]
        progress = (epoch - first) / (last - first) if last > first else 1.0
        weights = {name: masked.parameter.detach() for name, masked in self.masked.items()}
        for name, mask in self.pruner.masks(weights, progress, self.memory).items():
            self.masked[name].mask = mask

    def on_minibatch_begin(self, batch: Batch) -> None:
        every, passed = self.arguments.mini_batch_pruning_frequency, batch.epoch * batch.count + batch.number
        if every and batch.number and passed % every == 0:
            self.compute_masks(batch.epoch)
        for masked in self.masked.values():
            masked.apply_for_forward_pass()

    def before_parameter_optimization(self) -> None:
        for masked in self.masked.values():
            masked.revert()

    def on_minibatch_end(self, batch: Batch) -> None:
        if self.arguments.discard_masks_at_minibatch_end:
            for masked in self.masked.values():
                masked.mask = None

    def on_epoch_end(self, epoch: int) -> None:
        if self.keeps(epoch):
            self.decide(FOR_GOOD)
            for masked in self.masked.values():
                masked.apply()

    def keeps(self, epoch: int) -> bool:
        """Whether the masks become permanent at the end of `epoch`."""
        return self.arguments.keep_mask and epoch == self.policy.epochs[-1]

    def replay(self, epoch: int) -> None:
        self.decide(FOR_GOOD if self.keeps(epoch) else self.arguments)


class RegularizationPolicy(ScheduledPolicy):
    """Adds to the loss, and sets small weights to zero after every batch where the regularizer has a threshold."""

    def __init__(self, policy: Policy, masked: Mapping[str, Masked]) -> None:
        super().__init__(policy)
        self.regularizer = cast(Regularizer, policy.component.settings)
        self.arguments = cast(RegularizationArguments, policy.arguments)
        self.masked = {name: masked[name] for name in self.regularizer.targets()}

    def loss(self) -> Tensor | None:
        return torch.stack(
            [self.regularizer.term(name, masked.parameter) for name, masked in self.masked.items()]
        ).sum()

    def on_minibatch_end(self, batch: Batch) -> None:
        keep = self.arguments.keep_mask and batch.is_last and batch.epoch == self.policy.epochs[-1]
        for name, masked in self.masked.items():
            mask = self.regularizer.mask(name, masked.parameter.detach())
            if mask is not None:
                masked.parameter.mul_(mask)
                if keep:
                    masked.mask = mask if masked.mask is None else mask * masked.mask


class LearningRatePolicy(ScheduledPolicy):
    """Steps a learning-rate scheduler after every batch, after every epoch or after every validation."""

    def __init__(self, policy: Policy, scheduler: LRScheduler) -> None:
        super().__init__(policy)
        self.scheduler = scheduler

    def on_minibatch_end(self, batch: Batch) -> None:
        if isinstance(self.scheduler, learning_rates.PER_BATCH):
            self.scheduler.step()

    def on_validation_end(self, scores: Scores) -> None:
        if isinstance(self.scheduler, learning_rates.PER_EPOCH):
            learning_rates.step(self.scheduler, scores)


def resolved(pruner: Pruner, masked: Mapping[str, Masked]) -> list[str]:
    """The names of the weights to prune, with all those for ANY: what is no bias."""
    names = list(pruner.targets())
    if ANY not in names:
        return names
    weights = [name for name, entry in masked.items() if entry.parameter.ndim > 1]
    return [name for name in dict.fromkeys([*names, *weights]) if name != ANY]
