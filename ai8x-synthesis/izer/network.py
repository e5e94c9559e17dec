"""The network: typed layers with known shapes. What a layer computes is in reference.py, where it lives in placement.py."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from .checkpoint import Checkpoint, LayerWeights
from .errors import RuleError, Violation
from .yamlcfg import Description, LayerDescription

KERNEL = 3


@dataclass(frozen=True)
class Layer:
    """Optional pooling, zero padding, 3x3 convolution with stride 1, bias, scaling, optional ReLU.

    Sizes are in pixels, before pooling; `pool` is "max", "avg" or "" (then pool_size 0, pool_stride 1). The shape of an
    illegal layer is computed all the same, so that every rule can report on it.
    """

    index: int
    name: str
    line: int
    in_channels: int
    height: int
    width: int
    pool: str
    pool_size: int
    pool_stride: int
    pad: int
    relu: bool
    weight: NDArray[np.int8]
    bias: NDArray[np.int8] | None

    @property
    def out_channels(self) -> int:
        """Number of output channels."""
        return int(self.weight.shape[0])

    def _pooled(self, size: int) -> int:
        stride = max(1, self.pool_stride)
        return (size + stride - self.pool_size) // stride if self.pool else size

    @property
    def pooled_height(self) -> int:
        """Rows after pooling (AI84 hardware reference 1.4)."""
        return self._pooled(self.height)

    @property
    def pooled_width(self) -> int:
        """Columns after pooling."""
        return self._pooled(self.width)

    @property
    def out_height(self) -> int:
        """Rows of the output."""
        return self.pooled_height + 2 * self.pad - KERNEL + 1

    @property
    def out_width(self) -> int:
        """Columns of the output."""
        return self.pooled_width + 2 * self.pad - KERNEL + 1


@dataclass(frozen=True)
class Network:
    """Layers in processing order, with the shape [C, H, W] of the input; `fc` is the software classification layer."""

    path: str
    arch: str
    dataset: str
    input_shape: tuple[int, int, int]
    data_format: str
    layers: tuple[Layer, ...]
    fc: LayerWeights | None

    @property
    def outputs(self) -> int:
        """Number of values that the last layer delivers."""
        last = self.layers[-1]
        return last.out_channels * last.out_height * last.out_width


def build_network(
    description: Description, checkpoint: Checkpoint, input_shape: tuple[int, int, int],
    layers: int | None = None, fc: bool = False,
) -> Network:
    """Pair the description's layers with the checkpoint's convolutions, in order, and derive all shapes.

    `layers` limits the number of layers (None: all). `fc` adds the classification layer. Raises RuleError if names,
    numbers or shapes do not fit together.
    """
    violations = list(_mismatches(description, checkpoint, fc))
    if violations:
        raise RuleError(violations)
    channels, height, width = input_shape
    built = []
    pairs = list(zip(description.layers, checkpoint.convolutions, strict=True))
    for index, (described, weights) in enumerate(pairs[:layers]):
        layer = _layer(index, described, weights, height, width)
        built.append(layer)
        if layer.in_channels != channels:
            violations.append(Violation(
                "channels-chain", "A layer has as many input channels as the layer before has output channels.",
                f"{layer.in_channels} in the checkpoint's {layer.name}, {channels} delivered", "", index,
                f"{description.path}:{described.line}"))
        channels, height, width = layer.out_channels, layer.out_height, layer.out_width
    if violations:
        raise RuleError(violations)
    return Network(description.path, description.arch, description.dataset, input_shape,
                   description.layers[0].data_format or "hwc", tuple(built), checkpoint.fc if fc else None)


def _layer(index: int, described: LayerDescription, weights: LayerWeights, height: int, width: int) -> Layer:
    pool = "max" if described.max_pool else "avg" if described.avg_pool else ""
    return Layer(
        index, weights.name, described.line, int(weights.weight.shape[1]), height, width, pool,
        described.max_pool or described.avg_pool, described.pool_stride if pool else 1,
        described.pad, described.activate == "relu", weights.weight, weights.bias,
    )  # fmt: skip


def _mismatches(description: Description, checkpoint: Checkpoint, fc: bool) -> list[Violation]:
    """Why a description and a checkpoint do not describe the same network."""
    found = []
    if description.arch.lower() != checkpoint.arch.lower():
        found.append(Violation("arch", "`arch` is the network's name in the checkpoint, in any case.",
                               f"{description.arch}, but {checkpoint.arch} in {checkpoint.path}", "", None,
                               f"{description.path}:{description.lines.get('arch', 1)}"))
    if len(description.layers) != len(checkpoint.convolutions):
        found.append(Violation("layer-count", "A description has one layer per convolution of the checkpoint.",
                               f"{len(description.layers)} layers, but {len(checkpoint.convolutions)} convolutions "
                               f"in {checkpoint.path}", "", None, description.path))
    for index, layer in enumerate(checkpoint.convolutions):
        if layer.bias is not None and len(layer.bias) != len(layer.weight):
            found.append(Violation("bias-count", "A layer has one bias per output channel.",
                                   f"{len(layer.bias)} for {len(layer.weight)} channels", "", index, checkpoint.path))
    if fc and checkpoint.fc is None:
        found.append(Violation("fc-missing", "A classification layer is the module `fc` of the checkpoint.",
                               "a checkpoint without it", "Leave out --fc-layer.", None, checkpoint.path))
    return found
