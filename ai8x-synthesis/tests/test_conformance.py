"""The conformance cases: expected words and integers were computed elsewhere (tests/conformance/README.md)."""

import shutil
import subprocess
import sys

import numpy as np
import pytest

from conformance_cases import CASES, ROOT, cases
from conformance_checks import INVALID, VALID


@pytest.mark.parametrize("check", VALID)
@pytest.mark.parametrize("folder", cases("valid"))
def test_valid_case(folder, check):
    assert VALID[check](folder) == []


@pytest.mark.parametrize("check", INVALID)
@pytest.mark.parametrize("folder", cases("invalid", "rule.json"))
def test_invalid_case(folder, check):
    assert INVALID[check](folder) == []


def run(folder):
    return subprocess.run([sys.executable, ROOT / "tests" / "run_conformance.py", folder], capture_output=True,
                          text=True, check=False)  # fmt: skip


@pytest.fixture
def two_cases(tmp_path):
    for kind, name in (("valid", "pad0_relu"), ("invalid", "pad_3")):
        shutil.copytree(CASES / kind / name, tmp_path / kind / name)
    return tmp_path


def test_command_reports_equal_cases_with_status_0(two_cases):
    done = run(two_cases)
    assert (done.returncode, done.stderr) == (0, "")
    assert "2 cases, all equal" in done.stdout


@pytest.mark.parametrize("file", ["state.npz", "checks.npz", "layers.npz"])
def test_command_reports_a_changed_word_with_status_1(two_cases, file):
    path = two_cases / "valid" / "pad0_relu" / file
    with np.load(path) as content:
        arrays = {name: content[name].copy() for name in content}
    next(reversed(arrays.values())).flat[0] ^= 1
    np.savez(path, **arrays)
    done = run(two_cases)
    assert done.returncode == 1
    assert "1 of 2 cases differ" in done.stdout


def test_command_reports_an_accepted_wrong_description(two_cases):
    case = two_cases / "invalid" / "pad_3"
    shutil.copy(case / "repaired.yaml", case / "network.yaml")
    done = run(two_cases)
    assert done.returncode == 1
    assert "refused: accepted" in done.stdout


def test_a_folder_without_cases_is_an_error(tmp_path):
    done = run(tmp_path)
    assert done.returncode == 1
    assert "no cases" in done.stderr


def test_a_case_of_an_unknown_device_is_an_error(tmp_path):
    (tmp_path / "meta.json").write_text('{"name": "x", "device": "MAX78002"}')
    done = run(tmp_path)
    assert done.returncode == 1
    assert "MAX78002: no such device" in done.stdout
