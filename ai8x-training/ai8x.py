"""Layer primitives: the fixed-point arithmetic that all devices share.

A layer exists in one of two modes, chosen when it is built:

- float mode (training): values are real numbers in units of full scale, so that 1.0 stands for the integer 128;
- exact 8-bit mode (`simulate=True`): tensors hold integers, stored as float32, and every result is the device's.

float32 is exact for AI84: the largest accumulator of a layer is 64 channels * 9 taps * 128 * 128 + 128 = 9,437,312,
below 2**24, up to which float32 holds every integer; so the order of the additions does not matter either. The sums of
AI85 may be larger: see `exact_type`.
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, TypeVar

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

DATA_BITS = 8
FULL_SCALE = 2 ** (DATA_BITS - 1)


Pair = tuple[int, int]
"""(rows, columns)"""


@dataclass(frozen=True)
class Range:
    """A closed interval of values that a number format can hold."""

    low: float
    high: float


INT8 = Range(-128, 127)
INT16 = Range(-32768, 32767)
Q7 = Range(-1.0, 127 / 128)
"""Range of an 8-bit value read as value/128 (AI84 hardware reference 1.3)."""
Q8_7 = Range(-256.0, 256 - 1 / 128)
"""Range of a 16-bit value read as value/128: the output of the software classification layer."""


class _Clamp(torch.autograd.Function):
    """Tensor.clamp, with the gradient of the open interval between `below` and `above`.

    PyTorch's own backward pass of clamp takes four passes over the memory, which is a fifth of the time of training.
    """

    @staticmethod
    def forward(ctx: Any, values: Tensor, limits: Range, below: float, above: float) -> Tensor:
        ctx.save_for_backward(values)
        ctx.ends = below, above
        return values.clamp(limits.low, limits.high)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None, None, None]:
        (values,) = ctx.saved_tensors
        gradient = torch.empty_like(values)  # in their memory layout, which that of the other gradient need not be
        torch.ops.aten.hardtanh_backward(gradients[0], values, *ctx.ends, grad_input=gradient)
        return gradient, None, None, None


def clamp(values: Tensor, to: Range) -> Tensor:
    """Saturate `values` to the closed interval `to`; the gradient is 1 inside and 0 outside."""
    below, above = float(np.nextafter(np.float32(to.low), -np.inf)), float(np.nextafter(np.float32(to.high), np.inf))
    clamped: Tensor = _Clamp.apply(values, to, below, above)  # type: ignore[no-untyped-call]
    return clamped


def rectify(values: Tensor, to: Range) -> Tensor:
    """ReLU of `values` saturated to `to`, whose high end is positive; the gradient at 0 is 0, as that of ReLU."""
    above = float(np.nextafter(np.float32(to.high), np.inf))
    rectified: Tensor = _Clamp.apply(values, Range(0.0, to.high), 0.0, above)  # type: ignore[no-untyped-call]
    return rectified


def reduce_accumulator(accumulator: Tensor) -> Tensor:
    """Divide integer accumulators by 128 and round half towards plus infinity (AI84 hardware reference 1.4).

    Equals `(acc + 64) >> 7` on integers. The result is not yet saturated.
    """
    return torch.floor((accumulator + FULL_SCALE // 2) / FULL_SCALE)


def average_pool(values: Tensor, size: int | Pair, stride: int | Pair, simulate: bool) -> Tensor:
    """Mean over windows of [N, C, H, W] of `size` (or height, width); in exact mode truncated toward zero.

    The devices truncate (AI84 and AI85 hardware reference 1.4). float32 suffices: a sum of at most 256 8-bit values is
    exact, and its quotient is either a whole number or at least 1/256 away from one.
    """
    mean = F.avg_pool2d(values, size, stride)
    return torch.trunc(mean) if simulate else mean


class _StraightThrough(torch.autograd.Function):
    """Other values in the place of a tensor's, with the gradient of the identity."""

    @staticmethod
    def forward(ctx: Any, values: Tensor, others: Tensor) -> Tensor:
        return others

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None]:
        return gradients[0], None


def in_place_of(values: Tensor, others: Tensor) -> Tensor:
    """`others`, of the same shape; their gradients become those of `values`, as if nothing had been rounded."""
    taken: Tensor = _StraightThrough.apply(values, others)  # type: ignore[no-untyped-call]
    return taken


