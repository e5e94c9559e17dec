"""The regularizers that a schedule can name: what they add to the loss, and which weights they then set to zero."""

from abc import abstractmethod
from collections.abc import Iterable, Mapping
from typing import Annotated, Literal

import torch
from pydantic import Field
from torch import Tensor

from distiller.settings import NotNegative, ParameterName, Settings

GROUPS = {"2D": ((2, 3), 4), "3D": ((1, 2, 3), 4), "Filters": ((1, 2, 3), 4), "Channels": ((0, 2, 3), 4),
          "4D": ((0, 1, 2, 3), 4), "Rows": ((1,), 2), "Cols": ((0,), 2)}  # fmt: skip
"""By group type: the dimensions of weights that a group spans, and how many the weights have."""
GroupType = Literal["2D", "3D", "Filters", "Channels", "4D", "Rows", "Cols"]
Regime = Annotated[tuple[NotNegative, GroupType], Field(strict=False)]
"""[strength, group type], a list in the file."""


class RegularizationArguments(Settings):
    """The `args` of a policy with a regularizer.

    Attributes:
        keep_mask: what is zero after the very last batch of the policy's last epoch stays zero.
    """

    keep_mask: bool = False


class Regularizer(Settings):
    """What all regularizers have in common."""

    @abstractmethod
    def targets(self) -> Iterable[str]:
        """The names of the weights."""

    @abstractmethod
    def term(self, name: str, weight: Tensor) -> Tensor:
        """What the weights `name` add to the loss."""

    @abstractmethod
    def mask(self, name: str, weight: Tensor) -> Tensor | None:
        """1 where `weight` stays and 0 where it is too small; None when there is no threshold."""

    def refusal(self, name: str, weight: Tensor) -> str:
        """Why this regularizer cannot be applied to `weight`; empty when it can."""
        return ""


class L1Regularizer(Regularizer):
    """Add strength times the sum of magnitudes (lasso).

    Attributes:
        reg_regims: strength by name.
        threshold_criteria: when given, magnitudes up to the strength become zero after every batch.
    """

    reg_regims: dict[ParameterName, NotNegative]
    threshold_criteria: Literal["Max", "Mean_Abs"] | None = None

    def targets(self) -> Iterable[str]:
        return self.reg_regims

    def term(self, name: str, weight: Tensor) -> Tensor:
        return self.reg_regims[name] * weight.abs().sum()

    def mask(self, name: str, weight: Tensor) -> Tensor | None:
        return None if self.threshold_criteria is None else (weight.abs() > self.reg_regims[name]).to(weight.dtype)


class GroupLassoRegularizer(Regularizer):
    """Add strength times the sum of the groups' root sums of squares, which drives whole groups to zero.

    Attributes:
        reg_regims: [strength, group type] by name.
        threshold_criteria: when given, groups become zero after every batch whose largest ('Max') or mean ('Mean_Abs')
            magnitude is at most the strength.
    """

    reg_regims: dict[ParameterName, Regime]
    threshold_criteria: Literal["Max", "Mean_Abs"] | None = None

    def targets(self) -> Iterable[str]:
        return self.reg_regims

    def refusal(self, name: str, weight: Tensor) -> str:
        _, group_type = self.reg_regims[name]
        dimensions = GROUPS[group_type][1]
        if weight.ndim == dimensions:
            return ""
        return f"group type {group_type} needs weights with {dimensions} dimensions, not {weight.ndim}"

    def term(self, name: str, weight: Tensor) -> Tensor:
        strength, group_type = self.reg_regims[name]
        return strength * torch.linalg.vector_norm(weight, dim=GROUPS[group_type][0]).sum()

    def mask(self, name: str, weight: Tensor) -> Tensor | None:
        if self.threshold_criteria is None:
            return None
        strength, group_type = self.reg_regims[name]
        dimensions = GROUPS[group_type][0]
        size = weight.abs().amax(dimensions, keepdim=True) if self.threshold_criteria == "Max" else (
            weight.abs().mean(dimensions, keepdim=True))  # fmt: skip
        return (size > strength).to(weight.dtype).expand_as(weight).clone()


REGULARIZERS: Mapping[str, type[Regularizer]] = {
    regularizer.__name__: regularizer for regularizer in (L1Regularizer, GroupLassoRegularizer)
}
