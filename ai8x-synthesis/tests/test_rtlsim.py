"""Tests for RTL simulation, as whole processes: cnn-gen.py writes them, cnn-run.py runs them on the emulated chip."""

import json
import re
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from conformance_cases import CASES, ROOT

FEATURES = ["hwc_single", "bias_rounding", "pool4_avg_gaps", "quad_holes", "chw1_odd_pixels", "groups_without_0"]


def generate(folder: Path, case: str, *options: str) -> Path:
    """The folder of the test for a conformance case; `folder` is left with nothing else but autogen_list."""
    files = CASES / "valid" / case
    command = [sys.executable, str(ROOT / "cnn-gen.py"), "--test-dir", str(folder / "rtlsim"), "--prefix", "t",
               "--checkpoint-file", str(files / "checkpoint.pth.tar"), "--config-file", str(files / "network.yaml"),
               "--sample-input", str(files / "sample.npy"), "--autogen", str(folder), *options]  # fmt: skip
    subprocess.run(command, check=True, capture_output=True)
    (test,) = (folder / "rtlsim").iterdir()
    return test


def cnn_run(*arguments: object) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, str(ROOT / "cnn-run.py"), *map(str, arguments)], capture_output=True,
                          text=True, check=False)  # fmt: skip


@pytest.fixture(scope="module")
def case_test(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return generate(tmp_path_factory.mktemp("rtl"), "hwc_single", "--top-level", "cnn")


@pytest.fixture
def copy(case_test: Path, tmp_path: Path) -> Path:
    """A copy of a test to spoil."""
    return Path(shutil.copytree(case_test, tmp_path / "copy"))


def replace(path: Path, pattern: str, new: str) -> None:
    """Replace the first match in a file; there must be one."""
    text, count = re.subn(pattern, new, path.read_text(), count=1)
    assert count == 1
    path.write_text(text)


@pytest.mark.parametrize("case", FEATURES)
def test_generated_test_passes_and_its_folder_stays_as_it_was(case, tmp_path):
    test = generate(tmp_path, case, "--top-level", "cnn")
    result = cnn_run(test, "--json", tmp_path / "result.json")
    assert (result.returncode, result.stderr) == (0, "")
    assert "*** PASS ***" in result.stdout
    written = json.loads((tmp_path / "result.json").read_text())
    assert (written["passed"], written["difference"]) == (True, None)
    assert sorted(path.name for path in test.iterdir()) == ["run_test.sv", "test.c"]


def test_first_word_that_differs_is_reported(copy, tmp_path):
    """Of two wrong words in the case's expected output, the first; the numbers are those of the case."""
    with np.load(CASES / "valid" / "hwc_single" / "checks.npz") as checks:
        address, mask, value = (int(checks[name][7]) for name in ("addr", "mask", "value"))
        last = int(checks["addr"][-1])
    for wrong in (address, last):
        replace(copy / "test.c", rf"(0x{wrong:08x}\)(?: & 0x\w+)?\)) != 0x\w+\)", r"\1 != 0x00000001)")
    line = next(n for n, text in enumerate((copy / "test.c").read_text().splitlines(), 1)
                if f"if ((*((volatile uint32_t *) 0x{address:08x}" in text)  # fmt: skip
    result = cnn_run(copy, "--json", tmp_path / "result.json")
    assert (result.returncode, result.stderr) == (1, "")
    group, offset = divmod(address - 0x50100000, 0x100000)  # 2.1, 2.2
    instance, word = 4 * group + (offset - 0x10000) // 0x4000, offset % 0x4000 // 4
    difference = json.loads((tmp_path / "result.json").read_text())["difference"]
    pattern = (rf"0x{address:08x}, instance {instance}, word {word} \(row \d+, column \d+, channels [\d-]+\): "
               rf"0x00000001 expected(?: in the bits 0x{mask:08x})?, 0x(\w{{8}}) found; test.c:{line}")
    found = re.fullmatch(pattern, difference)
    assert found, difference
    assert int(found[1], 16) & mask == value
    assert f"First word that differs: {difference}" in result.stdout


def test_a_wrong_weight_is_noticed(copy):
    replace(copy / "test.c", r"(0x501048\w\w\)) = 0x\w+;", r"\1 = 0x00000055;")
    result = cnn_run(copy)
    assert result.returncode == 1
    assert "First word that differs: 0x5" in result.stdout


def test_the_clock_of_the_accelerator_must_be_on(copy):
    replace(copy / "test.c", r"  MXC_GCR->perckcn1 &= ~0x20;", "  MXC_GCR->perckcn1 &= ~0x10;")
    result = cnn_run(copy)
    assert result.returncode == 1
    assert "The accelerator's clock is off\n*** FAIL ***" in result.stdout
    assert "the test failed, but not in a check" in result.stderr


def test_a_test_that_never_calls_pass_has_not_passed(copy):
    replace(copy / "test.c", r"if \(!cnn_check\(\)\) fail\(\);\n\n  pass\(\);", "(void) cnn_check();")
    result = cnn_run(copy)
    assert result.returncode == 1
    assert "the test failed, but not in a check" in result.stderr


def test_a_program_that_does_not_build_names_the_folder_of_the_test(copy):
    replace(copy / "test.c", r"int main\(void\)", "int main(")
    result = cnn_run(copy)
    assert result.returncode == 1
    assert result.stderr.startswith(f"cnn-run.py: {copy}: the program does not build:\n")


def test_images_cannot_be_classified_by_a_test(copy, tmp_path):
    result = cnn_run(copy, "--images", tmp_path / "images.npy")
    assert result.returncode == 1
    assert "a test for RTL simulation runs its sample only" in result.stderr


def test_the_name_of_the_program_comes_from_run_test(tmp_path):
    test = generate(tmp_path, "hwc_single", "--top-level", "cnn", "--c-filename", "other")
    assert (test / "other.c").exists()
    assert cnn_run(test).returncode == 0


@pytest.mark.parametrize("run_test, text", [
    ("initial begin\nend\n", "run_test.sv: names no C program in ARM_PROG_SOURCE"),
    ("`define ARM_PROG_SOURCE gone.c\n", "gone.c: No such file or directory; generate the folder again")])  # fmt: skip
def test_a_test_without_program_is_refused(copy, run_test, text):
    (copy / "run_test.sv").write_text(run_test)
    result = cnn_run(copy)
    assert result.returncode == 1
    assert text in result.stderr and "Traceback" not in result.stderr
