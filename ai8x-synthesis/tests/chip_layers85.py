"""One layer of AI85 as bus operations, and what it must compute.

Both are written from the AI85 hardware reference alone and use nothing of izer/: registers from 4.5, weights from 5.1
to 5.4, biases from 6, data from 7, arithmetic from 1.4, clocks from 14.1.
"""

from dataclasses import dataclass
from math import ceil

import numpy as np

from chip import Chip
from chip_tools85 import (
    CCNT,
    CLOCK,
    ENA,
    ENABLE,
    LCTL,
    LCTL2,
    MCNT,
    ONED,
    PACKED,
    PCCNT,
    POST,
    PRCNT,
    RCNT,
    ROUND,
    RPTR_BASE,
    SLAVE,
    STRIDE,
    TPTR,
    WPTR_BASE,
    WPTR_CHOFFS,
    WPTR_MOFFS,
    WPTR_TOFFS,
    Columns,
    Write,
    bram,
    ctl,
    load_packed,
    lreg,
    sram,
    wait,
    write_all,
)

MASK_SIZE = {8: 0, 1: 1, 2: 2, 4: 3}
ACTIVATIONS = {
    "none": lambda value: value, "relu": lambda value: np.maximum(value, 0),
    "abs": lambda value: np.minimum(np.abs(value), 127),
}  # fmt: skip


def passes_of(channels: int) -> int:
    """Expansion (1.5)."""
    return ceil(channels / 64)


def per_pass(channels: int) -> int:
    """Processors that hold the channels (1.5): a multiple of 4 if there are several passes."""
    return channels if channels <= 64 else min(64, ceil(ceil(channels / passes_of(channels)) / 4) * 4)