def round_half_up(values: Tensor, steps: float) -> Tensor:
    """Round to multiples of 1/`steps`, halves towards plus infinity; gradients pass as if nothing were rounded."""
    with torch.no_grad():  # in single precision, since bfloat16 has no 127.5; in place, since memory traffic costs time
        rounded = values.float().mul(steps).add_(0.5).floor_().div_(steps).to(values.dtype)
    return in_place_of(values, rounded)


def round_half_even(values: Tensor, steps: float) -> Tensor:
    """Round to multiples of 1/`steps`, halves to the even one; gradients pass as if nothing were rounded."""
    with torch.no_grad():
        rounded = values.mul(steps).round_().div_(steps)
    return in_place_of(values, rounded)


def truncate(values: Tensor, steps: float) -> Tensor:
    """Round toward zero to multiples of 1/`steps`; gradients pass as if nothing were rounded."""
    with torch.no_grad():
        truncated = values.mul(steps).trunc_().div_(steps)
    return in_place_of(values, truncated)


def exact_type(weight: Tensor, bias: Tensor | None) -> torch.dtype:
    """float32 where it holds every sum of products of 8-bit data with these integer weights, else float64.

    Args:
        weight: integers [out, ...].
        bias: integers [out] in units of the accumulator.

    The limit is 2**23 and not 2**24, so that half of the divisor can be added for rounding.
    """
    largest = weight.detach().double().abs().flatten(1).sum(1) * FULL_SCALE
    if bias is not None:
        largest = largest + bias.detach().double().abs()
    return torch.float32 if int(largest.max()) < 2**23 else torch.float64


def normalize_float(images: Tensor, unit: int) -> Tensor:
    """Map uint8 values u to AI84's float input, u/`unit` - 0.5, range -0.5..+0.5; `unit` is 255 or 256."""
    return images.float() / unit - 0.5


def normalize_float_8bit(images: Tensor, unit: int) -> Tensor:
    """Map uint8 values to AI85's float input: that of the exact mode divided by 128, range -1..+127/128."""
    scaled: Tensor = normalize_8bit(images, unit) / FULL_SCALE
    return scaled


def normalize_8bit(images: Tensor, unit: int) -> Tensor:
    """Map uint8 values u to the exact mode's input, integers -128..127 in float32.

    With `unit` 256 (sound) u gives u - 128. With 255 (images) u <= 127 gives u - 128, u >= 128 gives min(u - 127, 127):
    the value 0 never occurs, and 254 and 255 share 127.
    """
    return clamp(torch.round((images.float() / unit - 0.5) * 256), INT8)


@contextmanager
def exact_arithmetic() -> Iterator[None]:
    """Switch off, for a `with` block, the faster convolution and matrix algorithms that round differently.

    TF32 and bfloat16 drop bits; Winograd and FFT convolutions (cuDNN, NNPACK) compute with fractions.
    """
    tf32 = torch.backends.cuda.matmul.allow_tf32
    torch.backends.cuda.matmul.allow_tf32 = False
    try:
        with (
            torch.backends.cudnn.flags(enabled=False),
            torch.backends.nnpack.flags(enabled=False),
            torch.autocast("cpu", enabled=False),
            torch.autocast("cuda", enabled=False),
        ):
            yield
    finally:
        torch.backends.cuda.matmul.allow_tf32 = tf32


Settings = TypeVar("Settings")


def refusal(device: str, rule_id: str, statement: str | None, given: str, layer: str) -> str:
    """One line that states a rule of the device and what broke it."""
    return f"{device} rule {rule_id}: {statement} Given: {given} ({layer})"


def check_rules(device: str, rules: Sequence[Callable[[Settings], str]], settings: Settings, layer: str) -> None:
    """Raise ValueError with one line for every rule that the settings of `layer` break.

    Args:
        rules: functions named rule_..., whose docstring is the rule, and which return what broke it, else "".
    """
    broken = [
        refusal(device, rule.__name__.removeprefix("rule_").replace("_", "-"), rule.__doc__, given, layer)
        for rule in rules
        if (given := rule(settings))
    ]
    if broken:
        raise ValueError("\n".join(broken))
