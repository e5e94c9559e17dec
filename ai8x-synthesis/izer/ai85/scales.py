"""How large one unit of a weight is: the rules that choose the scale of a layer (AI85 hardware reference 12.3).

Arithmetic is in single precision, as in training, so that both round alike. Only means and deviations, whose last bits
would depend on the order of the additions, are computed in double precision and then rounded.
"""

import math
from collections.abc import Callable, Mapping

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float32]


def quantile(values: Floats, fraction: float) -> np.float32:
    """The value below which `fraction` (0 to 1) of `values` lie, by linear interpolation; 1 gives the largest.

    It rounds as PyTorch's `quantile` does in single precision on processors that multiply and add in one step.
    """
    rank = np.float32(fraction) * np.float32(values.size - 1)
    below, above = math.floor(rank), min(math.ceil(rank), values.size - 1)
    ordered = np.partition(values, (below, above))
    low, high, weight = ordered[below], ordered[above], np.float32(rank - np.float32(below))
    step = float(high - low)
    if weight < 0.5:
        return np.float32(float(low) + float(weight) * step)
    return np.float32(float(high) - step * float(np.float32(1) - weight))


def exponent(parameters: Floats, bits: int, fraction: float) -> int:
    """The largest e for which 2**e times the quantile of |parameters| does not exceed 1 (12.3.1).

    Limited to -7 - bits ... 23 - bits, so that the output shift -e, to which the device adds 8 - bits, is in -15..15.
    Parameters that are all 0 get the upper limit.
    """
    limit = quantile(np.abs(parameters), fraction)
    with np.errstate(divide="ignore", over="ignore"):
        logarithm = np.float32(math.log2(np.float32(1) / limit))
    return int(min(max(np.floor(logarithm), -7 - bits), 23 - bits))


def integers(values: Floats, factor: np.float32, bits: int) -> tuple[Floats, int]:
    """`values` times `factor`, halves rounded up, within the range of `bits` bits; and how many were outside it."""
    with np.errstate(over="ignore"):
        rounded = np.floor(values * factor + np.float32(0.5))
    low, high = -(1 << (bits - 1)), (1 << (bits - 1)) - 1
    clipped = np.clip(rounded, np.float32(low), np.float32(high))
    return clipped + np.float32(0), int(np.count_nonzero(clipped != rounded))  # + 0: no negative zero


def _maximum(weight: Floats, _: float) -> float:
    return float(np.abs(weight).max())


def _average_maximum(weight: Floats, _: float) -> float:
    outputs = weight.reshape(len(weight), -1)
    means = (limits.mean(dtype=np.float64) for limits in (outputs.min(axis=1), outputs.max(axis=1)))
    return float(max(map(abs, means)))


def _deviations(weight: Floats, count: float) -> float:
    if weight.size == 1:
        return math.nan
    values = weight.astype(np.float64)
    mean, reach = values.mean(), count * values.std(ddof=1)
    return float(max(abs(max(values.min(), mean - reach)), abs(min(values.max(), mean + reach))))


# The factor 12.3.2 multiplies by, from the weights and the constant of the method. It grows with the weights, as the
# reference has it, although a scale that fits them to the range would shrink.
SATURATIONS: Mapping[str, Callable[[Floats, float], float]] = {
    "SCALE": lambda _, constant: constant,
    "MAX": _maximum,
    "AVGMAX": _average_maximum,
    "STDDEV": _deviations,
}
