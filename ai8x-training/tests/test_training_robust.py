"""A run may be interrupted at any moment, and what can go wrong is said."""

import resource
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import torch

import checkpoint
import commands
import train
import training
from errors import UserError
from interruption import Terminated
from loop import Totals

COMMON = ["--dataset", "FashionMNIST", "--no-tensorboard", "--cpu", "--seed", "3", "-b", "20"]
AI84 = ["--model", "ai84netextrasmall"]
AI85 = ["--device", "85", "--model", "ai85netextrasmall"]
PRUNED = """
lr_schedulers:
  cycle: {class: OneCycleLR, pct_start: 0.3}
pruners:
  gradual: {class: AutomatedGradualPruner, initial_sparsity: 0.05, final_sparsity: 0.5, weights: [conv2.op.weight]}
policies:
  - {lr_scheduler: {instance_name: cycle}, starting_epoch: 0, ending_epoch: 1000, frequency: 1}
  - {pruner: {instance_name: gradual}, starting_epoch: 2, ending_epoch: 9, frequency: 2}
"""
GROUPED = """
lr_schedulers:
  plateau: {class: ReduceLROnPlateau, patience: 1, factor: 0.7}
regularizers:
  lasso:
    class: GroupLassoRegularizer
    reg_regims: {conv2.conv2d.weight: [0.002, Filters]}
    threshold_criteria: Mean_Abs
policies:
  - {lr_scheduler: {instance_name: plateau}, starting_epoch: 0, ending_epoch: 1000, frequency: 1}
  - regularizer: {instance_name: lasso, args: {keep_mask: true}}
    starting_epoch: 1
    ending_epoch: 6
    frequency: 1
"""
ROUNDED = """
quantizers:
  four: {class: QuantAwareTrainRangeLinearQuantizer, bits_weights: 4, bits_activations: 6, ema_decay: 0.9}
policies:
  - {quantizer: {instance_name: four}, starting_epoch: 5, ending_epoch: 6, frequency: 1}
"""
TEACHER = ["--kd-teacher", "ai85netextrasmall", "--kd-resume", "teacher/latest/best.pth.tar", "--kd-temp", "2"]
VARIED = ["--erase", "3", "--cutmix", "0.5", "--label-smoothing", "0.1"]


@pytest.fixture
def call(tiny_data, tmp_path, monkeypatch, capsys):
    """Runs train.py in this process, in the test's folder; returns (exit status, standard error)."""
    monkeypatch.chdir(tmp_path)

    def run(*arguments):
        status = train.main([str(argument) for argument in (*COMMON, "--data", tiny_data, *arguments)])
        return status, capsys.readouterr().err

    return run


def differences(ours: object, theirs: object, where: str = "") -> Iterator[str]:
    """Where two checkpoints differ, in type or in any bit of a tensor."""
    if type(ours) is not type(theirs):
        yield f"{where}: {type(ours)}, {type(theirs)}"
    elif isinstance(ours, torch.Tensor):
        if ours.dtype != theirs.dtype or not torch.equal(ours, theirs):
            yield where
    elif isinstance(ours, dict):
        if list(ours) != list(theirs):
            yield f"{where}: {list(ours)}, {list(theirs)}"
        for key in ours.keys() & theirs.keys():
            yield from differences(ours[key], theirs[key], f"{where}.{key}")
    elif isinstance(ours, list):
        if len(ours) != len(theirs):
            yield f"{where}: {len(ours)}, {len(theirs)} entries"
        for number, pair in enumerate(zip(ours, theirs, strict=False)):
            yield from differences(*pair, f"{where}[{number}]")
    elif ours != theirs:
        yield f"{where}: {ours}, {theirs}"


def assert_same_result(ours: Path, theirs: Path) -> None:
    """Both runs ended with the same checkpoints, bit for bit: weights, optimizer, masks, scores."""
    for name in ("checkpoint.pth.tar", "best.pth.tar"):
        pair = (torch.load(folder / "latest" / name, weights_only=True) for folder in (ours, theirs))
        assert list(differences(*pair)) == []


def attempts(tmp_path: Path, interruptions: int, options: list[object]) -> list[tuple[str, int, int]]:
    """Run interrupted_runs.py; returns the signal, exit status and number of finished epochs of each attempt."""
    script = Path(__file__).with_name("interrupted_runs.py")
    done = subprocess.run([sys.executable, script, str(interruptions), *map(str, options)],
                          cwd=tmp_path, capture_output=True, text=True, check=False, timeout=300)  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert "Traceback" not in done.stderr
    return [(name, int(status), int(epochs)) for name, status, epochs in map(str.split, done.stdout.splitlines())]


