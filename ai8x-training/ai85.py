"""The operators of AI85.

Every layer pools, convolves, adds the bias, scales by a power of two, rounds and saturates to 8 bits, and applies its
activation, in that order (AI85 hardware reference 1.3, 1.4). What the device cannot do is refused when the layer is
built (`ai85rules.py`).

A layer computes in one of three ways:

- float mode: real numbers in units of full scale, saturated like the device's;
- quantized training (`quantize_activation` is 1, see `qat.py`): the same, with weights, bias, averages and outputs
  rounded to the values that the device knows. 128 times the output is the device's integer; of a wide layer,
  128 * 2**(weight_bits - 1) times;
- exact 8-bit mode (`simulate=True`): integers, with the weights of a quantized checkpoint.
"""

from functools import partial
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.func import functional_call

import ai8x
import batchnorm
import quantization
from ai85rules import Activation, LayerSettings, Pair, Pooling, check, pooled

INT8_WEIGHT_BITS = 8
STATE = ("output_shift", "weight_bits", "bias_bits", "quantize_activation", "adjust_output_shift", "shift_quantile")
"""What a checkpoint stores for every layer beside its weights (AI85 hardware reference 12.1), one number each."""


def pair(value: int | Pair) -> Pair:
    """(rows, columns) from one number for both, or from the two."""
    return value if isinstance(value, tuple) else (value, value)


class Layer(nn.Module):
    """What all layers have in common: the pooling, the modes, and the state that a checkpoint stores.

    Attributes:
        op: the convolution or matrix product with the float (or, with `simulate`, integer) parameters; None where the
            layer only pools.
        bn: batch normalization of a network in training, until `qat.fold` makes it part of the weights; else None.
    """

    output_shift: Tensor
    weight_bits: Tensor
    bias_bits: Tensor
    quantize_activation: Tensor
    shift_quantile: Tensor

    def __init__(self, settings: LayerSettings, op: nn.Module | None, batch_norm: nn.Module | None, simulate: bool):
        super().__init__()
        self.settings, self.simulate = settings, simulate
        initial = {"weight_bits": INT8_WEIGHT_BITS, "bias_bits": INT8_WEIGHT_BITS, "quantize_activation": 1}
        for name in STATE:
            value = 1 if name == "shift_quantile" else initial.get(name, 0) if simulate else 0
            self.register_buffer(name, torch.tensor([float(value)]))
        self.op, self.bn = op, batch_norm

    def extra_repr(self) -> str:
        """How the printed model names this layer."""
        return self.settings.name

    @property
    def bits(self) -> int:
        """Bits of a weight: 1, 2, 4 or 8."""
        return int(self.weight_bits) or INT8_WEIGHT_BITS

    def pool(self, data: Tensor) -> Tensor:
        """Apply the pooling of this layer, if any, to [N, C, H, W]."""
        layer = self.settings
        if layer.pooling is None:
            return data
        pooled(layer, (data.shape[2], data.shape[3]))
        if layer.pooling == "Max":
            return F.max_pool2d(data, layer.pool_size, layer.pool_stride)
        mean = ai8x.average_pool(data.float(), layer.pool_size, layer.pool_stride, self.simulate)
        return ai8x.truncate(mean, ai8x.FULL_SCALE) if self.quantize_activation and not self.simulate else mean

    def forward(self, data: Tensor) -> Tensor:
        """Images [N, C, H, W] to [N, K, H', W']."""
        data = self.pool(data)
        if self.op is None:
            return data
        return self.exact(self.op, data) if self.simulate else self.trained(self.op, data)

    def parameters_of_op(self) -> dict[str, Tensor]:
        """weight and, where there is one, bias."""
        return dict(self.op.named_parameters()) if self.op is not None else {}

    def exponent(self) -> int:
        """The power of two that brings the parameters to full scale; minus the output shift."""
        return quantization.exponent(list(self.parameters_of_op().values()), self.bits, float(self.shift_quantile))

    def trained(self, op: nn.Module, data: Tensor) -> Tensor:
        """Float mode and quantized training (AI85 hardware reference 12.5)."""
        quantized, parameters = bool(self.quantize_activation), self.parameters_of_op()
        if quantized:
            exponent = self.exponent()
            widths = {"weight": self.bits, "bias": int(self.bias_bits) or self.bits}
            parameters = {
                name: quantization.fake(parameter, exponent, self.bits, widths[name])
                for name, parameter in parameters.items()
            }
        output: Tensor = functional_call(op, parameters, (data,))
        if self.bn is not None:
            output = self.bn(output)
        if self.settings.wide:
            return output
        if quantized:
            output = ai8x.round_half_up(output * 2.0**-exponent, ai8x.FULL_SCALE)
        return saturate(output, self.settings.activation, ai8x.Q7)

    def exact(self, op: nn.Module, data: Tensor) -> Tensor:
        """The device's integers (AI85 hardware reference 1.4); a wide layer gives its accumulator."""
        parameters = self.parameters_of_op()
        if "bias" in parameters:  # the file's bias is scaled; the device adds its integers times 128 (12.2)
            units = torch.floor(parameters["bias"] / 2 ** (self.bits - 1))
            parameters["bias"] = units * ai8x.FULL_SCALE
        dtype = ai8x.exact_type(parameters["weight"], parameters.get("bias"))
        parameters = {name: parameter.to(dtype) for name, parameter in parameters.items()}
        with ai8x.exact_arithmetic():
            accumulator: Tensor = functional_call(op, parameters, (data.to(dtype),))
        if self.settings.wide:
            return accumulator
        shift = int(self.output_shift) + ai8x.DATA_BITS - self.bits
        output = torch.floor(accumulator * (2.0**shift / ai8x.FULL_SCALE) + 0.5).float()
        return saturate(output, self.settings.activation, ai8x.INT8)


