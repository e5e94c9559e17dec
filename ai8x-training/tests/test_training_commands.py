"""train.py as a user calls it: training, evaluating, messages and exit statuses."""

import dataclasses
import json
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import torch
from small_runs import NETWORK, SHORT, TRAIN, run_directory

import ai84net
import checkpoint
import pipeline
import training
from datasets import REGISTRY, ImageSet, idx
from evaluation import Evaluation


@pytest.fixture
def call(call):
    """train.py with the extra small network."""
    return partial(call, *NETWORK)


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
        (
            ["--evaluate", "--exp-load-weights-from", "x", "--resume-from", "auto"],
            "--evaluate and --resume-from exclude each other",
        ),
        (
            ["--exp-load-weights-from", "x", "--resume-from", "y"],
            "--resume-from FILE and --exp-load-weights-from exclude each other; auto goes with it",
        ),
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
