"""Training with quantization: the policy file, and how a network changes when it begins."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
import yaml
from torch import nn

import ai85
import yamlfile
from errors import UserError
from quantization import WEIGHT_BITS
from yamlfile import YamlReader

Z_SCORE = "outlier_removal_z_score"
KEYS = ("start_epoch", "weight_bits", "bias_bits", "shift_quantile", Z_SCORE, "overrides")


@dataclass(frozen=True)
class Policy:
    """What a policy file says.

    Attributes:
        start_epoch: the first epoch, counted from 0, that trains with quantization.
        weight_bits: 1, 2, 4 or 8, for all layers that `overrides` does not name.
        bias_bits: the same for the biases of all layers; None for as many as the layer's weights have. The unit of a
            bias is that of the weights; AI85 adds 8 bits of it (AI85 hardware reference 1.2).
        shift_quantile: above 0, at most 1: the fraction of a layer's parameters that are to fit without saturation.
        outlier_removal_z_score: above 0: where activation thresholds are, see `thresholds.py`; None for none.
        overrides: weight bits by the name of the layer.
    """

    path: Path
    text: str
    start_epoch: int
    weight_bits: int
    bias_bits: int | None
    shift_quantile: float
    outlier_removal_z_score: float | None
    overrides: Mapping[str, int]


def read_policy(path: Path) -> Policy:
    """Read a YAML policy file; UserError with file and line for whatever is wrong with it."""
    return yamlfile.read(path, "the policy", lambda text: PolicyReader(path, text).policy(text))


class PolicyReader(YamlReader):
    """Turns the YAML nodes of one policy file into frozen data."""

    def policy(self, text: str) -> Policy:
        """The whole file."""
        root = self.loader.get_single_node()
        if root is None:
            raise UserError(f"{self.path}:1: the policy is empty; it needs start_epoch and weight_bits")
        entries = self.mapping(root, "the policy")
        for name, (key, _) in entries.items():
            if name not in KEYS:
                raise self.error(key, f"unknown key {name!r}; known are {', '.join(KEYS)}")
        for name in ("start_epoch", "weight_bits"):
            if name not in entries:
                raise self.error(root, f"the policy needs the key {name!r}")
        overrides = self.mapping(entries["overrides"][1], "overrides") if "overrides" in entries else {}
        return Policy(
            self.path,
            text,
            self.start_epoch(entries["start_epoch"][1]),
            self.bits("weight_bits", entries["weight_bits"][1]),
            self.bits("bias_bits", entries["bias_bits"][1]) if "bias_bits" in entries else None,
            self.quantile(entries["shift_quantile"][1]) if "shift_quantile" in entries else 1.0,
            self.z_score(entries[Z_SCORE][1]) if Z_SCORE in entries else None,
            {name: self.override(name, value) for name, (_, value) in overrides.items()},
        )

    def start_epoch(self, node: yaml.Node) -> int:
        """An integer of at least 0."""
        value = self.value(node)
        if type(value) is not int or value < 0:
            raise self.error(node, f"start_epoch must be an integer of at least 0; given {value!r}")
        return value

    def bits(self, key: str, node: yaml.Node) -> int:
        """A width."""
        value = self.value(node)
        if type(value) is not int or value not in WEIGHT_BITS:
            raise self.error(node, f"{key} must be 1, 2, 4 or 8; given {value!r}")
        return value

    def quantile(self, node: yaml.Node) -> float:
        """A number above 0 and at most 1."""
        value = self.value(node)
        if type(value) not in (int, float) or not 0 < value <= 1:
            raise self.error(node, f"shift_quantile must be above 0 and at most 1; given {value!r}")
        return float(value)

    def z_score(self, node: yaml.Node) -> float:
        """A number above 0."""
        value = self.value(node)
        if type(value) not in (int, float) or not 0 < value < math.inf:
            raise self.error(node, f"{Z_SCORE} must be a number above 0; given {value!r}")
        return float(value)

    def override(self, name: str, node: yaml.Node) -> int:
        """The weight bits of one layer."""
        entries = self.mapping(node, f"the override of {name!r}")
        if list(entries) != ["weight_bits"]:
            raise self.error(node, f"the override of {name!r} must have the key weight_bits and no other")
        return self.bits("weight_bits", entries["weight_bits"][1])


def check_names(policy: Policy, model: nn.Module) -> None:
    """UserError when the policy names a layer that the network does not have."""
    names = [name for name, layer in layers(model).items() if layer.op is not None]
    for name in policy.overrides:
        if name not in names:
            raise UserError(
                f"{policy.path}: the override names a layer {name!r}; the network has {', '.join(names)}"
            )


def check_8_bits(policy: Policy, model: nn.Module) -> None:
    """UserError when the policy asks for more than the start of training with AI84's 8-bit weights without a scale."""
    if (policy.weight_bits, policy.bias_bits or 8, policy.shift_quantile, len(policy.overrides)) != (8, 8, 1, 0):
        raise UserError(
            f"{policy.path}: AI84 has weights and biases of 8 bits without a scale; the policy must have start_epoch, "
            f"weight_bits: 8, {Z_SCORE} where wanted, and nothing else"
        )


def layers(model: nn.Module) -> dict[str, ai85.Layer]:
    """The accelerator layers of a network, by name, in execution order."""
    return {name: module for name, module in model.named_modules() if isinstance(module, ai85.Layer)}


@torch.no_grad()
def start(model: nn.Module, policy: Policy) -> None:
    """Change a float network in place into one that trains with quantization.

    Batch normalization becomes part of the weights. From then on every layer rounds as its new state says.
    """
    fold(model)
    for name, layer in layers(model).items():
        bits = policy.overrides.get(name, policy.weight_bits)
        state = {"weight_bits": bits, "bias_bits": policy.bias_bits or bits, "quantize_activation": 1,
                 "adjust_output_shift": 1, "shift_quantile": policy.shift_quantile}  # fmt: skip
        for key, value in state.items():
            layer.get_buffer(key).fill_(value)


def score_factor(model: nn.Module) -> float:
    """What quantized training divides the scores by: the device does not scale the 32-bit sums of its last layer back.

    If the loss did not make up for it, large weights in the last layer would be trained to become larger still.
    """
    last = list(layers(model).values())[-1]
    return 2.0 ** -last.exponent() if last.settings.wide and last.quantize_activation else 1.0


@torch.no_grad()
def fold(model: nn.Module) -> None:
    """Make batch normalization part of the weights and biases, in place (AI85 hardware reference 12.5).

    With running mean m, variance v, scale g and offset o of an output channel, and r = g / 4 / sqrt(v + eps), its
    weights become w * r and its bias (b - m) * r + o / 4. The quarter is that of the layers' forward pass.
    """
    for layer in layers(model).values():
        if layer.bn is not None:
            norm: Any = layer.bn
            ratio = norm.weight / 4 / torch.sqrt(norm.running_var + norm.eps)
            layer.op.weight.mul_(ratio.view(-1, *[1] * (layer.op.weight.ndim - 1)))
            layer.op.bias.copy_((layer.op.bias - norm.running_mean) * ratio + norm.bias / 4)
            layer.bn = None
