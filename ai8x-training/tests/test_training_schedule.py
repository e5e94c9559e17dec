"""Distiller YAML: learning rates by epoch and by batch, and complaints with file and line."""

import math
from pathlib import Path

import pytest
import torch

from distiller import CompressionScheduler, read_schedule
from errors import UserError

SCHEDULES = Path(__file__).resolve().parents[1] / "schedules"


def learning_rates(path: Path, epochs: int, steps: int, start: int = 0, lr: float = 0.1) -> list[float]:
    """The learning rate of every batch from epoch `start` on, when the epochs before were replayed."""
    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=lr)
    scheduler = CompressionScheduler(read_schedule(path), optimizer, epochs, steps)
    scheduler.replay(start)
    rates = []
    for epoch in range(start, epochs):
        for _ in range(steps):
            rates.append(optimizer.param_groups[0]["lr"])
            optimizer.step()
            scheduler.on_minibatch_end(epoch)
        scheduler.on_epoch_end(epoch)
    return rates


def write(tmp_path: Path, text: str) -> Path:
    path = tmp_path / "schedule.yaml"
    path.write_text(text)
    return path


STEP = """\
lr_schedulers:
  drop:
    class: StepLR
    step_size: 1
    gamma: 0.5
policies:
"""


def test_multi_step_drops_at_the_start_of_each_milestone():
    rates = learning_rates(SCHEDULES / "schedule.yaml", 200, 1)
    expected = [0.1 * 0.1 ** sum(epoch >= milestone for milestone in (100, 140, 170)) for epoch in range(200)]
    assert rates == pytest.approx(expected, rel=1e-12)


def test_one_cycle_follows_the_length_of_the_run():
    """Cosine from max/25 up to max at 30 % of the steps, and down to max/25/10000 at the last: torch's defaults."""
    peak, share = 0.02, 0.3
    first = peak / 25
    for epochs, steps in ((4, 10), (7, 3)):
        top, last = share * epochs * steps - 1, epochs * steps - 1
        expected = []
        for step in range(epochs * steps):
            low, high, way = (
                (first, peak, step / top) if step <= top else (first / 1e4, peak, 1 - (step - top) / (last - top))
            )
            expected.append(low + (high - low) * (1 - math.cos(math.pi * way)) / 2)
        assert learning_rates(SCHEDULES / "onecycle.yaml", epochs, steps, lr=peak) == pytest.approx(expected, rel=1e-9)


@pytest.mark.parametrize("name", ["schedule.yaml", "onecycle.yaml"])
def test_replay_continues_with_the_same_learning_rates(name):
    whole = learning_rates(SCHEDULES / name, 150, 3)
    assert learning_rates(SCHEDULES / name, 150, 3, start=101) == whole[101 * 3 :]


@pytest.mark.parametrize(
    "policy, drops_after",
    [
        ("  - {lr_scheduler: {instance_name: drop}, starting_epoch: 1, ending_epoch: 5, frequency: 2}\n", {1, 3}),
        ("  - {lr_scheduler: {instance_name: drop}, epochs: [0, 4]}\n", {0, 4}),
    ],
)
def test_policy_says_in_which_epochs_the_scheduler_steps(tmp_path, policy, drops_after):
    rates = learning_rates(write(tmp_path, STEP + policy), 8, 1, lr=1.0)
    assert rates == [0.5 ** sum(passed in drops_after for passed in range(epoch)) for epoch in range(8)]


def test_numbers_may_be_written_with_an_exponent_only(tmp_path):
    path = write(tmp_path, "lr_schedulers:\n  a:\n    class: StepLR\n    step_size: 1\n    gamma: 1e-3\npolicies: []\n")
    assert read_schedule(path).lr_schedulers["a"].arguments == {"step_size": 1, "gamma": 0.001}


