"""Float weights to integers with one fixed scale, as the first generation did for AI84.

A float weight of 1.0 stands for 128 * scale. The network input spans -0.5 to 0.5 in training and -128 to 127 on the
device, so the weights of the first convolution are worth half as much. All arithmetic on tensors is in single
precision and rounds half to even.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .checkpoint import is_fc, weighted_modules

WEIGHT_BITS = 8


@dataclass(frozen=True)
class Quantized:
    """What was done to one tensor: factor, range [low, high] of the integers, how many values were clipped of `size`.

    `all_zero` says that none of the integers differs from 0.
    """

    name: str
    factor: float
    low: int
    high: int
    clipped: int
    size: int
    all_zero: bool


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
            result[name], entry = _round(name, tensors[name], factor, low, high)
            log.append(entry)
    return result, tuple(log)


def _round(name: str, value: NDArray[Any], factor: float, low: int, high: int) -> tuple[NDArray[Any], Quantized]:
    scaled = value.astype(np.float32) * np.float32(factor)
    integers = np.rint(np.clip(scaled, np.float32(low), np.float32(high)))
    clipped = int(np.count_nonzero((np.rint(scaled) < low) | (np.rint(scaled) > high)))
    return integers + np.float32(0), Quantized(name, factor, low, high, clipped, value.size, not integers.any())