# schedule, bits of the policy (None: without), options
CASES = {
    "pruned-4-bits": (PRUNED, 4, [*AI85, "--batch-norm", "--optimizer", "Adam", "--lr", "0.01"]),
    "regularized-taught-8-bits": (GROUPED, 8, [*AI84, "--lr", "0.05", *TEACHER]),
    "rounded": (ROUNDED, None, [*AI84, "--optimizer", "AdamW", "--lr", "0.01", *VARIED]),
}


@pytest.mark.parametrize("interruptions", [6, pytest.param(40, marks=pytest.mark.slow)])
@pytest.mark.parametrize("case", CASES)
def test_a_run_interrupted_at_random_moments_ends_like_one_that_is_not(call, tiny_data, tmp_path, case, interruptions):
    schedule, bits, options = CASES[case]
    Path("schedule.yaml").write_text(schedule, encoding="utf-8")
    Path("policy.yaml").write_text(f"start_epoch: 5\nweight_bits: {bits}\n", encoding="utf-8")
    if TEACHER[0] in options:
        call(*AI85, "--epochs", 3, "--lr", 0.05, "-o", "teacher")
    options = [*options, *COMMON, "--data", tiny_data, "--epochs", 2 * interruptions, "--compress", "schedule.yaml"]
    tried = attempts(tmp_path, interruptions, options if bits is None else [*options, "--qat-policy", "policy.yaml"])
    assert tried[0][1] in (130, 143, -9)
    assert tried[-1] == ("none", 0, 2 * interruptions)
    assert_same_result(tmp_path / "interrupted", tmp_path / "whole")


class Killed(BaseException):
    """Stands for the end of the process."""


@contextmanager
def killed_at(number: int, after: bool) -> Iterator[list[int]]:
    """End the program where it replaces a file for the `number`th time, before or after it does."""
    seen, replace = [0], Path.replace

    def counting(path: Path, target: Path) -> Path:
        seen[0] += 1
        if seen[0] == number and not after:
            raise Killed
        result = replace(path, target)
        if seen[0] == number:
            raise Killed
        return result

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Path, "replace", counting)
        yield seen


@pytest.mark.parametrize("after", [False, True], ids=["before", "after"])
def test_a_run_killed_where_it_replaces_a_file_ends_like_one_that_is_not(call, tmp_path, after):
    """The files are those of three epochs: the link to the latest run, two checkpoints an epoch, and the summary."""
    options = [*AI84, "--epochs", 3, "--lr", 0.05]
    with killed_at(0, after) as seen:
        call(*options, "-o", "whole")
    assert 5 <= seen[0] <= 8
    for number in range(1, seen[0] + 1):
        out = tmp_path / str(number)
        with pytest.raises(Killed), killed_at(number, after):
            call(*options, "-o", out)
        assert call(*options, "-o", out, "--resume-from", "auto")[0] == 0
        assert_same_result(out, tmp_path / "whole")
        assert [path for path in (out / "latest").iterdir() if path.suffix == ".tmp"] == []


def test_leftovers_of_a_killed_process_are_removed(call, tmp_path):
    call(*AI84, "--epochs", 1)
    leftover = tmp_path / "logs" / "latest" / ".checkpoint.pth.tar.123.tmp"
    leftover.write_bytes(b"half a checkp")
    call(*AI84, "--epochs", 2, "--resume-from", "logs/latest/checkpoint.pth.tar")
    assert not leftover.exists()


