"""Networks that fit AI85.

Every constructor takes `num_classes`, `num_channels`, `dimensions=(H, W)` of the input, (L, 1) where it has one
dimension, `bias` of the convolutions, `batch_norm` (normalize while training) and `simulate` (exact 8-bit mode), and
raises ValueError for what AI85 cannot do. The layers are added in the order in which they run, because checkpoints list
them in that order.
"""

from collections.abc import Callable, Mapping
from math import prod

from torch import Tensor, nn

import ai8x
import ai85
import ai85rules

Shape = tuple[int, int, int]


class Ai85Net(nn.Module):
    """A chain of accelerator layers; the last, `fc`, is a Linear layer with 32-bit output.

    Args:
        layers: all layers but the last, by name, in execution order.
        num_channels, dimensions: shape of the input.
        in_dims: the (H, W) that a layer reads its input as, where that is not how the layer before wrote it.
        fc_bias: whether `fc` has a bias.
    """

    def __init__(
        self,
        layers: Mapping[str, ai85.Layer],
        num_classes: int,
        num_channels: int,
        dimensions: tuple[int, int],
        *,
        in_dims: Mapping[str, tuple[int, int]] | None = None,
        fc_bias: bool = True,
        simulate: bool = False,
    ) -> None:
        super().__init__()
        self.in_dims = dict(in_dims or {})
        if len(layers) + 1 > ai85rules.MAX_LAYERS:
            given = f"{len(layers) + 1} layers"
            raise ValueError(ai85rules.refusal("layers-max", ai85rules.LAYERS_MAX, given, "network"))
        shape: Shape = (num_channels, *dimensions)
        for name, layer in layers.items():
            self.add_module(name, layer)
            shape = ai85rules.output_shape(layer.settings, self.reshaped(name, shape))
        self.layer_names = (*layers, "fc")
        self.fc = ai85.Linear(prod(shape), num_classes, fc_bias, wide=True, simulate=simulate)
        ai85rules.output_shape(self.fc.settings, shape)

    @property
    def score_unit(self) -> int:
        """The integer that stands for a score of 1.0 in exact mode: Q17.14 with 8-bit weights (reference 1.4)."""
        return ai8x.FULL_SCALE << (self.fc.bits - 1)

    def reshaped(self, name: str, shape: Shape) -> Shape:
        """The shape as layer `name` reads it; ValueError when the number of pixels changes."""
        rows, columns = self.in_dims.get(name, shape[1:])
        if rows * columns != shape[1] * shape[2]:
            given = f"{shape[1]}x{shape[2]} read as {rows}x{columns}"
            raise ValueError(ai85rules.refusal("in-dim", ai85rules.IN_DIM, given, name))
        return shape[0], rows, columns

    def forward(self, data: Tensor) -> Tensor:
        """Input [N, C, H, W] to scores [N, num_classes]."""
        for name in self.layer_names:
            layer = self.get_submodule(name)
            if layer.settings.operator in ("Conv1d", "Pool1d"):
                data = data.flatten(2)
            elif name in self.in_dims:
                data = data.reshape(data.shape[0], data.shape[1], *self.in_dims[name])
            data = layer(data)
        return data


def padding_for(dimensions: tuple[int, int]) -> int:
    """Padding that makes a 28-pixel image behave as a 32-pixel one behind the first pooling."""
    return 2 if dimensions[0] == 28 else 1


def four_convolutions(
    channels: tuple[int, int, int, int],
    num_classes: int,
    num_channels: int,
    dimensions: tuple[int, int],
    common: Mapping[str, bool],
) -> Ai85Net:
    """3x3 convolutions with the given numbers of output channels; max, max and average pooling between them."""
    first, second, third, fourth = channels
    common = {"padding": 1, **common}
    layers = {
        "conv1": ai85.FusedConv2dReLU(num_channels, first, 3, **common),
        "conv2": ai85.FusedMaxPoolConv2dReLU(first, second, 3, **common | {"padding": padding_for(dimensions)}),
        "conv3": ai85.FusedMaxPoolConv2dReLU(second, third, 3, **common),
        "conv4": ai85.FusedAvgPoolConv2dReLU(third, fourth, 3, **common),
    }
    return Ai85Net(layers, num_classes, num_channels, dimensions, simulate=common["simulate"])


