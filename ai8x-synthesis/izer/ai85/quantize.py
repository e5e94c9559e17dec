"""Float weights to integers of 8, 4, 2 or 1 bits with a scale per layer, for AI85 (AI85 hardware reference 12.3)."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..checkpoint import layer_name, state_dict, weighted_modules
from ..errors import IzerError
from ..quantize import Quantized, measured
from .checkpoint import unfolded
from .scales import SATURATIONS, Floats, exponent, integers
from .widths import WEIGHT_BITS

BIT_SHIFT = "MAX_BIT_SHIFT"
CONSTANTS = {"SCALE": "clipping_scale", "STDDEV": "clipping_nstds"}  # methods with one, and its key of `extras`
WITHOUT_MEANING = ("w_zero_point", "b_zero_point", "base_b_q")  # of other quantizers: removed, where they are 0

Tensors = Mapping[str, NDArray[Any]]


@dataclass(frozen=True)
class Method:
    """How the scale of a layer is chosen: MAX_BIT_SHIFT, or a key of SATURATIONS with its constant."""

    name: str = BIT_SHIFT
    constant: float = 0.0

    @property
    def extras(self) -> dict[str, Any]:
        """What the checkpoint records."""
        constants = {CONSTANTS[self.name]: self.constant} if self.name in CONSTANTS else {}
        return {"clipping_method": self.name, **constants}


@dataclass(frozen=True)
class FloatLayer:
    """A layer as training left it; `weight_bits` and `bias_bits` are 0 where training did not round.

    `keys` are the names of weight and bias, `values` their numbers; a layer without bias has one of each.
    """

    name: str
    keys: tuple[str, ...]
    values: tuple[Floats, ...]
    weight_bits: int
    bias_bits: int
    shift_quantile: float

    def widths(self, bits: int) -> tuple[int, ...]:
        """Bits of the weights and of the bias: as many, unless training gave the bias a width of its own."""
        own = self.weight_bits and self.bias_bits and self.bias_bits != self.weight_bits
        return (bits, self.bias_bits if own else bits)[: len(self.keys)]


def quantize_checkpoint(
    content: Mapping[str, Any], path: Path, method: Method, described: Sequence[int | None] | None, default_bits: int
) -> tuple[dict[str, Any], tuple[Quantized, ...]]:
    """The checkpoint with integers (as float32) in `state_dict`, and what was done to every tensor.

    A layer's weights have the bits of `described` (one entry per layer; None: the description, or this layer of it,
    does not say), else those of training, else `default_bits`. Raises IzerError for a checkpoint that is quantized
    already, is no checkpoint, or holds anything that has no integer on the device.
    """
    extras = _dictionary(content, "extras", path)
    tensors = state_dict(content, path)
    layers = _layers(tensors, path)
    _refuse_quantized(extras, tensors, path)
    widths = described if described is not None else [None] * len(layers)
    if len(widths) != len(layers):
        names = ", ".join(layer.name for layer in layers)
        raise IzerError(f"{path}: the checkpoint has weights of {len(layers)} layers ({names}); the description has "
                        f"{len(widths)} layers with weights, and must have as many.")
    changed: dict[str, NDArray[Any]] = {}
    log: list[Quantized] = []
    for layer, width in zip(layers, widths, strict=True):
        entries, report = _quantized(layer, method, width or layer.weight_bits or default_bits, path)
        changed |= entries
        log += report
    result = {name: value for name, value in tensors.items() if not _is_leftover(name, value, path)}
    result |= changed | _flags(result)
    return {**content, "state_dict": result, "extras": {**extras, **method.extras},
            **_schedule(content, path, result.keys() - tensors.keys(), result)}, tuple(log)  # fmt: skip


def _dictionary(content: Mapping[str, Any], key: str, path: Path) -> dict[str, Any]:
    value = content.get(key) or {}
    if not isinstance(value, dict):
        raise IzerError(f"{path}: `{key}` of a checkpoint is a dictionary.")
    return value


def _layers(tensors: Tensors, path: Path) -> list[FloatLayer]:
    """The layers with weights, in the order of the file; IzerError for what has no integers on the device."""
    _refuse_normalization(tensors, path)
    layers = [_layer(tensors, weight, bias, path) for weight, bias in weighted_modules(tensors)]
    if not layers:
        raise IzerError(f"{path}: there are no weights in this checkpoint.")
    return layers


def _refuse_normalization(tensors: Tensors, path: Path) -> None:
    """The device has no batch normalization, and one-dimensional weights are nothing else."""
    if names := unfolded(tensors):
        raise IzerError(f"{path}: batch normalization must be part of the weights before they are quantized; it is not "
                        f"in {', '.join(names)}. Quantize best.pth.tar of the run, whose weights contain it.")


def _layer(tensors: Tensors, weight: str, bias: str | None, path: Path) -> FloatLayer:
    keys = (weight, bias) if bias else (weight,)
    values = tuple(_floats(key, tensors[key], path) for key in keys)
    if values[0].ndim not in (2, 3, 4):
        raise IzerError(f"{path}: {weight} has the shape {list(values[0].shape)}; weights have 2 (Linear), 3 (Conv1d) "
                        "or 4 dimensions (Conv2d).")
    if bias and values[1].shape != values[0].shape[:1]:
        raise IzerError(f"{path}: {bias} has the shape {list(values[1].shape)}; a bias has one value for each of the "
                        f"{values[0].shape[0]} outputs.")
    name = layer_name(weight)
    weight_bits, bias_bits = (
        int(_number(tensors, f"{name}.{kind}_bits", 0, path, _is_width)) for kind in ("weight", "bias")
    )
    fraction = _number(tensors, f"{name}.shift_quantile", 1, path, lambda value: 0 < value <= 1)
    return FloatLayer(name, keys, values, weight_bits, bias_bits, fraction)


def _floats(name: str, value: NDArray[Any], path: Path) -> Floats:
    with np.errstate(over="ignore"):
        result = value.astype(np.float32)
    if result.size == 0:
        raise IzerError(f"{path}: {name} is empty (shape {list(value.shape)}).")
    if not np.all(np.isfinite(result)):
        raise IzerError(f"{path}: {name} holds values that are not finite; the training has diverged.")
    return result


def _is_width(value: float) -> bool:
    return value in (0, *WEIGHT_BITS)


def _number(tensors: Tensors, key: str, default: float, path: Path, legal: Callable[[float], bool]) -> float:
    """What training noted about a layer: one number."""
    value = tensors.get(key, np.array([default]))
    if value.size != 1 or not legal(float(value.reshape(()))):
        given = float(value.reshape(())) if value.size == 1 else f"{value.size} numbers"
        raise IzerError(f"{path}: {key} has no legal value; given {given}. (Bits are 0, 1, 2, 4 or 8, a quantile is "
                        "above 0 and at most 1.)")
    return float(value.reshape(()))


def _refuse_quantized(extras: Mapping[str, Any], tensors: Tensors, path: Path) -> None:
    def all_of(kind: str, wanted: bool) -> bool:
        flags = [bool(np.any(value)) for name, value in tensors.items() if name.endswith(f".{kind}")]
        return bool(flags) and all(flag == wanted for flag in flags)

    if "clipping_method" in extras or (all_of("quantize_activation", True) and all_of("adjust_output_shift", False)):
        raise IzerError(f"{path}: this checkpoint is quantized already; quantize the one that training wrote.")


def _quantized(
    layer: FloatLayer, method: Method, bits: int, path: Path
) -> tuple[dict[str, NDArray[Any]], list[Quantized]]:
    """The new tensors of a layer (12.3.1 to 12.3.3). A bias is stored 2**(bits - 1) times larger than it is."""
    factor, state = _scale(layer, method, bits, path)
    result, log = {}, []
    widths = layer.widths(bits)
    for key, values, width, unit in zip(layer.keys, layer.values, widths, (1, 1 << (bits - 1)), strict=False):
        rounded, clipped = integers(values, factor, width)
        result[key] = rounded * np.float32(unit)
        limits = (-(1 << (width - 1)), (1 << (width - 1)) - 1)
        log.append(measured(key, values, factor, limits, rounded, clipped))
    state |= {"weight_bits": bits} | ({"bias_bits": widths[1]} if len(widths) > 1 else {})
    return result | {f"{layer.name}.{kind}": np.array([value], np.float32) for kind, value in state.items()}, log


def _scale(layer: FloatLayer, method: Method, bits: int, path: Path) -> tuple[np.float32, dict[str, int]]:
    """What weights and bias are multiplied by, and the output shift that undoes it where the method chooses one."""
    unit = 1 << (bits - 1)
    if method.name == BIT_SHIFT:
        power = exponent(np.concatenate([value.ravel() for value in layer.values]), bits, layer.shift_quantile)
        return np.float32(unit * 2.0**power), {"output_shift": -power}
    with np.errstate(over="ignore"):
        factor = np.float32(unit * SATURATIONS[method.name](layer.values[0], method.constant))
    if not np.isfinite(factor):
        raise IzerError(f"{path}: {layer.keys[0]} has no finite scale with --clip-method {method.name}.")
    return factor, {}


def _is_leftover(name: str, value: NDArray[Any], path: Path) -> bool:
    """Whether a tensor of another quantizer is to be removed; IzerError if its zero point is not 0."""
    if not name.endswith(WITHOUT_MEANING):
        return False
    if not name.endswith("base_b_q") and np.any(value):
        raise IzerError(f"{path}: {name} is not 0; integers without an offset are all that the device has.")
    return True


def _flags(tensors: Tensors) -> dict[str, NDArray[Any]]:
    """From now on activations are rounded, and the shifts are final."""
    flags = {"quantize_activation": 1, "adjust_output_shift": 0}
    named = {name: flags.get(name.rpartition(".")[2]) for name in tensors}
    return {name: np.array([value], np.float32) for name, value in named.items() if value is not None}


def _schedule(content: Mapping[str, Any], path: Path, added: set[str], tensors: Tensors) -> dict[str, Any]:
    """The schedule, whose masks have an entry for each tensor that was added (12.3.3)."""
    schedule = _dictionary(content, "compression_sched", path)
    masks = _dictionary(schedule, "masks_dict", path)
    if "masks_dict" not in schedule:
        return {}
    return {"compression_sched": {**schedule, "masks_dict": masks | {n: tensors[n] for n in tensors if n in added}}}
