"""The pruners that a schedule can name: which elements of which weights become zero.

A pruner computes masks of ones and zeros. `policies.py` says when, and what becomes of them.
"""

import math
from abc import abstractmethod
from collections.abc import Iterable, Mapping
from typing import Literal

import torch
from pydantic import model_validator
from torch import Tensor
from torch.nn.utils import prune

from distiller.settings import Fraction, NotNegative, ParameterName, ParameterNames, Settings

ANY = "*"
"""In place of a name: all weights that have no value of their own."""
GROUPS = {"Filters": (0, (3, 4)), "3D": (0, (3, 4)), "Channels": (1, (3, 4)), "Rows": (0, (2,))}
"""By group type: the dimension along which the groups lie, and how many dimensions the weights have. 3D is Filters."""


class PruningArguments(Settings):
    """The `args` of a policy with a pruner.

    Attributes:
        keep_mask: after the policy's last epoch, masks that applied to the forward pass only are kept for good.
        mini_batch_pruning_frequency: compute the masks anew every so many batches, not just once an epoch; 0 for never.
        mask_on_forward_only: weights that are masked in the forward pass are trained on, and may come back.
        use_double_copies: masked weights go on from the values that they had before they were masked.
        mask_gradients: masked weights get no gradient; only with mask_on_forward_only.
        discard_masks_at_minibatch_end: forget the masks after every batch.
    """

    keep_mask: bool = False
    mini_batch_pruning_frequency: int = 0
    mask_on_forward_only: bool = False
    use_double_copies: bool = False
    mask_gradients: bool = False
    discard_masks_at_minibatch_end: bool = False

    @model_validator(mode="after")
    def forward_only(self) -> "PruningArguments":
        """Otherwise gradients of masked weights do not matter."""
        if self.mask_gradients and not self.mask_on_forward_only:
            raise ValueError("mask_gradients needs mask_on_forward_only")
        return self


class Above(prune.BasePruningMethod):
    """Keep the elements whose magnitude is above a threshold."""

    PRUNING_TYPE = "unstructured"

    def __init__(self, threshold: float) -> None:
        self.threshold = threshold

    def compute_mask(self, t: Tensor, default_mask: Tensor) -> Tensor:
        """The mask of ones and zeros, in the shape of `t`."""
        return default_mask * (t.abs() > self.threshold)


def level_mask(weight: Tensor, sparsity: float) -> Tensor:
    """Remove the floor(sparsity * n) smallest of n elements, and all that are equal to the largest of these."""
    count = math.floor(sparsity * weight.numel())
    threshold = float(weight.abs().flatten().kthvalue(count).values) if count else -1.0
    return Above(threshold).compute_mask(weight, torch.ones_like(weight))


class Pruner(Settings):
    """What all pruners have in common."""

    @abstractmethod
    def targets(self) -> Iterable[str]:
        """The names of the weights to prune; ANY may be among them."""

    @abstractmethod
    def masks(self, weights: Mapping[str, Tensor], progress: float, memory: dict[str, float]) -> dict[str, Tensor]:
        """A mask for each of `weights`, those of the targets.

        Args:
            progress: from 0 in the policy's first epoch to 1 in its last.
            memory: empty at first, and the pruner's to keep numbers by the names of weights in.
        """

    def refusal(self, name: str, weight: Tensor) -> str:
        """Why this pruner cannot prune `weight`, the weights `name`; empty when it can."""
        return ""


def value_of(values: Mapping[str, float], name: str) -> float:
    """The value for a weight, or that for all others."""
    return values.get(name, values.get(ANY, 0.0))


class MagnitudeParameterPruner(Pruner):
    """Remove what does not exceed a threshold."""

    thresholds: dict[ParameterName, NotNegative]

    def targets(self) -> Iterable[str]:
        return self.thresholds

    def masks(self, weights: Mapping[str, Tensor], progress: float, memory: dict[str, float]) -> dict[str, Tensor]:
        return {
            name: Above(value_of(self.thresholds, name)).compute_mask(weight, torch.ones_like(weight))
            for name, weight in weights.items()
        }


class SensitivityPruner(Pruner):
    """Remove what does not exceed `sensitivities` times the standard deviation of the weights when first looked at."""

    sensitivities: dict[ParameterName, NotNegative]

    def targets(self) -> Iterable[str]:
        return self.sensitivities

    def masks(self, weights: Mapping[str, Tensor], progress: float, memory: dict[str, float]) -> dict[str, Tensor]:
        for name, weight in weights.items():
            memory.setdefault(name, value_of(self.sensitivities, name) * float(weight.std()))
        return {
            name: Above(memory[name]).compute_mask(weight, torch.ones_like(weight)) for name, weight in weights.items()
        }


