"""Single outputs of a drawn layer in plain Python integers (AI85 hardware reference 1.3 and 1.4)."""

import numpy as np

from network_files85 import DrawnLayer85

Planes = list[list[list[int]]]  # channel, row, column


def divided(total: int, count: int, rounding: bool) -> int:
    """An average: truncated toward zero, or rounded half away from zero, and clipped."""
    size = (2 * abs(total) + count) // (2 * count) if rounding else abs(total) // count
    return max(-128, min(127, size if total >= 0 else -size))


def pooled(layer: DrawnLayer85, plane: list[list[int]], row: int, column: int, rounding: bool) -> int:
    """One pixel after pooling. In front of a conv1d averages are never rounded."""
    kind, (rows, columns), stride = layer.shape.pool
    across = stride if not layer.shape.one_dimensional else 1
    window = [plane[row * stride + i][column * across + j] for i in range(rows) for j in range(columns)]
    if kind == "avg":
        return divided(sum(window), rows * columns, rounding and layer.shape.op != "conv1d")
    return max(window)


def scaled(total: int, shift: int) -> int:
    """Times 2**shift / 128, rounded half up, clipped."""
    doubled = total * 2 ** (shift + 15)  # in units of 2**-22
    return max(-128, min(127, (doubled + 2**21) // 2**22))


def activated(value: int, activation: str) -> int:
    """No activation, ReLU or the absolute value."""
    return {"": value, "relu": max(value, 0), "abs": min(abs(value), 127)}[activation.lower()]


def total(layer: DrawnLayer85, image: Planes, kernels: np.ndarray, at: tuple[int, int], rounding: bool) -> int:
    """The sum of the products of an output channel, whose weights these are, at a row and a column."""
    shape = layer.shape
    if shape.flatten:
        pixels = [value for plane in image for line in plane for value in line]
        return sum(w * x for w, x in zip(kernels.reshape(-1).tolist(), pixels, strict=True))
    high, wide = shape.pooled
    result, by_channel = 0, kernels.reshape(len(image), *shape.kernel).tolist()
    for plane, kernel in zip(image, by_channel, strict=True):
        for i, line in enumerate(kernel):
            for j, weight in enumerate(line):
                row = at[0] + i * shape.dilation - shape.pad
                column = at[1] + j - (0 if shape.one_dimensional else shape.pad)
                if 0 <= row < high and 0 <= column < wide:
                    result += weight * pooled(layer, plane, row, column, rounding)
    return result


def output(layer: DrawnLayer85, image: Planes, at: tuple[int, int, int], rounding: bool) -> int:
    """Output channel, row and column of a layer that reads this image."""
    if not layer.weighted:
        return pooled(layer, image[at[0]], at[1], at[2], rounding)
    bias = 0 if layer.biases is None else 128 * int(layer.biases[at[0]])
    sum_ = total(layer, image, layer.weights[at[0]], at[1:], rounding) + bias
    return sum_ if layer.shape.wide else activated(scaled(sum_, layer.shift), layer.activation)
