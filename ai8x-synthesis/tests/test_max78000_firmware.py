"""C code for MAX78000, compiled for the Cortex-M4, finds the answers of the conformance cases on the emulated chip."""

import json
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import compare_ai85
from chip import EmulationFault
from chip.board import MAX78000
from chip.mcu import Mcu
from chip.sdk import built
from chip_tools85 import CASES
from izer.emit import max78000
from izer.emit.max78000 import Choices
from max78000_tools import TracingChip, demo_of, firmware, write_files

ROOT = Path(__file__).parents[1]

SAMPLE = ("bias-groups", "conv1d-k8-k9", "flatten-quant", "pool-sizes", "proc-upper", "wide32-multipass")
FOLDERS = [
    pytest.param(folder, id=folder.name, marks=() if folder.name.removeprefix("tier1-") in SAMPLE else pytest.mark.slow)
    for folder in sorted(CASES.glob("tier1-*"))
]


@pytest.mark.parametrize("folder", FOLDERS)
def test_firmware_writes_the_state_of_a_case_and_finds_its_answer_and_clocks(folder, tmp_path):
    with firmware(tmp_path / "demo", max78000.emit(demo_of(folder))) as (mcu, chip):
        result = mcu.run()
        assert result.status == 0, result.console
        assert result.console.endswith("*** PASS ***\n")
        start = [tuple(write) for write in json.loads((folder / "start.json").read_text())["writes"]]
        words = [(address, value) for address, value, size in chip.writes if size == 4]
        begin = next(n for n in range(len(words)) if words[n : n + len(start)] == start)
        before = chip.writes[: begin + len(chip.writes) - len(words)]
        state = compare_ai85.load_state(folder / "state.npz")
        assert compare_ai85.state_from_writes(before, "MAX78000") == state
        expected = np.load(folder / "output.npy")
        found = np.frombuffer(mcu.read_symbol("ml_data"), expected.dtype)
        assert found[: expected.size].tolist() == expected.flatten().tolist()
        assert result.cycles == json.loads((folder / "latency.json").read_text())["total"]


def test_every_conformance_case_is_run():
    assert len(FOLDERS) == 61
    assert sum(not parameter.marks for parameter in FOLDERS) == len(SAMPLE)




WIDE = CASES / "tier1-wide32"


def flip(text: bytes, array: bytes, word: int) -> bytes:
    """Invert bit 6 of a number of an array."""
    places = [match.span() for match in re.finditer(rb"0x[0-9a-f]+", text) if match.start() > text.index(array)]
    first, last = places[word]
    number = int(text[first:last], 16) ^ 0x40
    return text[:first] + f"0x{number:0{last - first - 2}x}".encode() + text[last:]


DAMAGES = {
    "weights": ("weights.h", lambda text: flip(text, b"KERNELS", 2)),
    "bias": ("weights.h", lambda text: flip(text, b"BIAS_0", 0)),
    "register": ("cnn.c", lambda text: text.replace(b"= 0x00000b20;", b"= 0x00000920;")),  # no ReLU in layer 0
    "input": ("sampledata.h", lambda text: flip(text, b"SAMPLE_INPUT_0", 3)),
    "answer": ("sampleoutput.h", lambda text: flip(text, b"SAMPLE_OUTPUT", 5)),
}


@pytest.mark.parametrize("damage", DAMAGES)
def test_firmware_with_one_wrong_word_does_not_pass(damage, tmp_path):
    """The check of the known answer can fail."""
    files = max78000.emit(demo_of(WIDE))
    name, change = DAMAGES[damage]
    assert change(files[name]) != files[name]
    files[name] = change(files[name])
    with firmware(tmp_path / "demo", files) as (mcu, _):
        result = mcu.run()
    assert result.status == 1
    assert "*** FAIL *** the output of the last layer differs" in result.console
    assert "PASS" not in result.console


class ForgetfulChip(TracingChip):
    """Reads of one address have a wrong bit."""

    def __init__(self, address: int) -> None:
        super().__init__()
        self.address = address

    def read32(self, address: int) -> int:
        return super().read32(address) ^ (1 if address == self.address else 0)


