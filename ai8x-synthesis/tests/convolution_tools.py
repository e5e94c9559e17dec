"""Convolutions for the functions of CMSIS-NN: their arguments, and the formula of the AI84 hardware reference 13.1."""

from dataclasses import astuple, dataclass

import numpy as np

from device_c_tools import Runtime

PORTABLE = "cmsis_nn_portable"
INCLUDE = '#include "arm_nnfunctions.h"'


def numbers(first: int, count: int) -> str:
    return ", ".join(f"(uint16_t)a[{n}]" for n in range(first, first + count))


# Integers in the order of Arm's arguments; blocks: input, weights, bias, output, bufferA.
CALLS = {
    **{f"{kind}_nonsquare": f"return (int32_t)arm_convolve_HWC_q7_{kind}_nonsquare(p[0], {numbers(0, 3)}, p[1], "
                            f"{numbers(3, 7)}, p[2], {numbers(10, 2)}, p[3], {numbers(12, 2)}, p[4], 0)"
       for kind in ("basic", "fast")},
    **{kind: f"return (int32_t)arm_convolve_HWC_q7_{kind}(p[0], {numbers(0, 2)}, p[1], {numbers(2, 4)}, p[2], "
             f"{numbers(6, 2)}, p[3], {numbers(8, 1)}, p[4], 0)" for kind in ("basic", "fast")},
    "relu": "arm_relu_q7(p[0], (uint16_t)a[0]); return 0",
}


@dataclass(frozen=True)
class Pair:
    """A number for y and one for x."""

    y: int
    x: int


@dataclass(frozen=True)
class Convolution:
    """Image int [H, W, C], weights int [O, ky, kx, C], bias int [O], and how to apply them."""

    image: np.ndarray
    weights: np.ndarray
    bias: np.ndarray
    padding: Pair
    stride: Pair
    bias_shift: int = 0
    out_shift: int = 7

    @property
    def output(self) -> Pair:
        sizes = zip(self.image.shape, self.weights.shape[1:], astuple(self.padding), astuple(self.stride), strict=False)
        return Pair(*((size + 2 * padding - kernel) // stride + 1 for size, kernel, padding, stride in sizes))


def expected(conv: Convolution) -> np.ndarray:
    """13.1 in 64-bit integers, [Ho, Wo, O]."""
    pad = [(conv.padding.y,) * 2, (conv.padding.x,) * 2, (0, 0)]
    image, weights = np.pad(conv.image.astype(np.int64), pad), conv.weights.astype(np.int64)
    _, height, width, _ = weights.shape
    total = np.empty((conv.output.y, conv.output.x, len(weights)), np.int64)
    for y, x in np.ndindex(conv.output.y, conv.output.x):
        top, left = y * conv.stride.y, x * conv.stride.x
        total[y, x] = (weights * image[top:top + height, left:left + width]).sum(axis=(1, 2, 3))
    total += conv.bias.astype(np.int64) * 2**conv.bias_shift + 2**conv.out_shift // 2
    return np.clip(total // 2**conv.out_shift, -128, 127)


def blocks(conv: Convolution, columns: int) -> list[bytes]:
    """Input, weights, bias, output and a bufferA of `columns` values."""
    size = conv.output.y * conv.output.x * len(conv.weights)
    return [*(array.astype(np.int8).tobytes() for array in (conv.image, conv.weights, conv.bias)), bytes(size),
            bytes(2 * columns)]


def documented(conv: Convolution) -> int:
    """Values of bufferA (13.3)."""
    return 2 * conv.weights[0].size


def arguments(conv: Convolution) -> list[int]:
    """Of the functions for any size, x before y."""
    (height, width, channels), (outputs, kernel_y, kernel_x, _) = conv.image.shape, conv.weights.shape
    return [width, height, channels, outputs, kernel_x, kernel_y, conv.padding.x, conv.padding.y, conv.stride.x,
            conv.stride.y, conv.bias_shift, conv.out_shift, conv.output.x, conv.output.y]


def square_arguments(conv: Convolution) -> list[int]:
    """Of the functions for square sizes."""
    return [*conv.image.shape[1:], *conv.weights.shape[:2], conv.padding.x, conv.stride.x, conv.bias_shift,
            conv.out_shift, conv.output.x]


def convolve(runtime: Runtime, function: str, conv: Convolution) -> np.ndarray:
    """By one of the functions, which must succeed and leave its inputs as they were."""
    before = blocks(conv, documented(conv))
    numbers = (arguments if function.endswith("nonsquare") else square_arguments)(conv)
    status, after = runtime.call(function, numbers, *before)
    assert status == 0 and after[:3] == before[:3]
    return np.frombuffer(after[3], np.int8).reshape(conv.output.y, conv.output.x, -1)
