"""The network: typed layers with known shapes, for all devices.

What a layer computes is in reference.py, where it lives in placement.py. How a description becomes layers depends on
the device: layers84.py and ai85/layers.py.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from .checkpoint import Checkpoint, LayerWeights
from .errors import RuleError, Violation
from .yamlcfg import Description, LayerDescription
from .yamlvalues import NETWORK_INPUT


@dataclass(frozen=True)
class Layer:
    """Optional pooling, zero padding, convolution with stride 1, bias, scaling, optional activation.

    Sizes are in pixels, before pooling. `pool` is "max", "avg" or ""; then `window` is (1, 1), and `strides` above 1
    leave pixels out. `rounded` says how an average is rounded. `pad` is the padding as described, `pads` the rows and
    the columns of zeros on either side. `weight` is [Cout, Cin, kh, kw]; `dilation` is the distance of its rows. A
    layer with the operation "none" has no weights, which is [C, 0, 1, 1], and delivers what it pooled. `sources` are
    the layers whose outputs it reads, channel after channel; NETWORK_INPUT is the network input.

    A sum, to which `bias` times `bias_unit` is added, is multiplied by 2**`output_shift`, or delivered as it is where
    the output is `wide`. `activation` is "relu", "abs" or "". With `flatten` the kernel is as large as the image. The
    shape of an illegal layer is computed all the same, so that every rule can report on it.
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
    window: tuple[int, int]
    strides: tuple[int, int]
    pad: int
    pads: tuple[int, int]
    activation: str
    weight: NDArray[np.int8]
    bias: NDArray[np.int8] | None
    rounded: bool = False
    dilation: int = 1
    weight_bits: int = 8
    output_shift: int = 0
    bias_unit: int = 1
    wide: bool = False
    flatten: bool = False

    @property
    def out_channels(self) -> int:
        """Number of output channels."""
        return int(self.weight.shape[0])

    @property
    def kernel(self) -> tuple[int, int]:
        """Rows and columns of the kernel."""
        return int(self.weight.shape[2]), int(self.weight.shape[3])

    @property
    def convolves(self) -> bool:
        """Whether the layer has weights."""
        return self.op != "none"

    @property
    def relu(self) -> bool:
        """Whether negative outputs become 0."""
        return self.activation == "relu"

    @property
    def pool_size(self) -> int:
        """Rows and columns of a square pooling window; 0 without pooling."""
        return self.window[0] if self.pool else 0

    @property
    def pool_stride(self) -> int:
        """Distance of pooling windows, which on every device is the same in both directions."""
        return self.strides[0]

    @property
    def pad_rows(self) -> int:
        """Rows of zeros above and below."""
        return self.pads[0]

    @property
    def pad_columns(self) -> int:
        """Columns of zeros left and right."""
        return self.pads[1]

    def _pooled(self, size: int, axis: int) -> int:
        stride = max(1, self.strides[axis])
        return (size + stride - self.window[axis]) // stride

    @property
    def pooled_height(self) -> int:
        """Rows after pooling (AI84 hardware reference 1.4, AI85 hardware reference 4.1)."""
        return self._pooled(self.height, 0)

    @property
    def pooled_width(self) -> int:
        """Columns after pooling."""
        return self._pooled(self.width, 1)

    @property
    def out_height(self) -> int:
        """Rows of the output."""
        return self.pooled_height + 2 * self.pad_rows - (self.kernel[0] - 1) * self.dilation

    @property
    def out_width(self) -> int:
        """Columns of the output."""
        return self.pooled_width + 2 * self.pad_columns - self.kernel[1] + 1


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


@dataclass(frozen=True)
class Part:
    """What one layer is made from: its description, its weights if it has any, and the shape [C, H, W] that it gets."""

    index: int
    described: LayerDescription
    stored: LayerWeights | None
    sources: tuple[int, ...]
    shape: tuple[int, int, int]


LayerBuilder = Callable[[Part], Layer]


def paired(description: Description, checkpoint: Checkpoint) -> list[tuple[LayerDescription, LayerWeights | None]]:
    """The layers with their weights, in order, as far as there are any; layers that only pool have none."""
    pairs: list[tuple[LayerDescription, LayerWeights | None]] = []
    weights = iter(checkpoint.convolutions)
    for described in description.layers:
        stored = next(weights, None) if described.has_weights else None
        if described.has_weights and stored is None:
            break
        pairs.append((described, stored))
    return pairs


def build_network(
    description: Description, checkpoint: Checkpoint, input_shape: tuple[int, int, int], build_layer: LayerBuilder,
    layers: int | None = None, fc: bool = False,
) -> Network:
    """Pair the description's layers with the checkpoint's, in order, and derive all shapes.

    `layers` limits the number of layers (None: all). `fc` adds the classification layer. Whether they belong together
    is a matter of the rules; only where there is no layer at all, RuleError is raised here.
    """
    built: list[Layer] = []
    shapes = {NETWORK_INPUT: input_shape}
    for described, stored in paired(description, checkpoint)[:layers]:
        sources = description.sources(len(built))
        channels = sum(shapes[source][0] for source in sources)
        size = described.in_dim or shapes[sources[0]][1:]
        layer = build_layer(Part(len(built), described, stored, sources, (channels, *size)))
        shapes[layer.index] = (layer.out_channels, layer.out_height, layer.out_width)
        built.append(layer)
    if not built:
        raise RuleError([Violation("layer-count", "A checkpoint has a convolution per layer of the description.",
                                   "none", "", None, checkpoint.path)])
    return Network(description.path, description.arch, description.dataset, input_shape,
                   description.layers[0].data_format or "hwc", tuple(built), checkpoint.fc if fc else None)