def saturate(output: Tensor, activation: Activation, limits: ai8x.Range) -> Tensor:
    """Saturate a rounded output to `limits` and apply the activation, in this order as on the device (1.4)."""
    if activation == "ReLU":
        return ai8x.clamp(output, ai8x.Range(0.0, limits.high))
    saturated = ai8x.clamp(output, limits)
    return saturated.abs().clamp(max=limits.high) if activation == "Abs" else saturated


class Conv2d(Layer):
    """[pool] -> 1x1 or 3x3 convolution + bias -> [batch normalization] -> scale, round, saturate -> [activation].

    Args:
        pooling: 'Max', 'Avg' or None; windows of `pool_size` (rows, columns) move by `pool_stride`.
        activation: 'ReLU', 'Abs' or None.
        wide: the output is the 32-bit accumulator, without scale, rounding and saturation.
        batch_norm: normalize the sums while training; the layer then has a bias, which takes over in the end.
        simulate: exact 8-bit mode.

    Raises:
        ValueError: the device cannot do this; one line per broken rule.
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: int | Pair = 3,
        *,
        pooling: Pooling = None,
        pool_size: int | Pair = 2,
        pool_stride: int | Pair = 2,
        stride: int = 1,
        padding: int = 0,
        dilation: int = 1,
        groups: int = 1,
        bias: bool = False,
        activation: Activation = None,
        wide: bool = False,
        batch_norm: bool = False,
        simulate: bool = False,
    ) -> None:
        bias, kernel = bias or batch_norm, pair(kernel_size)
        window, step = (pair(pool_size), pair(pool_stride)) if pooling else ((1, 1), (1, 1))
        settings = LayerSettings("Conv2d", in_channels, out_channels, kernel, stride, pair(padding), dilation, groups,
                                 pooling, window, step, activation, wide, bias)  # fmt: skip
        check(settings)
        op = nn.Conv2d(in_channels, out_channels, kernel, padding=padding, bias=bias)
        nn.init.kaiming_normal_(op.weight, mode="fan_out", nonlinearity="relu")
        norm = normalization(batchnorm.BatchNorm2d, out_channels, batch_norm, simulate)
        super().__init__(settings, op, norm, simulate)


class Conv1d(Layer):
    """[pool] -> convolution of [N, C, L] with a kernel of 1 to 9 taps + bias -> ... as Conv2d.

    The result is [N, K, L']. Arguments and errors as Conv2d; `pool_size` and `pool_stride` are single numbers.
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: int = 9,
        *,
        pooling: Pooling = None,
        pool_size: int = 2,
        pool_stride: int = 2,
        stride: int = 1,
        padding: int = 0,
        dilation: int = 1,
        groups: int = 1,
        bias: bool = False,
        activation: Activation = None,
        wide: bool = False,
        batch_norm: bool = False,
        simulate: bool = False,
    ) -> None:
        bias = bias or batch_norm
        window, step = ((pool_size, 1), pair(pool_stride)) if pooling else ((1, 1), (1, 1))
        settings = LayerSettings("Conv1d", in_channels, out_channels, (kernel_size, 1), stride, (padding, 0), dilation,
                                 groups, pooling, window, step, activation, wide, bias)  # fmt: skip
        check(settings)
        op = nn.Conv1d(in_channels, out_channels, kernel_size, padding=padding, dilation=dilation, bias=bias)
        nn.init.kaiming_normal_(op.weight, mode="fan_out", nonlinearity="relu")
        norm = normalization(batchnorm.BatchNorm1d, out_channels, batch_norm, simulate)
        super().__init__(settings, op, norm, simulate)

    def pool(self, data: Tensor) -> Tensor:
        """Pool [N, C, L] as images of one column."""
        return super().pool(data.unsqueeze(3)).squeeze(3)


