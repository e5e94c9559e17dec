"""The AI85 model against the conformance cases, whose expected words were computed elsewhere."""

from pathlib import Path

import numpy as np
import pytest

from chip import Chip, ChipFault
from chip_tools85 import CASES, load_case, read_case, read_columns, start_case

FOLDERS = sorted(CASES.glob("tier1-*"))
MODELLED = {f"tier2-{name}" for name in ("concat-input", "concat-interleaved", "concat-processors", "multi-output",
                                         "passthrough-multipass", "stack-1d", "weight-source")}  # fmt: skip


@pytest.mark.parametrize("packed", [True, False], ids=["packed", "plain"])
@pytest.mark.parametrize("folder", [*FOLDERS, *(CASES / name for name in sorted(MODELLED))],
                         ids=lambda folder: folder.name)  # fmt: skip
def test_every_output_word_and_the_clocks_of_a_conformance_case_are_equal(folder: Path, packed: bool):
    case = read_case(folder)
    with Chip(85) as chip:
        load_case(chip, case, packed)
        assert read_columns(chip, case.columns) == case.columns
        start_case(chip, case, packed)
        words = chip.read_many(case.addresses)
        assert np.array_equal(words & case.masks, case.values & case.masks)
        assert chip.cycles() == case.cycles


@pytest.mark.parametrize("folder", sorted(set(CASES.glob("tier[23]-*")) - {CASES / name for name in MODELLED}),
                         ids=lambda folder: folder.name)  # fmt: skip
def test_other_cases_are_refused_as_not_modelled(folder: Path):
    case = read_case(folder)
    with Chip(85) as chip, pytest.raises(ChipFault, match=r"not modelled: (ewise_ena|deconv_ena|fifo_ena)"):
        load_case(chip, case, packed=True)


def test_all_conformance_cases_are_there():
    assert len(FOLDERS) == 61
