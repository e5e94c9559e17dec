"""Layer primitives: the fixed-point arithmetic that all devices share.

A layer exists in one of two modes, chosen when it is built:

- float mode (training): values are real numbers in units of full scale, so that 1.0 stands for the integer 128;
- exact 8-bit mode (`simulate=True`): tensors hold integers, stored as float32, and every result is the device's.

float32 is exact here: the largest accumulator of an AI84 layer is 64 channels * 9 taps * 128 * 128 + 128 = 9,437,312,
below 2**24, up to which float32 holds every integer; so the order of the additions does not matter either.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

DATA_BITS = 8
FULL_SCALE = 2 ** (DATA_BITS - 1)


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


def clamp(values: Tensor, to: Range) -> Tensor:
    """Saturate `values` to the closed interval `to`; the gradient is 1 inside and 0 outside."""
    return values.clamp(to.low, to.high)


def reduce_accumulator(accumulator: Tensor) -> Tensor:
    """Divide integer accumulators by 128 and round half towards plus infinity (AI84 hardware reference 1.4).

    Equals `(acc + 64) >> 7` on integers. The result is not yet saturated.
    """
    return torch.floor((accumulator + FULL_SCALE // 2) / FULL_SCALE)


def average_pool(values: Tensor, size: int, stride: int, simulate: bool) -> Tensor:
    """Mean over `size` x `size` windows of [N, C, H, W]; in exact mode truncated toward zero.

    The device truncates (AI84 hardware reference 1.4). The quotients are exact in float32: sums of at most 16 8-bit
    values are divided by 4 or 16.
    """
    mean = F.avg_pool2d(values, size, stride)
    return torch.trunc(mean) if simulate else mean


def normalize_float(images: Tensor) -> Tensor:
    """Map uint8 images 0..255 to the float mode's input, u/255 - 0.5, range -0.5..+0.5."""
    return images.float() / 255 - 0.5


def normalize_8bit(images: Tensor) -> Tensor:
    """Map uint8 images 0..255 to the exact mode's input, integers -128..127 in float32.

    u <= 127 gives u - 128, u >= 128 gives min(u - 127, 127): the value 0 never occurs, and 254 and 255 share 127.
    """
    return clamp(torch.round((images.float() / 255 - 0.5) * 256), INT8)


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
