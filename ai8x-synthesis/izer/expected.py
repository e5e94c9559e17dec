"""What a generated program is to do on the bus: what it writes until the start, and what every layer leaves behind.

A program that was changed by hand is compared with it.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .operations import Copy, CopyKernels, CopyPacked, Operation, Program, Section, Verify
from .pipeline import Model


@dataclass(frozen=True)
class ExpectedWrite:
    """A write to the accelerator, with the function that makes it, its reason, and the array that it comes from."""

    address: int
    value: int
    function: str
    why: str


@dataclass(frozen=True)
class LayerOutput:
    """What a layer computes, [C, H, W], and where it leaves it: the first byte of every value, uint32 [C, H, W]."""

    values: NDArray[Any]
    addresses: NDArray[np.uint32]

    @property
    def bytes(self) -> NDArray[np.uint32]:
        """Addresses of all bytes of the values, the low ones first, [C, H, W, bytes of a value]."""
        offsets = np.arange(self.values.itemsize, dtype=np.uint32)
        addresses: NDArray[np.uint32] = np.add(self.addresses[..., None], offsets, dtype=np.uint32)
        return addresses

    def found(self, content: NDArray[np.uint8]) -> NDArray[Any]:
        """The values that these bytes make, [C, H, W]."""
        return np.ascontiguousarray(content).view(self.values.dtype.newbyteorder("<"))[..., 0]


@dataclass(frozen=True)
class ValueDifference:
    """The first value of a layer that is wrong, in the order channel, row, column, and how many are."""

    channel: int
    row: int
    column: int
    address: int
    expected: int
    found: int
    count: int


def expected_writes(program: Program) -> list[ExpectedWrite]:
    """All writes until the start, in order."""
    return [write for section in program.load for write in _writes(section)]


def _writes(section: Section) -> Iterator[ExpectedWrite]:
    for operation in section.operations:
        if not isinstance(operation, Verify):
            why = _reason(operation)
            for access in operation.accesses():
                if access.kind in "WB":
                    yield ExpectedWrite(access.address, access.value, section.name, why)


def _reason(operation: Operation) -> str:
    array = f", from {operation.name}" if isinstance(operation, Copy | CopyKernels | CopyPacked) else ""
    return f"{operation.why}{array}"


def layer_outputs(model: Model) -> tuple[LayerOutput, ...]:
    """Of every layer, what the reference computes and where the layer leaves it when it ends."""
    return tuple(
        LayerOutput(_stored(value.output, layer.wide), np.concatenate([
            step.addresses() for step in model.target.unloads(model.device, layer, place)]))
        for layer, place, value in zip(model.network.layers, model.placement.layers, model.values, strict=True)
    )  # fmt: skip


def _stored(output: NDArray[Any], wide: bool) -> NDArray[Any]:
    return output.astype(np.int32 if wide else np.int8)


def first_write(expected: Sequence[ExpectedWrite], made: Sequence[tuple[int, int]]) -> int | None:
    """Index of the first of the writes (address, value) that is missing or another than expected; None if none is."""
    same = (write.address == address and write.value == value
            for write, (address, value) in zip(expected, made, strict=False))  # fmt: skip
    index = next((n for n, equal in enumerate(same) if not equal), min(len(expected), len(made)))
    return None if index == len(expected) == len(made) else index


def first_value(output: LayerOutput, content: NDArray[np.uint8]) -> ValueDifference | None:
    """The first value of a layer that these bytes have wrong; None if all are right."""
    found = output.found(content)
    wrong = np.argwhere(found != output.values)
    if not len(wrong):
        return None
    channel, row, column = place = tuple(wrong[0].tolist())
    return ValueDifference(channel, row, column, int(output.addresses[place]), int(output.values[place]),
                           int(found[place]), len(wrong))  # fmt: skip
