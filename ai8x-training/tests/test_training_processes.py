"""Training by two processes that torchrun starts is training by one, whoever computes what."""

import os
import signal
import subprocess
import sys
import time
from itertools import chain
from pathlib import Path

import pytest
import torch
from torch import nn
from two_processes import CUT, GAIN

import checkpoint
import construction
import options
import pipeline
import train
import training
from construction import Images
from datasets import ImageSet
from errors import UserError
from launch import ALONE, Processes
from pipeline import Augmentation

TRAIN = Path(train.__file__)
BOTH = [Processes(rank, 2, rank, 2) for rank in (0, 1)]
COMMON = ["--dataset", "FashionMNIST", "--no-tensorboard", "--cpu", "--precision", "float32", "--seed", "3", "-b", "20"]
PRUNE = """
pruners:
  half: {class: MagnitudeParameterPruner, thresholds: {"*": 0.1}}
policies:
  - pruner: {instance_name: half}
    starting_epoch: 0
    ending_epoch: 1
    frequency: 1
"""
ROUND = """
quantizers:
  eight: {class: QuantAwareTrainRangeLinearQuantizer, bits_weights: 8, bits_activations: 8}
policies:
  - quantizer: {instance_name: eight}
    starting_epoch: 1
    ending_epoch: 2
    frequency: 1
"""