class Linear(Layer):
    """A fully connected layer on the accelerator: [N, C, ...], flattened, to [N, K].

    `in_features` is the number of values per sample, channel by channel. Other arguments and errors as Conv2d.
    """

    def __init__(
        self,
        in_features: int,
        out_features: int,
        bias: bool = False,
        *,
        activation: Activation = None,
        wide: bool = False,
        simulate: bool = False,
    ) -> None:
        settings = LayerSettings("Linear", in_features, out_features, activation=activation, wide=wide, bias=bias)
        check(settings)
        super().__init__(settings, nn.Linear(in_features, out_features, bias), None, simulate)

    def pool(self, data: Tensor) -> Tensor:
        """Flatten; there is no pooling."""
        return data.flatten(1)


class Pool2d(Layer):
    """Pooling without convolution on [N, C, H, W]; `stride` defaults to the window's size. Errors as Conv2d."""

    def __init__(
        self, pooling: Pooling, kernel_size: int | Pair, stride: int | Pair | None = None, simulate: bool = False
    ) -> None:
        step = kernel_size if stride is None else stride
        settings = LayerSettings("Pool2d", 0, 0, pooling=pooling, pool_size=pair(kernel_size), pool_stride=pair(step))
        check(settings)
        super().__init__(settings, None, None, simulate)


class Pool1d(Layer):
    """Pooling without convolution on [N, C, L]; `stride` defaults to the window's size. Errors as Conv2d."""

    def __init__(self, pooling: Pooling, kernel_size: int, stride: int | None = None, simulate: bool = False) -> None:
        step = kernel_size if stride is None else stride
        settings = LayerSettings("Pool1d", 0, 0, pooling=pooling, pool_size=(kernel_size, 1), pool_stride=pair(step))
        check(settings)
        super().__init__(settings, None, None, simulate)

    def pool(self, data: Tensor) -> Tensor:
        """Pool [N, C, L] as images of one column."""
        return super().pool(data.unsqueeze(3)).squeeze(3)


def normalization(kind: Any, channels: int, wanted: bool, simulate: bool) -> nn.Module | None:
    """Batch normalization for a layer in training; quantized networks have none, it is part of their weights.

    A quarter of the normalized sums is passed on (AI85 hardware reference 12.5).
    """
    return kind(channels, eps=1e-5, momentum=0.05, gain=1 / 4) if wanted and not simulate else None


FusedConv2dReLU = partial(Conv2d, activation="ReLU")
FusedConv2dAbs = partial(Conv2d, activation="Abs")
FusedMaxPoolConv2d = partial(Conv2d, pooling="Max")
FusedMaxPoolConv2dReLU = partial(Conv2d, pooling="Max", activation="ReLU")
FusedMaxPoolConv2dAbs = partial(Conv2d, pooling="Max", activation="Abs")
FusedAvgPoolConv2d = partial(Conv2d, pooling="Avg")
FusedAvgPoolConv2dReLU = partial(Conv2d, pooling="Avg", activation="ReLU")
FusedAvgPoolConv2dAbs = partial(Conv2d, pooling="Avg", activation="Abs")
FusedConv1dReLU = partial(Conv1d, activation="ReLU")
FusedConv1dAbs = partial(Conv1d, activation="Abs")
FusedMaxPoolConv1d = partial(Conv1d, pooling="Max")
FusedMaxPoolConv1dReLU = partial(Conv1d, pooling="Max", activation="ReLU")
FusedMaxPoolConv1dAbs = partial(Conv1d, pooling="Max", activation="Abs")
FusedAvgPoolConv1d = partial(Conv1d, pooling="Avg")
FusedAvgPoolConv1dReLU = partial(Conv1d, pooling="Avg", activation="ReLU")
FusedAvgPoolConv1dAbs = partial(Conv1d, pooling="Avg", activation="Abs")
FusedLinearReLU = partial(Linear, activation="ReLU")
FusedLinearAbs = partial(Linear, activation="Abs")
MaxPool2d = partial(Pool2d, "Max")
AvgPool2d = partial(Pool2d, "Avg")
MaxPool1d = partial(Pool1d, "Max")
AvgPool1d = partial(Pool1d, "Avg")
