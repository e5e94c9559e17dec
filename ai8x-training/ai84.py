"""The operators of AI84, and its limits.

Every layer pools, convolves, adds the bias, reduces to 8 bits and rectifies, in that order (AI84 hardware reference
1.2). Whatever the device cannot do is refused when the layer is built.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import pairwise
from typing import Any, Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

import ai8x
from ai8x import Range

MAX_CHANNELS = 64
MAX_LAYERS = 32
POOLINGS = ((2, 1), (2, 2), (4, 4))

# The rules that need more than one layer's settings, in the words that cnn-gen.py uses too.
LAYERS_MAX = "A network has at most 32 layers."
POOL_DIVIDE = (
    "Pooling windows must tile the input exactly: (size - pool) must be a multiple of the pooling stride, in both "
    "directions."
)
POOL4_LAST = "4x4 pooling is possible in the last layer only, since its output is not contiguous."
CONV1D = (
    "A one-dimensional convolution has kernel 9, stride 3, padding 0, 3 or 6, no pooling, and an input whose length is "
    "a multiple of 3; any other has kernel 3x3 and stride 1."
)
AVG4_RELU = "4x4 average pooling needs the output of a layer with ReLU, or its sum exceeds the accumulator."

CONV_WEIGHTS = ai8x.Q7
FIRST_CONV_WEIGHTS = Range(2 * ai8x.Q7.low, 2 * ai8x.Q7.high)
"""The float input spans -0.5..+0.5, half of full scale, so the quantizer halves the first layer's weights."""
CONV_BIAS = Range(ai8x.Q7.low / 128, ai8x.Q7.high / 128)
"""The bias is added unshifted: one unit is worth 1/128 of an output step (AI84 hardware reference 1.4)."""
LINEAR_WEIGHTS = Range(-127 / 128, 127 / 128)
"""The software layer's weights are quantized to -127..127 (AI84 hardware reference 8.2)."""

Pooling = Literal["Max", "Avg"] | None
Activation = Literal["ReLU"] | None


@dataclass(frozen=True)
class ConvSettings:
    """What a convolution layer is asked to do; the rules below judge it."""

    in_channels: int
    out_channels: int
    kernel_size: int | tuple[int, int]
    stride: int
    padding: int
    pooling: Pooling
    pool_size: int
    pool_stride: int
    activation: Activation
    dilation: int
    groups: int


Rule = Callable[[ConvSettings], str]


def rule_kernel(conv: ConvSettings) -> str:
    """The kernel is 3x3, without dilation."""
    good = conv.kernel_size in (3, (3, 3)) and conv.dilation == 1
    return "" if good else f"kernel_size={conv.kernel_size}, dilation={conv.dilation}"


def rule_stride(conv: ConvSettings) -> str:
    """The convolution stride is 1."""
    return "" if conv.stride == 1 else f"stride={conv.stride}"


def rule_pad(conv: ConvSettings) -> str:
    """Padding is 0, 1 or 2."""
    return "" if conv.padding in (0, 1, 2) else f"padding={conv.padding}"


def rule_channels_max(conv: ConvSettings) -> str:
    """A layer has at most 64 input and 64 output channels."""
    allowed = range(1, MAX_CHANNELS + 1)
    good = conv.in_channels in allowed and conv.out_channels in allowed
    return "" if good else f"in_channels={conv.in_channels}, out_channels={conv.out_channels}"


def rule_groups(conv: ConvSettings) -> str:
    """All input channels are summed: groups is 1."""
    return "" if conv.groups == 1 else f"groups={conv.groups}"


def rule_pool_kind(conv: ConvSettings) -> str:
    """Pooling is 'Max', 'Avg' or None."""
    return "" if conv.pooling in ("Max", "Avg", None) else f"pooling={conv.pooling!r}"


def rule_pool_size(conv: ConvSettings) -> str:
    """The pooling size is 2 or 4."""
    return "" if conv.pooling is None or conv.pool_size in (2, 4) else f"pool_size={conv.pool_size}"


def rule_pool_stride(conv: ConvSettings) -> str:
    """Pooling is 2x2 with stride 1 or 2, or 4x4 with stride 4."""
    good = conv.pooling is None or conv.pool_size not in (2, 4) or (conv.pool_size, conv.pool_stride) in POOLINGS
    return "" if good else f"pool_size={conv.pool_size}, pool_stride={conv.pool_stride}"


def rule_activation(conv: ConvSettings) -> str:
    """The activation is 'ReLU' or None."""
    return "" if conv.activation in ("ReLU", None) else f"activation={conv.activation!r}"


RULES: tuple[Rule, ...] = (
    rule_kernel,
    rule_stride,
    rule_pad,
    rule_channels_max,
    rule_groups,
    rule_pool_kind,
    rule_pool_size,
    rule_pool_stride,
    rule_activation,
)


