"""What the network computes, in integers: the meaning of every other part of the project.

Numbers are sections of the AI84 hardware reference. Sums are formed in double precision, which holds every sum of
products exactly (|sum| <= 64 * 9 * 128 * 128 + 128 < 2**53) and is the fastest exact matrix product that numpy has.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from .checkpoint import LayerWeights
from .network import KERNEL, Layer, Network
from .yamlcfg import NETWORK_INPUT


@dataclass(frozen=True)
class LayerValues:
    """All values of one layer: the accumulator is int64 [C, H, W], the others are int8 [C, H, W]."""

    input: NDArray[np.int8]
    pooled: NDArray[np.int8]
    accumulator: NDArray[np.int64]
    scaled: NDArray[np.int8]
    output: NDArray[np.int8]


def pool(data: NDArray[np.int8], kind: str, size: int, stride: int) -> NDArray[np.int8]:
    """Maximum, or average truncated toward zero, of each window of int8 [C, H, W]; without padding (1.4)."""
    if not kind:
        return data
    windows = np.lib.stride_tricks.sliding_window_view(data, (size, size), (1, 2))[:, ::stride, ::stride]
    if kind == "max":
        return np.array(windows.max((3, 4)))
    total = windows.sum((3, 4), dtype=np.int64)
    average: NDArray[np.int64] = np.sign(total) * (np.abs(total) // (size * size))
    return average.astype(np.int8)


def convolve(data: NDArray[np.int8], weight: NDArray[np.int8], pads: tuple[int, int]) -> NDArray[np.int64]:
    """Sums of products of int8 [Cin, H, W] with int8 [Cout, Cin, 3, 3], stride 1, no flip (1.4).

    `pads` are the rows and the columns of zeros on either side.
    """
    rows, columns = pads
    padded = np.pad(data, ((0, 0), (rows, rows), (columns, columns))).astype(np.float64)
    windows = np.lib.stride_tricks.sliding_window_view(padded, (KERNEL, KERNEL), (1, 2))
    channels, height, width = windows.shape[:3]
    patches = windows.transpose(0, 3, 4, 1, 2).reshape(channels * KERNEL * KERNEL, height * width)
    sums = weight.reshape(len(weight), -1).astype(np.float64) @ patches
    return sums.reshape(len(weight), height, width).astype(np.int64)


def scale(accumulator: NDArray[np.int64]) -> NDArray[np.int8]:
    """Divide by 128, round half toward plus infinity, saturate to -128..127 (1.4)."""
    rounded: NDArray[np.int64] = (accumulator + 64) >> 7
    return np.clip(rounded, -128, 127).astype(np.int8)


def run_layer(layer: Layer, data: NDArray[np.int8]) -> LayerValues:
    """All values of one layer for the input int8 [C, H, W]. The bias is added unshifted (1.4).

    A one-dimensional layer takes the pixels in order, whatever rows and columns they came in (12.6).
    """
    image = data.reshape(layer.in_channels, layer.height, layer.width)
    pooled = pool(image, layer.pool, layer.pool_size, layer.pool_stride)
    accumulator = convolve(pooled, layer.weight, (layer.pad_rows, layer.pad_columns))
    if layer.bias is not None:
        accumulator = accumulator + layer.bias.astype(np.int64)[:, None, None]
    scaled = scale(accumulator)
    return LayerValues(image, pooled, accumulator, scaled, np.maximum(scaled, 0) if layer.relu else scaled)


def partial_sums(layer: Layer, pooled: NDArray[np.int8]) -> Iterator[NDArray[np.int64]]:
    """The accumulator [Cout, H, W] without bias after every input channel, for the pooled input int8 [Cin, H, W]."""
    total: NDArray[np.int64] = np.zeros((layer.out_channels, layer.out_height, layer.out_width), np.int64)
    for c in range(layer.in_channels):
        products = convolve(pooled[c : c + 1], layer.weight[:, c : c + 1], (layer.pad_rows, layer.pad_columns))
        total = total + products
        yield total


def run_network(network: Network, sample: NDArray[np.int8]) -> tuple[LayerValues, ...]:
    """The values of all layers for the network input int8 [C, H, W]."""
    values: list[LayerValues] = []
    for layer in network.layers:
        inputs = [sample if source == NETWORK_INPUT else values[source].output for source in layer.sources]
        values.append(run_layer(layer, np.concatenate(inputs)))
    return tuple(values)


def classify(fc: LayerWeights, data: NDArray[np.int8]) -> NDArray[np.int16]:
    """The software classification layer: Q8.7 results int16 [R] for the last output int8 [C, H, W] (8.2)."""
    accumulator = fc.weight.astype(np.int64) @ data.reshape(-1).astype(np.int64)
    if fc.bias is not None:
        accumulator = accumulator + fc.bias
    rounded: NDArray[np.int64] = (accumulator + 64) >> 7
    return np.clip(rounded, -32768, 32767).astype(np.int16)


SOFTMAX_ROUNDING = 63  # matters only for exact ties; 64 in June 2019, 63 from May 2020


def softmax(scores: NDArray[np.int16]) -> NDArray[np.int16]:
    """Base-2 softmax with rounded integer exponents: Q8.7 int16 [R] to Q15 int16 [R] (8.3)."""
    values = scores.astype(np.int64)
    base = values.max() - 2048
    counted = values > base
    terms = np.left_shift(1, np.clip((SOFTMAX_ROUNDING + values - base) >> 7, 0, 31))
    quotient = (1 << 32) // int(terms[counted].sum())
    shift = np.clip(17 + ((SOFTMAX_ROUNDING + base - values) >> 7), 0, 31)
    return np.where(counted, np.clip(quotient >> shift, -32768, 32767), 0).astype(np.int16)
