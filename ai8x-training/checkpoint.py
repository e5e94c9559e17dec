"""Checkpoints: one dictionary of tensors and plain containers, described in docs/checkpoint-format.md."""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

import ai85
from errors import UserError
from files import replacing

WRAPPER_PREFIXES = ("module.", "_orig_mod.")
OLD_OPERATORS = (".conv2d", ".conv1d", ".linear")
KINDS = {"epoch": int, "compression_sched": dict, "extras": dict, "extras.run": dict, "extras.run.seed": int}
OLD_FC_NAMES = {"fc.weight": "fc.linear.weight", "fc.bias": "fc.linear.bias"}


@dataclass(frozen=True)
class Checkpoint:
    """A checkpoint as read from `path`.

    Attributes:
        epoch: index of the last finished epoch, from 0.
        arch: name of the network, lower case; empty when the file does not say.
        weights: parameters by today's names (float32 on the CPU).
        optimizer_state, optimizer_type: of the optimizer; None where the file has none.
        compression_sched: the masks of pruned weights, and what else the schedule has to remember.
        extras: accuracy, quantization, options of the run.
    """

    path: Path
    epoch: int
    arch: str
    weights: Mapping[str, Tensor]
    optimizer_state: dict[str, Any] | None
    optimizer_type: str | None
    compression_sched: Mapping[str, Any]
    extras: Mapping[str, Any]

    @property
    def quantized(self) -> bool:
        """Whether the weights are the integers of the quantizer.

        A file with the state of quantized training says so: its outputs are rounded, and its shifts are final. In any
        other all weights are whole numbers, and more than -1, 0 and 1.
        """
        state = [self.weights[name] for name in self.weights if name.endswith(".quantize_activation")]
        if state:
            final = [self.weights[name] for name in self.weights if name.endswith(".adjust_output_shift")]
            return all(map(bool, state)) and not any(map(bool, final))
        return all(bool((w == w.round()).all()) for w in self.weights.values()) and any(
            bool((w.abs() > 1).any()) for w in self.weights.values()
        )