def start(*command: str | Path, cwd: Path) -> subprocess.Popen[str]:
    """Start torchrun with two processes; interrupts work even where these tests run with interrupts ignored."""
    return subprocess.Popen(
        [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2", *map(str, command)],
        cwd=cwd, text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=os.environ | {"OMP_NUM_THREADS": "1"},
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )  # fmt: skip


def torchrun(*command: str | Path, cwd: Path) -> str:
    """Run two processes to their end; returns what they print."""
    process = start(*command, cwd=cwd)
    output, errors = process.communicate(timeout=120)
    assert process.returncode == 0, errors
    return output


@pytest.fixture
def alone(tmp_path, monkeypatch):
    """Runs train.py in this process, in the test's folder."""
    monkeypatch.chdir(tmp_path)

    def run(*arguments):
        assert train.main([str(argument) for argument in arguments]) == 0

    return run


def latest(out: Path) -> Path:
    return out / os.readlink(out / "latest")


@pytest.mark.parametrize("total", range(2, 9))
@pytest.mark.parametrize("count", [1, 2, 3, 5])
def test_shares_are_disjoint_complete_and_of_equal_size(total, count):
    shares = [list(range(total))[Processes(rank, count, 0, 1).share(total)] for rank in range(count)]
    assert [*chain(*shares)] == list(range(total))
    assert max(map(len, shares)) - min(map(len, shares)) <= 1


@pytest.mark.parametrize("mixed", [0.0, 0.5])
def test_the_shares_of_a_batch_are_the_batch_of_one_process(mixed):
    images = ImageSet(torch.randint(256, (19, 2, 7, 6), dtype=torch.uint8), torch.arange(19))
    augmentation = Augmentation(2, True, 3, mixed=mixed, classes=19)
    whole, first, second = (
        list(pipeline.training_batches(images, augmentation, 6, 4, 1, who)) for who in (ALONE, *BOTH)
    )
    for batch, *shares in zip(whole, first, second, strict=True):
        for part in (0, 1):
            assert torch.equal(batch[part], torch.cat([share[part] for share in shares]))
        assert abs(len(shares[0][1]) - len(shares[1][1])) <= 1


def test_normalization_gradients_and_ranges_are_those_of_all_images(tmp_path):
    """PyTorch's own batch normalization of the whole batch in one process says what they are."""
    random = torch.Generator().manual_seed(1)
    given, gradient = (torch.rand(8, 3, 2, 4, generator=random, dtype=torch.float64) - 0.4 for _ in range(2))
    torch.save((given, gradient), tmp_path / "data.pt")
    torchrun(Path(__file__).with_name("two_processes.py"), tmp_path, cwd=tmp_path)
    first, second = (torch.load(tmp_path / f"{rank}.pt") for rank in (0, 1))
    norm = nn.BatchNorm2d(3, momentum=0.3).double()
    data = given.clone().requires_grad_()
    output = norm(data) * GAIN
    output.backward(gradient)
    exact = {"rtol": 1e-12, "atol": 1e-12}
    torch.testing.assert_close(torch.cat([first["output"], second["output"]]), output, **exact)
    torch.testing.assert_close(torch.cat([first["input"], second["input"]]), data.grad, **exact)
    torch.testing.assert_close(first["bias"] + second["bias"], norm.bias.grad, **exact)
    mean = (CUT * first["bias"] + (8 - CUT) * second["bias"]) / 8
    lowest, highest = float(given.min().float()), float(given.max().float())
    for result in (first, second):
        torch.testing.assert_close(result["state"], norm.state_dict(), **exact)
        torch.testing.assert_close(result["mean"], mean, **exact)
        assert result["range"] == (lowest, highest)
        assert result["told"] == "rank 0"
        assert [name for name in result["threads"] if "gloo" in name] == []  # they would abort the process at its end


@pytest.mark.parametrize(
    ("network", "schedule"),
    [
        (["--device", "85", "--model", "ai85netextrasmall", "--batch-norm", "--erase", "3"], PRUNE),
        (["--model", "ai84netextrasmall", "--vs", "0.25"], ROUND),
    ],
    ids=["batch-norm-pruned", "rounded"],
)
def test_two_processes_train_the_weights_of_one(tiny_data, tmp_path, alone, network, schedule):
    """Batches of 20 of 108 or 90 images: the last is smaller. Sums are rounded in another order, that is all."""
    Path("schedule.yaml").write_text(schedule, encoding="utf-8")
    options = [*network, *COMMON, "--data", tiny_data, "--epochs", "2", "--lr", "0.05", "--compress", "schedule.yaml"]
    alone(*options, "-o", "one")
    output = torchrun(TRAIN, *options, "-o", "two", cwd=tmp_path)
    assert output.count("Log directory: ") == output.count("--- epoch 1: ") == 1
    assert "Training by 2 processes, which share every batch" in output
    one, two = (latest(Path(name)) for name in ("one", "two"))
    names = {"best.pth.tar", "checkpoint.pth.tar", "configs", "summary.json"}
    assert {path.name for path in two.iterdir()} == {*names, f"{two.name}.log"}
    ours, theirs = (checkpoint.load(folder / "checkpoint.pth.tar") for folder in (two, one))
    assert ours.extras == theirs.extras
    torch.testing.assert_close(ours.weights, theirs.weights, rtol=1e-5, atol=1e-6)
    state = theirs.compression_sched
    assert state["activation_ranges"] or any((mask == 0).any() for mask in state["masks_dict"].values())
    torch.testing.assert_close(ours.compression_sched, state, rtol=1e-5, atol=1e-5)


def wait_for_checkpoint(process: subprocess.Popen[str], out: Path) -> None:
    """Return shortly after the first checkpoint was written."""
    deadline = time.monotonic() + 60
    while not list(out.glob("2*/checkpoint.pth.tar")):
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < deadline
        time.sleep(0.01)


def children(pid: int) -> list[int]:
    """The processes that a process started, the oldest first."""
    return sorted(map(int, Path(f"/proc/{pid}/task/{pid}/children").read_text().split()))


@pytest.mark.parametrize("rank", [pytest.param(0, marks=pytest.mark.slow), 1])
def test_a_killed_process_ends_the_run_with_a_message_and_it_can_be_resumed(tiny_data, tmp_path, alone, rank):
    options = ["--model", "ai84netextrasmall", *COMMON, "--data", tiny_data, "--epochs", "60"]
    process = start(TRAIN, *options, cwd=tmp_path)
    wait_for_checkpoint(process, tmp_path / "logs")
    os.kill(children(process.pid)[rank], signal.SIGKILL)
    _, errors = process.communicate(timeout=60)
    assert process.returncode != 0
    assert "--resume-from continues after the last finished epoch" in errors
    killed_at = checkpoint.load(latest(tmp_path / "logs") / "checkpoint.pth.tar").epoch
    assert killed_at < 59
    alone(*options[:-1], killed_at + 2, "--resume-from", "logs/latest/checkpoint.pth.tar")
    assert checkpoint.load(latest(tmp_path / "logs") / "checkpoint.pth.tar").epoch == killed_at + 1


@pytest.mark.slow
def test_two_processes_resume_to_the_weights_of_an_uninterrupted_run(tiny_data, tmp_path):
    options = ["--model", "ai84netextrasmall", *COMMON, "--data", tiny_data, "--epochs", "60"]
    process = start(TRAIN, *options, cwd=tmp_path)
    wait_for_checkpoint(process, tmp_path / "logs")
    os.kill(children(process.pid)[1], signal.SIGKILL)
    process.communicate(timeout=60)
    assert "Resuming at epoch" in torchrun(TRAIN, *options, "--resume-from", "auto", cwd=tmp_path)
    torchrun(TRAIN, *options, "-o", "whole", cwd=tmp_path)
    ours, theirs = (checkpoint.load(latest(tmp_path / name) / "checkpoint.pth.tar") for name in ("logs", "whole"))
    assert ours.epoch == theirs.epoch == 59
    assert all(torch.equal(ours.weights[name], weight) for name, weight in theirs.weights.items())


@pytest.mark.parametrize(
    ("training_images", "validation_images", "message"),
    [(21, 5, "the last batch of an epoch has 1 images"), (20, 1, "the validation has 1 images")],
)
def test_a_process_without_images_is_refused(training_images, validation_images, message):
    parts = [
        ImageSet(torch.zeros(count, 1, 2, 2, dtype=torch.uint8), torch.zeros(count, dtype=torch.int64))
        for count in (training_images, validation_images)
    ]
    with pytest.raises(UserError, match=f"{message}, which do not suffice for 2 processes"):
        training.check_shares(Images(*parts, parts[1]), 20, BOTH[0])
    training.check_shares(Images(*parts, parts[1]), 20, ALONE)


def test_more_processes_than_gpus_are_refused(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 1)
    chosen = options.parse(["--model", "ai84net5", "--dataset", "MNIST"])
    with pytest.raises(UserError, match="there are 2 processes on this machine and 1 GPUs"):
        construction.compute_device(chosen, BOTH[1])
    assert construction.compute_device(chosen, Processes(2, 4, 0, 1)) == torch.device("cuda", 0)


def test_only_training_is_shared(monkeypatch, capsys):
    for name, value in {"TORCHELASTIC_RUN_ID": "x", "RANK": 1, "WORLD_SIZE": 2, "LOCAL_RANK": 1,
                        "LOCAL_WORLD_SIZE": 2}.items():  # fmt: skip
        monkeypatch.setenv(name, str(value))
    assert train.main(["--model", "ai84net5", "--dataset", "MNIST", "--check"]) == 1
    assert capsys.readouterr().err == (
        "train.py (process 1): error: only training can be shared by several processes; start this without torchrun\n"
    )
