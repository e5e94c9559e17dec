"""Networks that fit AI84.

Every constructor takes `num_classes`, `num_channels`, `dimensions=(H, W)` of the input, `bias` (of the convolutions;
the classification layer always has one) and `simulate` (exact 8-bit mode), and raises ValueError for what AI84 cannot
do. The layers are added in the order in which they run, because checkpoints list them in that order.
"""

from collections.abc import Callable, Mapping

from torch import Tensor, nn

import ai8x
import ai84
import ai84rules

PLANES_PLUS_FC_INPUTS = 127
"""ai84net5 uses the 128 kernels that each processor's mask RAM holds (AI84 hardware reference 9.1); one stays spare."""


class Ai84Net(nn.Module):
    """A chain of accelerator layers followed by the classification layer in software.

    Args:
        convs: the accelerator layers by name, in execution order; all Conv2d or all Conv1d.
    """

    score_unit = ai8x.FULL_SCALE
    """The integer that stands for a score of 1.0 in exact mode: the output is in Q8.7."""

    def __init__(
        self,
        convs: Mapping[str, ai84.Conv2d | ai84.Conv1d],
        num_classes: int,
        dimensions: tuple[int, int],
        simulate: bool,
    ) -> None:
        super().__init__()
        ai84.check_network(list(convs.values()))
        ai84.connect_constants(list(convs.values()))
        size, last = dimensions, list(convs.values())[-1]
        for name, conv in convs.items():
            self.add_module(name, conv)
            size = conv.output_size(size)
        self.conv_names, self.flat = tuple(convs), isinstance(last, ai84.Conv1d)
        features = last.operator.out_channels * size[0] * size[1]
        self.fc = ai84.SoftwareLinear(features, num_classes, simulate=simulate)

    def forward(self, data: Tensor) -> Tensor:
        """Images [N, C, H, W], signals with H samples and W = 1, to scores [N, num_classes]."""
        data = data.flatten(2) if self.flat else data
        for name in self.conv_names:
            data = self.get_submodule(name)(data)
        scores: Tensor = self.fc(data.flatten(1))
        return scores


def padding_for(dimensions: tuple[int, int]) -> int:
    """Padding that makes a 28-pixel image behave as a 32-pixel one behind the first pooling."""
    return 2 if dimensions[0] == 28 else 1


def require_square(dimensions: tuple[int, int], arch: str) -> None:
    """Raise ValueError unless height and width are equal."""
    if dimensions[0] != dimensions[1]:
        raise ValueError(f"{arch} needs a square input; given dimensions={dimensions}")


def ai84net5(
    num_classes: int = 10,
    num_channels: int = 3,
    dimensions: tuple[int, int] = (28, 28),
    bias: bool = False,
    simulate: bool = False,
    planes: int = 60,
    fc_inputs: int = 12,
) -> Ai84Net:
    """Four convolutions that fill AI84's weight memory: MNIST, Fashion-MNIST, CIFAR-10."""
    require_square(dimensions, "ai84net5")
    if planes + num_channels > ai84rules.MAX_CHANNELS or planes + fc_inputs > PLANES_PLUS_FC_INPUTS:
        raise ValueError(
            f"ai84net5 needs planes + num_channels <= {ai84rules.MAX_CHANNELS} and planes + fc_inputs <= "
            f"{PLANES_PLUS_FC_INPUTS}; "
            f"given planes={planes}, num_channels={num_channels}, fc_inputs={fc_inputs}"
        )
    common = {"bias": bias, "simulate": simulate}
    middle = PLANES_PLUS_FC_INPUTS + 1 - planes - fc_inputs
    convs = {
        "conv1": ai84.FusedConv2dReLU(
            num_channels, planes, 3, padding=1, weight_range=ai84.FIRST_CONV_WEIGHTS, **common
        ),
        "conv2": ai84.FusedMaxPoolConv2dReLU(planes, planes, 3, padding=padding_for(dimensions), **common),
        "conv3": ai84.FusedMaxPoolConv2dReLU(planes, middle, 3, padding=1, **common),
        "conv4": ai84.FusedAvgPoolConv2dReLU(middle, fc_inputs, 3, padding=1, **common),
    }
    return Ai84Net(convs, num_classes, dimensions, simulate)


def ai84net5chw(
    num_classes: int = 10,
    num_channels: int = 3,
    dimensions: tuple[int, int] = (32, 32),
    bias: bool = False,
    simulate: bool = False,
) -> Ai84Net:
    """ai84net5 with 52 planes, for colour images in CHW format.

    CHW needs one data memory instance per channel (AI84 hardware reference 6.2). Three instances leave 52 processors
    side by side for the second layer; the 60 of ai84net5 would have gaps, and with the columns lost to gaps
    (AI84 hardware reference 4.3) its four layers need more than the mask RAM's 128.
    """
    return ai84net5(num_classes, num_channels, dimensions, bias, simulate, planes=52)


def ai84net7(
    num_classes: int = 7,
    num_channels: int = 1,
    dimensions: tuple[int, int] = (64, 64),
    bias: bool = False,
    simulate: bool = False,
    fc_inputs: int = 30,
) -> Ai84Net:
    """Six convolutions for keyword spotting on 64x64 images of sound."""
    require_square(dimensions, "ai84net7")
    common = {"padding": 1, "bias": bias, "simulate": simulate}
    convs = {
        "conv1": ai84.FusedConv2dReLU(num_channels, 15, 3, weight_range=ai84.FIRST_CONV_WEIGHTS, **common),
        "conv2": ai84.FusedMaxPoolConv2dReLU(15, 30, 3, **common | {"padding": padding_for(dimensions)}),
        "conv3": ai84.FusedMaxPoolConv2dReLU(30, 60, 3, **common),
        "conv4": ai84.FusedMaxPoolConv2dReLU(60, 30, 3, **common),
        "conv5": ai84.FusedMaxPoolConv2dReLU(30, 30, 3, **common),
        "conv6": ai84.FusedConv2dReLU(30, fc_inputs, 3, **common),
    }
    return Ai84Net(convs, num_classes, dimensions, simulate)


