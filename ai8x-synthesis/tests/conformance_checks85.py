"""What a conformance case of AI85 must show. Every check returns the differences it found, in words."""

import contextlib
import io
import json
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import numpy as np

import compare_ai85
from chip import Chip
from conformance_cases import ROOT, model85_of, request85_of
from conformance_checks import FolderCheck, _unequal
from izer import pipeline
from izer.ai85 import latency
from izer.errors import IzerError, RuleError
from izer.operations import CopyPacked, Program


def _printed_state(folder: Path, writes: list[tuple[int, int, int]]) -> list[str]:
    """The differences between the state of the bus after some writes and that of a case."""
    lines = io.StringIO()
    with contextlib.redirect_stdout(lines):
        found = compare_ai85.state_from_writes(writes, "MAX78000")
        compare_ai85.diff_state(compare_ai85.load_state(folder / "state.npz"), found, "MAX78000")
    return lines.getvalue().splitlines()


def bus_state(folder: Path) -> list[str]:
    """Registers, weights, biases and input right before the start."""
    load = pipeline.embedded_program(model85_of(folder)).load[:-1]
    accesses = [access for section in load for access in section.accesses()]
    return _printed_state(folder, [(a.address, a.value, 1 if a.kind == "B" else 4) for a in accesses])


def start(folder: Path) -> list[str]:
    """The writes that start the run, in order, and how its end is found."""
    program, expected = pipeline.embedded_program(model85_of(folder)), json.loads((folder / "start.json").read_text())
    poll = expected["poll"]
    return _unequal("start", [[a.address, a.value] for a in program.section("cnn_start").accesses()],
                    expected["writes"]) + _unequal(
        "poll", [(a.address, a.mask, a.value) for a in program.wait.accesses()],
        [(poll["addr"], poll["mask"], poll["value"])])  # fmt: skip


def known_answer(folder: Path) -> list[str]:
    """Every word of the output."""
    made = pipeline.embedded_program(model85_of(folder)).check.accesses()
    with np.load(folder / "checks.npz") as checks:
        expected = zip(*(checks[name].tolist() for name in ("addr", "mask", "value")), strict=True)
        return _unequal("checks", sorted((a.address, a.mask, a.value) for a in made), sorted(expected))


def layers(folder: Path) -> list[str]:
    """Every layer's output, integer for integer, as the reference computes it."""
    values = model85_of(folder).values
    with np.load(folder / "layers.npz") as expected:
        found = _unequal("layers", [f"layer{n}" for n in range(len(values))], list(expected))
        return found + [f"layer{n} differs" for n, value in enumerate(values)
                        if not np.array_equal(value.output, expected[f"layer{n}"])]  # fmt: skip


def kernel_map(folder: Path) -> list[str]:
    """First column, number of columns and of masks of every layer, and the runs of columns that are loaded."""
    model, expected = model85_of(folder), json.loads((folder / "kernelmap.json").read_text())
    places = [(p.kernel_column, len(p.columns), p.kernel_count) if p.stored and p.columns else (0, 0, 0)
              for p in model.placement.layers]  # fmt: skip
    due = [(each["start_column"] or 0, each["columns"], each["count"]) for each in expected["layers"]]
    runs = pipeline.embedded_program(model).section("load_kernels").operations
    return _unequal("columns", places, due) + _unequal(
        "runs", [_run(run) for run in runs if isinstance(run, CopyPacked)], expected["runs"])  # fmt: skip


def _run(run: CopyPacked) -> list[int]:
    """Processor, first column and columns (AI85 hardware reference 2.3)."""
    quadrant, offset = divmod(run.address - 0x50180000, 0x400000)
    processor, column = divmod(offset, 0x4000)
    return [16 * quadrant + processor, column // 16, len(run.columns)]


def clocks(folder: Path) -> list[str]:
    """The estimated clocks of every layer."""
    model, expected = model85_of(folder), json.loads((folder / "latency.json").read_text())
    found = [layer.total for layer in latency.layer_clocks(model.device, model.network, model.placement)]
    return _unequal("clocks", [model.device.startup_clocks, *found], [clocks for _, clocks, *_ in expected["layers"]])


def run_on_chip(chip: Chip, program: Program) -> None:
    """Load and start a program on the chip model, and wait for its end."""
    for access in (access for section in program.load for access in section.accesses()):
        (chip.write8 if access.kind == "B" else chip.write32)(access.address, access.value)
    (poll,) = program.wait.accesses()
    while chip.read32(poll.address) & poll.mask != poll.value:
        pass


def chip_model(folder: Path) -> list[str]:
    """The words that the case expects, read from the chip model after it ran the program."""
    with Chip(85) as chip, np.load(folder / "checks.npz") as checks:
        run_on_chip(chip, pipeline.embedded_program(model85_of(folder)))
        words, expected = chip.read_many(checks["addr"]) & checks["mask"], checks["value"] & checks["mask"]
        return [f"0x{checks['addr'][n]:08x}: 0x{expected[n]:08x} expected, 0x{words[n]:08x} found"
                for n in np.flatnonzero(words != expected)]  # fmt: skip


def violated(folder: Path) -> list[str]:
    """The rules that a description violates; none if it is accepted."""
    try:
        pipeline.build_model(request85_of(folder))
    except RuleError as error:
        return [violation.rule for violation in error.violations]
    return []


def refused(folder: Path) -> list[str]:
    """A wrong description is refused by a rule."""
    try:
        return [] if violated(folder) else ["accepted"]
    except IzerError as error:
        return [f"refused, but by no rule: {error}"]


def later(folder: Path) -> list[str]:
    """What comes later is refused by the rule that says so, or as an option; what is not refused must be right."""
    if "--fifo" in json.loads((folder / "meta.json").read_text())["options"]:
        done = subprocess.run([sys.executable, ROOT / "cnn-gen.py", "--ai85", "--fifo", "--check", "--config-file",
                               folder / "network.yaml"], capture_output=True, text=True, check=False)  # fmt: skip
        return _unequal("status of --fifo", done.returncode, 2)
    if violated(folder):
        return _unequal("rules", sorted(set(violated(folder))), ["later"])
    return [f"{name}: {text}" for name, check in VALID85.items() for text in check(folder)]


VALID85: Mapping[str, FolderCheck] = {
    "state": bus_state, "start": start, "answer": known_answer, "layers": layers, "kernel map": kernel_map,
    "clocks": clocks, "chip model": chip_model,
}  # fmt: skip
INVALID85: Mapping[str, FolderCheck] = {"refused": refused}
LATER85: Mapping[str, FolderCheck] = {"later": later}
