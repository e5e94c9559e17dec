"""What the bus holds after a program's load sections: registers and memories, decoded from the writes alone.

Nothing here knows how the program was made; addresses and layouts are those of the AI84 hardware reference, chapter 2.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from itertools import groupby
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from .device import Device
from .operations import Copy, CopyKernels, CopyPacked, Fill, Operation, Program, Verify

CTL_ENABLE = 0x001  # 3.1
REGISTERS = 13  # layer registers by index; index 2 does not exist (3.2)
KERNEL_WORDS = 4  # address space of one mask RAM entry (4.2)

WordType = TypeVar("WordType", np.uint32, np.bool_)


@dataclass(frozen=True)
class Accesses:
    """Bus accesses in order: int64 [N]. `reads` marks reads that compare; `masks` are the bits they look at.

    `single` marks writes of one byte.
    """

    addresses: NDArray[np.int64]
    values: NDArray[np.int64]
    masks: NDArray[np.int64]
    reads: NDArray[np.bool_]
    single: NDArray[np.bool_]


Array = Copy | CopyKernels | CopyPacked | Fill  # what is loaded from an array, or in a loop


def accesses(operations: Iterable[Operation]) -> Accesses:
    """All bus accesses of operations, in order."""
    tables = [np.zeros((5, 0), np.int64)]
    for is_array, run in groupby(operations, _is_array):
        if is_array:
            tables += [_table(operation) for operation in run]
        else:
            rows = [(a.address, a.value, a.mask, a.kind == "P", a.kind == "B")
                    for operation in run for a in operation.accesses()]  # fmt: skip
            tables.append(np.array(rows, np.int64).T)
    table = np.concatenate(tables, 1)
    return Accesses(table[0], table[1], table[2], table[3].astype(np.bool_), table[4].astype(np.bool_))


def _is_array(operation: Operation) -> bool:
    """Whether all accesses of an operation are alike, and can be listed at once."""
    return isinstance(operation, Array) or (isinstance(operation, Verify) and isinstance(operation.written, Array))


def _table(operation: Operation) -> NDArray[np.int64]:
    """Rows address, value, mask, read, byte of what is copied, or of what is read back of it."""
    if isinstance(operation, Verify):
        written = operation.written
        table = _table(written.plain() if isinstance(written, CopyPacked) else written)
        table[3] = 1
        return table
    assert isinstance(operation, Array)
    return _array(operation)


def _array(operation: Array) -> NDArray[np.int64]:
    """The rows of writes; word 3 of every kernel is 0 (4.2)."""
    if isinstance(operation, CopyPacked):
        begin = np.array([[operation.code | 1], [1], [0xFF], [0], [1]])
        return np.concatenate([begin, _words(operation.code, operation.words)], 1)
    if isinstance(operation, Fill):
        return _words(operation.address, np.full(operation.count, operation.value))
    values = operation.words
    if isinstance(operation, CopyKernels):
        values = np.hstack([values, np.zeros((len(values), 1), np.uint32)])
    return _words(operation.address, values.reshape(-1))


def _words(address: int, values: NDArray[Any]) -> NDArray[np.int64]:
    """Rows of writes of words to consecutive addresses."""
    table = np.zeros((5, values.size), np.int64)
    table[0] = address + 4 * np.arange(values.size)
    table[1] = values
    table[2] = 0xFFFFFFFF
    return table


@dataclass(frozen=True)
class BusImage:
    """Everything that software can write, as it is when the run starts; unwritten words are 0 (2.4).

    `words` uint32 and `written` bool are [groups, words of a group]. `control` are the CTL writes in order, as
    (group, value); the run begins with the first that has the enable bit. `unknown` are addresses that do not exist,
    `late` those written after the start, `replaced` those that got another value later on, `disordered` the mask RAM
    addresses out of the order 0, 1, 2, 3, `unequal` those that a read-back compares with something else than what was
    written.
    """

    device: Device
    words: NDArray[np.uint32]
    written: NDArray[np.bool_]
    control: tuple[tuple[int, int], ...]
    unknown: tuple[int, ...]
    late: tuple[int, ...]
    replaced: tuple[int, ...]
    disordered: tuple[int, ...]
    unequal: tuple[int, ...]

    @property
    def configured(self) -> NDArray[np.bool_]:
        """Which layer registers are written, bool [group, register, layer]."""
        return self._registers(self.written)

    def _registers(self, plane: NDArray[WordType]) -> NDArray[WordType]:
        first, stride = self.device.layer_registers // 4, self.device.register_stride // 4
        return plane[:, first : first + REGISTERS * stride].reshape(self.device.groups, REGISTERS, stride)

    def tram(self, plane: NDArray[WordType]) -> NDArray[WordType]:
        """The TRAM part of `words` or `written`: [group, entry] (2.2, TRAM)."""
        first, end = self.device.tram // 4, self.device.mask_ram // 4
        return plane[:, first:end]

    def register(self, group: int, offset: int) -> int:
        """A global register by its offset in the group (3.1)."""
        return int(self.words[group, offset // 4])

    @property
    def layer_registers(self) -> NDArray[np.int64]:
        """Layer registers, int64 [group, register, layer]."""
        return self._registers(self.words).astype(np.int64)

    def kernels(self, plane: NDArray[WordType]) -> NDArray[WordType]:
        """The mask RAM part of `words` or `written`: [processor, column, word] (2.2, MRAM)."""
        device = self.device
        first, words = device.mask_ram // 4, device.mask_columns * KERNEL_WORDS
        part = plane[:, first : first + device.group_processors * words]
        return part.reshape(device.processors, device.mask_columns, KERNEL_WORDS)

    def biases(self, plane: NDArray[WordType]) -> NDArray[WordType]:
        """The bias RAM part: [group, entry] (2.2, BRAM)."""
        first = self.device.bias_ram // 4
        return plane[:, first : first + self.device.bias_entries]

    def data(self, plane: NDArray[WordType]) -> NDArray[WordType]:
        """The data memory part: [global word address] (2.3)."""
        return plane[:, self.device.data_memory // 4 :].reshape(-1)


def data_words(device: Device, addresses: NDArray[np.int64]) -> NDArray[np.int64]:
    """Global word addresses of bus addresses, -1 for those outside of data memory (2.3)."""
    group, offset = split(device, addresses)
    inside = (offset >= device.data_memory) & (offset < group_bytes(device)) & (offset % 4 == 0)
    inside &= (group >= 0) & (group < device.groups)
    words_per_group = device.group_processors // 4 * device.instance_words
    return np.where(inside, group * words_per_group + (offset - device.data_memory) // 4, -1)


def load_image(device: Device, program: Program) -> BusImage:
    """Replay the load sections of a program."""
    everything = accesses(operation for section in program.load for operation in section.operations)
    group, offset = split(device, everything.addresses)
    exists = _exists(device, group, offset) & ~everything.single
    control = exists & (offset == 0) & ~everything.reads
    starts = np.flatnonzero(control & (everything.values & CTL_ENABLE > 0))
    start = int(starts[0]) if len(starts) else len(group)
    late = ~control & (np.arange(len(group)) >= start)
    valid = exists & ~everything.reads & ~(control & (np.arange(len(group)) >= start))
    words = np.zeros((device.groups, group_bytes(device) // 4), np.uint32)
    written = np.zeros(words.shape, np.bool_)
    words[group[valid], offset[valid] // 4] = everything.values[valid]  # the last write of a word counts
    written[group[valid], offset[valid] // 4] = True
    stale = words[group[valid], offset[valid] // 4] != everything.values[valid]
    compared = exists & everything.reads & (offset != 0)  # CTL changes when the run starts
    found = words[group[compared], offset[compared] // 4] & everything.masks[compared]
    return BusImage(
        device, words, written, tuple(zip(group[control].tolist(), everything.values[control].tolist(), strict=True)),
        tuple(everything.addresses[~exists].tolist()), tuple(everything.addresses[late].tolist()),
        tuple(everything.addresses[valid][stale & (offset[valid] != 0)].tolist()),
        _disordered(device, everything.addresses[valid], offset[valid]),
        tuple(everything.addresses[compared][found != everything.values[compared]].tolist()),
    )  # fmt: skip


def group_bytes(device: Device) -> int:
    """Populated part of a group's addresses, up to the end of its data memory."""
    return device.data_memory + device.group_processors // 4 * device.instance_stride


