"""Reads firmware: what to load, where functions and objects are, and which source line an instruction came from."""

from bisect import bisect_right
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from elftools.common.exceptions import DWARFError, ELFError
from elftools.elf.constants import SH_FLAGS
from elftools.elf.elffile import ELFFile

from chip.errors import FirmwareError


@dataclass(frozen=True)
class Symbol:
    """A function or object; `address` has no Thumb bit, `size` is in bytes."""

    name: str
    address: int
    size: int


@dataclass(frozen=True)
class Section:
    """A section that takes memory: its bytes of flash and of RAM. Initialised variables take both."""

    name: str
    flash: int
    ram: int


@dataclass(frozen=True)
class Firmware:
    """A linked program. `segments` are (load address, content), `lines` are (address, "file:line"), ascending.

    The last of the `sections` is the stack, of the size that the linker script keeps free for it at least.
    """

    path: Path
    segments: tuple[tuple[int, bytes], ...]
    functions: tuple[Symbol, ...]
    objects: dict[str, Symbol]
    lines: tuple[tuple[int, str], ...]
    sections: tuple[Section, ...]

    def function(self, name: str) -> Symbol:
        """The function of that name; raises FirmwareError if there is none."""
        for function in self.functions:
            if function.name == name:
                return function
        raise FirmwareError(f"{self.path}: no function {name}()")

    def object(self, name: str) -> Symbol:
        """The global object of that name; raises FirmwareError if there is none."""
        if name not in self.objects:
            raise FirmwareError(f"{self.path}: no object {name}")
        return self.objects[name]

    def place(self, address: int) -> str:
        """Function and offset, and the source line if known, such as `main+0x1c, main.c:12`."""
        index = bisect_right(self.functions, address, key=lambda function: function.address) - 1
        function = self.functions[index] if index >= 0 else None
        if function is None or address >= function.address + function.size:
            return "no known function"
        line = self.line(address)
        return f"{function.name}+0x{address - function.address:x}{', ' + line if line else ''}"

    def line(self, address: int) -> str:
        """The source line of an instruction, such as `main.c:12`; empty if not known."""
        index = bisect_right(self.lines, address, key=lambda entry: entry[0]) - 1
        return self.lines[index][1] if index >= 0 else ""


def read_firmware(path: Path) -> Firmware:
    """Read an ELF file for Arm.

    Raises FirmwareError if the file cannot be read, is damaged, or is for another processor.
    """
    try:
        with path.open("rb") as file:
            return _firmware(path, ELFFile(file))
    except OSError as error:
        raise FirmwareError(f"{path}: {error.strerror}") from error
    except FirmwareError:
        raise
    except (ELFError, DWARFError, ValueError, KeyError, IndexError, AttributeError, TypeError) as error:
        raise FirmwareError(f"{path}: damaged ELF file ({error}); build it again with `make clean all`") from error


def _firmware(path: Path, elf: Any) -> Firmware:
    if elf["e_machine"] != "EM_ARM" or elf.elfclass != 32 or not elf.little_endian:
        raise FirmwareError(f"{path}: not a program for a little-endian 32-bit Arm processor")
    segments = [(part["p_paddr"], part.data()) for part in elf.iter_segments("PT_LOAD") if part["p_filesz"]]
    if any(len(content) == 0 for _, content in segments):
        raise ValueError("a segment is cut off")
    table = elf.get_section_by_name(".symtab")
    if table is None:
        raise FirmwareError(f"{path}: has no symbol table; do not strip it")
    symbols = [symbol for symbol in table.iter_symbols() if symbol["st_shndx"] != "SHN_UNDEF"]
    functions = [Symbol(symbol.name, symbol["st_value"] & ~1, symbol["st_size"]) for symbol in symbols
                 if symbol["st_info"]["type"] == "STT_FUNC"]
    objects = {symbol.name: Symbol(symbol.name, symbol["st_value"], symbol["st_size"]) for symbol in symbols
               if symbol["st_info"]["type"] == "STT_OBJECT"}
    return Firmware(path, tuple(segments), tuple(sorted(functions, key=lambda function: function.address)), objects,
                    _lines(elf), (*_sections(elf), Section(".stack", 0, _absolute(table, "minimum_stack"))))


def _sections(elf: Any) -> Iterator[Section]:
    """The sections that the program occupies memory with, without empty ones."""
    for section in elf.iter_sections():
        flags, size = section["sh_flags"], section["sh_size"]
        if flags & SH_FLAGS.SHF_ALLOC and size:
            flash = 0 if section["sh_type"] == "SHT_NOBITS" else size
            yield Section(section.name, flash, size if flags & SH_FLAGS.SHF_WRITE else 0)


def _absolute(table: Any, name: str) -> int:
    """The value of a symbol of the linker script; 0 if there is none."""
    symbols = table.get_symbol_by_name(name)
    return symbols[0]["st_value"] if symbols else 0


def _lines(elf: Any) -> tuple[tuple[int, str], ...]:
    """The line number table, if the program was built with -g. An empty place ends a sequence of instructions."""
    if not elf.has_dwarf_info():
        return ()
    dwarf = elf.get_dwarf_info()
    found: list[tuple[int, str]] = []
    for unit in dwarf.iter_CUs():
        program = dwarf.line_program_for_CU(unit)
        for entry in program.get_entries() if program else ():
            if entry.state is not None:
                state = entry.state
                place = "" if state.end_sequence else f"{_file_name(program.header, state.file)}:{state.line}"
                found.append((state.address, place))
    return tuple(sorted(found, key=lambda line: (line[0], line[1] != "")))


def _file_name(header: Any, number: int) -> str:
    """File numbers count from 0 in DWARF 5, from 1 before."""
    entry = header["file_entry"][number if header["version"] >= 5 else number - 1]
    return str(entry.name.decode(errors="replace")).rsplit("/", 1)[-1]
