"""The limits of a layer on AI84; a rule is a function whose docstring is the rule."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Literal

import ai8x

MAX_CHANNELS = 64
MAX_LAYERS = 32
POOLINGS = ((2, 1), (2, 2), (4, 4))

# The rules that need more than one layer's settings, in the words that cnn-gen.py uses too.
LAYERS_MAX = "A network has at most 32 layers."
POOL_DIVIDE = (
    "Pooling windows must tile the input exactly: (size - pool) must be a multiple of the pooling stride, in both "
    "directions."
)
POOL4_LAST = "4x4 pooling is possible in the last layer only, since its output is not contiguous."
CONV1D = (
    "A one-dimensional convolution has kernel 9, stride 3, padding 0, 3 or 6, no pooling, and an input whose length is "
    "a multiple of 3; any other has kernel 3x3 and stride 1."
)
AVG4_RELU = "4x4 average pooling needs the output of a layer with ReLU, or its sum exceeds the accumulator."

Pooling = Literal["Max", "Avg"] | None
Activation = Literal["ReLU"] | None


@dataclass(frozen=True)
class ConvSettings:
    """What a convolution layer is asked to do; the rules below judge it."""

    in_channels: int
    out_channels: int
    kernel_size: int | tuple[int, int]
    stride: int
    padding: int
    pooling: Pooling
    pool_size: int
    pool_stride: int
    activation: Activation
    dilation: int
    groups: int


Rule = Callable[[ConvSettings], str]


def rule_kernel(conv: ConvSettings) -> str:
    """The kernel is 3x3, without dilation."""
    good = conv.kernel_size in (3, (3, 3)) and conv.dilation == 1
    return "" if good else f"kernel_size={conv.kernel_size}, dilation={conv.dilation}"


def rule_stride(conv: ConvSettings) -> str:
    """The convolution stride is 1."""
    return "" if conv.stride == 1 else f"stride={conv.stride}"


def rule_pad(conv: ConvSettings) -> str:
    """Padding is 0, 1 or 2."""
    return "" if conv.padding in (0, 1, 2) else f"padding={conv.padding}"


def rule_channels_max(conv: ConvSettings) -> str:
    """A layer has at most 64 input and 64 output channels."""
    allowed = range(1, MAX_CHANNELS + 1)
    good = conv.in_channels in allowed and conv.out_channels in allowed
    return "" if good else f"in_channels={conv.in_channels}, out_channels={conv.out_channels}"


def rule_groups(conv: ConvSettings) -> str:
    """All input channels are summed: groups is 1."""
    return "" if conv.groups == 1 else f"groups={conv.groups}"


def rule_pool_kind(conv: ConvSettings) -> str:
    """Pooling is 'Max', 'Avg' or None."""
    return "" if conv.pooling in ("Max", "Avg", None) else f"pooling={conv.pooling!r}"


def rule_pool_size(conv: ConvSettings) -> str:
    """The pooling size is 2 or 4."""
    return "" if conv.pooling is None or conv.pool_size in (2, 4) else f"pool_size={conv.pool_size}"


def rule_pool_stride(conv: ConvSettings) -> str:
    """Pooling is 2x2 with stride 1 or 2, or 4x4 with stride 4."""
    good = conv.pooling is None or conv.pool_size not in (2, 4) or (conv.pool_size, conv.pool_stride) in POOLINGS
    return "" if good else f"pool_size={conv.pool_size}, pool_stride={conv.pool_stride}"


def rule_activation(conv: ConvSettings) -> str:
    """The activation is 'ReLU' or None."""
    return "" if conv.activation in ("ReLU", None) else f"activation={conv.activation!r}"


RULES: tuple[Rule, ...] = (
    rule_kernel,
    rule_stride,
    rule_pad,
    rule_channels_max,
    rule_groups,
    rule_pool_kind,
    rule_pool_size,
    rule_pool_stride,
    rule_activation,
)


refusal = partial(ai8x.refusal, "AI84")


def check(conv: ConvSettings) -> None:
    """Raise ValueError with one line for every rule (AI84 hardware reference 9.1) that `conv` breaks."""
    ai8x.check_rules("AI84", RULES, conv, f"Conv2d {conv.in_channels} -> {conv.out_channels}")


def pooled_side(side: int, size: int, stride: int, layer: str) -> int:
    """Number of pooling windows along `side` pixels; ValueError unless they tile it (AI84 hardware reference 9.1)."""
    if side < size or (side - size) % stride:
        given = f"{side} pixels, pool_size={size}, pool_stride={stride}"
        raise ValueError(refusal("pool-divide", POOL_DIVIDE, given, layer))
    return (side - size) // stride + 1
