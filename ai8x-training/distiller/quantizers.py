"""The quantizers that a schedule can name: weights and activations that are rounded while training.

Weights become parametrizations (torch.nn.utils.parametrize): a module computes with the rounded tensor, the optimizer
changes the original one, and gradients pass the rounding as if it were not there, except where it saturates.
"""

import copy
import re
from abc import abstractmethod
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Annotated, Any, Literal, cast

import torch
from pydantic import AfterValidator, Field, model_validator
from torch import Tensor, nn
from torch.nn.utils import parametrize

import processes
from distiller.settings import Settings

INPUT = ""
"""The name under which the range of the network's input is kept; the others have the names of modules."""
Bits = Annotated[int, Field(ge=1, le=32)] | None
"""The width of a number; None leaves it in floating point."""
FLOAT_BITS = 24
"""What a float32 holds: rounding to more bits, such as the 32 that schedules give biases, changes nothing."""


@dataclass
class Range:
    """Exponential moving averages of the smallest and the largest value of some tensor.

    Attributes:
        low, high: the averages, from 0; `weight` is what they would be for tensors of ones.
    """

    low: float = 0.0
    high: float = 0.0
    weight: float = 0.0

    def update(self, values: Tensor, decay: float) -> None:
        """Let in the values of another batch, of which every process has a share."""
        low, high = values.detach().float().aminmax()
        ends = processes.reduce(torch.stack([-low, high]), torch.distributed.ReduceOp.MAX)
        low, high = float(-ends[0]), float(ends[1])
        self.low += (1 - decay) * (low - self.low)
        self.high += (1 - decay) * (high - self.high)
        self.weight += (1 - decay) * (1 - self.weight)

    def limits(self) -> tuple[float, float]:
        """The averages, corrected for having begun at 0; and 0 is within them."""
        weight = self.weight or 1.0
        return min(self.low / weight, 0.0), max(self.high / weight, 0.0)


class Quantizer(Settings):
    """What all quantizers have in common."""

    def refusal(self, model: nn.Module) -> str:
        """Why `model` cannot be quantized; empty when it can."""
        return ""

    @abstractmethod
    def quantize_parameters(self, model: nn.Module) -> None:
        """Round the weights and biases of `model` from now on."""

    @abstractmethod
    def quantize_activations(self, model: nn.Module, ranges: dict[str, Range]) -> None:
        """Round what passes between the layers of `model` from now on.

        Args:
            ranges: what is known of their sizes, by name; the model goes on measuring while it is trained.
        """


class Override(Settings):
    """What differs for some modules."""

    bits_weights: Bits = None
    bits_bias: Bits = None
    bits_activations: Bits = None


def expression(text: str) -> str:
    """A regular expression, as it was."""
    try:
        re.compile(text)
    except re.error as error:
        raise ValueError(f"should be a regular expression ({error})") from error
    return text


class LayerQuantizer(Quantizer):
    """A quantizer that rounds the weights of convolutions and linear layers, and the outputs of rectifiers.

    Attributes:
        overrides: by regular expression for a module's whole name, the bits that differ; the first that fits counts.
    """

    bits_weights: Bits = None
    bits_bias: Bits = None
    bits_activations: Bits = None
    overrides: dict[Annotated[str, AfterValidator(expression)], Override] = Field(default={})

    def bits(self, kind: str, module: str) -> int | None:
        """The bits of the weights, bias or activations of a module; None where they are not rounded."""
        key = f"bits_{kind}"
        fitting = next((override for text, override in self.overrides.items() if re.fullmatch(text, module)), self)
        bits: int | None = getattr(fitting if key in fitting.model_fields_set else self, key)
        return None if bits is None or bits > FLOAT_BITS else bits

    @abstractmethod
    def round_parameter(self, kind: str, bits: int) -> nn.Module:
        """What rounds a parameter; `kind` is weights or bias."""

    @abstractmethod
    def round_activation(self, values: Tensor, bits: int, range: Range) -> Tensor:
        """The values, rounded."""

    def quantize_parameters(self, model: nn.Module) -> None:
        for name, module in list(model.named_modules()):
            if isinstance(module, nn.Conv1d | nn.Conv2d | nn.Linear):
                for kind, parameter in (("weights", "weight"), ("bias", "bias")):
                    bits = self.bits(kind, name)
                    if bits is not None and getattr(module, parameter) is not None:
                        rounding = self.round_parameter(kind, bits)
                        parametrize.register_parametrization(module, parameter, rounding)

    def quantize_activations(self, model: nn.Module, ranges: dict[str, Range]) -> None:
        for name, module in rectifiers(model):
            bits = self.bits("activations", name)
            if bits is not None:
                module.register_forward_hook(self.hook(bits, ranges.setdefault(name, Range())))

    def hook(self, bits: int, range: Range) -> Callable[[nn.Module, Any, Tensor], Tensor]:
        """A forward hook that rounds the output of a module."""
        return lambda module, inputs, output: self.round_activation(self.measured(module, output, range), bits, range)

    def measured(self, module: nn.Module, values: Tensor, range: Range) -> Tensor:
        """The values, as they are."""
        return values


