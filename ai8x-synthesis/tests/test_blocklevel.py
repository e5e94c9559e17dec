"""Block-level tests: the memory files say what the program list and the integer reference say."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from chip import Chip
from conformance_cases import CASES, ROOT, model_of
from izer import pipeline
from izer.emit import rtlsim


def generate(folder: Path, case: str, *options: str) -> Path:
    files = CASES / "valid" / case
    command = [sys.executable, str(ROOT / "cnn-gen.py"), "--test-dir", "out", "--prefix", "block",
               "--checkpoint-file", str(files / "checkpoint.pth.tar"), "--config-file", str(files / "network.yaml"),
               "--sample-input", str(files / "sample.npy"), "--autogen", "list", *options]  # fmt: skip
    subprocess.run(command, check=True, capture_output=True, cwd=folder)
    (test,) = (folder / "out").iterdir()
    return test


def memory(path: Path) -> list[tuple[int, int]]:
    """Address and word of every access; the indices must count up (7.7)."""
    lines = [line.split(" ") for line in path.read_text().splitlines()]
    assert [index for index, _ in lines] == [f"@{n:04x}" for n in range(len(lines))]
    assert all(len(word) == 8 for _, word in lines)
    words = [int(word, 16) for _, word in lines]
    return list(zip(words[::2], words[1::2], strict=True))


@pytest.fixture(scope="module", params=["fashion_chw", "pool4_avg_gaps", "quad_holes"])
def case(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture(scope="module")
def folder(case: str, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return generate(tmp_path_factory.mktemp("block"), case)


def test_folder_has_a_memory_file_per_layer_and_no_program(case, folder):
    inner = len(model_of(CASES / "valid" / case).network.layers) - 1
    names = {"input.mem", "output.mem", "run_test.sv", *(f"output-{n}.mem" for n in range(inner))}
    assert {path.name for path in folder.iterdir()} == names
    run_test = (folder / "run_test.sv").read_text()
    assert '"/input.mem"' in run_test and "ARM_PROG_SOURCE" not in run_test
    listed = (folder.parents[1] / "list" / "autogen_list").read_text()
    assert listed == f"tests/{folder.name}/run_test:lowp\n"  # without top level (7.7)


def test_all_stores_are_played_in_order(case, folder):
    program = pipeline.rtlsim_program(model_of(CASES / "valid" / case))
    stores = [(access.address, access.value) for access in program.trace() if access.kind == "W"]
    assert memory(folder / "input.mem") == stores


def test_expected_output_is_that_of_the_case(case, folder):
    """Word for word, and 0 in the bytes that no channel owns."""
    with np.load(CASES / "valid" / case / "checks.npz") as checks:
        expected = dict(zip(checks["addr"].tolist(), (checks["value"] & checks["mask"]).tolist(), strict=True))
    assert dict(memory(folder / "output.mem")) == expected


def test_intermediate_outputs_hold_the_values_of_the_layers(case, folder):
    """Every pixel's bytes, with the addresses written out (2.2, 6.3)."""
    model = model_of(CASES / "valid" / case)
    with np.load(CASES / "valid" / case / "layers.npz") as layers:
        for layer, place in list(zip(model.network.layers, model.placement.layers, strict=True))[:-1]:
            output = layers[f"layer{layer.index}"]
            positions = [n for n in range(64) if place.output_map >> n & 1]
            words: dict[int, int] = {}
            for channel, position in enumerate(positions):
                for pixel, value in enumerate(output[channel].reshape(-1).tolist()):
                    address = (0x50110000 + 0x100000 * (position // 16) + 0x4000 * (position // 4 % 4)
                               + place.out_offset + 4 * pixel)  # fmt: skip
                    words[address] = words.get(address, 0) | (value & 0xFF) << 8 * (position % 4)
            assert dict(memory(folder / f"output-{layer.index}.mem")) == words


def test_playing_the_input_on_the_chip_gives_the_output(case, folder):
    """The files alone, without the program list; of a word, the bytes of real channels (the format has no mask)."""
    with np.load(CASES / "valid" / case / "checks.npz") as checks:
        masks = dict(zip(checks["addr"].tolist(), checks["mask"].tolist(), strict=True))
    with Chip() as chip:
        for address, word in memory(folder / "input.mem"):
            chip.write32(address, word)
        while not chip.read32(0x50100000) & 0x1000:
            pass
        for address, word in memory(folder / "output.mem"):
            assert chip.read32(address) & masks[address] == word


def test_names_of_the_files_can_be_chosen(tmp_path):
    test = generate(tmp_path, "stop_after_1", "--input-filename", "in", "--output-filename", "out", "--stop-after", "1")
    assert {path.name for path in test.iterdir()} == {"in.mem", "out.mem", "out-0.mem", "run_test.sv"}
    assert '"/in.mem"' in (test / "run_test.sv").read_text()


def test_block_level_test_is_refused_by_cnn_run(folder):
    done = subprocess.run([sys.executable, str(ROOT / "cnn-run.py"), str(folder)], capture_output=True, text=True,
                          check=False)  # fmt: skip
    assert done.returncode == 1
    assert "names no C program in ARM_PROG_SOURCE, as tests without --top-level do not" in done.stderr


def test_list_entry_has_the_top_level_if_there_is_one():
    assert rtlsim.list_entry("cnn", "name", "lowp") == "tests/cnn/name/run_test:lowp"
