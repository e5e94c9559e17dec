"""The network: typed layers with known shapes.

What a layer computes is in reference.py, where it lives in placement.py.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from .checkpoint import Checkpoint, LayerWeights
from .errors import RuleError, Violation
from .yamlcfg import NETWORK_INPUT, Description, LayerDescription

KERNEL = 3


@dataclass(frozen=True)
class Layer:
    """Optional pooling, zero padding, 3x3 convolution with stride 1, bias, scaling, optional ReLU.

    Sizes are in pixels, before pooling; `pool` is "max", "avg" or "" (then pool_size 0, pool_stride 1). A layer with
    the operation "conv1d" (kernel 9, stride 3) runs on the same engine: its samples are an image of three columns,
    padded by `pad` / 3 rows above and below, and its kernel is the 3x3 kernel row by row (AI84 hardware reference
    12.6). `sources` are the layers whose outputs it reads, channel after channel; NETWORK_INPUT is the network input.
    The shape of an illegal layer is computed all the same, so that every rule can report on it.
    """

    index: int
    name: str
    line: int
    sources: tuple[int, ...]
    op: str
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

    @property
    def pad_rows(self) -> int:
        """Rows of zeros above and below."""
        return self.pad // KERNEL if self.op == "conv1d" else self.pad

    @property
    def pad_columns(self) -> int:
        """Columns of zeros left and right."""
        return 0 if self.op == "conv1d" else self.pad

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
        return self.pooled_height + 2 * self.pad_rows - KERNEL + 1

    @property
    def out_width(self) -> int:
        """Columns of the output."""
        return self.pooled_width + 2 * self.pad_columns - KERNEL + 1


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

    def delivered(self, source: int) -> tuple[int, int, int]:
        """The shape [C, H, W] of a layer's output, or of the network input."""
        if source == NETWORK_INPUT:
            return self.input_shape
        layer = self.layers[source]
        return layer.out_channels, layer.out_height, layer.out_width


def build_network(
    description: Description, checkpoint: Checkpoint, input_shape: tuple[int, int, int],
    layers: int | None = None, fc: bool = False,
) -> Network:
    """Pair the description's layers with the checkpoint's convolutions, in order, and derive all shapes.

    `layers` limits the number of layers (None: all). `fc` adds the classification layer. Whether they belong together
    is a matter of the rules; only where there is no convolution at all, RuleError is raised here.
    """
    if not checkpoint.convolutions:
        raise RuleError([Violation("layer-count", "A checkpoint has a convolution per layer of the description.",
                                   "none", "", None, checkpoint.path)])
    built: list[Layer] = []
    sizes = {NETWORK_INPUT: input_shape[1:]}
    for described, weights in list(zip(description.layers, checkpoint.convolutions, strict=False))[:layers]:
        sources = description.sources(len(built))
        built.append(_layer(len(built), described, weights, sources, described.in_dim or sizes[sources[0]]))
        sizes[len(built) - 1] = (built[-1].out_height, built[-1].out_width)
    return Network(description.path, description.arch, description.dataset, input_shape,
                   description.layers[0].data_format or "hwc", tuple(built), checkpoint.fc if fc else None)


def _layer(
    index: int, described: LayerDescription, weights: LayerWeights, sources: tuple[int, ...], size: tuple[int, ...]
) -> Layer:
    height, width = size
    pool = "max" if described.max_pool else "avg" if described.avg_pool else ""
    if described.op == "conv1d":
        height, width = height * width // KERNEL, KERNEL
    pad = described.pad if described.pad is not None else 0 if described.op == "conv1d" else 1
    outputs, inputs = weights.weight.shape[:2]
    return Layer(
        index, weights.name, described.line, sources, described.op, inputs, height, width, pool,
        described.max_pool or described.avg_pool, described.pool_stride if pool else 1, pad,
        described.activate == "relu", weights.weight.reshape(outputs, inputs, KERNEL, KERNEL), weights.bias,
    )  # fmt: skip
