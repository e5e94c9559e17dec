"""What the tests of the AI85 model share: addresses, conformance cases, weight loading.

Everything here is written from the AI85 hardware reference alone and uses nothing of izer/ or chip/.
"""

import json
from dataclasses import dataclass
from math import prod
from pathlib import Path

import numpy as np

from chip import Chip

CASES = Path(__file__).parent / "conformance" / "ai85" / "valid"
(RCNT, CCNT, ONED, PRCNT, PCCNT, STRIDE, WPTR_BASE, WPTR_TOFFS, WPTR_MOFFS, WPTR_CHOFFS, RPTR_BASE, LCTL, MCNT, TPTR,
 ENA, POST, STREAM1, STREAM2, FMAX, IFRM, LCTL2) = range(21)
AON_CTL = 0x50001000
ENABLE, CLOCK, SLAVE, DONE, ROUND, PACKED = 1, 1 << 3, 1 << 11, 1 << 12, 1 << 13, 1 << 20

Write = tuple[int, int]
Columns = dict[tuple[int, int], bytes]  # processor and column: nine bytes, B[0] first


def ctl(group: int) -> int:
    return 0x50100000 + 0x400000 * group


def lcnt(group: int) -> int:
    return ctl(group) + 8


def lreg(group: int, register: int, layer: int) -> int:
    return ctl(group) + 0x10 + 0x80 * register + 4 * layer