def split(device: Device, addresses: NDArray[np.int64]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Group, which need not exist, and offset in it."""
    group, offset = np.divmod(addresses - device.base, device.group_stride)
    return group, offset


def _exists(device: Device, group: NDArray[np.int64], offset: NDArray[np.int64]) -> NDArray[np.bool_]:
    """Whether a word can be accessed (2.1, 3.2)."""
    register_2 = device.layer_registers + 2 * device.register_stride
    processors = device.group_processors
    areas = (
        (0, 0xC),  # CTL, SRAM control, LCNT_MAX
        (device.layer_registers, register_2),
        (register_2 + device.register_stride, device.layer_registers + REGISTERS * device.register_stride),
        (device.tram, device.tram + processors * device.tram_stride),
        (device.mask_ram, device.mask_ram + processors * device.mask_ram_stride),
        (device.bias_ram, device.bias_ram + 4 * device.bias_entries),
        (device.data_memory, group_bytes(device)),
    )
    inside = np.zeros(offset.shape, np.bool_)
    for first, end in areas:
        inside |= (offset >= first) & (offset < end)
    inside &= (offset % 4 == 0) & (group >= 0) & (group < device.groups)
    return inside


def _disordered(device: Device, writes: NDArray[np.int64], offset: NDArray[np.int64]) -> tuple[int, ...]:
    """Mask RAM writes that are not words 0, 1, 2, 3 of one entry after another (4.2)."""
    end = device.mask_ram + device.group_processors * device.mask_ram_stride
    addresses = writes[(offset >= device.mask_ram) & (offset < end)]
    due = np.arange(len(addresses)) % KERNEL_WORDS
    entry = addresses[np.arange(len(addresses)) - due]
    wrong = (addresses != entry + 4 * due) | (entry % (4 * KERNEL_WORDS) != 0)
    if len(addresses) % KERNEL_WORDS:
        wrong[-1] = True
    return tuple(addresses[wrong].tolist())
