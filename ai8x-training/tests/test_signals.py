"""One-dimensional data: what signals.npz may hold, and a network from training to the integers of the device."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch

import ai84net
import ai85net
import datasets
import make_waves
import train
from datasets import signals
from errors import UserError

GOOD = {
    "classes": np.array(["low", "high"]),
    "train_data": np.array([[[0.0, -1.0, 1.0]], [[0.25, -0.5, 0.996]], [[0.001, 0.004, -0.004]]], np.float32),
    "train_labels": np.array([0, 1, 1]),
    "test_data": np.zeros((2, 1, 3), np.float32),
    "test_labels": np.array([1, 0]),
}


def place(folder: Path, **changes: object) -> Path:
    """Write GOOD with some arrays changed, or left out (None)."""
    arrays = {key: value for key, value in (GOOD | changes).items() if value is not None}
    np.savez(folder / "signals.npz", **arrays)
    return folder


def test_floats_from_minus_1_to_1_become_bytes_around_128(tmp_path):
    record = datasets.find("Signals", place(tmp_path), None)
    assert (record.input, record.classes, record.unit, record.zero) == ((1, 3, 1), ("low", "high"), 256, 128)
    training, test = record.load(tmp_path)
    # (value + 1) * 128, halves to even: 128.128, 128.512 and 127.488 round to 128, 129 and 127
    assert training.images[:, 0, :, 0].tolist() == [[128, 0, 255], [160, 64, 255], [128, 129, 127]]
    assert (training.labels.tolist(), test.labels.tolist()) == ([0, 1, 1], [1, 0])


@pytest.mark.parametrize(
    ("dtype", "values", "codes"),
    [
        (np.uint8, [0, 128, 255], [0, 128, 255]),
        (np.int8, [-128, 0, 127], [0, 128, 255]),
        (np.int16, [-32768, 128, 32767], [0, 128, 255]),  # 128 of 32768 is half a step, which goes to the even one
        (np.float64, [-1, 0.5, 1], [0, 192, 255]),
    ],
)
def test_integers_are_read_by_the_size_of_their_type(tmp_path, dtype, values, codes):
    data = np.array([values, values, values], dtype)
    training, _ = datasets.find("Signals", place(tmp_path, train_data=data), None).load(tmp_path)
    assert training.images.shape == (3, 1, 3, 1)
    assert training.images[0, 0, :, 0].tolist() == codes


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"classes": None}, "has no array classes"),
        ({"classes": np.array(["a", "a"])}, "classes must name two or more classes, each once; given a, a"),
        ({"train_data": None}, "has no array train_data"),
        ({"train_labels": None}, "has no array train_labels"),
        ({"test_labels": None}, "has no array test_labels"),
        ({"train_data": np.zeros((3, 1, 3, 1))}, r"shape \[N, C, L\] or \[N, L\]; given \[3, 1, 3, 1\]"),
        ({"test_data": np.zeros((2, 2, 3))}, r"test_data must have signals of shape \[1, 3\]; given \[2, 3\]"),
        ({"train_data": np.full((3, 3), 1.5)}, "train_data must be from -1 to 1; given 1.5 to 1.5. Divide"),
        ({"train_data": np.full((3, 3), np.nan)}, "train_data must be from -1 to 1; given nan"),
        ({"train_data": np.zeros((3, 3), np.int32)}, "uint8, int8, int16 or floats; given int32"),
        ({"test_labels": np.array([0, 2])}, "test_labels must be from 0 to 1; given 0 to 2"),
        ({"test_labels": np.array([0])}, r"test_labels must be 2 whole numbers, .* of shape \[1\]"),
        ({"test_labels": np.array([0.0, 1.0])}, "test_labels must be 2 whole numbers, .* given float64"),
        ({"train_labels": np.array([object(), 1, 2], object)}, "train_labels cannot be read"),
    ],
)
def test_what_does_not_fit_is_named(tmp_path, changes, message):
    with pytest.raises(UserError, match=message) as caught:
        datasets.find("Signals", place(tmp_path, **changes), None).load(tmp_path)
    assert str(caught.value).startswith(str(tmp_path / "signals.npz"))
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(("content", "message"), [(None, "is not there"), (b"no archive", "cannot be read")])
def test_a_file_that_is_missing_or_damaged_is_named(tmp_path, content, message):
    if content is not None:
        (tmp_path / "signals.npz").write_bytes(content)
    with pytest.raises(UserError, match=message):
        datasets.find("Signals", tmp_path, None)


def test_waves_are_of_five_kinds_in_range_and_the_same_for_the_same_seed(tmp_path, capsys):
    assert make_waves.main([str(tmp_path / "a")]) == make_waves.main([str(tmp_path / "b")]) == 0
    files = [tmp_path / name / "signals.npz" for name in "ab"]
    assert files[0].read_bytes() == files[1].read_bytes()
    made = make_waves.waves(2)
    assert np.abs(made["train_data"]).max() == 1
    assert np.bincount(made["train_labels"]).min() > 900
    assert datasets.find("Signals", tmp_path / "a", None).input == (1, 512, 1)
    (tmp_path / "file").touch()
    assert make_waves.main([str(tmp_path / "file")]) == 1
    assert "cannot be written" in capsys.readouterr().err


@pytest.mark.parametrize(("channels", "length"), [(1, 64), (3, 200), (1, 512), (6, 1023)])
def test_ai85signalnet_takes_signals_of_many_lengths(channels, length):
    model = ai85net.ai85signalnet(4, channels, (length, 1), batch_norm=True).eval()
    assert model(torch.zeros(2, channels, length, 1)).shape == (2, 4)


@pytest.mark.parametrize(("dimensions", "message"), [((28, 28), "needs one-dimensional data"), ((1024, 1), "1023"),
                                                     ((15, 1), "pool")])  # fmt: skip
def test_ai85signalnet_refuses_what_does_not_fit(dimensions, message):
    with pytest.raises(ValueError, match=message):
        ai85net.ai85signalnet(4, 1, dimensions)


@pytest.mark.parametrize(("channels", "length"), [(1, 81), (3, 243), (1, 486), (6, 972)])
def test_ai84signalnet_takes_signals_of_many_lengths(channels, length):
    model = ai84net.ai84signalnet(4, channels, (length, 1)).eval()
    assert model(torch.zeros(2, channels, length, 1)).shape == (2, 4)
    assert model.fc.linear.in_features == 24 * length // 81  # each layer's output is a third as long as its input


@pytest.mark.parametrize(("dimensions", "given"), [((512, 1), "length 512"), ((486, 2), "486x2 pixels"),
                                                   ((90, 1), "length 10")])  # fmt: skip
def test_ai84signalnet_refuses_what_does_not_fit(dimensions, given):
    with pytest.raises(ValueError, match=f"AI84 rule conv1d: .* Given: {given} "):
        ai84net.ai84signalnet(4, 1, dimensions)


@pytest.mark.parametrize(
    ("network", "length", "quantizer"),
    [
        (["--device", "85", "--model", "ai85signalnet", "--use-bias"], 512, ["--ai85"]),
        (["--device", "84", "--model", "ai84signalnet"], 486, ["--scale", "1.0"]),
    ],
    ids=["AI85", "AI84"],
)
def test_training_with_quantization_is_exact_on_the_device(network, length, quantizer, tmp_path, monkeypatch):
    """The accuracy that training reports is that of the integers, from the file that ai84ize.py writes."""
    import ai84ize

    monkeypatch.chdir(tmp_path)
    few = {key: value[:60] if key != "classes" else value for key, value in make_waves.waves(1, length).items()}
    np.savez("signals.npz", **few)
    Path("policy.yaml").write_text("start_epoch: 0\nweight_bits: 8\n")
    network = [*network, "--dataset", "Signals", "--data", "."]
    assert train.main([*network, "--epochs", "1", "--qat-policy", "policy.yaml", "--no-tensorboard", "--seed", "1",
                       "--optimizer", "adam", "--lr", "0.001"]) == 0  # fmt: skip
    assert ai84ize.main(["logs/latest/best.pth.tar", "q.pth.tar", *quantizer]) == 0
    exact = ["--evaluate", "-8", "--exp-load-weights-from", "q.pth.tar", "--json", "exact.json", "--save-sample", "2"]
    assert train.main([*network, *exact]) == 0
    trained = json.loads(Path("logs/latest/summary.json").read_text())
    measured = json.loads(Path("exact.json").read_text())
    assert (measured["correct"], measured["images"]) == (trained["test_correct"], 60)
    assert measured["loss"] == pytest.approx(trained["test_loss"], rel=1e-5)
    sample = np.load("sample_signals.npy")
    codes = np.clip(np.rint(few["test_data"][2].astype(np.float64) * 128), -128, 127)
    assert np.array_equal(sample, codes[None].astype(np.int64))
    assert signals.FILE in {path.name for path in tmp_path.iterdir()}
