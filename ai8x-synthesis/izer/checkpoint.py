"""What a checkpoint holds for all devices; ai84/checkpoint.py and ai85/checkpoint.py make integer weights of it."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from . import torchfile
from .errors import IzerError

PREFIXES = ("module.", "_orig_mod.")  # added by parallel training and by torch.compile
FC_MODULE = "fc"


@dataclass(frozen=True)
class LayerWeights:
    """Integer weights of one layer; bias [Cout] or None, as the device adds it.

    The shape is [Cout, Cin, kh, kw] for a convolution, [Cout, Cin, k] for a one-dimensional one, [R, N] for a matrix
    product. The weights have `weight_bits` bits, and the layer's sums are multiplied by 2**`output_shift`. Only AI85
    has a choice of them.
    """

    name: str
    weight: NDArray[np.int8]
    bias: NDArray[np.int8] | None
    weight_bits: int = 8
    output_shift: int = 0

    @property
    def op(self) -> str:
        """The operation, which the number of dimensions tells: "conv2d", "conv1d" or "linear"."""
        return {4: "conv2d", 3: "conv1d", 2: "linear"}[self.weight.ndim]


@dataclass(frozen=True)
class Checkpoint:
    """What the accelerator computes, in network order, and the software classification layer if there is one."""

    path: str
    arch: str
    convolutions: tuple[LayerWeights, ...]
    fc: LayerWeights | None

    @property
    def trained(self) -> bool:
        """Whether there are weights: those of a network that is only described are all 0."""
        return any(layer.weight.any() for layer in self.convolutions)


def state_dict(content: Mapping[str, Any], path: Path) -> dict[str, NDArray[Any]]:
    """The tensors of a checkpoint by name, in order, without the prefixes of parallel training.

    Raises IzerError if there is no state_dict or it holds anything but tensors.
    """
    tensors = content.get("state_dict")
    if not isinstance(tensors, dict) or not all(isinstance(value, np.ndarray) for value in tensors.values()):
        raise IzerError(f"{path}: a checkpoint has a dictionary `state_dict` of tensors; this has none.")
    named: dict[str, NDArray[Any]] = {}
    for key, value in tensors.items():
        name = str(key)
        for prefix in PREFIXES:
            name = name.removeprefix(prefix)
        named.setdefault(name, value)
    return named


def weighted_modules(tensors: Mapping[str, NDArray[Any]]) -> Iterator[tuple[str, str | None]]:
    """Pairs of weight and bias names (None: no bias), in the order of the state dictionary."""
    for name in tensors:
        if name.rpartition(".")[2] == "weight":
            bias = name.removesuffix("weight") + "bias"
            yield name, bias if bias in tensors else None


def layer_name(weight: str) -> str:
    """`conv1` of `conv1.op.weight`, and of the older `conv1.weight` (AI85 hardware reference 12.1)."""
    parts = weight.split(".")
    return ".".join(parts[:-2]) if len(parts) > 2 else parts[0]


def is_fc(name: str) -> bool:
    """Whether a tensor belongs to the software classification layer, the module `fc`."""
    return name.partition(".")[0] == FC_MODULE


def read_tensors(path: Path) -> tuple[str, dict[str, NDArray[Any]]]:
    """The name of the network, and the tensors by name. Raises IzerError if the file is no checkpoint."""
    content = torchfile.read(path)
    tensors = state_dict(content, path)
    if not isinstance(content.get("arch"), str):
        raise IzerError(f"{path}: a checkpoint names its network in `arch`; this does not.")
    return content["arch"], tensors


def described_network(path: Path) -> bytes:
    """The YAML description of the network, without maps and offsets, that training stores in a checkpoint.

    Raises IzerError if the file is no checkpoint, or an older one without a description.
    """
    text = torchfile.read(path).get("network")
    if not isinstance(text, str):
        raise IzerError(f"{path}: this checkpoint does not describe its network (the key `network`); write a "
                        "description with the layers' parameters, and name it with --config-file.")
    return text.encode()