def to_plain(value: Any) -> Any:
    """A copy of nested dictionaries and lists whose tensors are contiguous and on the CPU."""
    if isinstance(value, Tensor):
        return value.detach().to("cpu", copy=True, memory_format=torch.contiguous_format)
    if isinstance(value, dict):
        return {key: to_plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [to_plain(item) for item in value]
    return value


def save(
    path: Path,
    model: nn.Module,
    arch: str,
    epoch: int,
    optimizer: torch.optim.Optimizer | None,
    compression_sched: dict[str, Any],
    extras: dict[str, Any],
    network: str = "",
) -> None:
    """Write a checkpoint atomically; it holds no class, so that `torch.load(weights_only=True)` reads it.

    Args:
        network: its description for cnn-gen.py, see structure.py; left out where it is empty.
    """
    contents: dict[str, Any] = {"epoch": epoch, "arch": arch, "state_dict": to_plain(dict(model.state_dict()))}
    if optimizer is not None:
        contents["optimizer_state_dict"] = to_plain(optimizer.state_dict())
        contents["optimizer_type"] = type(optimizer).__name__
    contents |= {"compression_sched": to_plain(compression_sched), "extras": extras}
    if network:
        contents["network"] = network
    # Given a name, torch.save would put it into the archive, and the file would depend on where it was written.
    with replacing(path) as scratch, scratch.open("wb") as file:
        torch.save(contents, file)


def load(path: Path) -> Checkpoint:
    """Read a checkpoint of today or of the first generation onto the CPU, without running code from it.

    Raises UserError when the file is missing, damaged, or holds more than tensors and plain containers.
    """
    contents = read_contents(path)
    if not isinstance(contents, dict) or not isinstance(contents.get("state_dict"), dict):
        raise UserError(f"{path}: is no checkpoint, it must hold a dictionary with the key 'state_dict'")
    if problems := wrong_parts(contents):
        raise UserError(f"{path}: is no checkpoint of train.py; {', '.join(problems)}")
    optimizer_type = contents.get("optimizer_type")
    return Checkpoint(
        path=path,
        epoch=int(contents.get("epoch") or 0),
        arch=str(contents.get("arch", "")).lower(),
        weights=today_names(contents["state_dict"]),
        optimizer_state=contents.get("optimizer_state_dict"),
        optimizer_type=optimizer_type.__name__ if isinstance(optimizer_type, type) else optimizer_type,
        compression_sched=contents.get("compression_sched") or {},
        extras=contents.get("extras") or {},
    )


def wrong_parts(contents: dict[str, Any]) -> list[str]:
    """Which of the parts that a checkpoint may have are of a type that they must not have."""
    problems = []
    for name, kind in KINDS.items():
        part: Any = contents
        for key in name.split("."):
            part = part.get(key) if isinstance(part, dict) else None
        if part is not None and not isinstance(part, kind):
            problems.append(f"{name} must be of type {kind.__name__}, it is of type {type(part).__name__}")
    return problems


def sha256(path: Path) -> str:
    """The SHA-256 of a checkpoint's bytes, in hexadecimal; UserError when there is none."""
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except FileNotFoundError as error:
        raise no_checkpoint(path) from error


def no_checkpoint(path: Path) -> UserError:
    """What to say when a file is missing."""
    return UserError(f"{path}: there is no such checkpoint")


def read_contents(path: Path) -> Any:
    """What torch.load finds; the first generation stored the optimizer's class, so SGD and Adam are let through."""
    try:
        with torch.serialization.safe_globals([torch.optim.SGD, torch.optim.Adam]):
            return torch.load(path, map_location="cpu", weights_only=True)
    except FileNotFoundError as error:
        raise no_checkpoint(path) from error
    except Exception as error:  # torch.load meets a damaged file with whatever its parts raise
        reason = " ".join([f"{type(error).__name__}:", *str(error).splitlines()[:1]]).rstrip(": ")
        raise UserError(
            f"{path}: cannot be read as a checkpoint; it must be a complete file of torch.save that holds nothing but "
            f"tensors and plain containers, so copy it again or name another ({reason})"
        ) from error


def today_names(state_dict: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Parameters by the names that the layers of today use; see docs/checkpoint-format.md."""
    weights: dict[str, Tensor] = {}
    for key, tensor in state_dict.items():
        name = key
        for prefix in WRAPPER_PREFIXES:
            name = name.removeprefix(prefix)
        weights.setdefault(OLD_FC_NAMES.get(name, name), tensor.float())
    return weights


def by_names_of(wanted: Mapping[str, Tensor], weights: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """`weights` by the names of a network whose layers are called `wanted`.

    AI85's layers keep their weights under `op`. Earlier files say `conv1.weight`, `conv1.conv2d.weight` and the like,
    and have no state (AI85 hardware reference 12.1): then it is that of the untrained network.
    """
    result = {}
    for name, tensor in weights.items():
        module, _, kind = name.rpartition(".")
        layer = module.rpartition(".")[0] if module.endswith(OLD_OPERATORS) else module
        today = f"{layer}.op.{kind}"
        result[today if today in wanted else name] = tensor
    has_state = any(name.endswith(".weight_bits") for name in weights)
    state = {} if has_state else {name: wanted[name] for name in wanted if name.rpartition(".")[2] in ai85.STATE}
    return state | result


def load_weights(model: nn.Module, checkpoint: Checkpoint, arch: str) -> None:
    """Copy the weights of `checkpoint` into `model`; UserError unless names and shapes are exactly those of `arch`."""
    if checkpoint.arch and checkpoint.arch != arch:
        raise UserError(f"{checkpoint.path}: is a checkpoint of {checkpoint.arch}; given --model {arch}")
    weights = by_names_of(model.state_dict(), checkpoint.weights)
    wanted = {name: tuple(tensor.shape) for name, tensor in model.state_dict().items()}
    given = {name: tuple(tensor.shape) for name, tensor in weights.items()}
    if wanted != given:
        differences = sorted(set(wanted.items()) ^ set(given.items()))
        lines = [
            f"  {name}: the file has {given.get(name, 'nothing')}, the network {wanted.get(name, 'nothing')}"
            for name in dict.fromkeys(name for name, _ in differences)
        ]
        raise UserError(
            f"{checkpoint.path}: does not fit this {arch} (input size, classes, --use-bias and --batch-norm must be "
            "those of the training):\n" + "\n".join(lines)
        )
    model.load_state_dict(weights)


def require_quantized(checkpoint: Checkpoint, simulate: bool) -> None:
    """UserError when an exact 8-bit evaluation is given float weights, or a float one is given quantized weights."""
    if simulate and not checkpoint.quantized:
        raise UserError(
            f"{checkpoint.path}: -8 needs the integer weights that ai84ize.py writes; these are float weights"
        )
    if not simulate and checkpoint.quantized:
        raise UserError(f"{checkpoint.path}: holds quantized weights; evaluate them with -8")
