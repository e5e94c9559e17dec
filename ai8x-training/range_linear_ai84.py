"""The quantizer that schedules for AI84 name: training with the arithmetic of the device."""

from collections.abc import Mapping
from typing import Annotated, Literal

from pydantic import Field
from torch import nn

import ai84
from distiller.quantizers import Quantizer, Range


class QuantAwareTrainRangeLinearQuantizerAI84(Quantizer):
    """Rounds inputs, weights, biases, averages and outputs of AI84's layers as the device has them.

    AI84 has 8 bits and no scale: full scale is 128 steps everywhere (AI84 hardware reference 1.3, 1.4), and training
    keeps the weights within it. So there are no ranges to measure and no scales to approximate, and what is left of the
    keys can have one value only.

    Attributes:
        ema_decay, scale_approx_mult_bits: of measured ranges; schedules have them, and they have no effect.
    """

    bits_activations: Literal[8] = 8
    bits_weights: Literal[8] = 8
    bits_bias: Literal[8] | None = None
    mode: Literal["SYMMETRIC"] = "SYMMETRIC"
    per_channel_wts: Literal[False] = False
    quantize_inputs: Literal[True] = True
    ema_decay: Annotated[float, Field(ge=0, lt=1)] = 0.999
    scale_approx_mult_bits: Annotated[int, Field(ge=1)] | None = None

    def refusal(self, model: nn.Module) -> str:
        if any(getattr(layer, "norm", None) is not None for layer in ai84.layers(model)):
            return "batch normalization must become part of the weights first: use --qat-policy instead"
        return ""

    def quantize_parameters(self, model: nn.Module) -> None:
        """Nothing: the layers round their parameters where they round their outputs."""

    def quantize_activations(self, model: nn.Module, ranges: dict[str, Range]) -> None:
        for layer in ai84.layers(model):
            layer.quantized = True


QUANTIZERS: Mapping[str, type[Quantizer]] = {
    QuantAwareTrainRangeLinearQuantizerAI84.__name__: QuantAwareTrainRangeLinearQuantizerAI84
}
"""Those that are for AI84 only."""
