"""Layers of AI85, and what hardware executes for them (AI85 hardware reference 4.1 and 4.3)."""

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from ..device import AI85
from ..network import Layer, Part
from ..reference import dilated

LONGEST = 9  # taps of a one-dimensional kernel
DEFAULT_PADS = {"conv2d": 1, "conv1d": 1}


def build_layer(part: Part, average_rounding: bool = False) -> Layer:
    """A layer with its weights, if it has any.

    One-dimensional data are a column of pixels. Average pooling in front of a one-dimensional convolution is never
    rounded (findings, 1).
    """
    described, stored = part.described, part.stored
    channels, height, width = part.shape
    flat = described.op == "conv1d" or (described.op == "none" and width == 1)
    kind, window, strides = _pooling(part, flat)
    pooled = [(size + max(1, stride) - extent) // max(1, stride)
              for size, stride, extent in zip((height, width), strides, window, strict=True)]  # fmt: skip
    weight = np.zeros((channels, 0, 1, 1), np.int8)
    if stored is not None:
        weight = _kernels(stored.weight, (pooled[0], pooled[1]) if described.flatten else None)
        channels = weight.shape[1]
    pad = DEFAULT_PADS.get(described.op, 0) if described.pad is None else described.pad
    bits = stored.weight_bits if stored else 8
    shift = described.output_shift if described.output_shift is not None else stored.output_shift if stored else 0
    bias = stored.bias if stored is not None and stored.bias is not None and stored.bias.any() else None
    return Layer(
        part.index, stored.name if stored else f"layer{part.index}", described.line, part.sources, described.op,
        channels, height, width, kind, window, strides, pad, (pad, 0) if flat else (pad, pad),
        described.activate or "", weight, bias, average_rounding and described.op != "conv1d", described.dilation[0],
        bits, shift + (8 - bits if stored else 0), AI85.bias_unit, described.output_width == 32, described.flatten,
    )  # fmt: skip


def _pooling(part: Part, flat: bool) -> tuple[str, tuple[int, int], tuple[int, int]]:
    """Kind, window and strides of a layer's pooling; of one-dimensional data only the first of each counts."""
    described = part.described
    window = described.max_pool or described.avg_pool or (1, 1)
    strides = described.pool_stride
    if flat:
        window, strides = (window[0], 1), (strides[0], 1)
    if window == (1, 1):
        return "", window, strides
    return "max" if described.max_pool else "avg", window, strides


def _kernels(weight: NDArray[np.int8], flattened: tuple[int, int] | None) -> NDArray[np.int8]:
    """Weights as [K, C, kh, kw]; a kernel of a flattened image of that size is as large as the image.

    Where the number of weights does not fit the size, what is over is left out: a rule reports it.
    """
    outputs, inputs = weight.shape[:2]
    if flattened is None:
        sides = (*weight.shape[2:], 1, 1)[:2]
        return weight.reshape(outputs, inputs, *sides)
    rows, columns = max(1, flattened[0]), max(1, flattened[1])
    features = weight.reshape(outputs, -1)
    channels = features.shape[1] // (rows * columns)
    return features[:, : channels * rows * columns].reshape(outputs, channels, rows, columns)


def as_executed(layer: Layer) -> Layer:
    """The layer that hardware executes: the same, but for dilation and for the kernel of a flattened image.

    A short dilated kernel gets zeros between its taps. A long one becomes the middle column of a 3x3 kernel, and the
    samples an image with as many columns as samples lie between taps (4.3.3).
    """
    if layer.dilation == 1:
        return layer
    if (layer.kernel[0] - 1) * layer.dilation < LONGEST:
        return replace(layer, weight=dilated(layer.weight, layer.dilation), dilation=1)
    weight = np.zeros((*layer.weight.shape[:2], 3, 3), np.int8)
    weight[:, :, 3 - min(3, layer.kernel[0]) :, 1] = layer.weight[:, :, :3, 0]
    return replace(layer, op="conv2d", weight=weight, dilation=1, height=-(-layer.height // layer.dilation),
                   width=layer.dilation, pad=1, pads=(1, 1))  # fmt: skip


def pixels_ahead(layer: Layer) -> int:
    """Pixels that hardware writes in front of the first output of a dilated layer (4.3.3)."""
    executed = as_executed(layer)
    return layer.dilation if executed.op != layer.op and layer.kernel[0] == 3 else 0


def pixels_after(layer: Layer) -> int:
    """Pixels that hardware writes behind the last output of a dilated layer (4.3.3)."""
    executed = as_executed(layer)
    if executed.op == layer.op:
        return 0
    return executed.out_height * executed.out_width - layer.out_height * layer.out_width - pixels_ahead(layer)
