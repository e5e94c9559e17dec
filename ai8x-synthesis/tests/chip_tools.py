"""What the tests of the chip model and of the emulator share: addresses, conformance cases, a packer of its own.

Everything here is written from the AI84 hardware reference alone and uses nothing of izer/ or chip/.
"""

import json
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

CASES = Path(__file__).parent / "conformance" / "ai84" / "valid"
GROUPS, STOP, DONE = 4, 0x06, 0x1000
RCNT, CCNT, PRCNT, PCCNT, STRIDE, WPTR_BASE, WPTR_OFF, RPTR_BASE, LCTL, MCNT, TPTR, ENA = 0, 1, *range(3, 13)
REGISTERS = (RCNT, CCNT, PRCNT, PCCNT, STRIDE, WPTR_BASE, WPTR_OFF, RPTR_BASE, LCTL, MCNT, TPTR, ENA)

Write = tuple[int, int]


def ctl(group: int) -> int:
    return 0x50100000 + 0x100000 * group


def lcnt(group: int) -> int:
    return ctl(group) + 8


def lreg(group: int, register: int, layer: int) -> int:
    return ctl(group) + 0x10 + 0x80 * register + 4 * layer


def mram(processor: int, column: int, word: int = 0) -> int:
    return ctl(processor // 16) + 0x4800 + 0x800 * (processor % 16) + 16 * column + 4 * word


def bram(group: int, entry: int) -> int:
    return ctl(group) + 0xC800 + 4 * entry


def sram(instance: int, word: int) -> int:
    return ctl(instance // 4) + 0x10000 + 0x4000 * (instance % 4) + 4 * word


def bits(value: int, count: int = 64) -> list[int]:
    """Positions of the set bits, ascending."""
    return [i for i in range(count) if value >> i & 1]


def write_all(chip, writes: list[Write]) -> None:
    for address, value in writes:
        chip.write32(address, value)


def wait(chip, group: int = 0) -> None:
    """Poll the completion flag the way firmware does (7.3)."""
    for _ in range(10):
        if chip.read32(ctl(group)) & DONE:
            return
    raise AssertionError("the completion flag never came")


@dataclass(frozen=True)
class Case:
    """A conformance case as bus operations. The zeros that a program writes are added: the state omits them."""

    name: str
    setup: list[Write]
    start: list[Write]
    addresses: np.ndarray
    masks: np.ndarray
    values: np.ndarray


def read_case(folder: Path) -> Case:
    state = dict(zip(*(np.load(folder / "state.npz")[key].tolist() for key in ("addr", "value")), strict=True))
    start = [(address, value) for address, value in json.loads((folder / "start.json").read_text())["start"]]
    groups = sorted((address - ctl(0)) // 0x100000 for address, _ in start)
    layers = json.loads((folder / "meta.json").read_text())["layers"]
    addresses = [lcnt(g) for g in groups]
    addresses += [lreg(g, r, n) for g in groups for n in range(layers) for r in REGISTERS]
    addresses += _kernel_addresses(state, groups, layers) + _bias_addresses(state, groups, layers)
    addresses += _input_addresses(state, groups)
    addresses += sorted(set(state) - set(addresses))
    checks = np.load(folder / "checks.npz")
    return Case(folder.name, [(address, state.get(address, 0)) for address in addresses], start, checks["addr"],
                checks["mask"], checks["value"])


def _kernel_addresses(state: dict[int, int], groups: list[int], layers: int) -> list[int]:
    kernels = {}
    for g, n in ((g, n) for n in range(layers) for g in groups):
        mcnt = state.get(lreg(g, MCNT, n), 0)
        for p in bits(state.get(lreg(g, ENA, n), 0), 16):
            columns = range(mcnt >> 8 & 0x7F, (mcnt >> 8 & 0x7F) + (mcnt & 0x7F) + 1)
            kernels.update(dict.fromkeys((16 * g + p, column) for column in columns))
    return [mram(p, column, word) for p, column in kernels for word in range(4)]


def _bias_addresses(state: dict[int, int], groups: list[int], layers: int) -> list[int]:
    registers = [(g, state.get(lreg(g, MCNT, n), 0)) for g in groups for n in range(layers)]
    return [bram(g, (mcnt >> 16 & 0xFF) + m) for g, mcnt in registers if mcnt >> 24 for m in range((mcnt & 0x7F) + 1)]


def _input_addresses(state: dict[int, int], groups: list[int]) -> list[int]:
    """The words that layer 0 reads."""
    rcnt, ccnt = state[lreg(0, RCNT, 0)], state[lreg(0, CCNT, 0)]
    pixels = ((rcnt & 0xFF) + 1 - 2 * (rcnt >> 8)) * ((ccnt & 0xFF) + 1 - 2 * (ccnt >> 8))
    words = -(-pixels // 4) if state[lreg(0, LCTL, 0)] & 0x40 else pixels
    first = state.get(lreg(0, RPTR_BASE, 0), 0)
    instances = {4 * g + p // 4 for g in groups for p in bits(state.get(lreg(g, ENA, 0), 0), 16)}
    return [sram(q, first + n) for q in sorted(instances) for n in range(words)]


@dataclass(frozen=True)
class Layer:
    """One layer of a test network: what it computes and where it lives. Shapes: weights [o][c][3][3], bias [o]."""

    weights: np.ndarray
    processors: list[int]
    outputs: list[int]  # processors that get the output channels
    bias: np.ndarray | None = None
    pool: int = 0
    stride: int = 1
    average: bool = False
    pad: int = 1
    relu: bool = True
    chw: bool = False
    in_offset: int = 0
    out_offset: int = 0x2000
    column: int = 0  # first mask column
    bias_group: int = 0
    first_bias: int = 0

    @property
    def masks(self) -> int:
        return max(self.outputs) + 1 - min(self.outputs) // 4 * 4

    def output(self, size: int) -> int:
        """Output rows or columns for `size` input rows or columns (1.4)."""
        return ((size + self.stride - self.pool) // self.stride if self.pool else size) + 2 * self.pad - 2


@dataclass(frozen=True)
class Network:
    """Layers in order, the input [c][h][w] of the first, and the groups that are started."""

    layers: list[Layer]
    data: np.ndarray
    groups: list[int] = field(default_factory=lambda: [0, 1, 2, 3])


def registers(layer: Layer, height: int, width: int, group: int) -> dict[int, int]:
    """Register number to value (3.8)."""
    active = {p // 16 for p in layer.processors} - {0}
    enable = sum(1 << p % 16 for p in layer.processors if p // 16 == group)
    mcnt = layer.column << 8 | (layer.masks - 1)
    if layer.bias is not None and group == layer.bias_group:
        mcnt |= 1 << 24 | layer.first_bias << 16
    lctl = 0x820 | layer.chw << 6 | (layer.pool > 1) << 7 | (not layer.average) << 8 | layer.relu << 9
    if group == 0:
        lctl |= sum(1 << g for g in active) << 12
    return {RCNT: layer.pad << 8 | (height - 1 + 2 * layer.pad), CCNT: layer.pad << 8 | (width - 1 + 2 * layer.pad),
            PRCNT: max(1, layer.pool - 1), PCCNT: max(1, layer.pool - 1), STRIDE: layer.stride - 1,
            WPTR_BASE: layer.out_offset // 4 + 0x1000 * (min(layer.outputs) // 4), WPTR_OFF: 0x10000000,
            RPTR_BASE: layer.in_offset // 4, LCTL: lctl, MCNT: mcnt, TPTR: layer.output(width) - 1,
            ENA: enable << 16 | enable}


def kernel_words(kernel: np.ndarray) -> list[int]:
    """The four words of a kernel [3][3] (4.2)."""
    k = [int(value) & 0xFF for value in kernel.flatten()]
    return [k[0], int.from_bytes(bytes(k[1:5]), "big"), int.from_bytes(bytes(k[5:9]), "big"), 0]


def kernel_writes(layer: Layer) -> list[Write]:
    """Kernels of the real output channels; columns of dummies are not written (4.1, 4.4)."""
    first = min(layer.outputs) // 4 * 4
    return [(mram(p, layer.column + lane - first, word), value)
            for c, p in enumerate(layer.processors) for o, lane in enumerate(layer.outputs)
            for word, value in enumerate(kernel_words(layer.weights[o, c]))]


def bias_writes(layer: Layer) -> list[Write]:
    """One entry per mask, zero for dummies (5)."""
    entries = [0] * layer.masks
    if layer.bias is None:
        return []
    for value, lane in zip(layer.bias.tolist(), layer.outputs, strict=True):
        entries[lane - min(layer.outputs) // 4 * 4] = value & 0xFF
    return [(bram(layer.bias_group, layer.first_bias + i), value) for i, value in enumerate(entries)]


def input_writes(layer: Layer, data: np.ndarray) -> list[Write]:
    """The input in HWC (6.1) or CHW (6.2) format."""
    words: dict[int, int] = {}
    for c, p in enumerate(layer.processors):
        for k, value in enumerate((data[c].flatten().astype(int) & 0xFF).tolist()):
            word, lane = (k // 4, k % 4) if layer.chw else (k, p % 4)
            address = sram(p // 4, layer.in_offset // 4 + word)
            words[address] = words.get(address, 0) | value << 8 * lane
    return list(words.items())


def setup(network: Network) -> list[Write]:
    """Everything before the start (7.1), in the order of the steps."""
    height, width = network.data.shape[1:]
    writes = [(ctl(g), 0) for g in range(GROUPS) if g not in network.groups]
    for g in network.groups:
        writes += [(ctl(g), STOP), (ctl(g) + 4, 0x40E), (lcnt(g), len(network.layers) - 1)]
    for number, layer in enumerate(network.layers):
        for g in network.groups:
            writes += [(lreg(g, r, number), value) for r, value in registers(layer, height, width, g).items()]
        writes += kernel_writes(layer) + bias_writes(layer)
        height, width = layer.output(height), layer.output(width)
    return writes + input_writes(network.layers[0], network.data)


def start(groups: list[int]) -> list[Write]:
    """Slaves first, the master (group 0) last (7.3)."""
    return [(ctl(g), 0x807) for g in groups if g] + [(ctl(0), 0x07)]


def pooled(layer: Layer, data: np.ndarray) -> np.ndarray:
    """Pooling of [c][h][w] as written in 1.4; averages truncate toward zero."""
    if not layer.pool:
        return data
    windows = np.lib.stride_tricks.sliding_window_view(data, (layer.pool, layer.pool), (1, 2))
    windows = windows[:, ::layer.stride, ::layer.stride]
    if not layer.average:
        return windows.max((3, 4))
    total = windows.sum((3, 4))
    return np.sign(total) * (np.abs(total) // layer.pool**2)


def evaluate(layer: Layer, data: np.ndarray) -> np.ndarray:
    """Output [o][h][w] of a layer in 64-bit integers as written in 1.4."""
    padded = np.pad(pooled(layer, data.astype(np.int64)), ((0, 0), (layer.pad,) * 2, (layer.pad,) * 2))
    windows = np.lib.stride_tricks.sliding_window_view(padded, (3, 3), (1, 2))
    total = np.einsum("ocij,chwij->ohw", layer.weights.astype(np.int64), windows)
    if layer.bias is not None:
        total = total + layer.bias.astype(np.int64)[:, None, None]
    return np.clip(np.floor_divide(total + 64, 128), 0 if layer.relu else -128, 127)


def read_output(chip, layer: Layer, height: int, width: int) -> np.ndarray:
    """The output channels [o][height][width] from data memory (6.3), with the displacement of 4x4 pooling (6.5)."""
    result = np.zeros((len(layer.outputs), height, width), np.int64)
    gap = 2 if (layer.pool, layer.stride) == (4, 4) else 0
    for o, p in enumerate(layer.outputs):
        words = [layer.out_offset // 4 + y * (width + gap) + gap + x for y in range(height) for x in range(width)]
        values = chip.read_many([sram(p // 4, word) for word in words])
        result[o] = (values >> np.uint32(8 * (p % 4))).astype(np.uint8).astype(np.int8).reshape(height, width)
    return result


def run(chip, network: Network) -> np.ndarray:
    """Set up, start, wait and unload the last layer."""
    write_all(chip, setup(network) + start(network.groups))
    wait(chip)
    height, width = network.data.shape[1:]
    for layer in network.layers:
        height, width = layer.output(height), layer.output(width)
    return read_output(chip, network.layers[-1], height, width)