@pytest.mark.parametrize("address", [None, 0x50180000, 0x50180008, 0x5019C000 + 16 * 8 + 4, 0x50108000, 0x50100010,
                                     0x50400000], ids=str)  # fmt: skip
def test_a_program_that_reads_back_finds_any_memory_that_does_not_hold_what_was_written(address, tmp_path):
    """Weights of processor 0 and of processor 7 (column 8 is its first), bias, a layer register, the input."""
    folder = write_files(tmp_path / "demo", max78000.emit(demo_of(WIDE, verify=True)))
    with built(folder, lambda _: None) as elf, ForgetfulChip(address) as chip:
        result = Mcu(elf, chip, MAX78000).run()
    assert result.status == (0 if address is None else 1)
    assert ("*** FAIL *** loading" in result.console) == (address is not None)


@pytest.mark.parametrize("choices", [
    Choices(unload=False), Choices(timer=0), Choices(wfi=False, timer=2), Choices(boost=(2, 5)), Choices(softmax=True)
], ids=["no unload", "timer", "no sleep", "boost", "softmax"])  # fmt: skip
@pytest.mark.parametrize("optimize", ["-O0 -fno-sanitize=all", "-Os"], ids=["O0", "Os"])
def test_every_choice_compiles_without_warnings_and_passes(choices, optimize, tmp_path):
    with firmware(tmp_path / "demo", max78000.emit(demo_of(WIDE, choices)), f"{optimize} -Werror") as (mcu, _):
        assert mcu.run().status == 0


def test_a_program_that_runs_forever_starts_again_and_again(tmp_path):
    with firmware(tmp_path / "demo", max78000.emit(demo_of(WIDE, Choices(forever=True)))) as (mcu, chip):
        with pytest.raises(EmulationFault, match="still running after 300000 instructions"):
            mcu.run(300_000)
        assert mcu.console == "\n*** PASS ***\n"
        start = json.loads((WIDE / "start.json").read_text())["writes"][-1]
        assert chip.writes.count((*start, 4)) > 10


@pytest.mark.parametrize("case", ["tier1-wide32-multipass", "tier1-multipass-in", "tier1-conv3x3-pad1-relu-chw"])
def test_more_images_are_computed_as_the_sample_is(case, tmp_path):
    """Through the program's own functions: the sample again has its known answer, another image has another."""
    demo = demo_of(CASES / case)
    write_files(tmp_path / "demo", max78000.emit(demo))
    np.save(tmp_path / "images.npy", np.stack([demo.sample, ~demo.sample, demo.sample]))
    done = subprocess.run([sys.executable, ROOT / "cnn-run.py", tmp_path / "demo", "--images", tmp_path / "images.npy",
                           "--scores", tmp_path / "scores.npy", "--json", tmp_path / "result.json"],
                          capture_output=True, text=True, check=False)  # fmt: skip
    assert done.returncode == 0, done.stderr
    scores = np.load(tmp_path / "scores.npy")
    assert scores.dtype == demo.output.dtype
    assert scores[0].tolist() == scores[2].tolist() == demo.output.flatten().tolist() != scores[1].tolist()
    result = json.loads((tmp_path / "result.json").read_text())
    latency = json.loads((CASES / case / "latency.json").read_text())["total"]
    assert (result["passed"], result["images"], result["cycles"]) == (True, 3, latency)
    assert 0 < result["load_instructions"] < result["instructions"]


def test_a_failed_program_ends_cnn_run_with_status_1(tmp_path):
    files = max78000.emit(demo_of(WIDE))
    files["weights.h"] = flip(files["weights.h"], b"KERNELS", 2)
    write_files(tmp_path / "demo", files)
    done = subprocess.run([sys.executable, ROOT / "cnn-run.py", tmp_path / "demo"], capture_output=True, text=True,
                          check=False)  # fmt: skip
    assert done.returncode == 1
    assert re.search(r"known answer +FAIL", done.stdout)