refusal = partial(ai8x.refusal, "AI84")


def check(conv: ConvSettings) -> None:
    """Raise ValueError with one line for every rule (AI84 hardware reference 9.1) that `conv` breaks."""
    ai8x.check_rules("AI84", RULES, conv, f"Conv2d {conv.in_channels} -> {conv.out_channels}")


def pooled_side(side: int, size: int, stride: int, layer: str) -> int:
    """Number of pooling windows along `side` pixels; ValueError unless they tile it (AI84 hardware reference 9.1)."""
    if side < size or (side - size) % stride:
        given = f"{side} pixels, pool_size={size}, pool_stride={stride}"
        raise ValueError(refusal("pool-divide", POOL_DIVIDE, given, layer))
    return (side - size) // stride + 1


class Conv2d(nn.Module):
    """A layer of the accelerator: [pool] -> 3x3 convolution + bias -> reduce to 8 bits -> [ReLU].

    Input and output are [N, C, H, W]. In float mode values are in the range of Q7 and the output is clamped to it. With
    `simulate`, tensors hold integers -128..127, weights and bias too, and the arithmetic is that of AI84 hardware
    reference 1.4.

    Args:
        pooling: 'Max', 'Avg' or None, with windows of `pool_size` that move by `pool_stride`, before the convolution.
        weight_range: what the float weights may be, so that quantization with scale 1.0 loses nothing but the fraction.

    Raises:
        ValueError: the device cannot do this; one line per broken rule.
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: int | tuple[int, int] = 3,
        *,
        pooling: Pooling = None,
        pool_size: int = 2,
        pool_stride: int = 2,
        stride: int = 1,
        padding: int = 0,
        bias: bool = False,
        activation: Activation = None,
        dilation: int = 1,
        groups: int = 1,
        simulate: bool = False,
        weight_range: Range = CONV_WEIGHTS,
    ) -> None:
        super().__init__()
        self.settings = ConvSettings(
            in_channels,
            out_channels,
            kernel_size,
            stride,
            padding,
            pooling,
            pool_size,
            pool_stride,
            activation,
            dilation,
            groups,
        )
        check(self.settings)
        self.simulate = simulate
        self.parameter_ranges = {"conv2d.weight": weight_range, "conv2d.bias": CONV_BIAS}
        self.conv2d = nn.Conv2d(in_channels, out_channels, 3, padding=padding, bias=bias)
        nn.init.kaiming_normal_(self.conv2d.weight, mode="fan_out", nonlinearity="relu")

    def output_side(self, side: int) -> int:
        """Height or width of the output for an input of `side` pixels; ValueError where pooling does not tile it."""
        conv = self.settings
        if conv.pooling is not None:
            side = pooled_side(side, conv.pool_size, conv.pool_stride, self.extra_repr())
        return side + 2 * conv.padding - 2

    def extra_repr(self) -> str:
        """How messages and the printed model name this layer."""
        return f"Conv2d {self.settings.in_channels} -> {self.settings.out_channels}"

    def pool(self, data: Tensor) -> Tensor:
        """Apply the pooling of this layer, if any."""
        conv = self.settings
        if conv.pooling is None:
            return data
        for side in data.shape[2:]:
            pooled_side(side, conv.pool_size, conv.pool_stride, self.extra_repr())
        if conv.pooling == "Max":
            return F.max_pool2d(data, conv.pool_size, conv.pool_stride)
        return ai8x.average_pool(data, conv.pool_size, conv.pool_stride, self.simulate)

    def forward(self, data: Tensor) -> Tensor:
        """[N, Cin, H, W] to [N, Cout, H', W'] as the class describes."""
        return finish(self.conv2d, self.pool(data), self.settings.activation, self.simulate)


def finish(convolution: nn.Module, data: Tensor, activation: Activation, simulate: bool) -> Tensor:
    """What follows pooling in every layer: convolution with bias, reduction to 8 bits, activation (reference 1.4)."""
    if simulate:
        with ai8x.exact_arithmetic():
            output = ai8x.clamp(ai8x.reduce_accumulator(convolution(data)), ai8x.INT8)
    else:
        output = ai8x.clamp(convolution(data), ai8x.Q7)
    return F.relu(output) if activation == "ReLU" else output


class Conv1d(nn.Module):
    """A one-dimensional convolution on the 3x3 engine: kernel 9, stride 3 (AI84 hardware reference 12.6).

    Input [N, Cin, L], output [N, Cout, (L + 2 * padding) / 3 - 2]; modes, bias and activation as in Conv2d. Raises
    ValueError for what the device cannot do, also in the forward pass where L is not a multiple of 3.
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: int = 9,
        *,
        stride: int = 3,
        padding: int = 0,
        bias: bool = False,
        activation: Activation = None,
        simulate: bool = False,
        weight_range: Range = CONV_WEIGHTS,
    ) -> None:
        super().__init__()
        check(ConvSettings(in_channels, out_channels, 3, 1, 0, None, 2, 2, activation, 1, 1))
        self.name = f"Conv1d {in_channels} -> {out_channels}"
        if (kernel_size, stride) != (9, 3) or padding not in (0, 3, 6):
            given = f"kernel_size={kernel_size}, stride={stride}, padding={padding}"
            raise ValueError(refusal("conv1d", CONV1D, given, self.name))
        self.activation, self.simulate = activation, simulate
        self.parameter_ranges = {"conv1d.weight": weight_range, "conv1d.bias": CONV_BIAS}
        self.conv1d = nn.Conv1d(in_channels, out_channels, 9, stride=3, padding=padding, bias=bias)
        nn.init.kaiming_normal_(self.conv1d.weight, mode="fan_out", nonlinearity="relu")

    def forward(self, data: Tensor) -> Tensor:
        """[N, Cin, L] to [N, Cout, L'] as the class describes."""
        if data.shape[2] % 3:
            raise ValueError(refusal("conv1d", CONV1D, f"length {data.shape[2]}", self.name))
        return finish(self.conv1d, data, self.activation, self.simulate)


