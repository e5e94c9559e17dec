"""Programs for MAX78000 from conformance cases: everything in them comes from the case, nothing from the generator."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np

from chip import Chip
from chip.board import MAX78000
from chip.mcu import Mcu
from chip.sdk import built
from chip_tools85 import AON_CTL, ENA, LCTL, POST, Case, bits, lcnt, lreg, read_case, runs
from izer.emit.max78000 import Choices, Demo
from izer.operations import Check, Copy, CopyBytes, CopyPacked, Program, Section, Unload, Wait, Write
from izer.sampledata import InputArray
from izer.verify import read_back

CONTROLS = {quadrant: 0x50100000 + 0x400000 * quadrant for quadrant in range(4)}  # AI85 hardware reference 2.1
BIAS, WEIGHTS, DATA = 0x8000, 0x80000, 0x300000  # in a quadrant
DONE = 1 << 12


def blocks(writes: list[tuple[int, int]]) -> list[tuple[int, list[int]]]:
    """Runs of consecutive words: address and values."""
    result: list[tuple[int, list[int]]] = []
    for address, value in sorted(writes):
        if result and result[-1][0] + 4 * len(result[-1][1]) == address:
            result[-1][1].append(value)
        else:
            result.append((address, [value]))
    return result


def offset(address: int) -> int:
    """The address within a quadrant."""
    return (address - CONTROLS[0]) % 0x400000


def program_of(folder: Path, case: Case) -> Program:
    """The program of a case in the order of the AI85 hardware reference 8.2."""
    biases = [w for w in case.setup if BIAS <= offset(w[0]) < WEIGHTS]
    registers = [w for w in case.setup if offset(w[0]) < 0x1000]
    data = [w for w in case.setup if offset(w[0]) >= DATA]
    load = {
        "cnn_init": [Write(AON_CTL, 0, "AON control"), *(Write(a, v, "control") for a, v in case.control)],
        "load_kernels": [CopyPacked("kernels", weight_address(processor, column),
                                    np.frombuffer(content, np.uint8).reshape(-1, 9), f"processor {processor}")
                         for processor, column, content in runs(case.columns)],
        "load_bias": [CopyBytes(f"bias_{(a - CONTROLS[0]) // 0x400000}", a, np.array(v, np.uint32), "bias")
                      for a, v in blocks(biases)],
        "cnn_configure": [Write(a, v, "layer register") for a, v in registers],
        "load_input": [Copy(f"input_{n}", a, np.array(v, np.uint32), "input") for n, (a, v) in enumerate(blocks(data))],
        "cnn_start": [Write(a, v, "CTL") for a, v in case.start],
    }  # fmt: skip
    checks = zip(case.addresses.tolist(), case.masks.tolist(), case.values.tolist(), strict=True)
    return Program(
        load=tuple(Section(name, f"{name} of the case", tuple(operations)) for name, operations in load.items()),
        wait=Section("cnn_wait", "wait", (Wait(CONTROLS[0], DONE, DONE, "done"),)),
        check=Section("cnn_check", "check", tuple(Check(a, m, v & m, "word") for a, m, v in checks)),
        stop=Section("cnn_stop", "stop", ()),
        unload=tuple(unloads(case, np.load(folder / "output.npy"))),
    )


def weight_address(processor: int, column: int) -> int:
    """AI85 hardware reference 2.3."""
    return CONTROLS[processor // 16] + WEIGHTS + 0x4000 * (processor % 16) + 16 * column


def unloads(case: Case, output: np.ndarray) -> Iterator[Unload]:
    """Where the outputs are: in the words that the case checks (AI85 hardware reference 9.2)."""
    channels, height, width = output.shape
    wide = output.dtype == np.int32
    addresses, masks = case.addresses.astype(np.int64), case.masks
    instances = addresses & ~0x7FFF
    places = []  # per instance: first address, used lanes
    for instance in np.unique(instances).tolist():
        mine = addresses[instances == instance]
        if wide:
            lanes = sorted({int(a) >> 2 & 3 for a in mine})
            first = int(mine.min()) & ~15
        else:
            mask = int(np.bitwise_or.reduce(masks[instances == instance]))
            lanes = [lane for lane in range(4) if mask >> 8 * lane & 0xFF]
            first = int(mine.min())
        places.append((first, lanes))
    together = sum(len(lanes) for _, lanes in places)
    passes = -(-channels // together)
    unit = 4 if wide else 1
    for n in range(passes):
        channel = n * together
        for first, lanes in places:
            used = tuple(lanes[: max(0, channels - channel)])
            if used:
                step = passes * unit
                yield Unload(first + 4 * unit * n, used, height, width, width * step, channel, step, wide)
            channel += len(used)


def input_arrays(folder: Path, case: Case) -> Iterator[InputArray]:
    """Which channel is where in the arrays of program_of(): AI85 hardware reference 1.5, 7.1 and 7.2."""
    registers = dict(case.setup)
    processors = [16 * g + p for g in range(4) for p in bits(registers.get(lreg(g, ENA, 0), 0), 16)]
    channels = np.load(folder / "sample.npy").shape[0]
    passes = -(-channels // 64)
    for n, instance in enumerate(sorted({p // 4 for p in processors})):
        mine = {p % 4: processors.index(p) for p in processors if p // 4 == instance}
        if registers[lreg(0, LCTL, 0)] & 0x40:
            yield InputArray(f"input_{n}", (), next(iter(mine.values())))
        else:
            numbers = [mine[lane] + e * len(processors) if lane in mine else channels
                       for e in range(passes) for lane in range(4)]
            yield InputArray(f"input_{n}", tuple(c if c < channels else None for c in numbers), None)


def weight_bits(case: Case) -> int:
    """Width of the last layer's weights, in its POST register (AI85 hardware reference 1.4)."""
    last = dict(case.control).get(lcnt(0), 0)
    return (8, 1, 2, 4)[dict(case.setup).get(lreg(0, POST, last), 0) >> 22 & 3]