@dataclass(frozen=True)
class Layer:
    """A layer with kernels: weights int [out][in][rows][columns], or [out][in] with flatten; bias int8 [out].

    One dimension (Conv1d): kernels [k][1] and one column. `processors` and `outputs` are as many as per_pass() says.
    """

    weights: np.ndarray
    processors: list[int]
    outputs: list[int]
    bits: int = 8
    bias: np.ndarray | None = None
    shift: int = 0  # in total
    activation: str = "none"
    wide: bool = False
    pool: tuple[int, int] = (1, 1)
    stride: int = 1
    average: bool = False
    rounding: bool = False
    pad: int = 0
    one_dimension: bool = False
    flatten: bool = False
    chw: bool = False
    in_offset: int = 0
    out_offset: int = 0x4000
    write_gap: int = 0
    column: int = 0
    bias_group: int = 0
    first_bias: int = 0

    @property
    def groups(self) -> list[int]:
        return sorted({0, self.bias_group} | {p // 16 for p in self.processors + self.outputs})

    @property
    def lanes(self) -> range:
        """The processors from the first written word to the last output: one slot each, per expansion (5.6)."""
        return range(self.outputs[0] // 4 * 4, self.outputs[-1] + 1)

    @property
    def expansions(self) -> int:
        return passes_of(len(self.weights))

    def slots(self) -> list[int | None]:
        """The output channel of every slot, None for dummies (5.3)."""
        place = {p: n for n, p in enumerate(self.outputs)}
        channels = [e * len(self.outputs) + place[p] if p in place else None
                    for e in range(self.expansions) for p in self.lanes]  # fmt: skip
        return [c if c is not None and c < len(self.weights) else None for c in channels]


def pooled_size(layer: Layer, size: int, window: int) -> int:
    return (size - window) // layer.stride + 1


def passes(layer: Layer, data: np.ndarray) -> int:
    """Words that a processor reads per pixel; with flatten all pixels are passes of one (18.3)."""
    return passes_of(len(data)) * (data[0].size if layer.flatten else 1)


def kernel_sequence(layer: Layer, data: np.ndarray, j: int) -> list[np.ndarray]:
    """The kernels of the j-th processor: slot after slot, in a slot pass after pass (5.3, 5.4)."""
    count, step = passes(layer, data), len(layer.processors)
    result = []
    for channel in layer.slots():
        for n in range(count):
            if layer.flatten:  # pixels outside, input passes inside
                pixel, e = divmod(n, passes_of(len(data)))
                source, index = layer.weights.reshape(len(layer.weights), len(data), -1, 1), (e * step + j, pixel)
            else:
                source, index = layer.weights.reshape(*layer.weights.shape[:2], -1), (n * step + j,)
            exists = channel is not None and index[0] < len(data)
            result.append(source[(channel, *index)] if exists else np.zeros(source.shape[-1], int))
    return result


def columns(layer: Layer, data: np.ndarray) -> Columns:
    """Mask RAM (5.1, 5.2)."""
    result = {}
    together = 8 // layer.bits
    for j, processor in enumerate(layer.processors):
        kernels = kernel_sequence(layer, data, j)
        stream = bytearray()
        for n in range(0, len(kernels), together):
            parts = [(kernel & (2**layer.bits - 1)) << i * layer.bits for i, kernel in enumerate(kernels[n:n+together])]
            stream += bytes(np.bitwise_or.reduce(parts)[::-1].astype(np.uint8))
        stream += bytes(-len(stream) % 9)
        for n in range(0, len(stream), 9):
            result[processor, layer.column + n // 9] = bytes(stream[n : n + 9][::-1])
    return result


def registers(layer: Layer, data: np.ndarray, group: int) -> dict[int, int]:
    """Layer registers (4.5); those that are 0 are left out."""
    height, width = (1, 1) if layer.flatten else data.shape[1:]
    kernel_rows, kernel_columns = (1, 1) if layer.flatten else layer.weights.shape[2:]
    size, wide = kernel_rows * kernel_columns, 4 if layer.wide else 1
    column_pad = 0 if layer.one_dimension else layer.pad
    first, remainder = divmod(9 * layer.column, size)
    count = passes(layer, data)
    pooling = layer.pool != (1, 1)
    enable = sum(1 << p % 16 for p in layer.processors if p // 16 == group)
    lctl = (0x820 | layer.chw << 6 | pooling << 7 | (not layer.average) << 8 | (layer.activation == "relu") << 9
            | layer.wide << 16)  # fmt: skip
    post = (layer.shift & 15 if layer.shift >= 0 else -layer.shift | 16) << 13
    post |= MASK_SIZE[layer.bits] << 22 | (layer.activation == "abs") << 26
    tptr = pooled_size(layer, width, layer.pool[1]) + 2 * layer.pad - 3 if size == 9 and kernel_columns == 3 else 0
    if count > 16:
        post, tptr = post | 1 << 27 | (count - 1 >> 4) << 18, (count - 1) << 16 | (2 * count - 1)
    if group == layer.bias_group and layer.bias is not None:
        post |= 1 << 12 | layer.first_bias
    if group == 0:
        lctl |= sum(1 << g for g in layer.groups if g) << 12
    step = layer.expansions * (layer.write_gap + 1)
    values = {
        RCNT: layer.pad << 16 | (height - 1 + 2 * layer.pad), CCNT: column_pad << 16 | (width - 1 + 2 * column_pad),
        ONED: remainder << 4 | (0 if kernel_columns == 3 else kernel_rows << 8) | layer.one_dimension << 12,
        PRCNT: layer.pool[0] - 1, PCCNT: layer.pool[1] - 1, STRIDE: layer.stride - 1,
        WPTR_BASE: layer.out_offset // 4 | layer.outputs[0] // 4 << 13, WPTR_TOFFS: int(size == 1), WPTR_MOFFS: 0x2000,
        WPTR_CHOFFS: wide * (layer.write_gap + 1) if layer.expansions > 1 else 0, RPTR_BASE: layer.in_offset // 4,
        LCTL: lctl, MCNT: 8 * first << 16 | (8 * first + (len(layer.slots()) * count - 1) * layer.bits), TPTR: tptr,
        ENA: enable << 16 | enable, POST: post,
        LCTL2: count - 1 & 15 | step - 1 << 4 | (len(layer.lanes) - 1) * layer.bits << 8,
    }  # fmt: skip
    return {number: value for number, value in values.items() if value}


def input_writes(processors: list[int], data: np.ndarray, offset: int, chw: bool) -> list[Write]:
    """The input int8 [c][h][w] (7.1, 7.2)."""
    words: dict[int, int] = {}
    count, step = passes_of(len(data)), len(processors)
    for c, channel in enumerate((data.reshape(len(data), -1).astype(int) & 0xFF).tolist()):
        e, p = c // step, processors[c % step]
        for k, value in enumerate(channel):
            word, lane = (k // 4, k % 4) if chw else (k * count + e, p % 4)
            address = sram(p // 4, offset // 4 + word)
            words[address] = words.get(address, 0) | value << 8 * lane
    return list(words.items())


def control_writes(groups: list[int]) -> list[Write]:
    return [write for g in groups for write in ((ctl(g), CLOCK | PACKED), (ctl(g) + 4, 0x40E))]


def start_writes(groups: list[int], rounding: bool = False) -> list[Write]:
    """The start of all groups, the master last (4.7)."""
    common = CLOCK | PACKED | (ROUND if rounding else 0)
    slaves = [(ctl(g), common | SLAVE | (ENABLE if g else 0)) for g in groups]
    return [*slaves, (ctl(0), common | ENABLE)]


def setup_writes(layer: Layer, data: np.ndarray) -> list[Write]:
    """Biases (a dummy's is 0), layer registers of all groups, input."""
    writes = []
    if layer.bias is not None:
        values = [0 if c is None else int(layer.bias[c]) & 0xFF for c in layer.slots()]
        writes += [(bram(layer.bias_group, layer.first_bias + n), value) for n, value in enumerate(values)]
    for g in layer.groups:
        writes += [(lreg(g, number, 0), value) for number, value in registers(layer, data, g).items()]
    return writes + input_writes(layer.processors, data, layer.in_offset, layer.chw)


def prepare(chip: Chip, layer: Layer, data: np.ndarray) -> None:
    """Everything before the start."""
    write_all(chip, control_writes(layer.groups))
    load_packed(chip, columns(layer, data))
    write_all(chip, setup_writes(layer, data))


def run(chip: Chip, layer: Layer, data: np.ndarray) -> np.ndarray:
    """Set up, start, wait and unload."""
    prepare(chip, layer, data)
    write_all(chip, start_writes(layer.groups, layer.rounding))
    wait(chip)
    return read_output(chip, layer, *evaluate(layer, data).shape[1:])


def read_output(chip: Chip, layer: Layer, height: int, width: int) -> np.ndarray:
    """The output [c][height][width] from data memory (9.2)."""
    result = np.zeros((len(layer.weights), height * width), np.int64)
    for c in range(len(layer.weights)):
        e, p = c // len(layer.outputs), layer.outputs[c % len(layer.outputs)]
        steps = [(x * layer.expansions + e) * (layer.write_gap + 1) for x in range(height * width)]
        words = [layer.out_offset // 4 + (4 * n + p % 4 if layer.wide else n) for n in steps]
        values = chip.read_many([sram(p // 4, word) for word in words])
        lane = values if layer.wide else (values >> np.uint32(8 * (p % 4))).astype(np.uint8)
        result[c] = lane.view(np.int32 if layer.wide else np.int8)
    return result.reshape(-1, height, width)


def pooled(data: np.ndarray, pool: tuple[int, int], stride: int, average: bool, rounding: bool) -> np.ndarray:
    """Pooling of [c][h][w], or sub-sampling without a window (1.4). Averages truncate, or round away from zero."""
    windows = np.lib.stride_tricks.sliding_window_view(data, pool, (1, 2))[:, ::stride, ::stride]
    if not average:
        return windows.max((3, 4))
    total, count = windows.sum((3, 4)), pool[0] * pool[1]
    return np.sign(total) * ((2 * np.abs(total) + count) // (2 * count) if rounding else np.abs(total) // count)


def evaluate(layer: Layer, data: np.ndarray) -> np.ndarray:
    """Output [c][h][w] in 64-bit integers (1.4). Pooling in front of a Conv1d does not round."""
    image = pooled(data.astype(np.int64), layer.pool, layer.stride, layer.average,
                   layer.rounding and not layer.one_dimension)  # fmt: skip
    if layer.flatten:
        total = (layer.weights.astype(np.int64) @ image.ravel())[:, None, None]
    else:
        padding = (layer.pad, layer.pad)
        image = np.pad(image, ((0, 0), padding, (0, 0) if layer.one_dimension else padding))
        windows = np.lib.stride_tricks.sliding_window_view(image, layer.weights.shape[2:], (1, 2))
        total = np.einsum("ocij,chwij->ohw", layer.weights.astype(np.int64), windows)
    if layer.bias is not None:
        total = total + 128 * layer.bias.astype(np.int64)[:, None, None]
    if layer.wide:
        return total
    scaled = (total << max(0, layer.shift)) + (64 << max(0, -layer.shift)) >> 7 + max(0, -layer.shift)
    return ACTIVATIONS[layer.activation](np.clip(scaled, -128, 127))


def clocks(layer: Layer, data: np.ndarray) -> int:
    """The latency model (14.1) of a run of this layer alone, with the startup clock."""
    height, width = (pooled_size(layer, size, window) for size, window in zip(data.shape[1:], layer.pool, strict=True))
    kh, kw = (1, 1) if layer.flatten else layer.weights.shape[2:]
    pr, pc = layer.pad, 0 if layer.one_dimension else layer.pad
    outputs = width + 2 * pc - kw + 1
    mp, k = passes_of(len(data)), len(layer.slots())
    p, d = 2 * mp, mp * (layer.pool[0] * layer.pool[1] + 1)
    f = 2 * pc * (p + 1) + width * (p + 1)
    n = 2 * pc * (p + 1) + width * (d + 1)
    r = pc * (p + 1) + (kw - 1 - pc) * (d + 1) + (outputs - pc) * d + p * pc
    b = pc * (p + 1) + (kw - 1 - pc) * (p + 1) + (outputs - pc) * p + p * pc
    o = mp * outputs * k + (k if k == 1 and mp == 1 else 0)
    fl = layer.flatten and passes(layer, data) > 16
    return 1 + fl + pr * f + (kh - 1 - pr) * n + (r + o) * (height - (kh - 1 - pr)) + pr * (b + o)
