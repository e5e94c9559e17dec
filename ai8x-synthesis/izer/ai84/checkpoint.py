"""Quantized checkpoint of AI84 to integer weights (AI84 hardware reference 12.3)."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..checkpoint import Checkpoint, LayerWeights, is_fc, read_tensors, weighted_modules
from ..errors import RuleError, Violation


def read_checkpoint(path: Path) -> Checkpoint:
    """Read a quantized checkpoint.

    Raises IzerError if the file is no checkpoint, RuleError with every tensor of a wrong shape or with values that are
    not integers from -128 to 127.
    """
    return named_weights(str(path), *read_tensors(path))


def named_weights(path: str, arch: str, tensors: Mapping[str, NDArray[Any]]) -> Checkpoint:
    """Pair the tensors, by name, to layers in their order. Raises RuleError as read_checkpoint() does."""
    violations = [v for name, value in tensors.items() if (v := _check(name, value, path))]
    layers = list(weighted_modules(tensors))
    fc = [pair for pair in layers if is_fc(pair[0])]
    if len(fc) > 1:
        violations.append(Violation("fc-single", "A network has at most one classification layer.",
                                    f"{len(fc)} of them", "", None, path))
    if violations:
        raise RuleError(violations)
    return Checkpoint(
        path, arch,
        tuple(_layer(tensors, *pair) for pair in layers if not is_fc(pair[0])),
        _layer(tensors, *fc[0]) if fc else None,
    )  # fmt: skip


def _layer(tensors: Mapping[str, NDArray[Any]], weight: str, bias: str | None) -> LayerWeights:
    return LayerWeights(weight.rpartition(".")[0], tensors[weight].astype(np.int8),
                        None if bias is None else tensors[bias].astype(np.int8))


def _check(name: str, value: NDArray[Any], path: str) -> Violation | None:
    """The first thing that is wrong with a weight or bias tensor."""
    kind = name.rpartition(".")[2]
    if kind not in ("weight", "bias"):
        return None
    wanted = "[Cout]" if kind == "bias" else "[R, N]" if is_fc(name) else "[Cout, Cin, 3, 3], or [Cout, Cin, 9] (1D)"
    dimensions = {"[Cout]": 1, "[R, N]": 2}.get(wanted)
    fits = value.ndim == dimensions if dimensions else value.ndim > 2 and value.shape[2:] in ((3, 3), (9,))
    if not fits or value.size == 0:
        return Violation("tensor-shape", f"A {kind} has the shape {wanted}.",
                         f"{name} with shape {list(value.shape)}", "", None, path)
    if not np.all(np.isfinite(value)) or np.any(value != np.rint(value)):
        return Violation("weights-integer", "A quantized checkpoint holds integers.", f"{name} with fractions",
                         "Quantize the checkpoint with ai84ize.py first.", None, path)
    if value.min() < -128 or value.max() > 127:
        return Violation("weights-range", "Weights and biases are integers from -128 to 127.",
                         f"{name} from {value.min():.0f} to {value.max():.0f}",
                         "Quantize the checkpoint with ai84ize.py.", None, path)
    return None