def ai85net5(
    num_classes: int = 10,
    num_channels: int = 1,
    dimensions: tuple[int, int] = (28, 28),
    bias: bool = False,
    batch_norm: bool = False,
    simulate: bool = False,
) -> Ai85Net:
    """Four convolutions, with the channels of ai84net5: MNIST, Fashion-MNIST, CIFAR-10."""
    common = {"bias": bias, "batch_norm": batch_norm, "simulate": simulate}
    return four_convolutions((60, 60, 56, 12), num_classes, num_channels, dimensions, common)


def ai85net80wide(
    num_classes: int = 10,
    num_channels: int = 1,
    dimensions: tuple[int, int] = (28, 28),
    bias: bool = False,
    batch_norm: bool = False,
    simulate: bool = False,
) -> Ai85Net:
    """ai85net5 with 80 channels behind the first layer: more than the 64 processors take in one pass."""
    common = {"bias": bias, "batch_norm": batch_norm, "simulate": simulate}
    return four_convolutions((80, 60, 56, 12), num_classes, num_channels, dimensions, common)


def ai85foldednet(
    num_classes: int = 10,
    num_channels: int = 5,
    dimensions: tuple[int, int] = (16, 16),
    bias: bool = False,
    batch_norm: bool = False,
    simulate: bool = False,
) -> Ai85Net:
    """Five convolutions of 64 to 128 channels for a folded image (`datasets.DataSet.arrange`).

    112 channels in front of the classification layer take 56 processors, and leave the others' columns to conv1.
    """
    common = {"padding": 1, "bias": bias, "batch_norm": batch_norm, "simulate": simulate}
    layers = {
        "conv1": ai85.FusedConv2dReLU(num_channels, 64, 3, **common),
        "conv2": ai85.FusedConv2dReLU(64, 64, 3, **common),
        "conv3": ai85.FusedMaxPoolConv2dReLU(64, 128, 3, **common),
        "conv4": ai85.FusedConv2dReLU(128, 128, 3, **common),
        "conv5": ai85.FusedMaxPoolConv2dReLU(128, 112, 3, **common),
    }
    return Ai85Net(layers, num_classes, num_channels, dimensions, simulate=simulate)


def ai85netextrasmall(
    num_classes: int = 10,
    num_channels: int = 1,
    dimensions: tuple[int, int] = (28, 28),
    bias: bool = False,
    batch_norm: bool = False,
    simulate: bool = False,
) -> Ai85Net:
    """Three convolutions of 8 channels for MNIST."""
    common = {"padding": 1, "bias": bias, "batch_norm": batch_norm, "simulate": simulate}
    layers = {
        "conv1": ai85.FusedConv2dReLU(num_channels, 8, 3, **common),
        "conv2": ai85.FusedMaxPoolConv2dReLU(8, 8, 3, **common | {"padding": padding_for(dimensions)}),
        "conv3": ai85.FusedMaxPoolConv2dReLU(8, 8, 3, pool_size=4, pool_stride=4, **common),
    }
    return Ai85Net(layers, num_classes, num_channels, dimensions, simulate=simulate)


def ai85nascifarnet(
    num_classes: int = 10,
    num_channels: int = 3,
    dimensions: tuple[int, int] = (32, 32),
    bias: bool = False,
    batch_norm: bool = False,
    simulate: bool = False,
) -> Ai85Net:
    """Ten convolutions, four of them 1x1, for CIFAR-10."""
    common = {"bias": bias, "batch_norm": batch_norm, "simulate": simulate}
    wide, deep = {"kernel_size": 3, "padding": 1, **common}, {"kernel_size": 1, **common}
    layers = {
        "conv1_1": ai85.FusedConv2dReLU(num_channels, 64, **wide),
        "conv1_2": ai85.FusedConv2dReLU(64, 32, **deep),
        "conv1_3": ai85.FusedConv2dReLU(32, 64, **wide),
        "conv2_1": ai85.FusedMaxPoolConv2dReLU(64, 32, **wide),
        "conv2_2": ai85.FusedConv2dReLU(32, 64, **deep),
        "conv3_1": ai85.FusedMaxPoolConv2dReLU(64, 128, **wide),
        "conv3_2": ai85.FusedConv2dReLU(128, 128, **deep),
        "conv4_1": ai85.FusedMaxPoolConv2dReLU(128, 64, **wide),
        "conv4_2": ai85.FusedConv2dReLU(64, 128, **wide),
        "conv5_1": ai85.FusedMaxPoolConv2dReLU(128, 128, **deep),
    }
    return Ai85Net(layers, num_classes, num_channels, dimensions, simulate=simulate)


