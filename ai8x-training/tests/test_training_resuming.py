"""train.py as a user calls it, stopped and called again: by a kill, by a signal, when it was complete."""

import hashlib
import json
import os
import signal
import subprocess
import sys
import time
from functools import partial
from pathlib import Path

import pytest
import torch
from small_runs import NETWORK, SHORT, TRAIN, run_directory

import checkpoint


@pytest.fixture
def call(call):
    """train.py with the extra small network."""
    return partial(call, *NETWORK)


def start_process(tiny_data: Path, cwd: Path, *arguments: str) -> subprocess.Popen:
    """Start a run of 60 epochs; it can be interrupted even where these tests run with interrupts ignored."""
    return subprocess.Popen(
        [sys.executable, str(TRAIN), *NETWORK, "--data", str(tiny_data), *SHORT, "--epochs", "60", *arguments],
        cwd=cwd,
        env=os.environ | {"OMP_NUM_THREADS": "1"},
        text=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )


def wait_for_checkpoint(process: subprocess.Popen, out_dir: Path) -> None:
    """Return shortly after the first checkpoint was written."""
    deadline = time.monotonic() + 60
    while not list(out_dir.glob("2*/checkpoint.pth.tar")):
        assert process.poll() is None, process.stderr.read()
        assert time.monotonic() < deadline
        time.sleep(0.01)
    time.sleep(0.1)


def test_killed_run_resumes_to_the_weights_of_an_uninterrupted_one(tiny_data, tmp_path, call):
    schedule = ["--compress", str(TRAIN.parent / "schedules" / "onecycle.yaml")]
    process = start_process(tiny_data, tmp_path, *schedule)
    wait_for_checkpoint(process, tmp_path / "logs")
    process.kill()
    process.communicate()
    assert process.returncode == -signal.SIGKILL
    directory = run_directory(tmp_path)
    killed_at = checkpoint.load(directory / "checkpoint.pth.tar").epoch
    assert killed_at < 59
    assert not (directory / "summary.json").exists()

    status, output, _ = call("--epochs", 60, *SHORT, *schedule, "--resume-from", "auto")
    assert status == 0
    assert run_directory(tmp_path) == directory
    assert f"Resuming at epoch {checkpoint_epoch_in(output)}" in output
    assert checkpoint_epoch_in(output) >= killed_at + 1
    resumed = [torch.load(directory / name, weights_only=True) for name in ("checkpoint.pth.tar", "best.pth.tar")]

    status, _, _ = call("--epochs", 60, *SHORT, *schedule, "--out-dir", "whole")
    whole_directory = tmp_path / "whole" / os.readlink(tmp_path / "whole" / "latest")
    whole = [torch.load(whole_directory / name, weights_only=True) for name in ("checkpoint.pth.tar", "best.pth.tar")]
    for ours, theirs in zip(resumed, whole, strict=True):
        assert ours["epoch"] == theirs["epoch"]
        assert ours["extras"] == theirs["extras"]
        assert all(torch.equal(ours["state_dict"][name], tensor) for name, tensor in theirs["state_dict"].items())


def checkpoint_epoch_in(output: str) -> int:
    """The epoch that a run says it resumes at."""
    return int(output.split("Resuming at epoch ")[1].split()[0])


def test_resuming_through_the_latest_link_goes_on_in_the_directory_behind_it(call, tmp_path):
    call("--epochs", 1, *SHORT)
    directory = run_directory(tmp_path)
    status, output, _ = call("--epochs", 2, *SHORT, "--resume-from", "logs/latest/checkpoint.pth.tar")
    assert status == 0
    assert "Resuming at epoch 1" in output
    assert run_directory(tmp_path) == directory
    assert checkpoint.load(directory / "checkpoint.pth.tar").epoch == 1


def test_finished_run_is_left_alone_by_automatic_resuming(call, tmp_path):
    call("--epochs", 1, *SHORT)
    before = {path: path.stat().st_mtime_ns for path in run_directory(tmp_path).iterdir()}
    status, output, _ = call("--epochs", 1, *SHORT, "--resume-from", "auto")
    assert status == 0
    assert output == f"The run in {run_directory(tmp_path)} is complete, there is nothing to do\n"
    assert {path: path.stat().st_mtime_ns for path in run_directory(tmp_path).iterdir()} == before


def test_run_killed_before_its_final_test_is_finished_by_resuming(call, tmp_path):
    call("--epochs", 1, *SHORT)
    summary = run_directory(tmp_path) / "summary.json"
    first = json.loads(summary.read_text())
    summary.unlink()
    status, _, _ = call("--epochs", 1, *SHORT, "--resume-from", "auto")
    assert status == 0
    second = json.loads(summary.read_text())
    assert second["epochs_trained_now"] == 0
    assert second["test_correct"] == first["test_correct"]


def test_automatic_resuming_starts_anew_when_the_options_differ(call, tmp_path):
    call("--epochs", 1, *SHORT)
    first = run_directory(tmp_path)
    status, output, _ = call("--epochs", 2, *SHORT, "--resume-from", "auto")
    assert status == 0
    assert "Resuming" not in output
    assert run_directory(tmp_path) != first