@pytest.mark.parametrize(
    "text, line, message",
    [
        (
            "pruners:\n  p: {class: X}\n",
            1,
            "'pruners' are not supported yet, they come later; remove this section to train without",
        ),
        (
            "version: 1\nquantizers: {}\n",
            2,
            "'quantizers' are not supported yet, they come later; remove this section to train without",
        ),
        ("policy: []\n", 1, "unknown section 'policy'; known are version, lr_schedulers, policies"),
        ("lr_schedulers:\n  a:\n    gamma: 1\n", 2, "'a' needs a key 'class', the name of a learning-rate scheduler"),
        ("lr_schedulers:\n  a: {class: StepLR}\n  a: {class: StepLR}\n", 3, "'a' is given twice in lr_schedulers"),
        ("lr_schedulers: []\n", 1, "lr_schedulers must be a mapping of names to values"),
        ("policies: {}\n", 1, "policies must be a list"),
        (
            STEP + "  - pruner: {instance_name: p}\n",
            7,
            "'pruner' policies are not supported yet, they come later; remove this policy",
        ),
        (
            STEP + "  - lr_scheduler: {instance_name: drop}\n    start: 3\n",
            8,
            "unknown key 'start' in a policy; known are lr_scheduler, epochs, starting_epoch, ending_epoch, frequency",
        ),
        (STEP + "  - epochs: [1]\n", 7, "a policy needs the key 'lr_scheduler'"),
        (
            STEP + "  - epochs: [1]\n    lr_scheduler:\n      instance_name: lift\n",
            9,
            "no lr_scheduler is named 'lift'; defined are drop",
        ),
        (
            STEP + "  - epochs: [1]\n    lr_scheduler:\n      args: {}\n",
            9,
            "unknown key 'args' in lr_scheduler; known is instance_name",
        ),
        (
            STEP + "  - lr_scheduler: {instance_name: drop}\n",
            7,
            "a policy needs either epochs or all of starting_epoch, ending_epoch, frequency, as integers; given none",
        ),
        (
            STEP + "  - lr_scheduler: {instance_name: drop}\n    epochs: 3\n",
            7,
            "a policy needs either epochs (a list of integers) or starting_epoch, ending_epoch, frequency",
        ),
        (
            STEP + "  - {lr_scheduler: {instance_name: drop}, starting_epoch: 5, ending_epoch: 5, frequency: 1}\n",
            7,
            "a policy needs starting_epoch >= 0 and 0 < frequency <= ending_epoch - starting_epoch; given 5, 5, 1",
        ),
        ("lr_schedulers: [\n", 2, "not valid YAML: expected the node content, but found '<stream end>'"),
    ],
)
def test_complaints_name_file_and_line(tmp_path, text, line, message):
    path = write(tmp_path, text)
    with pytest.raises(UserError) as caught:
        read_schedule(path)
    assert str(caught.value) == f"{path}:{line}: {message}"


@pytest.mark.parametrize(
    "component, message",
    [
        ("{class: MagicLR}", "unknown class 'MagicLR' for 'a'; known are StepLR, MultiStepLR, ConstantLR"),
        ("{class: LambdaLR}", "unknown class 'LambdaLR' for 'a'"),
        ("{class: StepLR, step: 3}", "StepLR of 'a' has no argument 'step'; it has step_size, gamma"),
        ("{class: StepLR}", "StepLR of 'a' refuses its arguments: "),
        ("{class: OneCycleLR, max_lr: 1, pct_start: 7}", "OneCycleLR of 'a' refuses its arguments: "),
    ],
)
def test_components_that_cannot_be_built_are_refused(tmp_path, component, message):
    path = write(tmp_path, f"version: 1\nlr_schedulers:\n  a: {component}\n")
    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=0.1)
    with pytest.raises(UserError) as caught:
        CompressionScheduler(read_schedule(path), optimizer, 3, 3)
    assert str(caught.value).startswith(f"{path}:3: {message}")


def test_missing_schedule_is_refused(tmp_path):
    with pytest.raises(UserError, match=r"none\.yaml: the schedule cannot be read"):
        read_schedule(tmp_path / "none.yaml")


def test_empty_schedule_does_nothing(tmp_path):
    assert learning_rates(write(tmp_path, ""), 3, 2) == [0.1] * 6
