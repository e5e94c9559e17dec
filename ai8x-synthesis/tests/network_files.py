"""A network that was drawn at random, as the files that a user would have."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from izer import torchfile

LAYER_SPREADS = {"small": 4, "middle": 32, "large": 128}  # small ones keep sums in range, large ones saturate
EXTREMES = {"lowest": -128, "highest": 127}  # the same value everywhere
VALUES = (*LAYER_SPREADS, *EXTREMES)


@dataclass(frozen=True)
class DrawnLayer:
    """One layer as drawn. `processors` and `outputs` are 64-bit maps, offsets are bytes, `pool` is kind, size, stride.

    `sources` are the layers that it reads, -1 for the network input; `in_dim` its rows and columns where they are not
    those of the source. `explicit` writes keys that could be left out too. `values` is a name from VALUES.
    """

    op: str
    sources: tuple[int, ...]
    processors: int
    in_offset: int
    in_dim: tuple[int, int] | None
    pool: tuple[str, int, int]
    pad: int
    relu: bool
    bias: bool
    values: str
    outputs: int
    out_offset: int
    explicit: bool

    def yaml(self, index: int, joined: bool, data_format: str) -> str:
        """The layer in a network description; `joined` says that it is read together with another one."""
        kind, size, stride = self.pool
        keys = {
            "op": "conv1d" if self.op == "conv1d" else "conv2d" if self.explicit else None,
            "data_format": data_format if index == 0 else None,
            "processors": f"0x{self.processors:016x}",
            "output_processors": f"0x{self.outputs:016x}" if joined or self.explicit else None,
            "in_offset": f"0x{self.in_offset:x}" if self.explicit else None,
            "out_offset": f"0x{self.out_offset:x}",
            "in_channels": self.processors.bit_count() if self.explicit else None,
            "out_channels": self.outputs.bit_count() if self.explicit else None,
            "in_sequences": list(self.sources) if self.sources != (index - 1,) or self.explicit else None,
            "in_dim": list(self.in_dim) if self.in_dim else None,
            f"{kind}_pool": size or None,
            "pool_stride": stride if kind else None,
            "pad": self.pad,
            "activate": "ReLU" if self.relu else None,
        }
        return "- {" + ", ".join(f"{key}: {value}" for key, value in keys.items() if value is not None) + "}\n"

    def weights(self, random: np.random.Generator) -> NDArray[np.float32]:
        """Kernels [Cout, Cin, 3, 3], or [Cout, Cin, 9] for a one-dimensional layer."""
        taps = (9,) if self.op == "conv1d" else (3, 3)
        return _integers(random, self.values, (self.outputs.bit_count(), self.processors.bit_count(), *taps))


@dataclass(frozen=True)
class DrawnNetwork:
    """A network with everything that its files hold; weights and sample follow from the seed.

    `height` and `width` are the network input's; with `classes` there is a classification layer of so many outputs.
    """

    layers: tuple[DrawnLayer, ...]
    data_format: str
    height: int
    width: int
    sample: str
    classes: int
    fc_bias: bool
    outputs: int
    seed: int

    @property
    def input_offset(self) -> int:
        """The option --input-offset, in bytes."""
        return self.layers[0].in_offset

    @property
    def yaml(self) -> str:
        """The network description."""
        joined = {source for layer in self.layers if len(layer.sources) > 1 for source in layer.sources}
        text = "".join(layer.yaml(n, n in joined, self.data_format) for n, layer in enumerate(self.layers))
        last = self.layers[-1]
        output = "" if last.explicit else f"output_map: 0x{last.outputs:016x}\n"
        return f"arch: random\ndataset: MNIST\n{output}layers:\n{text}"

    def write(self, folder: Path) -> None:
        """net.yaml, c.pth.tar and sample.npy; a sample of one column as a signal [C, L]."""
        random = np.random.default_rng(self.seed)
        state = {}
        for n, layer in enumerate(self.layers):
            state[f"l{n}.weight"] = layer.weights(random)
            if layer.bias:
                state[f"l{n}.bias"] = _integers(random, "large", (layer.outputs.bit_count(),))
        if self.classes:
            state["fc.weight"] = _integers(random, "middle", (self.classes, self.outputs))
            if self.fc_bias:
                state["fc.bias"] = _integers(random, "large", (self.classes,))
        torchfile.write(folder / "c.pth.tar", {"arch": "random", "state_dict": state})
        shape = (self.layers[0].processors.bit_count(), self.height, self.width)
        sample = _integers(random, self.sample, shape).astype(np.int64)
        np.save(folder / "sample.npy", sample[:, :, 0] if self.width == 1 else sample)
        (folder / "net.yaml").write_text(self.yaml)


def _integers(random: np.random.Generator, values: str, shape: tuple[int, ...]) -> NDArray[np.float32]:
    """Integers of the named kind, as a checkpoint holds them."""
    if values in EXTREMES:
        return np.full(shape, EXTREMES[values], np.float32)
    spread = LAYER_SPREADS[values]
    return random.integers(-spread, spread, shape).astype(np.float32)
