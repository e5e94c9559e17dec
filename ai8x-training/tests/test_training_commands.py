"""train.py as a user calls it: training, evaluating, resuming, messages and exit statuses."""

import dataclasses
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import torch

import ai84net
import checkpoint
import pipeline
import train
import training
from datasets import REGISTRY, ImageSet, idx
from evaluation import Evaluation

TRAIN = Path(train.__file__)
NETWORK = ["--model", "ai84netextrasmall", "--dataset", "FashionMNIST"]
SHORT = ["--no-tensorboard", "-b", "16", "--optimizer", "Adam", "--lr", "0.01", "--seed", "3"]


@pytest.fixture
def call(tiny_data, tmp_path, monkeypatch, capsys):
    """Runs train.py in this process, in an empty directory; returns (exit status, standard output, standard error)."""
    monkeypatch.chdir(tmp_path)

    def run(*arguments):
        try:
            status = train.main([*NETWORK, "--data", str(tiny_data), *map(str, arguments)])
        except SystemExit as stop:
            status = stop.code
        return status, *capsys.readouterr()

    return run


def run_directory(tmp_path: Path) -> Path:
    return tmp_path / "logs" / os.readlink(tmp_path / "logs" / "latest")


def integer_checkpoint(path: Path) -> ai84net.Ai84Net:
    """Write integer weights of the extra small network, and return the network that has them, in exact mode."""
    torch.manual_seed(1)
    model = ai84net.ai84netextrasmall(num_channels=1, simulate=True)
    model.load_state_dict(
        {name: torch.randint(-128, 128, tensor.shape).float() for name, tensor in model.state_dict().items()}
    )
    checkpoint.save(path, model, "ai84netextrasmall", 0, None, {"masks_dict": {}}, {})
    return model


def test_training_learns_and_writes_its_log_directory(call, tmp_path):
    status, output, _ = call(
        "--epochs",
        6,
        "-b",
        16,
        "--optimizer",
        "adam",
        "--lr",
        0.01,
        "--seed",
        3,
        "--confusion",
        "--no-augmentation",
        "--name",
        "tiny",
        "--compress",
        TRAIN.parent / "schedules" / "onecycle.yaml",
    )
    assert status == 0
    directory = run_directory(tmp_path)
    assert directory.name.startswith("tiny___")
    names = {path.name.split(".vm")[0] for path in directory.iterdir()}
    assert {
        "best.pth.tar",
        "checkpoint.pth.tar",
        "summary.json",
        "confusion.png",
        "configs",
        f"{directory.name}.log",
    } <= names
    assert any(name.startswith("events.out.tfevents") for name in names)
    assert (directory / "configs" / "onecycle.yaml").read_bytes() == (
        TRAIN.parent / "schedules" / "onecycle.yaml"
    ).read_bytes()
    summary = json.loads((directory / "summary.json").read_text())
    assert summary["test_top1"] > 50
    assert (summary["epochs"], summary["seed"], summary["test_images"]) == (6, 3, 50)
    assert "==> Confusion:" in output
    assert "Data set sizes: training 108, validation 12, test 50" in output
    assert "Epoch: [5][ 7/ 7]    Overall Loss " in (directory / f"{directory.name}.log").read_text()


def same_weights(ours, theirs):
    return all(torch.equal(ours[name], tensor) for name, tensor in theirs.items())


def test_best_is_the_latest_epoch_with_the_highest_validation_accuracy_and_is_tested(call, tmp_path, monkeypatch):
    """Validation is replaced by given accuracies of 50, 70, 70, 60 %: of epochs 1 and 2 the later one counts."""
    correct, seen = iter([5, 7, 7, 6, 0]), []

    def judge(model, image_set, batch_size, normalize, simulate):
        seen.append({name: tensor.clone() for name, tensor in model.state_dict().items()})
        wrong = 10 - next(correct)
        return Evaluation(torch.eye(10)[[0] * 10], torch.tensor([1] * wrong + [0] * (10 - wrong)), 1)

    monkeypatch.setattr(training, "evaluate", judge)
    call("--epochs", 4, *SHORT)
    best, last = (checkpoint.load(run_directory(tmp_path) / name) for name in ("best.pth.tar", "checkpoint.pth.tar"))
    assert (best.epoch, best.extras["best_top1"]) == (2, 70.0)
    assert (last.epoch, last.extras["best_epoch"], last.extras["best_top1"]) == (3, 2, 70.0)
    assert last.extras["current_top1"] == 60.0
    assert same_weights(best.weights, seen[2])
    assert same_weights(last.weights, seen[3])
    assert not same_weights(best.weights, last.weights)
    assert same_weights(seen[4], best.weights)


