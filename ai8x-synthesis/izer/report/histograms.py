"""How weights and values of the sample are spread, and how many values are clipped."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..network import Layer
from ..reference import LayerValues, unclipped

BINS = 64


@dataclass(frozen=True)
class Histogram:
    """Counts of values in bins of equal width from `low` to `high` (included), and how many values are 0.

    `too_low` and `too_high` count the values that did not fit and were replaced by `low` and `high`; at most `limits`
    weights are at the ends of their range.
    """

    low: int
    high: int
    counts: tuple[int, ...]
    zeros: int
    too_low: int = 0
    too_high: int = 0
    limits: int = 0

    @property
    def total(self) -> int:
        """Number of values."""
        return sum(self.counts)

    def share(self, count: int) -> str:
        """A count in percent of all values; one that is not 0 never looks like 0."""
        percent = 100 * count / self.total
        return "<0.1 %" if 0 < percent < 0.1 else f"{percent:.1f} %"

    def outline(self) -> str:
        """The counts as an SVG path of 100 x 100; heights are square roots, so that small counts are visible."""
        top, width = max(self.counts) ** 0.5, 100 / len(self.counts)
        steps = (f"V{100 - 96 * count**0.5 / top:.4g}H{width * (n + 1):.5g}" for n, count in enumerate(self.counts))
        return f"M0 100{''.join(steps)}V100Z"


def weight_histogram(layer: Layer) -> Histogram:
    """The weights of a layer over the range of its number of bits."""
    half = 1 << layer.weight_bits - 1
    limits = int(np.count_nonzero((layer.weight == -half) | (layer.weight == half - 1)))
    return _histogram(layer.weight, -half, half - 1, limits=limits)


def output_histogram(layer: Layer, values: LayerValues) -> Histogram:
    """The outputs of a layer for the sample: over 8 bits, or where they are wide over the range that they have.

    Sums that ReLU makes 0 are not counted as clipped, although they may be below -128.
    """
    if layer.wide:
        return _histogram(values.output, int(values.output.min()), int(values.output.max()))
    if not layer.convolves:
        return _histogram(values.output, -128, 127)
    sums = unclipped(values.accumulator, layer.output_shift)
    too_low = 0 if layer.relu else int(np.count_nonzero(sums < -128))
    return _histogram(values.output, -128, 127, too_low, int(np.count_nonzero(sums > 127)))


def _histogram(
    values: NDArray[Any], low: int, high: int, too_low: int = 0, too_high: int = 0, limits: int = 0
) -> Histogram:
    bins = min(BINS, high - low + 1)
    counts, _ = np.histogram(values, bins, (low, high + 1))
    zeros = int(values.size - np.count_nonzero(values))
    return Histogram(low, high, tuple(counts.tolist()), zeros, too_low, too_high, limits)
