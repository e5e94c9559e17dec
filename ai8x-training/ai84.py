"""The operators of AI84.

Every layer pools, convolves, adds the bias, reduces to 8 bits and rectifies, in that order (AI84 hardware reference
1.2). Whatever the device cannot do is refused when the layer is built (`ai84rules.py`).

A layer computes in one of three ways:

- float mode: real numbers in units of full scale, saturated like the device's;
- quantized training (`quantized` is set, see `start_quantization`): the same, with input, weights, biases, averages and
  outputs rounded to the values that the device knows. 128 times the output is the device's integer;
- exact 8-bit mode (`simulate=True`): integers, with the weights of a quantized checkpoint.
"""

import math
from collections.abc import Sequence
from itertools import pairwise
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.func import functional_call

import ai8x
import ai84rules
import batchnorm
from ai8x import Range
from ai84rules import Activation, ConvSettings, Pooling, check, pooled_side, refusal

CONV_WEIGHTS = ai8x.Q7
FIRST_CONV_WEIGHTS = Range(2 * ai8x.Q7.low, 2 * ai8x.Q7.high)
"""The float input spans -0.5..+0.5, half of full scale, so the quantizer halves the first layer's weights."""
CONV_BIAS = Range(ai8x.Q7.low / 128, ai8x.Q7.high / 128)
"""The bias is added unshifted: one unit is worth 1/128 of an output step (AI84 hardware reference 1.4)."""
LINEAR_WEIGHTS = Range(-127 / 128, 127 / 128)
"""The software layer's weights are quantized to -127..127 (AI84 hardware reference 8.2)."""
FIRST_DATA = Range(-0.5, 127 / 256)
"""What the device's input is in float mode; the step is 1/256."""


def represent(parameter: Tensor, limits: Range) -> Tensor:
    """`parameter` as the quantizer represents it with scale 1.0: `limits.high` stands for 127, halves go to even.

    Gradients pass the rounding, and are 0 where the result saturates.
    """
    return ai8x.clamp(ai8x.round_half_even(parameter, 127 / limits.high), limits)


class Layer(nn.Module):
    """What all layers have in common: the mode, and what their parameters may be.

    Attributes:
        quantized: whether float mode rounds as the device does.
        parameter_ranges: what the float parameters may be, by name, so that quantization with scale 1.0 loses nothing
            but the fraction.
    """

    def __init__(self, parameter_ranges: dict[str, Range], simulate: bool) -> None:
        super().__init__()
        self.simulate, self.quantized = simulate, False
        self.parameter_ranges = parameter_ranges

    def parameters_of(self, name: str) -> dict[str, Tensor]:
        """Weight and bias of the operator `name`, rounded where the layer is."""
        operator = self.get_submodule(name)
        if not self.quantized:
            return dict(operator.named_parameters())
        ranges = self.parameter_ranges
        return {key: represent(value, ranges[f"{name}.{key}"]) for key, value in operator.named_parameters()}


def layers(model: nn.Module) -> list[Layer]:
    """The layers of a network, in execution order."""
    return [module for module in model.modules() if isinstance(module, Layer)]


class Convolution(Layer):
    """What the convolutions have in common.

    Attributes:
        norm: batch normalization of a network in training, until `fold` makes it part of the weights; else None.
    """

    def __init__(
        self, name: str, operator: nn.Module, activation: Activation, weight_range: Range, simulate: bool
    ) -> None:
        super().__init__({f"{name}.weight": weight_range, f"{name}.bias": CONV_BIAS}, simulate)
        self.name, self.activation = name, activation
        self.first = weight_range == FIRST_CONV_WEIGHTS
        self.add_module(name, operator)
        self.norm: nn.Module | None = None
        nn.init.kaiming_normal_(self.operator.weight, mode="fan_out", nonlinearity="relu")

    @property
    def operator(self) -> Any:
        """The convolution, an nn.Conv2d or nn.Conv1d."""
        return self.get_submodule(self.name)

    def finish(self, data: Tensor) -> Tensor:
        """What follows pooling: convolution with bias, reduction to 8 bits, activation (reference 1.4)."""
        output, limits = (self.exact(data), ai8x.INT8) if self.simulate else (self.trained(data), ai8x.Q7)
        return ai8x.rectify(output, limits) if self.activation == "ReLU" else ai8x.clamp(output, limits)

    def exact(self, data: Tensor) -> Tensor:
        """The device's integers before they are saturated."""
        with ai8x.exact_arithmetic():
            return ai8x.reduce_accumulator(self.operator(data))

    def trained(self, data: Tensor) -> Tensor:
        """The same in float mode and quantized training."""
        if self.quantized and self.first:
            data = ai8x.clamp(ai8x.round_half_even(data, 256), FIRST_DATA)
        output: Tensor = functional_call(self.operator, self.parameters_of(self.name), (data,))
        if self.norm is not None:
            output = self.norm(output)
        if self.quantized:
            output = ai8x.round_half_up(output, ai8x.FULL_SCALE)
        return output


