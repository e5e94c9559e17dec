"""A test for RTL simulation on the emulated chip: built with a stand-in for the test bench, judged by its checks."""

import re
import shutil
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

from chip.board import AI84, MAX78000, Board
from chip.demo import build
from chip.errors import FirmwareError
from chip.mcu import Mcu, Read

RUNTIME = Path(__file__).resolve().parents[1] / "Device"
SHARED = ("Makefile", "sections.ld", "startup.c", "platform.c", "tornadocnn.h")
RUN_TEST = "run_test.sv"
FLASH = 16 * 1024 * 1024  # as in Device/rtlsim/link.ld
GROUPS, INSTANCES = 4, 4  # of the accelerator, of a group


@dataclass(frozen=True)
class Bench:
    """What stands in for the test bench of a device: its board, its support code, and where its data memory is."""

    board: Board
    support: tuple[str, ...]  # files and folders in Device/
    group: int
    group_stride: int
    data_memory: int  # in a group
    instance_stride: int


BENCHES = {
    "AI84": Bench(replace(AI84, flash_size=FLASH), ("rtlsim",), 0x50100000, 0x100000, 0x10000, 0x4000),  # 2.1
    # AI85 hardware reference 2.1 and 2.2
    "AI85": Bench(replace(MAX78000, flash_size=FLASH), ("rtlsim", "rtlsim/max78000", "max78000/sdk/gcr_regs.h"),
                  0x50100000, 0x400000, 0x300000, 0x8000),
}  # fmt: skip

CHECK = re.compile(r"if \(\(\*\(\(volatile uint32_t \*\) 0x(\w{8})\)(?: & 0x(\w{8}))?\) != 0x(\w{8})\) return 0;"
                   r"(?: // (.*))?")  # fmt: skip


@dataclass(frozen=True)
class Difference:
    """The word at which a test failed, and where that is; only the bits of `mask` count.

    `meaning` is the comment beside the check.
    """

    place: str
    mask: int
    expected: int
    found: int
    meaning: str
    line: str

    def __str__(self) -> str:
        bits = "" if self.mask == 0xFFFFFFFF else f" in the bits 0x{self.mask:08x}"
        meaning = f" ({self.meaning})" if self.meaning else ""
        return (f"{self.place}{meaning}: 0x{self.expected:08x} expected{bits}, 0x{self.found:08x} found; "
                f"{self.line}")


def is_rtltest(folder: Path) -> bool:
    """Whether a folder holds a test for RTL simulation: those have no manifest, since the test bench fixes their files.

    See the AI84 hardware reference 7.7.
    """
    return (folder / RUN_TEST).is_file() and not (folder / "cnn-run.json").exists()


def bench_of(folder: Path) -> Bench:
    """The bench for a test, which names its device; raises FirmwareError if there is none."""
    source = folder / _program_name(folder)
    try:
        found = re.search(r"^// Device: (\w+)$", source.read_text(errors="replace"), re.MULTILINE)
    except OSError as error:
        raise FirmwareError(f"{source}: {error.strerror}; generate the folder again") from error
    if not found or found[1] not in BENCHES:
        raise FirmwareError(f"{source}: names none of the devices {', '.join(BENCHES)} in a line `// Device:`; "
                            "generate the folder again")
    return BENCHES[found[1]]


@contextmanager
def built(folder: Path, bench: Bench, show: Callable[[str], None]) -> Iterator[Path]:
    """The program of a test, built in a temporary folder, so that the test's own stays as it is.

    `show` gets each line that make prints. Raises FirmwareError if the test has no C program, BuildError if it does not
    build.
    """
    source = folder / _program_name(folder)
    with tempfile.TemporaryDirectory() as name:
        temporary = Path(name)
        support = [path for name in bench.support for path in _files(RUNTIME / name)]
        for path in [*(RUNTIME / shared for shared in SHARED), *support, source]:
            try:
                shutil.copy(path, temporary)
            except OSError as error:
                raise FirmwareError(f"{path}: {error.strerror}; generate the folder again") from error
        # optimizing one function of thousands of stores takes minutes and brings nothing
        yield build(temporary, show, folder, "-O0 -fno-sanitize=all")


def _files(path: Path) -> list[Path]:
    return [path] if path.is_file() else [file for file in path.iterdir() if file.is_file()]


def _program_name(folder: Path) -> str:
    """The C program that run_test.sv names."""
    path = folder / RUN_TEST
    found = re.search(r"^`define ARM_PROG_SOURCE ([\w.+-]+\.c)$", path.read_text(errors="replace"), re.MULTILINE)
    if not found:
        raise FirmwareError(f"{path}: names no C program in ARM_PROG_SOURCE, as tests without --top-level do not; "
                            "generate the test with --top-level to run it here")
    return found[1]


def place(bench: Bench, address: int) -> str:
    """An address, and for data memory the instance (through all groups) and the word in it (2.2, 2.3)."""
    group, offset = divmod(address - bench.group, bench.group_stride)
    instance, byte = divmod(offset - bench.data_memory, bench.instance_stride)
    if not (0 <= group < GROUPS and 0 <= instance < INSTANCES):
        return f"0x{address:08x}"
    return f"0x{address:08x}, instance {INSTANCES * group + instance}, word {byte // 4}"


def first_difference(folder: Path, bench: Bench, mcu: Mcu) -> Difference:
    """The word that made a test fail: the last one that it read.

    What was expected is in the check that read it, found by its source line. Raises FirmwareError if that line of the
    test holds no check of that word that fails: then the test is not as it was generated.
    """
    read = mcu.last_read
    if read is None:
        raise FirmwareError(f"{folder}: the test failed without a check")
    name, _, number = read.line.rpartition(":")
    try:
        text = (folder / name).read_text(errors="replace").splitlines()[int(number) - 1]
    except (OSError, ValueError, IndexError):
        text = ""
    difference = _failed_check(bench, read, text)
    if difference is None:
        raise FirmwareError(f"{folder}: the test failed, but not in a check; the last word that it read was "
                            f"0x{read.value:08x} at {place(bench, read.address)}, {read.line or 'line not known'}")
    return difference


def _failed_check(bench: Bench, read: Read, text: str) -> Difference | None:
    """The check in a source line, if it is of the word that was read and fails."""
    found = CHECK.search(text)
    if not found:
        return None
    address, mask, expected = (int(number, 16) for number in (found[1], found[2] or "ffffffff", found[3]))
    if address != read.address or read.value & mask == expected:
        return None
    return Difference(place(bench, address), mask, expected, read.value, found[4] or "", read.line)