class SparsityLevelParameterPruner(Pruner):
    """Remove a fraction of the elements, the smallest."""

    levels: dict[ParameterName, Fraction]

    def targets(self) -> Iterable[str]:
        return self.levels

    def masks(self, weights: Mapping[str, Tensor], progress: float, memory: dict[str, float]) -> dict[str, Tensor]:
        return {name: level_mask(weight, value_of(self.levels, name)) for name, weight in weights.items()}


class Gradual(Settings):
    """Sparsity that grows from epoch to epoch, at first fast and then slowly (automated gradual pruning)."""

    initial_sparsity: Fraction
    final_sparsity: Fraction

    def sparsity(self, progress: float) -> float:
        """The fraction to remove at `progress` between 0 and 1."""
        return self.final_sparsity + (self.initial_sparsity - self.final_sparsity) * (1 - progress) ** 3


class AutomatedGradualPruner(Gradual, Pruner):
    """Remove a growing fraction of the elements, the smallest."""

    weights: ParameterNames

    def targets(self) -> Iterable[str]:
        return self.weights

    def masks(self, weights: Mapping[str, Tensor], progress: float, memory: dict[str, float]) -> dict[str, Tensor]:
        return {name: level_mask(weight, self.sparsity(progress)) for name, weight in weights.items()}


class RankedStructurePruner(Pruner):
    """Remove whole groups: those with the smallest norms.

    Attributes:
        group_type: what a group is, see `GROUPS`.
        group_dependency: with 'Leader' all weights lose the groups that the first of them loses.
    """

    group_type: Literal["Filters", "3D", "Channels", "Rows"]
    weights: ParameterNames
    group_dependency: Literal["Leader"] | None = None

    @property
    def norm(self) -> int:
        """1 or 2, as the class's name says: the sum of magnitudes, or the root of the sum of squares."""
        return int(type(self).__name__[1])

    @abstractmethod
    def sparsity(self, progress: float) -> float:
        """The fraction of groups to remove."""

    def targets(self) -> Iterable[str]:
        return self.weights

    def refusal(self, name: str, weight: Tensor) -> str:
        _, dimensions = GROUPS[self.group_type]
        if weight.ndim in dimensions:
            return ""
        wanted = " or ".join(map(str, dimensions))
        return f"group_type {self.group_type} needs weights with {wanted} dimensions, not {weight.ndim}"

    def masks(self, weights: Mapping[str, Tensor], progress: float, memory: dict[str, float]) -> dict[str, Tensor]:
        leader = weights[self.weights[0]]
        return {
            name: self.kept(leader if self.group_dependency else weight, progress).expand_as(weight).clone()
            for name, weight in weights.items()
        }

    def kept(self, weight: Tensor, progress: float) -> Tensor:
        """1 for every group that stays and 0 for every other, in a shape that can be expanded to that of weights."""
        dimension, _ = GROUPS[self.group_type]
        count = math.floor(self.sparsity(progress) * weight.shape[dimension])
        ranking = prune.LnStructured(count, self.norm, dimension)
        mask = ranking.compute_mask(weight.detach(), torch.ones_like(weight))
        return mask.amax([other for other in range(weight.ndim) if other != dimension], keepdim=True)


class L1RankedStructureParameterPruner(RankedStructurePruner):
    """Remove a fraction of the groups."""

    desired_sparsity: Fraction

    def sparsity(self, progress: float) -> float:
        return self.desired_sparsity


class L2RankedStructureParameterPruner(L1RankedStructureParameterPruner):
    """The same by another norm."""


class L1RankedStructureParameterPruner_AGP(Gradual, RankedStructurePruner):
    """Remove a growing fraction of the groups."""


class L2RankedStructureParameterPruner_AGP(L1RankedStructureParameterPruner_AGP):
    """The same by another norm."""


PRUNERS: Mapping[str, type[Pruner]] = {
    pruner.__name__: pruner
    for pruner in (
        MagnitudeParameterPruner,
        SensitivityPruner,
        SparsityLevelParameterPruner,
        AutomatedGradualPruner,
        L1RankedStructureParameterPruner,
        L2RankedStructureParameterPruner,
        L1RankedStructureParameterPruner_AGP,
        L2RankedStructureParameterPruner_AGP,
    )
}