class FusedConv1dReLU(Conv1d):
    """One-dimensional convolution and ReLU."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, activation="ReLU", **kwargs)


class FusedConv2dReLU(Conv2d):
    """Convolution and ReLU."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, activation="ReLU", **kwargs)


class FusedMaxPoolConv2d(Conv2d):
    """Max pooling and convolution."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, pooling="Max", **kwargs)


class FusedMaxPoolConv2dReLU(FusedMaxPoolConv2d):
    """Max pooling, convolution and ReLU."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, activation="ReLU", **kwargs)


class FusedAvgPoolConv2d(Conv2d):
    """Average pooling and convolution."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, pooling="Avg", **kwargs)


class FusedAvgPoolConv2dReLU(FusedAvgPoolConv2d):
    """Average pooling, convolution and ReLU."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, activation="ReLU", **kwargs)


class SoftwareLinear(nn.Module):
    """The classification layer, in software on the microcontroller: [N, in] to [N, out] with 16-bit outputs in Q8.7.

    In float mode the output is clamped to the range of Q8.7. With `simulate`, inputs, weights and bias are integers,
    the bias is added unshifted, and the output is an integer -32768..32767 (AI84 hardware reference 8.2).
    """

    def __init__(self, in_features: int, out_features: int, bias: bool = True, simulate: bool = False) -> None:
        super().__init__()
        self.simulate = simulate
        self.parameter_ranges = {"linear.weight": LINEAR_WEIGHTS, "linear.bias": LINEAR_WEIGHTS}
        self.linear = nn.Linear(in_features, out_features, bias)

    def forward(self, data: Tensor) -> Tensor:
        """[N, in_features] to [N, out_features] as the class describes."""
        if self.simulate:
            with ai8x.exact_arithmetic():
                return ai8x.clamp(ai8x.reduce_accumulator(self.linear(data)), ai8x.INT16)
        output: Tensor = ai8x.clamp(self.linear(data), ai8x.Q8_7)
        return output


def check_network(convs: Sequence[Conv2d]) -> None:
    """Raise ValueError when the layers, in execution order, break a rule about their neighbours.

    The limits are those of AI84 hardware reference 9.1; 4x4 averages of signed data would overflow the pooling sum.
    """
    if len(convs) > MAX_LAYERS:
        raise ValueError(refusal("layers-max", LAYERS_MAX, f"{len(convs)} layers", "network"))
    for previous, conv in pairwise(convs):
        large = conv.settings.pooling is not None and conv.settings.pool_size == 4
        if large and conv is not convs[-1]:
            raise ValueError(refusal("pool4-last", POOL4_LAST, "an earlier layer", conv.extra_repr()))
        if large and conv.settings.pooling == "Avg" and previous.settings.activation is None:
            raise ValueError(refusal("avg4-relu", AVG4_RELU, "signed data", conv.extra_repr()))


@torch.no_grad()
def project_parameters(model: nn.Module) -> None:
    """Move every weight and bias of `model` in place to the nearest value that 8 bits can represent the size of.

    AI84 has no output shift, so a network whose weights stay in range quantizes with scale 1.0 and loses only rounding.
    """
    for layer in model.modules():
        if isinstance(layer, Conv2d | Conv1d | SoftwareLinear):
            parameters = dict(layer.named_parameters())
            for name, limits in layer.parameter_ranges.items():
                if name in parameters:
                    parameters[name].clamp_(limits.low, limits.high)