def three_layers(
    planes: int,
    fc_inputs: int,
    num_classes: int,
    num_channels: int,
    dimensions: tuple[int, int],
    bias: bool,
    simulate: bool,
) -> Ai84Net:
    """The small networks: two convolutions of `planes` channels and one of `fc_inputs` after 4x4 pooling."""
    common = {"bias": bias, "simulate": simulate}
    convs = {
        "conv1": ai84.FusedConv2dReLU(
            num_channels, planes, 3, padding=1, weight_range=ai84.FIRST_CONV_WEIGHTS, **common
        ),
        "conv2": ai84.FusedMaxPoolConv2dReLU(planes, planes, 3, padding=padding_for(dimensions), **common),
        "conv3": ai84.FusedMaxPoolConv2dReLU(planes, fc_inputs, 3, pool_size=4, pool_stride=4, padding=1, **common),
    }
    return Ai84Net(convs, num_classes, dimensions, simulate)


def ai84netsmall(
    num_classes: int = 10,
    num_channels: int = 1,
    dimensions: tuple[int, int] = (28, 28),
    bias: bool = False,
    simulate: bool = False,
) -> Ai84Net:
    """Three convolutions of 16 channels for MNIST."""
    require_square(dimensions, "ai84netsmall")
    return three_layers(16, 12, num_classes, num_channels, dimensions, bias, simulate)


def ai84netextrasmall(
    num_classes: int = 10,
    num_channels: int = 1,
    dimensions: tuple[int, int] = (28, 28),
    bias: bool = False,
    simulate: bool = False,
) -> Ai84Net:
    """Three convolutions of 8 channels, for about 1 microjoule per inference."""
    require_square(dimensions, "ai84netextrasmall")
    return three_layers(8, 8, num_classes, num_channels, dimensions, bias, simulate)


def six_layers(
    fifth: type[ai84.Conv2d],
    num_classes: int,
    num_channels: int,
    dimensions: tuple[int, int],
    bias: bool,
    batch_norm: bool,
    simulate: bool,
) -> Ai84Net:
    """Six narrow convolutions, the fifth as given, for an image whose channel 0 must be constant.

    A layer of 32 channels needs half of the processors, so that two of them share the columns of the mask RAM, and
    the same memory holds more layers than ai84net5 has. What `batch_norm` does with channel 0: `ai84.BatchNorm`.
    """
    common = {"padding": 1, "bias": bias, "batch_norm": batch_norm, "simulate": simulate}
    convs = {
        "conv1": ai84.FusedConv2dReLU(num_channels, 32, 3, weight_range=ai84.FIRST_CONV_WEIGHTS, **common),
        "conv2": ai84.FusedConv2dReLU(32, 32, 3, **common),
        "conv3": ai84.FusedMaxPoolConv2dReLU(32, 64, 3, **common),
        "conv4": ai84.FusedConv2dReLU(64, 32, 3, **common),
        "conv5": fifth(32, 32, 3, **common),
        "conv6": ai84.FusedMaxPoolConv2dReLU(32, 32, 3, **common),
    }
    return Ai84Net(convs, num_classes, dimensions, simulate)


def ai84foldednet(
    num_classes: int = 10,
    num_channels: int = 5,
    dimensions: tuple[int, int] = (16, 16),
    bias: bool = False,
    batch_norm: bool = False,
    simulate: bool = False,
) -> Ai84Net:
    """Six convolutions for a folded image (`datasets.DataSet.arrange`)."""
    require_square(dimensions, "ai84foldednet")
    return six_layers(ai84.FusedConv2dReLU, num_classes, num_channels, dimensions, bias, batch_norm, simulate)


def ai84cifarnet(
    num_classes: int = 10,
    num_channels: int = 4,
    dimensions: tuple[int, int] = (32, 32),
    bias: bool = False,
    batch_norm: bool = False,
    simulate: bool = False,
) -> Ai84Net:
    """The same for a larger image, pooled once more."""
    require_square(dimensions, "ai84cifarnet")
    return six_layers(ai84.FusedMaxPoolConv2dReLU, num_classes, num_channels, dimensions, bias, batch_norm, simulate)


def ai84signalnet(
    num_classes: int = 5,
    num_channels: int = 1,
    dimensions: tuple[int, int] = (486, 1),
    bias: bool = False,
    simulate: bool = False,
) -> Ai84Net:
    """Four Conv1d layers for signals of one or a few channels, each a third as long as before: a multiple of 81."""
    common = {"padding": 3, "bias": bias, "simulate": simulate}
    convs = {
        "conv1": ai84.FusedConv1dReLU(num_channels, 24, weight_range=ai84.FIRST_CONV_WEIGHTS, **common),
        "conv2": ai84.FusedConv1dReLU(24, 48, **common),
        "conv3": ai84.FusedConv1dReLU(48, 48, **common),
        "conv4": ai84.FusedConv1dReLU(48, 24, **common),
    }
    return Ai84Net(convs, num_classes, dimensions, simulate)


models: dict[str, Callable[..., Ai84Net]] = {
    constructor.__name__: constructor
    for constructor in (ai84net5, ai84net5chw, ai84net7, ai84netsmall, ai84netextrasmall, ai84foldednet, ai84cifarnet,
                        ai84signalnet)
}
"""The networks that `train.py --model` can choose, by name."""