@pytest.fixture
def beginnings(call, tmp_path):
    """Two checkpoints to start from, by training with different seeds."""
    for seed in (1, 2):
        call("--epochs", 1, *SHORT, "--seed", seed, "-o", f"seed{seed}")
    return [tmp_path / f"seed{seed}" / "latest" / "best.pth.tar" for seed in (1, 2)]


def test_automatic_resuming_goes_on_only_with_a_run_that_began_with_the_same_weights(call, beginnings, tmp_path):
    def start(epochs: int, *options: object) -> tuple[Path, str]:
        status, output, _ = call("--epochs", epochs, *SHORT, *options)
        assert status == 0
        return run_directory(tmp_path), output

    auto = ("--resume-from", "auto")
    first, output = start(2, *auto, "--exp-load-weights-from", beginnings[0])
    assert "Resuming" not in output
    (first / "summary.json").unlink()
    second, output = start(2, *auto, "--exp-load-weights-from", beginnings[1])
    assert second != first and "Resuming" not in output
    third, output = start(2, *auto)
    assert third not in (first, second) and "Resuming" not in output
    again, output = start(2, *auto, "--exp-load-weights-from", beginnings[0])
    assert again == first and "Resuming at epoch 2" in output
    _, output = start(2, *auto, "--exp-load-weights-from", beginnings[0])
    assert output == f"The run in {first} is complete, there is nothing to do\n"


def test_a_run_that_began_with_weights_resumes_without_them_and_keeps_its_settings(call, beginnings, tmp_path):
    call("--epochs", 1, *SHORT, "--exp-load-weights-from", beginnings[0])
    directory = run_directory(tmp_path)
    before = checkpoint.load(directory / "checkpoint.pth.tar").extras["run"]
    assert before["start_weights"] == hashlib.sha256(beginnings[0].read_bytes()).hexdigest()
    status, output, errors = call("--epochs", 2, *SHORT, "--resume-from", directory / "checkpoint.pth.tar")
    assert (status, errors) == (0, "")
    assert "Resuming at epoch 1" in output
    assert "epochs is 2, the checkpoint's was 1" in output and output.count("other settings") == 1
    assert checkpoint.load(directory / "checkpoint.pth.tar").extras["run"] == before | {"epochs": 2}


def test_resuming_a_finished_run_is_refused(call, tmp_path):
    call("--epochs", 1, *SHORT)
    path = run_directory(tmp_path) / "checkpoint.pth.tar"
    status, _, errors = call("--epochs", 1, *SHORT, "--resume-from", path)
    assert status == 1
    assert errors == f"train.py: error: {path}: has 1 epochs already; give more than that with --epochs\n"


def test_resuming_with_another_optimizer_is_refused(call, tmp_path):
    call("--epochs", 1, *SHORT)
    path = run_directory(tmp_path) / "checkpoint.pth.tar"
    status, _, errors = call("--epochs", 2, "--resume-from", path)
    assert status == 1
    assert "holds the state of optimizer Adam; given --optimizer SGD" in errors


def test_reset_optimizer_starts_at_epoch_0_in_a_new_directory(call, tmp_path):
    call("--epochs", 2, *SHORT)
    first = run_directory(tmp_path)
    status, output, _ = call(
        "--epochs", 1, "--no-tensorboard", "--reset-optimizer", "--resume-from", first / "checkpoint.pth.tar"
    )
    assert status == 0
    assert "Epoch: [0]" in output
    assert run_directory(tmp_path) != first


@pytest.mark.parametrize(
    ("number", "status", "what"),
    [(signal.SIGINT, 130, "\ntrain.py: interrupted"), (signal.SIGTERM, 143, "train.py: terminated")],
)
def test_a_signal_ends_with_one_line_and_an_intact_checkpoint(tiny_data, tmp_path, number, status, what):
    process = start_process(tiny_data, tmp_path)
    wait_for_checkpoint(process, tmp_path / "logs")
    process.send_signal(number)
    _, errors = process.communicate(timeout=60)
    assert process.returncode == status
    assert errors == f"{what}; --resume-from continues after the last finished epoch\n"
    assert checkpoint.load(run_directory(tmp_path) / "checkpoint.pth.tar").epoch >= 0


@pytest.mark.parametrize(
    ("number", "status", "what"),
    [(signal.SIGINT, 130, "\ntrain.py: interrupted"), (signal.SIGTERM, 143, "train.py: terminated")],
)
def test_a_signal_while_pytorch_is_imported_gets_its_line_too(tmp_path, monkeypatch, number, status, what):
    (tmp_path / "torch.py").write_text("import time\nprint('imported', flush=True)\ntime.sleep(60)\n")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    process = start_process(tmp_path, tmp_path)
    assert process.stdout.readline() == "imported\n"
    process.send_signal(number)
    _, errors = process.communicate(timeout=60)
    assert process.returncode == status
    assert errors == f"{what}; --resume-from continues after the last finished epoch\n"