SECTIONS = frozenset(("cnn_init", "load_kernels", "load_bias", "cnn_configure", "load_input"))
PLAIN = Choices()


def demo_of(folder: Path, choices: Choices = PLAIN, verify: bool = False) -> Demo:
    """Everything that the emitter needs, of a valid conformance case."""
    case = read_case(folder)
    meta = json.loads((folder / "meta.json").read_text())
    program = program_of(folder, case)
    if verify:
        program = read_back(program, SECTIONS)
    used = {a for a, _ in case.start}
    sample = np.load(folder / "sample.npy")
    sample = sample.reshape(*sample.shape, *(1,) * (3 - sample.ndim))
    return Demo(
        title=folder.name, command="test", dataset="conformance", summary=(meta["purpose"],), program=program,
        controls={q: a for q, a in CONTROLS.items() if a in used}, sample=sample,
        inputs=tuple(input_arrays(folder, case)), output=np.load(folder / "output.npy"),
        weight_bits=weight_bits(case), classes=(), label=None, choices=choices,
    )  # fmt: skip


def write_files(folder: Path, files: dict[str, bytes]) -> Path:
    folder.mkdir()
    for name, content in files.items():
        (folder / name).write_bytes(content)
    return folder


class TracingChip(Chip):
    """The accelerator model, with a record of every write: address, value, number of bytes."""

    def __init__(self) -> None:
        super().__init__(85)
        self.writes: list[tuple[int, int, int]] = []

    def write32(self, address: int, value: int) -> None:
        self.writes.append((address, value, 4))
        super().write32(address, value)

    def write8(self, address: int, value: int) -> None:
        self.writes.append((address, value, 1))
        super().write8(address, value)


@contextmanager
def firmware(folder: Path, files: dict[str, bytes], optimize: str = "-O2") -> Iterator[tuple[Mcu, TracingChip]]:
    """The microcontroller with the program that consists of these files, which are written to a new folder."""
    with built(write_files(folder, files), lambda _: None, optimize) as elf, TracingChip() as chip:
        yield Mcu(elf, chip, MAX78000), chip
