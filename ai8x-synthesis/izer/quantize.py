"""Float weights to integers with one fixed scale, as the first generation did for AI84.

A float weight of 1.0 stands for 128 * scale. The network input spans -0.5 to 0.5 in training and -128 to 127 on the
device, so the weights of the first convolution are worth half as much. All arithmetic on tensors is in single
precision and rounds half to even.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .checkpoint import is_fc, weighted_modules

WEIGHT_BITS = 8
UNSHIFTED = 128
"""The classification layer adds its bias without a shift, so that it counts a 128th (AI84 hardware reference 8.2)."""


@dataclass(frozen=True)
class Quantized:
    """What was done to one tensor.

    Attributes:
        factor: what its values were multiplied by.
        low, high: the range of the integers.
        clipped: how many of the `size` values were outside it.
        zeros: how many of the integers are 0.
        signal: sum of the squares of what the device should compute with, in units of the integers.
        noise: sum of the squares of what the integers differ by from that.
    """

    name: str
    factor: float
    low: int
    high: int
    clipped: int
    size: int
    zeros: int
    signal: float
    noise: float

    @property
    def decibels(self) -> float:
        """Signal to noise ratio, 10 * log10(signal / noise); infinite where nothing was lost."""
        if not self.noise:
            return math.inf
        return 10 * math.log10(self.signal / self.noise)


def measured(
    name: str,
    values: NDArray[Any],
    factor: np.float32,
    limits: tuple[int, int],
    integers: NDArray[Any],
    clipped: int,
    worth: int = 1,
) -> Quantized:
    """What was done to `values`, whose `integers` in `limits` (lowest, highest) have the same shape.

    On the device, an integer counts as that number divided by `worth`.
    """
    right = values.astype(np.float64) * float(factor) * worth
    signal, noise = (float(np.square(part).sum()) for part in (right, right - integers))
    return Quantized(name, float(factor), *limits, clipped, values.size, int((integers == 0).sum()), signal, noise)


def quantize(
    tensors: Mapping[str, NDArray[Any]], scale: float, fc_bits: int
) -> tuple[dict[str, NDArray[Any]], tuple[Quantized, ...]]:
    """Integers (as float32) for all weights and biases of a float state dictionary; other tensors are copied.

    `scale` is the constant of the SCALE method (> 0), `fc_bits` (2 to 8) the width of the classification layer. A
    convolution bias enters the accumulator unshifted and therefore carries 7 more fractional bits than the weights
    (AI84 hardware reference, chapter 5). It is not halved in the first layer, since it does not ride on the input.
    """
    result = dict(tensors)
    log = []
    first = True
    for weight, bias in weighted_modules(tensors):
        bits = fc_bits if is_fc(weight) else WEIGHT_BITS
        low, high = -(1 << (bits - 1)) + is_fc(weight), (1 << (bits - 1)) - 1
        unit = (1 << (bits - 1)) * scale
        factors = {weight: unit / 2 if first and not is_fc(weight) else unit}
        if bias is not None:
            factors[bias] = unit if is_fc(weight) else unit * (1 << (bits - 1))
        first = first and is_fc(weight)
        for name, factor in factors.items():
            worth = UNSHIFTED if is_fc(weight) and name == bias else 1
            result[name], entry = _round(name, tensors[name], factor, (low, high), worth)
            log.append(entry)
    return result, tuple(log)


def _round(
    name: str, value: NDArray[Any], factor: float, limits: tuple[int, int], worth: int
) -> tuple[NDArray[Any], Quantized]:
    low, high = limits
    scaled = value.astype(np.float32) * np.float32(factor)
    integers = np.rint(np.clip(scaled, np.float32(low), np.float32(high))) + np.float32(0)  # no negative zero
    clipped = int(np.count_nonzero((np.rint(scaled) < low) | (np.rint(scaled) > high)))
    return integers, measured(name, value, np.float32(factor), limits, integers, clipped, worth)
