"""The conformance cases of AI85: expected words and integers were computed elsewhere (conformance/README-ai85.md)."""

import shutil

import numpy as np
import pytest

from conformance_cases import CASES85, cases
from conformance_checks85 import INVALID85, LATER85, VALID85, violated
from test_conformance import run

# Which rule a description violates; `type` is the rule that a key has a legal value.
RULES = {
    "activation-unknown": "type", "arch-mismatch": "arch", "binary-ai85": "type", "channels-1025": "channels-max",
    "chw-second-layer": "data-format", "chw-shared-instance": "chw-instance", "eltwise-channels": "later",
    "flatten-pool": "flatten", "global-missing-arch": "missing-key", "groups-ai85": "other-device",
    "input-too-large": "capacity-in", "kernel-5x5": "kernel", "kernel-mismatch": "kernel",
    "key-duplicate": "duplicate-key", "key-synonyms": "key-synonyms", "key-unknown-layer": "unknown-layer-key",
    "layers-33": "layers-max", "operands-17": "type", "operator-unknown": "type", "output-too-large": "capacity-out",
    "overlap": "overlap", "pad-1x1": "pad", "pad-3": "pad", "pool-17": "pool-window",
    "pool-first-alone": "pool-first", "pool-stride-nonsquare": "pool-stride", "processors-count-in": "popcount-in",
    "processors-count-out": "popcount-out", "processors-missing": "missing-key", "quantization-3": "type",
    "sample-channels": "channels-chain", "shift-too-large": "shift", "stride-2-conv": "stride",
    "weights-out-of-range": "weights-range", "wide-activation": "wide",
}  # fmt: skip


@pytest.mark.parametrize("check", VALID85)
@pytest.mark.parametrize("folder", cases("valid", below=CASES85, name="tier1-*"))
def test_valid_case(folder, check):
    assert VALID85[check](folder) == []


@pytest.mark.parametrize("folder", cases("invalid", below=CASES85))
def test_invalid_case_is_refused_by_its_rule(folder):
    assert INVALID85["refused"](folder) == []
    assert RULES[folder.name] in violated(folder)


@pytest.mark.parametrize("folder", cases("valid", below=CASES85, name="tier[23]-*"))
def test_case_of_a_later_tier_is_refused_as_such_or_right(folder):
    assert LATER85["later"](folder) == []


def test_every_case_is_there():
    assert len(cases("valid", below=CASES85, name="tier1-*")) == 61
    assert len(cases("invalid", below=CASES85)) == len(RULES) == 35


@pytest.mark.parametrize("file", ["state.npz", "checks.npz", "layers.npz"])
def test_command_reports_a_changed_word_with_status_1(tmp_path, file):
    case = shutil.copytree(CASES85 / "valid" / "tier1-mlp", tmp_path / "some" / "folder")
    with np.load(case / file) as content:
        arrays = {name: content[name].copy() for name in content}
    next(reversed(arrays.values())).flat[0] ^= 1
    np.savez(case / file, **arrays)
    done = run(tmp_path)
    assert done.returncode == 1
    assert "1 of 1 cases differ" in done.stdout
