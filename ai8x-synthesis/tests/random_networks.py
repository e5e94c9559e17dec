"""Random legal networks with random placements, as the files that a user would have."""

from dataclasses import dataclass, field
from pathlib import Path

import hypothesis.strategies as st
import numpy as np

from izer import torchfile

POOLINGS = [("", 0, 1), ("max", 2, 1), ("max", 2, 2), ("avg", 2, 1), ("avg", 2, 2)]
LAST_POOLINGS = [*POOLINGS, ("max", 4, 4), ("avg", 4, 4)]
INSTANCE_WORDS = 4096
MASK_COLUMNS = 128
BIAS_ENTRIES = 256
# kind: the most channels, layers, and pixels of the network input in HWC and in CHW
KINDS = {
    "small": (10, 4, 14 * 14, 14 * 14),
    "wide": (64, 4, 6 * 6, 6 * 6),
    "deep": (6, 32, 8 * 8, 8 * 8),
    "large": (4, 2, INSTANCE_WORDS, 4 * INSTANCE_WORDS),
    "flat": (8, 4, 240, 240),  # one-dimensional convolutions
}


@dataclass(frozen=True)
class RandomLayer:
    """One layer as drawn; `processors` are positions, ascending."""

    op: str
    processors: list[int]
    pool: tuple[str, int, int]
    pad: int
    relu: bool
    bias: bool
    out_channels: int
    out_offset: int

    def yaml(self, data_format: str | None) -> str:
        """The layer in a network description."""
        kind, size, stride = self.pool
        pooling = f", {kind}_pool: {size}, pool_stride: {stride}" if kind else ""
        activation = ", activate: ReLU" if self.relu else ""
        chosen = f", data_format: {data_format}" if data_format else ""
        bitmap = sum(1 << processor for processor in self.processors)
        return (f"- {{op: {self.op}, processors: 0x{bitmap:016x}, pad: {self.pad}, out_offset: 0x{self.out_offset:x}"
                f"{pooling}{activation}{chosen}}}\n")  # fmt: skip

    @property
    def kernel(self) -> tuple[int, ...]:
        """The last dimensions of the weights."""
        return (9,) if self.op == "conv1d" else (3, 3)


@dataclass(frozen=True)
class RandomNetwork:
    """A network with everything that its files hold; weights and sample follow from the seed."""

    kind: str
    layers: list[RandomLayer]
    output: list[int]
    data_format: str
    shape: tuple[int, int, int]
    input_offset: int
    seed: int
    outputs: int  # of the last layer

    def write(self, folder: Path) -> None:
        """net.yaml, c.pth.tar with a classification layer, and sample.npy."""
        random = np.random.default_rng(self.seed)
        state = {}
        for n, layer in enumerate(self.layers):
            shape = (layer.out_channels, len(layer.processors), *layer.kernel)
            state[f"l{n}.weight"] = _values(random, shape)
            if layer.bias:
                state[f"l{n}.bias"] = _values(random, (layer.out_channels,))
        state["fc.weight"] = _values(random, (int(random.integers(1, 12)), self.outputs))
        torchfile.write(folder / "c.pth.tar", {"arch": "random", "state_dict": state})
        np.save(folder / "sample.npy", _values(random, self.shape).astype(np.int64))
        output = sum(1 << processor for processor in self.output)
        text = "".join(layer.yaml(None if n else self.data_format) for n, layer in enumerate(self.layers))
        (folder / "net.yaml").write_text(f"arch: random\ndataset: MNIST\noutput_map: 0x{output:x}\nlayers:\n{text}")


def _values(random: np.random.Generator, shape: tuple[int, ...]) -> np.ndarray:
    """Small numbers keep sums in range, large ones saturate, equal extremes reach the largest sums there are."""
    low, high = [(-4, 4), (-32, 32), (-128, 128), (-128, 128), (-128, -127), (127, 128)][random.integers(6)]
    return random.integers(low, high, shape).astype(np.float32)


