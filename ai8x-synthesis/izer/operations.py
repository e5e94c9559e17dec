"""The bus operations that programs consist of. Emitters print them, chip models execute them, tests compare them."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray


class Access(NamedTuple):
    """One bus access: kind "W" writes `value`, kind "P" reads until (or once, in a check) read & mask == value.

    Kind "B" writes one byte instead of a word.
    """

    kind: str
    address: int
    mask: int
    value: int


@dataclass(frozen=True)
class Write:
    """Write one word."""

    address: int
    value: int
    why: str

    def accesses(self) -> Iterator[Access]:
        """The bus accesses in order."""
        yield Access("W", self.address, 0xFFFFFFFF, self.value)


@dataclass(frozen=True)
class Copy:
    """Write an array of words (uint32 [N]) to consecutive addresses; `name` is the array's name in generated code."""

    name: str
    address: int
    words: NDArray[np.uint32]
    why: str

    def accesses(self) -> Iterator[Access]:
        """The bus accesses in order."""
        for n, word in enumerate(self.words.tolist()):
            yield Access("W", self.address + 4 * n, 0xFFFFFFFF, word)


@dataclass(frozen=True)
class CopyBytes(Copy):
    """The same with one byte per word: all words are below 256."""


@dataclass(frozen=True)
class CopyKernels:
    """Write kernels (uint32 [N, 3], words 0 to 2) to consecutive mask RAM entries; word 3, which is 0, commits each."""

    name: str
    address: int
    words: NDArray[np.uint32]
    why: str

    def accesses(self) -> Iterator[Access]:
        """The bus accesses in order."""
        for n, kernel in enumerate(self.words.tolist()):
            for word, value in enumerate((*kernel, 0)):
                yield Access("W", self.address + 16 * n + 4 * word, 0xFFFFFFFF, value)


@dataclass(frozen=True)
class CopyPacked:
    """Write columns (uint8 [N, 9], B[0] to B[8]) to consecutive weight memory words in the packed format.

    `address` is that of the first column, 16 bytes per column (AI85 hardware reference 5.8).
    """

    name: str
    address: int
    columns: NDArray[np.uint8]
    why: str

    @property
    def code(self) -> int:
        """The address code: the column's offset in the processor's window of 16 KiB is divided by four."""
        return self.address & ~0x3FFF | (self.address & 0x3FFF) >> 2

    @property
    def words(self) -> NDArray[np.uint32]:
        """The bytes of the columns, four to a word, the first in bits 31 to 24; zeros fill the last word."""
        content = self.columns.tobytes()
        return np.frombuffer(content + bytes(-len(content) % 4), ">u4").astype(np.uint32)

    def accesses(self) -> Iterator[Access]:
        """The bus accesses in order: a byte that sets the column, then the words."""
        yield Access("B", self.code | 1, 0xFF, 1)
        for n, word in enumerate(self.words.tolist()):
            yield Access("W", self.code + 4 * n, 0xFFFFFFFF, word)

    def plain(self) -> CopyKernels:
        """The same columns in the format of one kernel for every three words, in which they read back (5.9, 5.11)."""
        words = [np.zeros((len(self.columns), 3), np.uint8), self.columns]
        return CopyKernels(self.name, self.address, np.hstack(words).view(">u4").astype(np.uint32), self.why)


@dataclass(frozen=True)
class Fill:
    """Write the same word to `count` consecutive addresses."""

    address: int
    value: int
    count: int
    why: str

    def accesses(self) -> Iterator[Access]:
        """The bus accesses in order."""
        for n in range(self.count):
            yield Access("W", self.address + 4 * n, 0xFFFFFFFF, self.value)


@dataclass(frozen=True)
class Verify:
    """Read back what an operation wrote; loading fails unless all words are equal."""

    written: Write | Copy | CopyKernels | CopyPacked | Fill

    @property
    def why(self) -> str:
        """The reason of what was written."""
        return self.written.why

    def accesses(self) -> Iterator[Access]:
        """The bus accesses in order."""
        written = self.written.plain() if isinstance(self.written, CopyPacked) else self.written
        for access in written.accesses():
            yield access._replace(kind="P")


@dataclass(frozen=True)
class _Read:
    """Read a word and look at the bits of `mask`."""

    address: int
    mask: int
    value: int
    why: str

    def accesses(self) -> Iterator[Access]:
        """The bus accesses in order."""
        yield Access("P", self.address, self.mask, self.value)


@dataclass(frozen=True)
class Wait(_Read):
    """Read a word until read & mask == value."""


@dataclass(frozen=True)
class Check(_Read):
    """Read a word; the program fails unless read & mask == value."""


@dataclass(frozen=True)
class Unload:
    """Read output channels of one instance to a buffer [C, H, W], from channel `channel` on.

    Pixel (y, x) is the word at `address` + 4 * (y * row_words + x * pixel_words); `lanes` are its used bytes, in
    channel order. Where the output is `wide`, they are the used words of four, the first of which is at that address.
    """

    address: int
    lanes: tuple[int, ...]
    rows: int
    columns: int
    row_words: int
    channel: int
    pixel_words: int = 1
    wide: bool = False

    def addresses(self) -> NDArray[np.uint32]:
        """Where every value is, or its first byte, uint32 [lanes, rows, columns]."""
        lanes = np.array(self.lanes)[:, None, None] * (4 if self.wide else 1)
        words = np.arange(self.rows)[:, None] * self.row_words + np.arange(self.columns) * self.pixel_words
        addresses: NDArray[np.uint32] = (self.address + 4 * words + lanes).astype(np.uint32)
        return addresses


Operation = Write | Copy | CopyKernels | CopyPacked | Fill | Verify | Wait | Check


@dataclass(frozen=True)
class Section:
    """Operations that belong together: one function of the generated program."""

    name: str
    why: str
    operations: tuple[Operation, ...]

    @property
    def verified(self) -> bool:
        """Whether the section reads back what it writes, and so can fail."""
        return any(isinstance(operation, Verify) for operation in self.operations)

    def accesses(self) -> Iterator[Access]:
        """The bus accesses in order."""
        for operation in self.operations:
            yield from operation.accesses()


@dataclass(frozen=True)
class Program:
    """A whole program. `load` ends with the start of the run; `stop` comes before new input for another run."""

    load: tuple[Section, ...]
    wait: Section
    check: Section
    stop: Section
    unload: tuple[Unload, ...]

    def section(self, name: str) -> Section:
        """A section of `load` by its name; raises KeyError."""
        return {section.name: section for section in self.load}[name]

    def trace(self) -> list[Access]:
        """Every bus access of one run, from reset to the check of the known answer."""
        return [access for section in (*self.load, self.wait, self.check) for access in section.accesses()]