@contextmanager
def files_of_at_most(size: int) -> Iterator[None]:
    """Let no file grow beyond `size` bytes, as on a full disk."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


def test_a_full_disk_is_reported_before_training(call, tmp_path):
    with files_of_at_most(1_000_000):
        status, errors = call(*AI84, "--epochs", 1)
    assert status == 1
    assert errors.startswith("train.py: error: logs/2")
    # 2514 weights of 4 bytes, four times and a megabyte, and that three times
    assert ": 3.3 MB for checkpoints and log cannot be written there (File too large); make room" in errors
    assert list((tmp_path / "logs").iterdir()) == []


def test_an_unwritable_log_directory_of_an_earlier_run_is_reported_before_training(call, tmp_path):
    call(*AI84, "--epochs", 1)
    files = sorted((tmp_path / "logs" / "latest").iterdir())
    with files_of_at_most(1000):
        status, errors = call(*AI84, "--epochs", 2, "--resume-from", "logs/latest/checkpoint.pth.tar")
    assert status == 1
    assert "3.3 MB for checkpoints and log cannot be written there (File too large)" in errors
    assert sorted((tmp_path / "logs" / "latest").iterdir()) == files


@pytest.mark.parametrize(("size", "file"), [(100, ".log"), (12_000, ".pth.tar")])
def test_a_disk_that_gets_full_ends_the_run_with_its_last_checkpoint(call, tmp_path, monkeypatch, size, file):
    """It is full after the second of four epochs: for the log at once, or for the next checkpoint only."""
    call(*AI84, "--epochs", 4, "--lr", 0.05, "-o", "whole")
    log_epoch = training.log_epoch
    limit = files_of_at_most(size)

    def fill(run, epoch, *rest):
        log_epoch(run, epoch, *rest)
        if epoch == 1:
            limit.__enter__()

    monkeypatch.setattr(training, "log_epoch", fill)
    try:
        status, errors = call(*AI84, "--epochs", 4, "--lr", 0.05)
    finally:
        limit.__exit__(None, None, None)
    assert status == 1
    assert len(errors.splitlines()) == 1
    assert f"{file}: cannot be written (" in errors
    assert "File too large" in errors
    monkeypatch.undo()
    monkeypatch.chdir(tmp_path)
    assert checkpoint.load(tmp_path / "logs" / "latest" / "checkpoint.pth.tar").epoch == 1
    assert call(*AI84, "--epochs", 4, "--lr", 0.05, "--resume-from", "auto")[0] == 0
    assert_same_result(tmp_path / "logs", tmp_path / "whole")


def test_an_exploding_loss_stops_with_advice_and_keeps_the_last_checkpoint(call, tmp_path):
    call(*AI85, "--epochs", 1, "--lr", 0.01)
    status, errors = call(*AI85, "--epochs", 9, "--lr", 1000, "--resume-from", "logs/latest/checkpoint.pth.tar")
    assert status == 1
    assert "more than 10 times that of guessing (2.30), and " in errors
    assert "training has diverged; lower the learning rate, then resume or start again" in errors
    assert checkpoint.load(tmp_path / "logs" / "latest" / "checkpoint.pth.tar").epoch == 0


@pytest.mark.parametrize(
    ("loss", "right", "diverged"),
    # of 1000 images; guessing among 10 classes has a loss of 2.303 and is right in 10 % of the cases
    [(23.02, 100, False), (23.04, 100, True), (23.04, 199, True), (23.04, 200, False), (1e6, 900, False)],
)
def test_a_loss_has_exploded_at_ten_times_that_of_guessing_unless_ten_percent_more_are_right(loss, right, diverged):
    totals = Totals(1000, 1000 * loss, right)
    if diverged:
        with pytest.raises(UserError, match="training has diverged"):
            totals.check(3, 10)
    else:
        totals.check(3, 10)


SIGNALS = [(KeyboardInterrupt, 130, "interrupted"), (Terminated, 143, "terminated")]


@pytest.mark.parametrize(("signal", "status", "word"), SIGNALS)
def test_a_signal_is_told_also_where_the_cleaning_up_fails(monkeypatch, capsys, signal, status, word):
    """As PyTorch's tracer does, when a signal comes between its `try` and its first statement."""

    def fails(*arguments):
        try:
            raise signal
        finally:
            raise AssertionError("half prepared")

    monkeypatch.setattr(commands, "run", fails)
    assert train.main(["--model", "ai84netextrasmall", "--dataset", "FashionMNIST", "--check"]) == status
    errors = capsys.readouterr().err
    assert f"train.py: {word}; --resume-from continues after the last finished epoch" in errors
    assert "Traceback" not in errors


def test_other_errors_are_not_taken_for_signals(monkeypatch):
    def fails(*arguments):
        raise AssertionError("a defect")

    monkeypatch.setattr(commands, "run", fails)
    with pytest.raises(AssertionError, match="a defect"):
        train.main(["--model", "ai84netextrasmall", "--dataset", "FashionMNIST", "--check"])
