"""Quantized checkpoint of AI85 to integer weights, their widths, and output shifts (AI85 hardware reference 12.2)."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..checkpoint import Checkpoint, LayerWeights, layer_name, read_tensors, weighted_modules
from ..errors import RuleError, Violation
from .widths import WEIGHT_BITS

DEFAULT_BITS = 8
SHIFTS = range(-22, 16)  # -15 to 15 after the device has added 8 - bits, of which there are 1 to 8 (1.4)
HINT = "Quantize the checkpoint that training wrote with ai84ize.py --ai85"
SHAPES = {2: "[K, C]", 3: "[K, C, k]", 4: "[K, C, kh, kw]"}  # Linear, Conv1d, Conv2d

Tensors = Mapping[str, NDArray[Any]]


def read_checkpoint(path: Path, described: Sequence[int | None] = ()) -> Checkpoint:
    """Read a quantized checkpoint of AI85; all its layers are the accelerator's.

    `described` has the bits that the network description wants for the weights of each layer, in order; None, or no
    entry, leaves them to the checkpoint. Raises IzerError if the file is no checkpoint, RuleError with everything that
    has a wrong shape, is no integer, or is out of range.
    """
    return named_weights(str(path), *read_tensors(path), described)


def named_weights(path: str, arch: str, tensors: Tensors, described: Sequence[int | None] = ()) -> Checkpoint:
    """Pair the tensors, by name, to layers in their order. Raises RuleError as read_checkpoint() does."""
    names = unfolded(tensors)
    if names:
        raise RuleError([Violation("batch-norm", "Batch normalization is part of the weights.",
                                   f"separate in {', '.join(names)}", HINT + ".", None, path)])
    stored = [_stored(tensors, *pair) for pair in weighted_modules(tensors)]
    widths = (*described, *[None] * len(stored))
    violations = [v for layer, width in zip(stored, widths, strict=False) for v in _violations(layer, width, path)]
    if violations:
        raise RuleError(violations)
    return Checkpoint(path, arch, tuple(map(_layer, stored, widths)), None)


def unfolded(tensors: Tensors) -> list[str]:
    """Layers with batch normalization of their own: it has a mean, and the only one-dimensional weights."""
    keys = {name for name, _ in weighted_modules(tensors) if tensors[name].ndim == 1}
    keys |= {name for name in tensors if name.endswith(".running_mean")}
    return list(dict.fromkeys(layer_name(name) for name in tensors if name in keys))


@dataclass(frozen=True)
class _Stored:
    """A layer as the file has it; `bits` and `shift` are arrays of one number, or None where the file has none."""

    weight_key: str
    bias_key: str | None
    weight: NDArray[Any]
    bias: NDArray[Any] | None
    bits: NDArray[Any] | None
    shift: NDArray[Any] | None

    @property
    def own_bits(self) -> int:
        """Bits of the weights as the file has them, which also scale the bias."""
        return (0 if self.bits is None else int(self.bits.reshape(()))) or DEFAULT_BITS

    @property
    def units(self) -> NDArray[np.float64] | None:
        """The bias as the device adds it: rounded down where the file has fractions of a unit (12.2)."""
        return None if self.bias is None else np.floor(self.bias.astype(np.float64) / (1 << (self.own_bits - 1)))

    def width(self, described: int | None) -> int:
        """Bits of a weight: of the description, else of the file.

        Weights that are all 0 take no more than one bit (12.2); but where there is a bias, its scale depends on the
        width, and training's width is kept.
        """
        if described is not None:
            return described
        return 1 if self.bias is None and not self.weight.any() else self.own_bits


def _stored(tensors: Tensors, weight: str, bias: str | None) -> _Stored:
    name = layer_name(weight)
    return _Stored(weight, bias, tensors[weight], tensors[bias] if bias else None, tensors.get(f"{name}.weight_bits"),
                   tensors.get(f"{name}.output_shift"))  # fmt: skip


def _layer(stored: _Stored, described: int | None) -> LayerWeights:
    units = stored.units
    return LayerWeights(
        layer_name(stored.weight_key), stored.weight.astype(np.int8), None if units is None else units.astype(np.int8),
        stored.width(described), 0 if stored.shift is None else int(stored.shift.reshape(())),
    )  # fmt: skip


def _violations(stored: _Stored, described: int | None, path: str) -> Iterator[Violation]:
    """What is wrong with a layer; its numbers are only looked at where its form is right."""
    name = layer_name(stored.weight_key)
    numbers = [
        _number("weight-bits", f"{name}.weight_bits", stored.bits, (0, *WEIGHT_BITS), "1, 2, 4 or 8, or 0 for 8", path),
        _number("shift-integer", f"{name}.output_shift", stored.shift, SHIFTS, "an integer from -22 to 15", path),
    ]
    form = [v for v in (*numbers, *_tensor_violations(stored, path)) if v]
    yield from form
    if form:
        return
    bits, units = stored.width(described), stored.units
    low, high = -(1 << (bits - 1)), (1 << (bits - 1)) - 1
    if stored.weight.min() < low or stored.weight.max() > high:
        yield Violation("weights-range", f"Weights of {bits} bits are integers from {low} to {high}.",
                        _range(stored.weight_key, stored.weight), f"{HINT} and this description.", None, path)
    if units is not None and (units.min() < -128 or units.max() > 127):
        yield Violation("bias-range", "A bias, divided by 2^(weight_bits - 1), is an integer from -128 to 127.",
                        _range(f"{stored.bias_key} / {1 << (stored.own_bits - 1)}", units), HINT + ".", None, path)


def _range(name: str, values: NDArray[Any]) -> str:
    return f"{name} from {values.min():.0f} to {values.max():.0f}"


def _number(
    rule: str, key: str, value: NDArray[Any] | None, legal: Sequence[int], text: str, path: str
) -> Violation | None:
    """The violation of a tensor that is not one number of `legal`."""
    if value is None or (value.size == 1 and float(value.reshape(())) in legal):
        return None
    given = f"{float(value.reshape(())):g}" if value.size == 1 else f"a tensor of shape {list(value.shape)}"
    return Violation(rule, f"`{key.rpartition('.')[2]}` is {text}.", f"{key} = {given}", HINT + ".", None, path)


def _tensor_violations(stored: _Stored, path: str) -> Iterator[Violation]:
    """Wrong shapes and fractions of weight and bias."""
    if stored.weight.ndim not in SHAPES or stored.weight.size == 0:
        yield Violation("tensor-shape", f"A weight has the shape {', '.join(SHAPES.values())}.",
                        f"{stored.weight_key} with shape {list(stored.weight.shape)}", "", None, path)
    elif stored.bias is not None and stored.bias.shape != stored.weight.shape[:1]:
        yield Violation("tensor-shape", f"A bias has the shape [K], here [{len(stored.weight)}].",
                        f"{stored.bias_key} with shape {list(stored.bias.shape)}", "", None, path)
    for key, value in ((stored.weight_key, stored.weight), (stored.bias_key, stored.bias)):
        if value is not None and not (np.all(np.isfinite(value)) and np.all(value == np.rint(value))):
            yield Violation("weights-integer", "A quantized checkpoint holds integers.", f"{key} with fractions",
                            HINT + " first.", None, path)
