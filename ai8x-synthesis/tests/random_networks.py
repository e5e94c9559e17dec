"""Random legal networks with random placements, as the files that a user would have."""

from dataclasses import dataclass
from pathlib import Path

import hypothesis.strategies as st
import numpy as np

from izer import torchfile

POOLINGS = [("", 0, 1), ("max", 2, 1), ("max", 2, 2), ("avg", 2, 1), ("avg", 2, 2)]
LAST_POOLINGS = [*POOLINGS, ("max", 4, 4), ("avg", 4, 4)]


@dataclass(frozen=True)
class RandomLayer:
    """One layer as drawn; `processors` are positions, ascending."""

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
        return (f"- {{processors: 0x{bitmap:016x}, pad: {self.pad}, out_offset: 0x{self.out_offset:x}"
                f"{pooling}{activation}{chosen}}}\n")  # fmt: skip


@dataclass(frozen=True)
class RandomNetwork:
    """A network with everything that its files hold; weights and sample follow from the seed."""

    layers: list[RandomLayer]
    output: list[int]
    data_format: str
    height: int
    width: int
    input_offset: int
    seed: int

    def write(self, folder: Path) -> None:
        """net.yaml, c.pth.tar and sample.npy."""
        random = np.random.default_rng(self.seed)
        state = {}
        for n, layer in enumerate(self.layers):
            shape = (layer.out_channels, len(layer.processors), 3, 3)
            spread = random.choice([4, 32, 128])  # small weights keep sums in range, large ones saturate
            state[f"l{n}.weight"] = random.integers(-spread, spread, shape).astype(np.float32)
            if layer.bias:
                state[f"l{n}.bias"] = random.integers(-128, 128, layer.out_channels).astype(np.float32)
        torchfile.write(folder / "c.pth.tar", {"arch": "random", "state_dict": state})
        shape = (len(self.layers[0].processors), self.height, self.width)
        np.save(folder / "sample.npy", random.integers(-128, 128, shape))
        output = sum(1 << processor for processor in self.output)
        text = "".join(layer.yaml(None if n else self.data_format) for n, layer in enumerate(self.layers))
        (folder / "net.yaml").write_text(f"arch: random\ndataset: MNIST\noutput_map: 0x{output:x}\nlayers:\n{text}")


def _positions(draw: st.DrawFn, count: int, chw: bool = False) -> list[int]:
    """Distinct processors: lane 0 of different quads for CHW, else scattered or adjacent ones."""
    if chw:
        return sorted(4 * quad for quad in draw(st.sets(st.integers(0, 15), min_size=count, max_size=count)))
    if draw(st.booleans()):
        first = draw(st.integers(0, 64 - count))
        return list(range(first, first + count))
    return sorted(draw(st.sets(st.integers(0, 63), min_size=count, max_size=count)))


def _fits(pool: tuple[str, int, int], height: int, width: int, pad: int, rectified: bool) -> bool:
    """Whether a pooling tiles the image, leaves at least one output, and stays in the accumulator."""
    kind, size, stride = pool
    if not kind:
        return min(height, width) + 2 * pad >= 3
    pooled = [(side + stride - size) // stride for side in (height, width)]
    tiles = all((side - size) % stride == 0 and side >= size for side in (height, width))
    return tiles and min(pooled) + 2 * pad >= 3 and (rectified or (kind, size) != ("avg", 4))


@st.composite
def random_networks(draw: st.DrawFn) -> RandomNetwork:
    """Networks of one to four layers; layers alternate between two halves of the data memory."""
    data_format = draw(st.sampled_from(["chw", "hwc"]))
    height, width = draw(st.integers(1, 14)), draw(st.integers(1, 14))
    first_height, first_width = height, width
    channels = draw(st.integers(1, 8))
    processors = _positions(draw, channels, data_format == "chw")
    count = draw(st.integers(1, 4))
    layers: list[RandomLayer] = []
    for n in range(count):
        last = n == count - 1
        rectified = bool(layers) and layers[-1].relu
        pads = [p for p in (0, 1, 2) if min(height, width) + 2 * p >= 3]
        pad = draw(st.sampled_from(pads))
        legal = [p for p in (LAST_POOLINGS if last else POOLINGS) if _fits(p, height, width, pad, rectified)]
        pool = draw(st.sampled_from(legal))
        offset = 0x2000 * (1 - n % 2) + 4 * draw(st.integers(0, 64))
        layer = RandomLayer(processors, pool, pad, draw(st.booleans()), draw(st.integers(0, 3)) == 0,
                            draw(st.integers(1, 10)), offset)  # fmt: skip
        layers.append(layer)
        kind, size, stride = pool
        height, width = ((side + stride - size) // stride if kind else side for side in (height, width))
        height, width = height + 2 * pad - 2, width + 2 * pad - 2
        processors = _positions(draw, layer.out_channels)
    used = {p // 16 for layer in layers for p in layer.processors} | {p // 16 for p in processors}
    if 0 not in used:  # the master group takes part in every network
        processors = list(range(layers[-1].out_channels))
    return RandomNetwork(layers, processors, data_format, first_height, first_width, 4 * draw(st.integers(0, 64)),
                         draw(st.integers(0, 2**32 - 1)))  # fmt: skip
