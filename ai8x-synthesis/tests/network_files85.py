"""A network for AI85 that was drawn at random, as the files that a user would have.

Nothing here uses the generator: numbers beside functions are sections of the AI85 hardware reference.
"""

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from izer import torchfile

VALUES = ("small", "large", "lowest", "highest")  # the latter two are the same value everywhere


def passes(channels: int) -> int:
    """In how many passes the 64 processors handle so many channels (1.5)."""
    return -(-channels // 64)


def per_pass(channels: int) -> int:
    """How many processors handle so many channels (1.5)."""
    return channels if channels <= 64 else min(64, (-(-channels // passes(channels)) + 3) // 4 * 4)


@dataclass(frozen=True)
class Shape:
    """What a layer computes: sizes in pixels, `dims` as it reads them, before pooling.

    `pool` is kind ("max", "avg" or ""), window and stride; `kernel` is (k, 1) in one dimension, (0, 0) without weights.
    """

    op: str
    dims: tuple[int, int]
    kernel: tuple[int, int] = (0, 0)
    pool: tuple[str, tuple[int, int], int] = ("", (1, 1), 1)
    pad: int = 0
    dilation: int = 1
    flatten: bool = False
    wide: bool = False

    @property
    def one_dimensional(self) -> bool:
        """Whether only the rows are padded and pooled (4.1)."""
        return self.op == "conv1d" or (self.op == "none" and self.dims[1] == 1)

    @property
    def pooled(self) -> tuple[int, int]:
        """Rows and columns after pooling (4.1)."""
        _, window, stride = self.pool
        rows, columns = ((side - extent) // stride + 1 for side, extent in zip(self.dims, window, strict=True))
        return rows, 1 if self.one_dimensional else columns

    @property
    def out(self) -> tuple[int, int]:
        """Rows and columns of the output (4.1)."""
        rows, columns = self.pooled
        if self.flatten:
            return 1, 1
        if self.op == "none":
            return rows, columns
        if self.op == "conv1d":
            return rows - (self.kernel[0] - 1) * self.dilation + 2 * self.pad, 1
        return rows - self.kernel[0] + 1 + 2 * self.pad, columns - self.kernel[1] + 1 + 2 * self.pad

    @property
    def long(self) -> bool:
        """Whether the layer is dilated so far that hardware takes it for an image (4.3.3)."""
        return self.dilation > 1 and (self.kernel[0] - 1) * self.dilation >= 9

    @property
    def written(self) -> tuple[int, int, int]:
        """Words for an output pass in front of the output, of it, and behind it (4.3.3, 7.4)."""
        own, size = self.out[0] * self.out[1], 4 if self.wide else 1
        if not self.long:
            return 0, size * own, 0
        ahead = self.dilation if self.kernel[0] == 3 else 0
        after = -(-self.dims[0] // self.dilation) * self.dilation - own - ahead
        return size * ahead, size * own, size * after


@dataclass(frozen=True)
class DrawnLayer85:
    """One layer as drawn. `processors` and `outputs` are 64-bit maps, `in_word` and `out_word` words of an instance.

    `sources` are the layers that it reads, -1 for the network input; `reshaped` says that it reads them with other rows
    and columns. `shift` includes the 8 - `bits` of the device. `bias` and `values` are names from VALUES, "" without
    bias; layers with the same seed and shapes have the same weights. `described` puts bits and shift into the
    description, else they are in the checkpoint; `explicit` writes keys that could be left out too.
    """

    shape: Shape
    sources: tuple[int, ...]
    channels: int
    processors: int
    in_word: int
    reshaped: bool
    out_channels: int
    outputs: int
    out_word: int
    activation: str
    bits: int
    shift: int
    bias: str
    bias_group: tuple[int, ...]
    values: str
    seed: int
    described: bool
    explicit: bool

    @property
    def weighted(self) -> bool:
        """Whether it has weights."""
        return self.shape.op != "none"

    @property
    def instances(self) -> range:
        """The data memory instances that it writes, those between too."""
        first = (self.outputs & -self.outputs).bit_length() - 1
        return range(first // 4, (self.outputs.bit_length() + 3) // 4)

    @property
    def words(self) -> range:
        """The words that it writes in them (7.3 to 7.5)."""
        ahead, own, after = (count * passes(self.out_channels) for count in self.shape.written)
        return range(self.out_word - ahead, self.out_word + own + after)

    @cached_property
    def weights(self) -> NDArray[np.int64]:
        """Kernels [K, C, kh, kw], [K, C, k] of conv1d, [K, C x pixels] of linear, which a flattened image is too.

        They are not all 0, which would make them weights of one bit (12.2), unless the description says the bits.
        """
        shape, rows = self.shape, self.shape.kernel[0]
        features = self.channels * (shape.dims[0] * shape.dims[1] if shape.flatten else 1)
        sides = {"conv1d": (rows,), "conv2d": shape.kernel}.get(shape.op, ())
        found = _integers(self.seed, self.values, (self.out_channels, features, *sides), self.bits)
        if not found.any() and self.values != "highest":
            found.flat[0] = -1
        return found

    @cached_property
    def stored_bias(self) -> NDArray[np.int64] | None:
        """The bias [K] in units of the device, -128 to 127."""
        return _integers(self.seed + 1, self.bias, (self.out_channels,), 8) if self.bias else None

    @property
    def biases(self) -> NDArray[np.int64] | None:
        """The bias that the device has: none where all are 0 (6)."""
        return None if self.stored_bias is None or not self.stored_bias.any() else self.stored_bias

    def tensors(self, name: str) -> dict[str, NDArray[Any]]:
        """What a checkpoint has of it (12.1): a bias is scaled and may have a fraction; bits of 0 stand for 8."""
        bits = self.bits if not self.described else self.seed % 2 * 8
        unit = 1 << (bits or 8) - 1
        own = {"op.weight": self.weights, "output_shift": 0 if self.described else self.shift + self.bits - 8,
               "weight_bits": bits}  # fmt: skip
        if self.stored_bias is not None:
            own["op.bias"] = self.stored_bias * unit + self.seed % unit
        return {f"{name}.{key}": np.asarray(value, np.float32) for key, value in own.items()}

    def yaml(self, index: int, data_format: str, default: int, named: frozenset[int]) -> str:
        """The layer in a network description; `default` is the output map that it has if it says none.

        Layers that are `named` are referred to by name.
        """
        shape, (kind, window, stride) = self.shape, self.shape.pool
        size = shape.kernel[0] if shape.op == "conv1d" else f"{shape.kernel[0]}x{shape.kernel[1]}"
        sources = [f"layer_{n}" if n in named else n for n in self.sources]
        ordinary = {"conv2d": "3x3", "conv1d": 9}.get(shape.op)
        scaled = self.weighted and (self.described or (self.values == "highest" and self.bits == 1))
        keys = {
            "name": f"layer_{index}" if index in named else None,
            "op": shape.op if shape.op != "conv2d" or self.explicit else None,
            "data_format": data_format if index == 0 and (self.explicit or data_format == "chw") else None,
            "processors": f"0x{self.processors:016x}",
            "output_processors": f"0x{self.outputs:016x}" if self.outputs != default or self.explicit else None,
            "in_offset": 4 * self.in_word if self.explicit or index == 0 else None,
            "out_offset": f"0x{4 * self.out_word:x}",
            "in_sequences": sources if self.sources != (index - 1,) or self.explicit else None,
            "in_dim": list(shape.dims) if self.reshaped else None,
            "kernel_size": size if size != ordinary and shape.op in ("conv2d", "conv1d") else None,
            f"{kind}_pool": list(window) if kind else None,
            "pool_stride": stride if kind or stride > 1 else None,
            "pad": shape.pad if shape.op in ("conv2d", "conv1d") else None,
            "dilation": shape.dilation if shape.dilation > 1 else None,
            "flatten": "true" if shape.flatten else None,
            "activate": self.activation or None,
            "quantization": self.bits if scaled else None,
            "output_shift": self.shift + self.bits - 8 if self.described and self.weighted else None,
            "output_width": 32 if shape.wide else None,
            "bias_group": list(self.bias_group) if self.bias_group else None,
        }  # fmt: skip
        return "- {" + ", ".join(f"{key}: {value}" for key, value in keys.items() if value is not None) + "}\n"


@dataclass(frozen=True)
class DrawnNetwork85:
    """A network with everything that its files hold; `sample` is a name from VALUES.

    `style` is "packed", "verify" (what is written is read back) or "rtl"; `rounding` and `deduplicate` are options.
    """

    layers: tuple[DrawnLayer85, ...]
    data_format: str
    input: tuple[int, int, int]
    sample: str
    seed: int
    rounding: bool
    deduplicate: bool
    style: str

    @property
    def yaml(self) -> str:
        """The network description."""
        last = self.layers[-1]
        named = frozenset(n for n, layer in enumerate(self.layers[:-1]) if layer.explicit)
        text = "".join(layer.yaml(n, self.data_format, self._default(n), named) for n, layer in enumerate(self.layers))
        lowest = (1 << per_pass(last.out_channels)) - 1
        output = "" if last.explicit or last.outputs == lowest else f"output_map: 0x{last.outputs:016x}\n"
        return f"arch: random\ndataset: MNIST\n{output}layers:\n{text}"

    def _default(self, index: int) -> int:
        """The output map of a layer that says none: the processors of the first that reads it (13.2)."""
        readers = [layer.processors for layer in self.layers[index + 1 :] if index in layer.sources]
        return readers[0] if readers else self.layers[index].outputs

    def write(self, folder: Path) -> None:
        """net.yaml, c.pth.tar and sample.npy; a sample of one column as a signal [C, L]."""
        state: dict[str, NDArray[Any]] = {}
        for n, layer in enumerate(self.layers):
            state |= layer.tensors(f"l{n}") if layer.weighted else {}
        torchfile.write(folder / "c.pth.tar", {"arch": "random", "epoch": 1, "state_dict": state})
        sample = _integers(self.seed, self.sample, self.input, 8)
        np.save(folder / "sample.npy", sample[:, :, 0] if self.input[2] == 1 else sample)
        (folder / "net.yaml").write_text(self.yaml)


def _integers(seed: int, values: str, shape: tuple[int, ...], bits: int) -> NDArray[np.int64]:
    """Integers of the named kind that so many bits hold."""
    low, high = -(1 << bits - 1), (1 << bits - 1) - 1
    if values in ("lowest", "highest"):
        return np.full(shape, low if values == "lowest" else high)
    low, high = (max(low, -4), min(high, 4)) if values == "small" else (low, high)
    return np.random.default_rng(seed).integers(low, high, shape, endpoint=True)