class QuantAwareTrainRangeLinearQuantizer(LayerQuantizer):
    """Rounds to equal steps between the limits of the values.

    Attributes:
        mode: whether the limits are symmetric, with one step less above 0 than below (SYMMETRIC) or as many
            (SYMMETRIC_RESTRICTED), or those of the values and 0 (ASYMMETRIC_...).
        ema_decay: of the moving averages of the activations' limits.
        per_channel_wts: limits of their own for the weights of every output channel.
        quantize_inputs: round the network's input too.
    """

    mode: Literal["SYMMETRIC", "SYMMETRIC_RESTRICTED", "ASYMMETRIC_UNSIGNED", "ASYMMETRIC_SIGNED"] = "SYMMETRIC"
    ema_decay: Annotated[float, Field(ge=0, lt=1)] = 0.999
    per_channel_wts: bool = False
    quantize_inputs: bool = True

    @model_validator(mode="after")
    def two_bits(self) -> "QuantAwareTrainRangeLinearQuantizer":
        """One bit has no step to either side of 0."""
        parts = (self, *self.overrides.values())
        if any(1 in (part.bits_weights, part.bits_bias, part.bits_activations) for part in parts):
            raise ValueError("bits should be at least 2")
        return self

    def round_parameter(self, kind: str, bits: int) -> nn.Module:
        return LinearRounding(bits, self.mode, self.per_channel_wts and kind == "weights")

    def quantize_activations(self, model: nn.Module, ranges: dict[str, Range]) -> None:
        super().quantize_activations(model, ranges)
        if self.quantize_inputs and self.bits_activations is not None:
            round_output = self.hook(self.bits_activations, ranges.setdefault(INPUT, Range()))
            model.register_forward_pre_hook(lambda module, inputs: (round_output(module, None, inputs[0]),))

    def measured(self, module: nn.Module, values: Tensor, range: Range) -> Tensor:
        if module.training:
            range.update(values, self.ema_decay)
        return values

    def round_activation(self, values: Tensor, bits: int, range: Range) -> Tensor:
        low, high = torch.tensor(range.limits(), device=values.device)
        return linear_rounding(values.float(), low, high, bits, self.mode).to(values.dtype)


class LinearRounding(nn.Module):
    """Rounds a parameter to equal steps between its limits, or those of each output channel."""

    def __init__(self, bits: int, mode: str, per_channel: bool) -> None:
        super().__init__()
        self.bits, self.mode, self.per_channel = bits, mode, per_channel

    def forward(self, parameter: Tensor) -> Tensor:
        values = parameter.detach()
        low, high = values.flatten(1).aminmax(dim=1) if self.per_channel else values.aminmax()
        return linear_rounding(parameter, low.clamp(max=0), high.clamp(min=0), self.bits, self.mode)