def test_summary_has_the_accuracy_of_the_best_weights(call, tmp_path):
    call("--epochs", 2, *SHORT)
    directory = run_directory(tmp_path)
    call("--evaluate", "--exp-load-weights-from", directory / "best.pth.tar", "--json", "best.json")
    best, summary = (json.loads(path.read_text()) for path in (tmp_path / "best.json", directory / "summary.json"))
    assert (best["correct"], best["loss"]) == (summary["test_correct"], pytest.approx(summary["test_loss"], rel=1e-5))


def test_without_validation_split_the_test_set_is_named_as_judge(call):
    status, output, _ = call("--epochs", 1, *SHORT, "--vs", 0)
    assert status == 0
    assert "Data set sizes: training 120, validation 50, test 50" in output
    assert "the test set chooses the best epoch" in output


def test_weights_stay_in_the_range_of_the_device(call, tmp_path):
    call("--epochs", 3, "--no-tensorboard", "-b", 16, "--lr", 1.0, "--seed", 3, "--vs", 0.5)
    weights = checkpoint.load(run_directory(tmp_path) / "checkpoint.pth.tar").weights
    assert weights["conv2.conv2d.weight"].min() >= -1
    assert weights["conv2.conv2d.weight"].max() <= 127 / 128
    assert weights["fc.linear.weight"].abs().max() == 127 / 128


def test_same_seed_gives_the_same_weights_and_another_seed_others(call, tmp_path):
    results = []
    for seed in (3, 3, 4):
        call("--epochs", 1, *SHORT, "--seed", seed)
        results.append(checkpoint.load(run_directory(tmp_path) / "checkpoint.pth.tar").weights["conv2.conv2d.weight"])
    assert torch.equal(results[0], results[1])
    assert not torch.equal(results[0], results[2])


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


def test_8_bit_scores_accuracy_and_sample(call, tiny_data, tmp_path):
    model = integer_checkpoint(tmp_path / "integers.pth.tar")
    status, output, _ = call(
        "--evaluate",
        "-8",
        "--exp-load-weights-from",
        "integers.pth.tar",
        "--save-scores",
        "s.npy",
        "--save-sample",
        7,
        "--json",
        "result.json",
        "-b",
        16,
    )
    assert status == 0
    test_set = idx.read_set(tiny_data, "test", (1, 28, 28), 10)
    pixels = test_set.images.numpy().astype(np.int64)
    codes = np.where(pixels <= 127, pixels - 128, np.minimum(pixels - 127, 127))
    with torch.no_grad():
        expected = model(torch.tensor(codes).float()).numpy()
    scores = np.load("s.npy")
    assert scores.dtype == np.int32
    assert np.array_equal(scores, expected)
    correct = int((expected.argmax(1) == test_set.labels.numpy()).sum())
    assert json.loads(Path("result.json").read_text())["correct"] == correct
    assert f"==> Top1: {100 * correct / 50:.3f}" in output
    sample = np.load("sample_fashionmnist.npy")
    assert sample.dtype == np.int64
    assert np.array_equal(sample, codes[7])
    label = int(test_set.labels[7])
    names = ["top", "trouser", "pullover", "dress", "coat", "sandal", "shirt", "sneaker", "bag", "boot"]
    assert json.loads(Path("sample_fashionmnist.json").read_text()) == {
        "dataset": "FashionMNIST",
        "index": 7,
        "label": label,
        "class": names[label],
    }


def test_float_scores_do_not_depend_on_the_batch_size(call, tmp_path):
    call("--epochs", 1, *SHORT)
    best = run_directory(tmp_path) / "best.pth.tar"
    for size in (7, 50):
        call("--evaluate", "--exp-load-weights-from", best, "-b", size, "--save-scores", f"{size}.npy")
    assert np.load("7.npy").dtype == np.float32
    assert np.array_equal(np.load("7.npy").argmax(1), np.load("50.npy").argmax(1))


def test_truncated_test_set_is_its_first_image(call, tmp_path):
    integer_checkpoint(tmp_path / "integers.pth.tar")
    for extra in ([], ["--truncate-testset"]):
        call("-e", "-8", "--exp-load-weights-from", "integers.pth.tar", "--save-scores", f"{len(extra)}.npy", *extra)
    assert np.array_equal(np.load("1.npy"), np.load("0.npy")[:1])


def test_evaluation_writes_nothing_it_was_not_asked_for(call, tmp_path):
    integer_checkpoint(tmp_path / "integers.pth.tar")
    call("-e", "-8", "--exp-load-weights-from", "integers.pth.tar")
    assert [path.name for path in tmp_path.iterdir()] == ["integers.pth.tar"]


