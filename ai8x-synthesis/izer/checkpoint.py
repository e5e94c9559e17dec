"""Quantized checkpoint to integer weights (AI84 hardware reference 12.3); what AI85 adds is in checkpoint85.py."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from . import torchfile
from .errors import IzerError, RuleError, Violation
from .yamlcfg import Description

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


def read_checkpoint(path: Path) -> Checkpoint:
    """Read a quantized checkpoint.

    Raises IzerError if the file is no checkpoint, RuleError with every tensor of a wrong shape or with values that are
    not integers from -128 to 127.
    """
    return named_weights(str(path), *read_tensors(path))


def read_tensors(path: Path) -> tuple[str, dict[str, NDArray[Any]]]:
    """The name of the network, and the tensors by name. Raises IzerError if the file is no checkpoint."""
    content = torchfile.read(path)
    tensors = state_dict(content, path)
    if not isinstance(content.get("arch"), str):
        raise IzerError(f"{path}: a checkpoint names its network in `arch`; this does not.")
    return content["arch"], tensors


def named_weights(path: str, arch: str, tensors: Mapping[str, NDArray[Any]]) -> Checkpoint:
    """Pair the tensors, by name, to layers in their order. Raises RuleError as read_checkpoint() does."""
    violations = [v for name, value in tensors.items() if (v := _check(name, value, path))]
    layers = list(weighted_modules(tensors))
    fc = [pair for pair in layers if is_fc(pair[0])]
    if len(fc) > 1:
        violations.append(Violation("fc-single", "A network has at most one classification layer.",
                                    f"{len(fc)} of them", "", None, path))
    if violations:
        raise RuleError(violations)
    return Checkpoint(
        path, arch,
        tuple(_layer(tensors, *pair) for pair in layers if not is_fc(pair[0])),
        _layer(tensors, *fc[0]) if fc else None,
    )  # fmt: skip


def layer_shapes(description: Description) -> list[tuple[int, ...]]:
    """The shapes of the weights of a network that is only described; channels are counted from the processor maps.

    The output channels of a layer that no other reads are those of `output_map` or `output_processors`; 1 where
    neither is given.
    """
    maps = []
    for n, layer in enumerate(description.layers):
        reader = description.reader(n)
        maps.append(layer.output_processors or (1 if reader is None else description.layers[reader].processors))
    maps[-1] = description.output_map or maps[-1]
    return [(outputs.bit_count(), layer.processors.bit_count(), *((9,) if layer.op == "conv1d" else (3, 3)))
            for layer, outputs in zip(description.layers, maps, strict=True)]  # fmt: skip


def untrained(description: Description) -> Checkpoint:
    """Weights of 0 for a network that is only described."""
    shapes = enumerate(layer_shapes(description))
    layers = tuple(LayerWeights(f"layer {n}", np.zeros(shape, np.int8), None) for n, shape in shapes)
    return Checkpoint("no checkpoint", description.arch, layers, None)


def _layer(tensors: Mapping[str, NDArray[Any]], weight: str, bias: str | None) -> LayerWeights:
    return LayerWeights(weight.rpartition(".")[0], tensors[weight].astype(np.int8),
                        None if bias is None else tensors[bias].astype(np.int8))


def _check(name: str, value: NDArray[Any], path: str) -> Violation | None:
    """The first thing that is wrong with a weight or bias tensor."""
    kind = name.rpartition(".")[2]
    if kind not in ("weight", "bias"):
        return None
    wanted = "[Cout]" if kind == "bias" else "[R, N]" if is_fc(name) else "[Cout, Cin, 3, 3], or [Cout, Cin, 9] (1D)"
    dimensions = {"[Cout]": 1, "[R, N]": 2}.get(wanted)
    fits = value.ndim == dimensions if dimensions else value.ndim > 2 and value.shape[2:] in ((3, 3), (9,))
    if not fits or value.size == 0:
        return Violation("tensor-shape", f"A {kind} has the shape {wanted}.",
                         f"{name} with shape {list(value.shape)}", "", None, path)
    if not np.all(np.isfinite(value)) or np.any(value != np.rint(value)):
        return Violation("weights-integer", "A quantized checkpoint holds integers.", f"{name} with fractions",
                         "Quantize the checkpoint with ai84ize.py first.", None, path)
    if value.min() < -128 or value.max() > 127:
        return Violation("weights-range", "Weights and biases are integers from -128 to 127.",
                         f"{name} from {value.min():.0f} to {value.max():.0f}",
                         "Quantize the checkpoint with ai84ize.py.", None, path)
    return None