def linear_rounding(values: Tensor, low: Tensor, high: Tensor, bits: int, mode: str) -> Tensor:
    """`values` rounded to 2**bits steps between `low` <= 0 and `high` >= 0, in one of the modes of
    QuantAwareTrainRangeLinearQuantizer; with limits [K], every [k, ...] has its own."""
    if mode.startswith("ASYMMETRIC"):
        first, last = 0, 2**bits - 1
        step = (high - low) / last
    else:
        first, last = -(2 ** (bits - 1)) + (mode == "SYMMETRIC_RESTRICTED"), 2 ** (bits - 1) - 1
        step = torch.maximum(-low, high) * 2 / (last - first)
    step = torch.where(step > 0, step, 1)
    zero = torch.round(first - low / step if first == 0 else 0 * step).to(torch.int32)
    if low.ndim == 1:
        return torch.fake_quantize_per_channel_affine(values, step, zero, 0, first, last)
    return torch.fake_quantize_per_tensor_affine(values, step, zero, first, last)


class DorefaQuantizer(LayerQuantizer):
    """Rounds the hyperbolic tangent of weights, scaled to -1..1, and activations between 0 and 1."""

    def round_parameter(self, kind: str, bits: int) -> nn.Module:
        return DorefaRounding(bits)

    def round_activation(self, values: Tensor, bits: int, range: Range) -> Tensor:
        return unit_rounding(values.float().clamp(0, 1), bits).to(values.dtype)


class DorefaRounding(nn.Module):
    """Rounds a parameter as DoReFa-Net does; with one bit to its mean magnitude and the negative of that."""

    def __init__(self, bits: int) -> None:
        super().__init__()
        self.bits = bits

    def forward(self, parameter: Tensor) -> Tensor:
        if self.bits == 1:
            rounded = torch.where(parameter < 0, -1.0, 1.0) * parameter.abs().mean()
            return parameter + (rounded - parameter).detach()
        curve = parameter.tanh()
        return 2 * unit_rounding(curve / (2 * curve.abs().max().clamp(min=1e-8)) + 0.5, self.bits) - 1


def unit_rounding(values: Tensor, bits: int) -> Tensor:
    """Values from 0 to 1, rounded to multiples of 1 / (2**bits - 1)."""
    return torch.fake_quantize_per_tensor_affine(values, 1 / (2**bits - 1), 0, 0, 2**bits - 1)


def rectifiers(model: nn.Module) -> Iterator[tuple[str, nn.Module]]:
    """The modules whose output is rectified: PyTorch's, and the devices' layers with that activation."""
    for name, module in model.named_modules():
        activation = getattr(getattr(module, "settings", module), "activation", None)
        if isinstance(module, nn.ReLU) or activation == "ReLU":
            yield name, module


QUANTIZERS: Mapping[str, type[Quantizer]] = {
    quantizer.__name__: quantizer for quantizer in (QuantAwareTrainRangeLinearQuantizer, DorefaQuantizer)
}
"""Those that are not for one device."""


def plain(model: nn.Module, *, rounded: bool) -> nn.Module:
    """A copy without parametrizations, whose weights are the rounded or the original ones; `model` where it has none.

    The parameters have their names and their order again.
    """
    parametrized = [name for name, module in model.named_modules() if parametrize.is_parametrized(module)]
    if not parametrized:
        return model
    result = copy.deepcopy(model)
    for name in parametrized:
        remove_parametrizations(result.get_submodule(name), rounded)
    return result


def remove_parametrizations(module: nn.Module, rounded: bool) -> None:
    """Give a module plain parameters again, weight before bias.

    PyTorch's function of this name takes the property off the class, which copies of the module share.
    """
    parametrizations = cast(nn.ModuleDict, module.parametrizations)
    values = {name: getattr(module, name) for name in ("weight", "bias")}
    if not rounded:
        values |= {name: parametrization.original for name, parametrization in parametrizations.items()}
    module.__class__ = parametrize.type_before_parametrizations(module)
    del module.parametrizations
    for name, value in values.items():
        module._parameters.pop(name, None)
        module.register_parameter(name, None if value is None else nn.Parameter(value.detach()))