def ai85cifarnet(
    num_classes: int = 10,
    num_channels: int = 3,
    dimensions: tuple[int, int] = (32, 32),
    bias: bool = False,
    batch_norm: bool = False,
    simulate: bool = False,
) -> Ai85Net:
    """Seven 3x3 convolutions that fill AI85's weight memory, for CIFAR-10.

    The layers around the widest ones have few enough channels to share the columns that those leave.
    """
    common = {"padding": 1, "bias": bias, "batch_norm": batch_norm, "simulate": simulate}
    layers = {
        "conv1": ai85.FusedConv2dReLU(num_channels, 32, 3, **common),
        "conv2": ai85.FusedConv2dReLU(32, 44, 3, **common),
        "conv3": ai85.FusedMaxPoolConv2dReLU(44, 64, 3, **common),
        "conv4": ai85.FusedConv2dReLU(64, 128, 3, **common),
        "conv5": ai85.FusedMaxPoolConv2dReLU(128, 128, 3, **common),
        "conv6": ai85.FusedConv2dReLU(128, 96, 3, **common),
        "conv7": ai85.FusedMaxPoolConv2dReLU(96, 32, 3, **common),
    }
    return Ai85Net(layers, num_classes, num_channels, dimensions, simulate=simulate)


def ai85kws20net(
    num_classes: int = 21,
    num_channels: int = 128,
    dimensions: tuple[int, int] = (128, 1),
    bias: bool = False,
    batch_norm: bool = False,
    simulate: bool = False,
) -> Ai85Net:
    """Keyword spotting on a second of folded sound, 128 channels of 128 samples: Conv1d, Conv2d, Linear."""
    common = {"bias": bias, "batch_norm": batch_norm, "simulate": simulate}
    one, two = {"kernel_size": 1, **common}, {"kernel_size": 3, "padding": 1, **common}
    layers = {
        "voice_conv1": ai85.FusedConv1dReLU(num_channels, 100, **one),
        "voice_conv2": ai85.FusedConv1dReLU(100, 100, **one),
        "voice_conv3": ai85.FusedConv1dReLU(100, 50, **one),
        "voice_conv4": ai85.FusedConv1dReLU(50, 16, **one),
        "kws_conv1": ai85.FusedConv2dReLU(16, 32, **two),
        "kws_conv2": ai85.FusedConv2dReLU(32, 64, **two),
        "kws_conv3": ai85.FusedConv2dReLU(64, 64, **two),
        "kws_conv4": ai85.FusedConv2dReLU(64, 30, **two),
        "kws_conv5": ai85.FusedConv2dReLU(30, 7, **two),
    }
    return Ai85Net(layers, num_classes, num_channels, dimensions, in_dims={"kws_conv1": (16, dimensions[0] // 16)},
                   fc_bias=bias, simulate=simulate)  # fmt: skip


def ai85signalnet(
    num_classes: int = 5,
    num_channels: int = 1,
    dimensions: tuple[int, int] = (512, 1),
    bias: bool = False,
    batch_norm: bool = False,
    simulate: bool = False,
) -> Ai85Net:
    """Four Conv1d layers for signals of 64 to 1023 samples and one or a few channels."""
    if dimensions[1] != 1:
        raise ValueError(f"ai85signalnet needs one-dimensional data; given {dimensions[0]}x{dimensions[1]} pixels")
    common = {"kernel_size": 5, "padding": 2, "bias": bias, "batch_norm": batch_norm, "simulate": simulate}
    pooled = {"pool_size": 4, "pool_stride": 4, **common}
    layers = {
        "conv1": ai85.FusedConv1dReLU(num_channels, 24, **common),
        "conv2": ai85.FusedMaxPoolConv1dReLU(24, 32, **pooled),
        "conv3": ai85.FusedMaxPoolConv1dReLU(32, 48, **pooled),
        "conv4": ai85.FusedMaxPoolConv1dReLU(48, 48, **pooled),
    }
    return Ai85Net(layers, num_classes, num_channels, dimensions, simulate=simulate)


models: dict[str, Callable[..., Ai85Net]] = {
    constructor.__name__: constructor
    for constructor in (ai85net5, ai85net80wide, ai85foldednet, ai85netextrasmall, ai85nascifarnet, ai85cifarnet,
                        ai85kws20net, ai85signalnet)
}
"""The networks that `train.py --model` can choose, by name."""
