"""The progress of an epoch: a live bar on a terminal, lines elsewhere."""

import io
import logging

import pytest
from rich.console import Console

from loop import Step
from progress import EpochProgress, line

STEPS = [Step(2, number, 25, 0.5, 81.25, 0.001, number * 64, number * 0.02) for number in range(1, 26)]


def show(terminal: bool) -> str:
    """What an epoch of 25 steps prints beside its log lines."""
    output = io.StringIO()
    console = Console(file=output, force_terminal=terminal, width=160)
    with EpochProgress(2, 5, 10, console) as progress:
        for step in STEPS:
            progress.report(step)
    return output.getvalue()


def test_line_has_the_format_that_tools_parse():
    assert line(STEPS[9]) == (
        "Epoch: [2][ 10/ 25]    Overall Loss 0.500000    Objective Loss 0.500000    Top1 81.250000    LR 0.001000    "
        "Time 0.020000"
    )


@pytest.mark.parametrize("terminal, level", [(False, logging.INFO), (True, logging.DEBUG)])
def test_every_tenth_line_and_the_last_are_logged(caplog, terminal, level):
    show(terminal)
    assert [record.getMessage() for record in caplog.records] == [line(STEPS[9]), line(STEPS[19]), line(STEPS[24])]
    assert {record.levelno for record in caplog.records} == {level}


def test_terminal_gets_a_bar_with_epoch_loss_accuracy_and_speed():
    output = show(terminal=True)
    assert "epoch 3/5" in output
    assert "25/25" in output
    assert "loss 0.500  top1 81.25 %  3200 images/s" in output


def test_a_file_gets_no_bar():
    assert show(terminal=False).strip() == ""
