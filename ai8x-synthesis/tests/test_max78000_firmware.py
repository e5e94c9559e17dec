"""C code for MAX78000, compiled for the Cortex-M4, runs on the emulated chip and finds the conformance cases' answers."""

import json
from pathlib import Path

import numpy as np
import pytest

from chip import Chip
from chip.board import MAX78000
from chip.mcu import Mcu, Result
from chip.sdk import built
from chip_tools85 import CASES
from izer.emit import max78000
from max78000_tools import demo_of

FOLDERS = [pytest.param(folder, id=folder.name) for folder in sorted(CASES.glob("tier1-*"))]


def write_files(folder: Path, files: dict[str, bytes]) -> None:
    folder.mkdir()
    for name, content in files.items():
        (folder / name).write_bytes(content)


def run_files(folder: Path, files: dict[str, bytes]) -> tuple[Mcu, Result]:
    write_files(folder, files)
    with built(folder, lambda _: None) as elf, Chip(85) as chip:
        mcu = Mcu(elf, chip, MAX78000)
        return mcu, mcu.run()


@pytest.mark.parametrize("folder", FOLDERS)
def test_firmware_finds_the_answer_and_the_clocks_of_a_case(folder, tmp_path):
    demo = demo_of(folder)
    mcu, result = run_files(tmp_path / "demo", max78000.emit(demo))
    assert result.status == 0, result.console
    assert "*** PASS ***" in result.console
    expected = np.load(folder / "output.npy")
    found = np.frombuffer(mcu.read_symbol("ml_data"), expected.dtype)
    assert found[: expected.size].tolist() == expected.flatten().tolist()
    assert result.cycles == json.loads((folder / "latency.json").read_text())["total"]
