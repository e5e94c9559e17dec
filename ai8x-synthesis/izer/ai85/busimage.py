"""What AI85's bus holds after a program's load sections: registers and memories, decoded from the accesses alone.

Nothing here knows how the program was made; addresses and layouts are those of the AI85 hardware reference, chapters 2,
3 and 5.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from ..busimage import Accesses, accesses, group_bytes, split
from ..device import Device
from ..operations import Program
from .packed import COLUMN_BYTES, Columns, unpack

CTL_ENABLE = 1 << 0  # 3.3
CTL_PACKED = 1 << 20
REGISTERS = 21  # layer registers by number (3.1)
STREAMING = range(16, 19)  # of these, only the first layers have one
STREAMING_LAYERS = 8
ABSENT = 19  # no layer register: the rest of a frame counter

WordType = TypeVar("WordType", np.uint32, np.bool_)


@dataclass(frozen=True)
class BusImage:
    """Everything that software can write, as it is when the run starts; unwritten words are 0 (18.1).

    `words` uint32 and `written` bool are [groups, words of a group], weight memory as it reads back (2.3); `columns`
    is what packed runs wrote. `control` are the CTL writes in order, as (group, value); the run begins with the first
    that has the enable bit. `always_on` is AON_CTL, None if it is not written.

    The others are addresses: `unknown` do not exist or have another size, `late` are accessed after the start,
    `replaced` got another value later on, `unpacked` are runs that are written while packed loading is off, `unequal`
    are compared with something else than what was written.
    """

    device: Device
    words: NDArray[np.uint32]
    written: NDArray[np.bool_]
    columns: Columns
    control: tuple[tuple[int, int], ...]
    always_on: int | None
    unknown: tuple[int, ...]
    late: tuple[int, ...]
    replaced: tuple[int, ...]
    unpacked: tuple[int, ...]
    unequal: tuple[int, ...]

    def register(self, group: int, offset: int) -> int:
        """A control register by its offset in the quadrant (3.3)."""
        return int(self.words[group, offset // 4])

    @property
    def layer_registers(self) -> NDArray[np.int64]:
        """Layer registers, int64 [group, register, layer] (3.1)."""
        first, stride = self.device.layer_registers // 4, self.device.register_stride // 4
        part = self.words[:, first : first + REGISTERS * stride]
        return part.reshape(self.device.groups, REGISTERS, stride).astype(np.int64)

    def biases(self, plane: NDArray[WordType]) -> NDArray[WordType]:
        """The bias memory part of `words` or `written`: [group, entry] (2.1)."""
        first = self.device.bias_ram // 4
        return plane[:, first : first + self.device.bias_entries]

    def tram(self, plane: NDArray[WordType]) -> NDArray[WordType]:
        """The TRAM part: [group, word]; there are gaps between processors (2.1)."""
        first = self.device.tram // 4
        return plane[:, first : first + self.device.group_processors * self.device.tram_stride // 4]

    def data(self, plane: NDArray[WordType]) -> NDArray[WordType]:
        """The data memory part: [global word address], instance after instance (2.2)."""
        return plane[:, self.device.data_memory // 4 :].reshape(-1)


def load_image(device: Device, program: Program) -> BusImage:
    """Replay the load sections of a program."""
    made = accesses(operation for section in program.load for operation in section.operations)
    group, offset = split(device, made.addresses)
    always_on = made.addresses == device.always_on_control
    exists = _exists(device, made, group, offset)
    control = exists & (offset == 0) & ~made.reads
    starts = np.flatnonzero(control & (made.values & CTL_ENABLE > 0))
    ahead = np.arange(len(group)) < (starts[0] if len(starts) else len(group))
    weights = exists & ~made.reads & _inside(device, offset)
    columns = unpack(device, _only(made, weights & ahead))
    valid = exists & ~made.reads & ~weights & ahead
    words, written = _planes(device, columns)
    at = group[valid], offset[valid] // 4
    words[at] = made.values[valid]  # the last write of a word counts
    written[at] = True
    lost = (words[at] != made.values[valid]) & (offset[valid] > 0)
    aon = made.values[always_on & ~made.reads & ahead]
    unequal = _unequal(made, exists & (offset > 0), (group, offset), words)
    unequal |= always_on & made.reads & (made.values != (aon[-1] if len(aon) else 0))
    return BusImage(
        device, words, written, columns,
        tuple(zip(group[control].tolist(), made.values[control].tolist(), strict=True)),
        int(aon[-1]) if len(aon) else None, _listed(made, ~exists & (~always_on | made.single)),
        _listed(made, ~control & ~ahead), (*made.addresses[valid][lost].tolist(), *columns.replaced),
        tuple(_unpacked(made, group, control, weights & made.single)), _listed(made, unequal),
    )  # fmt: skip


def _listed(made: Accesses, chosen: NDArray[np.bool_]) -> tuple[int, ...]:
    """Addresses of some accesses."""
    return tuple(made.addresses[chosen].tolist())


def _only(made: Accesses, chosen: NDArray[np.bool_]) -> Accesses:
    """Some of the accesses."""
    return Accesses(made.addresses[chosen], made.values[chosen], made.masks[chosen], made.reads[chosen],
                    made.single[chosen])  # fmt: skip


def _inside(device: Device, offset: NDArray[np.int64]) -> NDArray[np.bool_]:
    """Whether offsets in a quadrant are those of weight memory, with the gaps between processors (2.1)."""
    end = device.mask_ram + device.group_processors * device.mask_ram_stride
    return (offset >= device.mask_ram) & (offset < end)


def _exists(
    device: Device, made: Accesses, group: NDArray[np.int64], offset: NDArray[np.int64]
) -> NDArray[np.bool_]:
    """
    Whether accesses go to what a program may use, in its size: not to TEST, FIFOs and counters of streams (2.1, 3.1).
    """
    weights = _inside(device, offset)
    column = (offset - device.mask_ram) % device.mask_ram_stride // 16
    entry = (offset - device.tram) % device.tram_stride // 4
    tram_end = device.tram + device.group_processors * device.tram_stride
    number, layer = np.divmod((offset - device.layer_registers) // 4, device.register_stride // 4)
    registers = (number >= 0) & (number < REGISTERS) & (number != ABSENT)
    registers &= ~np.isin(number, STREAMING) | (layer < STREAMING_LAYERS)
    inside: NDArray[np.bool_] = (offset >= 0) & (offset < 0xC)  # CTL, SRAM, LCNT_MAX
    inside |= registers | weights & (column < device.mask_columns)
    inside |= (offset >= device.tram) & (offset < tram_end) & (entry < device.tram_entries)
    inside |= (offset >= device.bias_ram) & (offset < device.bias_ram + 4 * device.bias_entries)
    inside |= (offset >= device.data_memory) & (offset < group_bytes(device))
    sized = np.where(made.single, weights & (offset % 4 == 1), offset % 4 == 0)
    inside &= sized & (group >= 0) & (group < device.groups)
    return inside


def _planes(device: Device, columns: Columns) -> tuple[NDArray[np.uint32], NDArray[np.bool_]]:
    """All words of all quadrants, with weight memory as it reads back: four words for a column (2.3)."""
    words = np.zeros((device.groups, group_bytes(device) // 4), np.uint32)
    written = np.zeros(words.shape, np.bool_)
    first, size = device.mask_ram // 4, device.mask_ram_stride // 4
    at = slice(first, first + device.group_processors * size)
    shape = (device.groups, device.group_processors, size)
    plain = np.zeros((device.processors, device.mask_columns, 4), np.uint32)
    padded = np.zeros((device.processors, device.mask_columns, COLUMN_BYTES + 3), np.uint8)
    padded[:, :, 3:] = columns.content
    plain[:, :, :3] = padded.view(">u4")
    used = 4 * device.mask_columns
    words[:, at].reshape(shape)[:, :, :used] = plain.reshape(*shape[:2], used)
    written[:, at].reshape(shape)[:, :, :used] = np.repeat(columns.loaded, 4, 1).reshape(*shape[:2], used)
    return words, written


def _unequal(
    made: Accesses, compared: NDArray[np.bool_], where: tuple[NDArray[np.int64], NDArray[np.int64]],
    words: NDArray[np.uint32],
) -> NDArray[np.bool_]:
    """Which reads compare a word with another value than it has; CTL changes by itself."""
    reads = compared & made.reads
    group, offset = where
    wrong = np.zeros(len(reads), np.bool_)
    wrong[reads] = words[group[reads], offset[reads] // 4] & made.masks[reads] != made.values[reads]
    return wrong


def _unpacked(
    made: Accesses, group: NDArray[np.int64], control: NDArray[np.bool_], heads: NDArray[np.bool_]
) -> Iterator[int]:
    """Addresses of runs before which the quadrant's CTL did not switch packed loading on (5.8)."""
    for number in np.unique(group[heads]).tolist():
        switches = np.flatnonzero(control & (group == number))
        runs = np.flatnonzero(heads & (group == number))
        packed = np.concatenate([[False], made.values[switches] & CTL_PACKED > 0])
        yield from made.addresses[runs[~packed[np.searchsorted(switches, runs)]]].tolist()