class Conv2d(Convolution):
    """A layer of the accelerator: [pool] -> 3x3 convolution + bias -> reduce to 8 bits -> [ReLU].

    Input and output are [N, C, H, W]. In float mode values are in the range of Q7 and the output is clamped to it. With
    `simulate`, tensors hold integers -128..127, weights and bias too, and the arithmetic is that of AI84 hardware
    reference 1.4.

    Args:
        pooling: 'Max', 'Avg' or None, with windows of `pool_size` that move by `pool_stride`, before the convolution.
        batch_norm: normalize the sums while training, see `BatchNorm`; needs padding 0 or 1.
        weight_range: what the float weights may be; that of the layer that reads the image is FIRST_CONV_WEIGHTS.

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
        batch_norm: bool = False,
        simulate: bool = False,
        weight_range: Range = CONV_WEIGHTS,
    ) -> None:
        settings = ConvSettings(
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
        check(settings)
        if batch_norm and padding > 1:
            raise ValueError(f"batch normalization needs padding 0 or 1, or the border has no bias; given {padding}")
        convolution = nn.Conv2d(in_channels, out_channels, 3, padding=padding, bias=bias)
        super().__init__("conv2d", convolution, activation, weight_range, simulate)
        self.settings = settings
        self.norm = BatchNorm(out_channels) if batch_norm and not simulate else None

    @property
    def largest_weight(self) -> float:
        """The largest float weight."""
        return self.parameter_ranges["conv2d.weight"].high

    def output_side(self, side: int) -> int:
        """Height or width of the output for an input of `side` pixels; ValueError where pooling does not tile it."""
        conv = self.settings
        if conv.pooling is not None:
            side = pooled_side(side, conv.pool_size, conv.pool_stride, self.extra_repr())
        return side + 2 * conv.padding - 2

    def output_size(self, size: tuple[int, int]) -> tuple[int, int]:
        """(height, width) of the output for an input of so many pixels; ValueError where pooling does not tile it."""
        return self.output_side(size[0]), self.output_side(size[1])

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
        mean = ai8x.average_pool(data, conv.pool_size, conv.pool_stride, self.simulate)
        return ai8x.truncate(mean, ai8x.FULL_SCALE) if self.quantized else mean

    def forward(self, data: Tensor) -> Tensor:
        """[N, Cin, H, W] to [N, Cout, H', W'] as the class describes."""
        return self.finish(self.pool(data))


class Conv1d(Convolution):
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
        check(ConvSettings(in_channels, out_channels, 3, 1, 0, None, 2, 2, activation, 1, 1))
        title = f"Conv1d {in_channels} -> {out_channels}"
        if (kernel_size, stride) != (9, 3) or padding not in (0, 3, 6):
            given = f"kernel_size={kernel_size}, stride={stride}, padding={padding}"
            raise ValueError(refusal("conv1d", ai84rules.CONV1D, given, title))
        convolution = nn.Conv1d(in_channels, out_channels, 9, stride=3, padding=padding, bias=bias)
        super().__init__("conv1d", convolution, activation, weight_range, simulate)
        self.title = title

    def output_size(self, size: tuple[int, int]) -> tuple[int, int]:
        """(length, 1) of the output for an input of that shape; ValueError unless the length is a multiple of 3."""
        length, width = size
        if length % 3 or width != 1:
            given = f"length {length}" if width == 1 else f"{length}x{width} pixels"
            raise ValueError(refusal("conv1d", ai84rules.CONV1D, given, self.title))
        return (length + 2 * int(self.operator.padding[0])) // 3 - 2, 1

    def forward(self, data: Tensor) -> Tensor:
        """[N, Cin, L] to [N, Cout, L'] as the class describes."""
        self.output_size((data.shape[2], 1))
        return self.finish(data)


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


class SoftwareLinear(Layer):
    """The classification layer, in software on the microcontroller: [N, in] to [N, out] with 16-bit outputs in Q8.7.

    In float mode the output is clamped to the range of Q8.7. With `simulate`, inputs, weights and bias are integers,
    the bias is added unshifted, and the output is an integer -32768..32767 (AI84 hardware reference 8.2). Unshifted, a
    bias of 127 is worth less than one step of the output, which quantized training knows and float mode does not.
    """

    def __init__(self, in_features: int, out_features: int, bias: bool = True, simulate: bool = False) -> None:
        super().__init__({"linear.weight": LINEAR_WEIGHTS, "linear.bias": LINEAR_WEIGHTS}, simulate)
        self.linear = nn.Linear(in_features, out_features, bias)

    def forward(self, data: Tensor) -> Tensor:
        """[N, in_features] to [N, out_features] as the class describes."""
        if self.simulate:
            with ai8x.exact_arithmetic():
                return ai8x.clamp(ai8x.reduce_accumulator(self.linear(data)), ai8x.INT16)
        output = self.linear(data) if not self.quantized else self.rounded(data)
        return ai8x.clamp(output, ai8x.Q8_7)

    def rounded(self, data: Tensor) -> Tensor:
        """The scores of quantized training: 128 times them are the integers of the exact mode."""
        parameters = self.parameters_of("linear")
        if "bias" in parameters:
            parameters["bias"] = parameters["bias"] / ai8x.FULL_SCALE
        scores: Tensor = functional_call(self.linear, parameters, (data,))
        return ai8x.round_half_up(scores, ai8x.FULL_SCALE)


def check_network(convs: Sequence[Conv2d | Conv1d]) -> None:
    """Raise ValueError when the layers, in execution order, break a rule about their neighbours.

    The limits are those of AI84 hardware reference 9.1; 4x4 averages of signed data would overflow the pooling sum.
    """
    if len(convs) > ai84rules.MAX_LAYERS:
        raise ValueError(refusal("layers-max", ai84rules.LAYERS_MAX, f"{len(convs)} layers", "network"))
    for previous, conv in pairwise([conv for conv in convs if isinstance(conv, Conv2d)]):
        large = conv.settings.pooling is not None and conv.settings.pool_size == 4
        if large and conv is not convs[-1]:
            raise ValueError(refusal("pool4-last", ai84rules.POOL4_LAST, "an earlier layer", conv.extra_repr()))
        if large and conv.settings.pooling == "Avg" and previous.settings.activation is None:
            raise ValueError(refusal("avg4-relu", ai84rules.AVG4_RELU, "signed data", conv.extra_repr()))


@torch.no_grad()
def project_parameters(model: nn.Module) -> None:
    """Move every weight and bias of `model` in place to the nearest value that 8 bits can represent the size of.

    AI84 has no output shift, so a network whose weights stay in range quantizes with scale 1.0 and loses only rounding.
    """
    for layer in layers(model):
        parameters = dict(layer.named_parameters())
        for name, limits in layer.parameter_ranges.items():
            if name in parameters:
                parameters[name].clamp_(limits.low, limits.high)


class BatchNorm(batchnorm.BatchNorm2d):
    """Batch normalization for AI84, whose only bias is a channel that is constant.

    Channel 0 of the layer's input must be constant, and channel 0 of its output is. The others are normalized and
    divided by four, so that they stay inside -1 to 127/128. `fold` makes it part of the weights.

    Attributes:
        constant_in, constant_out: the values of the constant channels, see `connect_constants`.
    """

    def __init__(self, channels: int) -> None:
        super().__init__(channels, momentum=0.05, gain=1 / 4)
        self.constant_in = self.constant_out = 0.0

    def forward(self, data: Tensor) -> Tensor:
        """[N, C, H, W] to the same shape."""
        output = super().forward(data)
        output[:, 0] = self.constant_out
        return output


def connect_constants(convs: Sequence[Conv2d | Conv1d]) -> None:
    """Tell the batch normalization of the layers, in execution order, what their constant channels are on the device.

    The image's is 127/256. The largest weight is 127/128 (254/128 for the image), so that every other layer's is a step
    of 1/128 below that of the layer before (AI84 hardware reference 1.4).
    """
    constant = FIRST_DATA.high
    for conv in convs:
        if isinstance(norm := conv.norm, BatchNorm):
            norm.constant_in = constant
            constant = math.floor(constant * conv.largest_weight * 128 + 0.5) / 128
            norm.constant_out = constant


@torch.no_grad()
def fold(model: nn.Module) -> None:
    """Make batch normalization part of the weights, in place.

    With mean m, variance v, scale g and offset o of an output channel, and r = g / 4 / sqrt(v + eps), its weights
    become w * r. What is left, o / 4 - m * r, is added by the middle of the kernel that reads the constant channel. The
    kernels of channel 0 only hand on the constant.
    """
    for conv in model.modules():
        if isinstance(conv, Conv2d) and isinstance(norm := conv.norm, BatchNorm):
            weight, ratio = conv.conv2d.weight, norm.weight / 4 / torch.sqrt(norm.running_var + norm.eps)
            weight.mul_(ratio.view(-1, 1, 1, 1))
            weight[:, 0, 1, 1] += (norm.bias / 4 - norm.running_mean * ratio) / norm.constant_in
            weight[0] = 0
            weight[0, 0, 1, 1] = conv.largest_weight
            conv.norm = None


def start_quantization(model: nn.Module) -> None:
    """Change a float network in place into one that trains with quantization; batch normalization is folded."""
    fold(model)
    project_parameters(model)
    for layer in layers(model):
        layer.quantized = True