@dataclass
class Builder:
    """A network while it is drawn: what the layers so far left behind."""

    draw: st.DrawFn
    random: np.random.Generator
    kind: str
    data_format: str
    height: int
    width: int
    processors: list[int]
    input_offset: int
    offset: int = 0  # of the data that the next layer reads, in words
    words: int = 0  # and its length
    layers: list[RandomLayer] = field(default_factory=list)
    columns: dict[int, int] = field(default_factory=dict)  # of each processor's mask RAM that are in use
    biases: int = 0
    output: list[int] = field(default_factory=list)

    def add(self, last: bool) -> bool:
        """Draw another layer; False if no place is left for it."""
        op = "conv1d" if self.kind == "flat" and self.height * self.width % 3 == 0 else "conv2d"
        height, width = (self.height * self.width // 3, 3) if op == "conv1d" else (self.height, self.width)
        pad, pool = self._geometry(op, height, width, last)
        if pad is None:
            return False
        rows, columns = _output_size(op, height, width, pad, pool)
        for channels in (int(self.random.integers(1, KINDS[self.kind][0] + 1)), 1):
            output = self._output(channels, last)
            span = max(output) + 1 - min(output) // 4 * 4
            start = max(self.columns.get(processor, 0) for processor in self.processors)
            words = rows * (columns + 2 * (pool[1] == 4))
            offset = self._offset(output, words)
            if offset is not None and start + span <= MASK_COLUMNS:
                bias = self.draw(st.integers(0, 3)) == 0 and self.biases + span <= BIAS_ENTRIES
                self.biases += span if bias else 0
                self.columns.update(dict.fromkeys(self.processors, (start + span + 3) // 4 * 4))
                self.layers.append(RandomLayer(op, self.processors, pool, pad, self.draw(st.booleans()), bias,
                                               channels, 4 * offset))  # fmt: skip
                self.height, self.width, self.offset, self.words = rows, columns, offset, words
                self.processors = self.output = output
                return True
        return False

    def _geometry(self, op: str, height: int, width: int, last: bool) -> tuple[int | None, tuple[str, int, int]]:
        """Padding and pooling; padding is None if there is none that leaves an output."""
        if op == "conv1d":
            pads = [p for p in (0, 3, 6) if (height + 2 * p // 3) >= 3]
            return (self.draw(st.sampled_from(pads)) if pads else None), POOLINGS[0]
        pads = [p for p in (0, 1, 2) if min(height, width) + 2 * p >= 3 and max(height, width) + 2 * p <= 256]
        if not pads:
            return None, POOLINGS[0]
        pad = self.draw(st.sampled_from(pads))
        rectified = bool(self.layers) and self.layers[-1].relu
        legal = [p for p in (LAST_POOLINGS if last else POOLINGS) if _fits(p, height, width, pad, rectified)]
        return pad, self.draw(st.sampled_from(legal))

    def _output(self, channels: int, last: bool) -> list[int]:
        """Processors for the output; those of the last layer use group 0 if nothing else does."""
        used = {p // 16 for layer in self.layers for p in layer.processors} | {p // 16 for p in self.processors}
        if last and 0 not in used:
            return list(range(channels))
        return positions(self.random, channels)

    def _offset(self, output: list[int], words: int) -> int | None:
        """A word that keeps the output clear of the input: at an edge of what is free, or anywhere in it."""
        if words > INSTANCE_WORDS:
            return None
        free = [(0, INSTANCE_WORDS - words)]
        if {p // 4 for p in self.processors} & set(range(min(output) // 4, max(output) // 4 + 1)):
            free = [(0, self.offset - words), (self.offset + self.words, INSTANCE_WORDS - words)]
        legal = [(low, high) for low, high in free if low <= high]
        if not legal:
            return None
        low, high = legal[self.random.integers(len(legal))]
        return int([low, high, self.random.integers(low, high + 1)][self.draw(st.integers(0, 2))])


def positions(random: np.random.Generator, count: int, chw: bool = False) -> list[int]:
    """Distinct processors: lane 0 of different quads for CHW, else scattered or adjacent ones."""
    if chw:
        return sorted(4 * int(quad) for quad in random.choice(16, count, replace=False))
    if random.integers(2):
        first = int(random.integers(0, 65 - count))
        return list(range(first, first + count))
    return sorted(int(processor) for processor in random.choice(64, count, replace=False))


def _output_size(op: str, height: int, width: int, pad: int, pool: tuple[str, int, int]) -> tuple[int, int]:
    """Rows and columns of a layer's output."""
    if op == "conv1d":
        return height + 2 * pad // 3 - 2, 1
    kind, size, stride = pool
    pooled = [(side + stride - size) // stride if kind else side for side in (height, width)]
    return pooled[0] + 2 * pad - 2, pooled[1] + 2 * pad - 2


def _fits(pool: tuple[str, int, int], height: int, width: int, pad: int, rectified: bool) -> bool:
    """Whether a pooling tiles the image, leaves at least one output, and stays in the accumulator."""
    kind, size, stride = pool
    if not kind:
        return min(height, width) + 2 * pad >= 3
    tiles = all((side - size) % stride == 0 and side >= size for side in (height, width))
    exact = rectified or (kind, size) != ("avg", 4)
    return exact and tiles and min(_output_size("conv2d", height, width, pad, pool)) >= 1


def _input_size(draw: st.DrawFn, kind: str, pixels: int) -> tuple[int, int]:
    """Rows and columns of the network input; thin images too."""
    if kind == "flat":
        return 3 * draw(st.integers(3, pixels // 3)), 1
    side = int(pixels**0.5)
    height = draw(st.sampled_from([1, side]) if draw(st.integers(0, 3)) == 0 else st.integers(1, side))
    width = draw(st.integers(1, min(252, pixels // height)) if kind == "large" else st.integers(1, side))
    return (height, width) if draw(st.booleans()) else (width, height)


@st.composite
def random_networks(draw: st.DrawFn) -> RandomNetwork:
    """Networks of all kinds; most are small, because those find most mistakes in the least time."""
    kind = draw(st.sampled_from(["small"] * 12 + ["wide", "wide", "deep", "large", "flat", "flat"]))
    most_channels, most_layers, hwc_pixels, chw_pixels = KINDS[kind]
    seed = draw(st.integers(0, 2**32 - 1))
    random = np.random.default_rng(seed)
    data_format = draw(st.sampled_from(["chw", "hwc"]))
    chw = data_format == "chw"
    height, width = _input_size(draw, kind, chw_pixels if chw else hwc_pixels)
    channels = int(random.integers(1, min(most_channels, 16 if chw else 64) + 1))
    shape = (channels, height, width)
    builder = Builder(draw, random, kind, data_format, height, width, positions(random, channels, chw), 0)
    builder.words = (height * width + 3) // 4 if chw else height * width
    builder.offset = int([0, INSTANCE_WORDS - builder.words, random.integers(INSTANCE_WORDS - builder.words + 1)]
                         [draw(st.integers(0, 2))])  # fmt: skip
    builder.input_offset = 4 * builder.offset
    wanted = draw(st.integers(1, most_layers))
    for n in range(wanted):
        if not builder.add(n == wanted - 1) or builder.layers[-1].pool[1] == 4:
            break
    if not builder.layers:  # the input fills all instances, or its padding does not fit
        return draw(random_networks())
    used = {p // 16 for layer in builder.layers for p in layer.processors} | {p // 16 for p in builder.output}
    if 0 not in used:  # the master group takes part in every network
        return draw(random_networks())
    return RandomNetwork(kind, builder.layers, builder.output, data_format, shape, builder.input_offset, seed,
                         builder.layers[-1].out_channels * builder.height * builder.width)  # fmt: skip