def mram(processor: int, column: int, word: int = 0) -> int:
    return ctl(processor // 16) + 0x80000 + 0x4000 * (processor % 16) + 16 * column + 4 * word


def packed_address(processor: int, column: int) -> int:
    """The address code of a run (5.8): 4 bytes per column."""
    return mram(processor, 0) + 4 * column


def bram(group: int, entry: int) -> int:
    return ctl(group) + 0x8000 + 4 * entry


def sram(instance: int, word: int) -> int:
    return ctl(instance // 4) + 0x300000 + 0x8000 * (instance % 4) + 4 * word


def bits(value: int, count: int = 64) -> list[int]:
    """Positions of the set bits, ascending."""
    return [i for i in range(count) if value >> i & 1]


def write_all(chip: Chip, writes: list[Write]) -> None:
    for address, value in writes:
        chip.write32(address, value)


def wait(chip: Chip) -> None:
    """Poll the completion flag of quadrant 0 the way firmware does (8.2)."""
    for _ in range(10):
        if chip.read32(ctl(0)) & DONE:
            return
    raise AssertionError("the completion flag never came")


def column_words(content: bytes) -> list[int]:
    """The four words of a column (5.9)."""
    return [content[0], int.from_bytes(content[1:5], "big"), int.from_bytes(content[5:9], "big"), 0]


def runs(columns: Columns) -> list[tuple[int, int, bytes]]:
    """Processor, first column and bytes of every run of consecutive columns (5.8)."""
    result: list[tuple[int, int, bytes]] = []
    for (processor, column), content in sorted(columns.items()):
        if result and result[-1][0] == processor and result[-1][1] + len(result[-1][2]) // 9 == column:
            result[-1] = (processor, result[-1][1], result[-1][2] + content)
        else:
            result.append((processor, column, content))
    return result


def load_plain(chip: Chip, columns: Columns) -> None:
    """Load weights with four writes per column (5.9); CTL bit 20 must be 0."""
    for (processor, column), content in columns.items():
        write_all(chip, [(mram(processor, column, n), word) for n, word in enumerate(column_words(content))])


def load_packed(chip: Chip, columns: Columns) -> None:
    """Load weights in runs (5.8); CTL bit 20 must be 1."""
    for processor, column, content in runs(columns):
        address = packed_address(processor, column)
        content += bytes(-len(content) % 4)
        chip.write8(address | 1, 1)
        write_all(chip, [(address + n, int.from_bytes(content[n : n + 4], "big")) for n in range(0, len(content), 4)])


def read_columns(chip: Chip, columns: Columns) -> Columns:
    """Read the same columns back (5.11)."""
    words = {key: [chip.read32(mram(*key, n)) for n in range(3)] for key in columns}
    return {key: bytes([a]) + b.to_bytes(4, "big") + c.to_bytes(4, "big") for key, (a, b, c) in words.items()}


@dataclass(frozen=True)
class Case:
    """A conformance case as bus operations. The zeros that a program writes to memories are added: the state omits
    them. Registers that are not written are 0 (4.5).
    """

    name: str
    control: list[Write]  # CTL, SRAM and LCNT_MAX
    columns: Columns
    setup: list[Write]  # biases, layer registers, input
    start: list[Write]
    addresses: np.ndarray
    masks: np.ndarray
    values: np.ndarray
    cycles: int


def read_case(folder: Path) -> Case:
    with np.load(folder / "state.npz") as arrays:
        state = dict(zip(arrays["addr"].tolist(), arrays["value"].tolist(), strict=True))
    control = {address: value for address, value in state.items() if (address - ctl(0)) % 0x400000 < 0x10}
    columns = _columns(folder, state)
    weights = {mram(*key, n) for key in columns for n in range(3)}
    zeros = dict.fromkeys(_bias_addresses(state) + _input_addresses(folder, state), 0)
    setup = zeros | {a: v for a, v in state.items() if a not in control and a not in weights}
    start = [tuple(write) for write in json.loads((folder / "start.json").read_text())["writes"]]
    with np.load(folder / "checks.npz") as checks:
        expected = checks["addr"], checks["mask"], checks["value"]
    cycles = json.loads((folder / "latency.json").read_text())["total"]
    return Case(folder.name, list(control.items()), columns, list(setup.items()), start, *expected, cycles)


def _columns(folder: Path, state: dict[int, int]) -> Columns:
    result = {}
    for processor, first, count in json.loads((folder / "kernelmap.json").read_text())["runs"]:
        for column in range(first, first + count):
            words = [state.get(mram(processor, column, n), 0) for n in range(3)]
            result[processor, column] = bytes([words[0]]) + b"".join(word.to_bytes(4, "big") for word in words[1:])
    return result


def _bias_addresses(state: dict[int, int]) -> list[int]:
    """The biases of all layers, one per output slot (6)."""
    result = []
    for g, n in ((g, n) for g in range(4) for n in range(32)):
        post, mcnt = state.get(lreg(g, POST, n), 0), state.get(lreg(g, MCNT, n), 0)
        masks = ((mcnt & 0xFFFF) - (mcnt >> 16)) // (8, 1, 2, 4)[post >> 22 & 3] + 1
        passes = (post >> 14 & 0xF0 | state.get(lreg(g, LCTL2, n), 0) & 0xF) + 1
        if post & 0x1000:
            entries = range(post & 0xFFF, min(512, (post & 0xFFF) + masks // passes))
            result += [bram(g, entry) for entry in entries]
    return result


def _input_addresses(folder: Path, state: dict[int, int]) -> list[int]:
    """The words of the sample input (7.1, 7.2)."""
    channels, *size = json.loads((folder / "meta.json").read_text())["input_shape"]
    words = -(-prod(size) // 4) if state[lreg(0, LCTL, 0)] & 0x40 else prod(size) * -(-channels // 64)
    first = state.get(lreg(0, RPTR_BASE, 0), 0)
    instances = {4 * g + p // 4 for g in range(4) for p in bits(state.get(lreg(g, ENA, 0), 0), 16)}
    return [sram(instance, first + n) for instance in sorted(instances) for n in range(words)]


def load_case(chip: Chip, case: Case, packed: bool) -> None:
    """Everything before the start (8.2). Without packed loading CTL bit 20 is 0."""
    chip.write32(AON_CTL, 0)
    write_all(chip, [(a, v if packed or a % 0x100000 else v & ~PACKED) for a, v in case.control])
    (load_packed if packed else load_plain)(chip, case.columns)
    write_all(chip, case.setup)


def start_case(chip: Chip, case: Case, packed: bool) -> None:
    """The start, up to the completion."""
    write_all(chip, [(a, v if packed else v & ~PACKED) for a, v in case.start])
    wait(chip)
