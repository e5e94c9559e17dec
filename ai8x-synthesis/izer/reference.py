"""What the network computes, in integers: the meaning of every other part of the project.

Numbers are sections of the AI84 hardware reference, with an "85" in front of the AI85 hardware reference. Sums are
formed in double precision, which holds every sum of products exactly (at most 16384 * 128 * 128 + 128 * 128 < 2**53)
and is the fastest exact matrix product that numpy has.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .checkpoint import LayerWeights
from .network import Layer, Network
from .yamlvalues import NETWORK_INPUT


@dataclass(frozen=True)
class LayerValues:
    """All values of one layer, [C, H, W]: the accumulator is int64, the output int8 or, where it is wide, int32.

    `scaled` is the output before the activation. Of a layer without weights, it is what was pooled.
    """

    input: NDArray[np.int8]
    pooled: NDArray[np.int8]
    accumulator: NDArray[np.int64]
    scaled: NDArray[Any]
    output: NDArray[Any]


def pool(
    data: NDArray[np.int8], kind: str, window: tuple[int, int], strides: tuple[int, int], rounded: bool = False
) -> NDArray[np.int8]:
    """Maximum or average of each window of int8 [C, H, W]; without padding (1.4, 85 1.4).

    An average is truncated toward zero, or `rounded` half away from zero. Without a `kind`, pixels are left out.
    """
    rows, columns = strides
    if not kind:
        return data[:, ::rows, ::columns]
    windows = np.lib.stride_tricks.sliding_window_view(data, window, (1, 2))[:, ::rows, ::columns]
    if kind == "max":
        return np.array(windows.max((3, 4)))
    total, count = windows.sum((3, 4), dtype=np.int64), window[0] * window[1]
    size = (2 * np.abs(total) + count) // (2 * count) if rounded else np.abs(total) // count
    average: NDArray[np.int64] = np.clip(np.sign(total) * size, -128, 127)
    return average.astype(np.int8)


def convolve(data: NDArray[np.int8], weight: NDArray[np.int8], pads: tuple[int, int]) -> NDArray[np.int64]:
    """Sums of products of int8 [Cin, H, W] with int8 [Cout, Cin, kh, kw], stride 1, no flip (1.4, 85 1.4).

    `pads` are the rows and the columns of zeros on either side.
    """
    rows, columns = pads
    padded = np.pad(data, ((0, 0), (rows, rows), (columns, columns))).astype(np.float64)
    windows = np.lib.stride_tricks.sliding_window_view(padded, weight.shape[2:], (1, 2))
    channels, height, width, kernel_rows, kernel_columns = windows.shape
    patches = windows.transpose(0, 3, 4, 1, 2).reshape(channels * kernel_rows * kernel_columns, height * width)
    sums = weight.reshape(len(weight), -1).astype(np.float64) @ patches
    return sums.reshape(len(weight), height, width).astype(np.int64)


def dilated(weight: NDArray[np.int8], distance: int) -> NDArray[np.int8]:
    """The kernels [Cout, Cin, kh, kw] with their rows `distance` apart, zeros between them."""
    outputs, inputs, rows, columns = weight.shape
    stretched = np.zeros((outputs, inputs, (rows - 1) * distance + 1, columns), np.int8)
    stretched[:, :, ::distance] = weight
    return stretched


def unclipped(accumulator: NDArray[np.int64], shift: int = 0) -> NDArray[np.int64]:
    """Times 2**`shift` / 128, rounded half toward plus infinity (1.4, 85 1.4)."""
    left, right = max(0, shift), 7 + max(0, -shift)
    rounded: NDArray[np.int64] = ((accumulator << left) + (1 << right - 1)) >> right
    return rounded


def scale(accumulator: NDArray[np.int64], shift: int = 0) -> NDArray[np.int8]:
    """The same, saturated to -128..127."""
    return np.clip(unclipped(accumulator, shift), -128, 127).astype(np.int8)


def activate(scaled: NDArray[np.int8], activation: str) -> NDArray[np.int8]:
    """The activation of int8 values; the absolute value of -128 is 127 (85 1.4)."""
    if activation == "relu":
        return np.maximum(scaled, 0)
    return np.abs(np.maximum(scaled, -127)) if activation == "abs" else scaled


def run_layer(layer: Layer, data: NDArray[np.int8]) -> LayerValues:
    """All values of one layer for the input int8 [C, H, W].

    Where the layer has other rows and columns than its input, it takes the pixels in order (12.6, 85 4.1).
    """
    image = data.reshape(layer.in_channels, layer.height, layer.width)
    pooled = pool(image, layer.pool, layer.window, layer.strides, layer.rounded)
    if not layer.convolves:
        return LayerValues(image, pooled, pooled.astype(np.int64), pooled, pooled)
    accumulator = convolve(pooled, dilated(layer.weight, layer.dilation), layer.pads)
    if layer.bias is not None:
        accumulator = accumulator + layer.bias_unit * layer.bias.astype(np.int64)[:, None, None]
    if layer.wide:
        wide = accumulator.astype(np.int32)
        return LayerValues(image, pooled, accumulator, wide, wide)
    scaled = scale(accumulator, layer.output_shift)
    return LayerValues(image, pooled, accumulator, scaled, activate(scaled, layer.activation))


def partial_sums(layer: Layer, pooled: NDArray[np.int8]) -> Iterator[NDArray[np.int64]]:
    """The accumulator [Cout, H, W] without bias after every input channel, for the pooled input int8 [Cin, H, W]."""
    total: NDArray[np.int64] = np.zeros((layer.out_channels, layer.out_height, layer.out_width), np.int64)
    for c in range(layer.in_channels if layer.convolves else 0):
        products = convolve(pooled[c : c + 1], dilated(layer.weight[:, c : c + 1], layer.dilation), layer.pads)
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