def test_sample_beyond_the_test_set_is_refused(call, tmp_path):
    integer_checkpoint(tmp_path / "integers.pth.tar")
    status, _, errors = call("-e", "-8", "--exp-load-weights-from", "integers.pth.tar", "--save-sample", 50)
    assert status == 1
    assert errors == "train.py: error: --save-sample 50: the test set of FashionMNIST has the images 0 to 49\n"


@pytest.mark.parametrize(
    "arguments, message",
    [
        (["-8"], "-8 needs --evaluate"),
        (["--save-sample", "0", "--evaluate", "--exp-load-weights-from", "x"], "--save-sample needs -8"),
        (["--evaluate"], "--evaluate needs --exp-load-weights-from FILE"),
        (["--reset-optimizer"], "--reset-optimizer needs --resume-from"),
        (["--epochs", "0"], "argument --epochs: must be at least 1; given 0"),
        (["--vs", "1"], "must be at least 0 and less than 1; given 1"),
        (["--lr", "0"], "must be above 0; given 0"),
        (["--optimizer", "Lion"], "there is no optimizer 'Lion'; choose from SGD, Adam"),
        (["--device", "86"], "there is no device '86'; choose from 84, AI84, 85, MAX78000, AI85"),
        (["--device", "85"], "ai84netextrasmall is a network for AI84: give --device 84"),
        (["--model", "ai85net5"], "ai85net5 is a network for AI85: give --device 85"),
        (["--batch-norm"], "--batch-norm needs biases, and ai84netextrasmall has no constant channel that makes them"),
        (["--kd-teacher", "ai85net5"], "--kd-teacher NAME and --kd-resume FILE need each other"),
        (["--erase", "3", "--no-augmentation"], "--erase and --no-augmentation exclude each other"),
        (["--cutmix", "0.5", "--no-augmentation"], "--cutmix and --no-augmentation exclude each other"),
        (["--cutmix", "1.5"], "must be at least 0 and less than 1; given 1.5"),
        (["--dataset", "CIFAR"], "there is no data set 'CIFAR'; choose from FashionMNIST, FashionMNIST_folded, MNIST"),
        (["--model", "resnet"], "there is no model 'resnet'; choose from ai84net5, ai84net5chw, ai84net7"),
    ],
)
def test_wrong_options_exit_with_status_2(call, arguments, message):
    status, _, errors = call(*arguments)
    assert status == 2
    assert message in errors


@pytest.mark.parametrize(
    "arguments, message",
    [
        (["--compress", "none.yaml"], "none.yaml: the schedule cannot be read"),
        (["--resume-from", "none.pth.tar"], "none.pth.tar: there is no such checkpoint"),
        (["--exp-load-weights-from", "none.pth.tar"], "none.pth.tar: there is no such checkpoint"),
        (["--evaluate", "--exp-load-weights-from", "none.pth.tar"], "none.pth.tar: there is no such checkpoint"),
        (
            ["--out-dir", "/dev/null/logs"],
            "the log directory cannot be made (Not a directory); choose another with --out-dir",
        ),
    ],
)
def test_what_cannot_be_done_exits_with_status_1_and_writes_nothing(call, tmp_path, arguments, message):
    status, _, errors = call("--epochs", "1", *arguments)
    assert status == 1
    assert errors.startswith("train.py: error: ")
    assert message in errors
    assert list(tmp_path.iterdir()) == []


def test_images_that_the_network_cannot_take_are_refused_with_the_rule(call, monkeypatch, tmp_path):
    larger = ImageSet(torch.zeros(20, 1, 30, 30, dtype=torch.uint8), torch.zeros(20, dtype=torch.int64))
    record = dataclasses.replace(REGISTRY["FashionMNIST"], input=(1, 30, 30), load=lambda data: (larger, larger))
    monkeypatch.setitem(REGISTRY, "FashionMNIST", record)
    status, _, errors = call("--epochs", 1)
    assert status == 1
    assert errors == (
        "train.py: error: ai84netextrasmall for FashionMNIST: AI84 rule pool-divide: Pooling windows must tile "
        "the input exactly: (size - pool) must be a multiple of the pooling stride, in both directions. Given: 15 "
        "pixels, pool_size=4, pool_stride=4 (Conv2d 8 -> 8)\n"
    )
    assert list(tmp_path.iterdir()) == []


def test_diverging_training_stops_with_advice(call, monkeypatch):
    def broken(images, normalize):
        return torch.full(images.shape, torch.nan)

    monkeypatch.setattr(pipeline, "to_input", broken)
    status, _, errors = call("--epochs", 1, *SHORT)
    assert status == 1
    assert "the loss is nan in epoch 0, batch 1: training has diverged; lower the learning rate (it was 0.01)" in errors
