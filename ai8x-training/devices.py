"""What training has to know about each device: its networks, its input, and what is special about its weights."""

import copy
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from functools import partial

from torch import Tensor, nn

import ai8x
import ai84
import ai84net
import ai85net
import qat
import range_linear_ai84
import thresholds
from distiller.quantizers import Quantizer


@dataclass(frozen=True)
class Device:
    """A device that `train.py --device` can choose.

    Attributes:
        name: what messages and checkpoints call it.
        synonyms: what the command line calls it too.
        models: constructors of its networks, by name.
        float_input: makes the float mode's input of uint8 values, and of the value that stands for 1.0.
        after_step: moves the weights of a network to where the device needs them, after every optimizer step.
        exported: gives the network that is to be quantized for one in training; the latter stays as it is.
        fold_thresholds: makes activation thresholds part of the weights of a float network, see `thresholds.py`.
        start_qat: makes a network train with quantization from now on.
        score_factor: brings the scores of quantized training to the unit that they had before, for the loss.
        quantizers: what a schedule for the device can name, beside the quantizers for all of them.
        check_policy: UserError when a policy asks for what the device, or the network, does not have.
        batch_norm_leaves_bias: whether batch normalization becomes part of the convolutions' biases, besides weights.
    """

    name: str
    synonyms: tuple[str, ...]
    models: Mapping[str, Callable[..., nn.Module]]
    float_input: Callable[[Tensor, int], Tensor]
    after_step: Callable[[nn.Module], None]
    exported: Callable[[nn.Module], nn.Module]
    fold_thresholds: Callable[[nn.Module, Iterable[Tensor], float], dict[str, float]]
    start_qat: Callable[[nn.Module, qat.Policy], None]
    score_factor: Callable[[nn.Module], float]
    quantizers: Mapping[str, type[Quantizer]]
    check_policy: Callable[[qat.Policy, nn.Module], None]
    batch_norm_leaves_bias: bool

    def input(self, unit: int, simulate: bool) -> Callable[[Tensor], Tensor]:
        """What makes the input for exact 8-bit mode, or for float mode, of uint8 values; `unit` stands for 1.0."""
        return partial(ai8x.normalize_8bit if simulate else self.float_input, unit=unit)


def folded(model: nn.Module, fold: Callable[[nn.Module], None]) -> nn.Module:
    """A copy whose batch normalization `fold` has made part of the weights."""
    result = copy.deepcopy(model)
    fold(result)
    return result


AI84 = Device(
    "AI84",
    ("84",),
    ai84net.models,
    float_input=ai8x.normalize_float,
    after_step=ai84.project_parameters,
    exported=partial(folded, fold=ai84.fold),
    fold_thresholds=thresholds.fold_ai84,
    start_qat=lambda model, policy: ai84.start_quantization(model),
    score_factor=lambda model: 1.0,
    quantizers=range_linear_ai84.QUANTIZERS,
    check_policy=qat.check_8_bits,
    batch_norm_leaves_bias=False,
)
AI85 = Device(
    "AI85",
    ("85", "MAX78000"),
    ai85net.models,
    float_input=ai8x.normalize_float_8bit,
    after_step=lambda model: None,
    exported=partial(folded, fold=qat.fold),
    fold_thresholds=thresholds.fold_ai85,
    start_qat=qat.start,
    score_factor=qat.score_factor,
    quantizers={},
    check_policy=qat.check_names,
    batch_norm_leaves_bias=True,
)
DEVICES = (AI84, AI85)
"""All devices; `find` chooses among them."""


def find(name: str) -> Device:
    """The device that is called `name`, its name or a synonym."""
    return next(device for device in DEVICES if name in (device.name, *device.synonyms))


def of_model(arch: str) -> Device:
    """The device that the network `arch` is for."""
    return next(device for device in DEVICES if arch in device.models)
