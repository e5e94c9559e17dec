"""The columns of weight memory that packed runs write (AI85 hardware reference 5.8)."""

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from ..busimage import Accesses, split
from ..device import Device

COLUMN_BYTES = 9


@dataclass(frozen=True)
class Columns:
    """What runs left in weight memory.

    `content` is uint8 [processor, column, 9], B[0] first; `loaded` bool [processor, column]. `broken` are addresses of
    runs that do not follow the format, `replaced` those of columns that got other content later on.
    """

    content: NDArray[np.uint8]
    loaded: NDArray[np.bool_]
    broken: tuple[int, ...]
    replaced: tuple[int, ...]

    @property
    def streams(self) -> NDArray[np.uint8]:
        """The bytes of every processor in the order in which kernels follow each other, [processor, byte] (5.1)."""
        return self.content[:, :, ::-1].reshape(len(self.content), -1)


@dataclass(frozen=True)
class Run:
    """One run: the processor (counted through all groups), its first column, and uint8 [columns, 9]."""

    address: int
    processor: int
    column: int
    columns: NDArray[np.uint8]

    @property
    def cells(self) -> tuple[int, slice]:
        """Where it is in arrays [processor, column]."""
        return self.processor, slice(self.column, self.column + len(self.columns))


def unpack(device: Device, writes: Accesses) -> Columns:
    """Follow all writes to weight memory, in order: a byte begins a run, words follow."""
    content = np.zeros((device.processors, device.mask_columns, COLUMN_BYTES), np.uint8)
    loaded = np.zeros(content.shape[:2], np.bool_)
    heads = np.flatnonzero(writes.single)
    broken = writes.addresses[: heads[0] if len(heads) else None].tolist()
    runs: list[Run] = []
    for first, end in pairwise([*heads.tolist(), len(writes.addresses)]):
        run = _run(device, writes, first, end)
        if run is None:
            broken.append(int(writes.addresses[first]))
        else:
            runs.append(run)
            content[run.cells], loaded[run.cells] = run.columns, True
    return Columns(content, loaded, tuple(broken), tuple(_replaced(content, runs)))


def _replaced(content: NDArray[np.uint8], runs: list[Run]) -> Iterator[int]:
    """Addresses of the runs of which something is lost."""
    for run in runs:
        if not np.array_equal(content[run.cells], run.columns):
            yield run.address


def _run(device: Device, writes: Accesses, first: int, end: int) -> Run | None:
    """The run that begins with access `first`; None where it does not follow the format.

    The byte is 1 and its address, less 1, the address code. The words go to that code and up; they hold whole columns
    inside weight memory, and zeros up to the end of the last word.
    """
    address = int(writes.addresses[first])
    groups, offsets = split(device, np.array([address - 1]))
    local, inside = divmod(int(offsets[0]) - device.mask_ram, device.mask_ram_stride)
    column = inside // 4
    content = writes.values[first + 1 : end].astype(">u4").view(np.uint8)
    count, rest = divmod(len(content), COLUMN_BYTES)
    due = address - 1 + 4 * np.arange(end - first - 1)
    if (writes.values[first] != 1 or inside % 4 or column + count > device.mask_columns or rest > 3 or not count
            or content[len(content) - rest :].any() or (writes.addresses[first + 1 : end] != due).any()):  # fmt: skip
        return None
    processor = int(groups[0]) * device.group_processors + local
    return Run(address, processor, column, content[: len(content) - rest].reshape(-1, COLUMN_BYTES))
