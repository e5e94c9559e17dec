"""Speech as network input: recordings are folded, and anything else is refused."""

import json
import wave
from pathlib import Path

import numpy as np
import pytest
import torch

import train
from datasets import kws20
from errors import UserError


def record(path: Path, samples: np.ndarray, channels: int = 1, rate: int = 16000) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with wave.open(str(path), "wb") as file:
        file.setnchannels(channels)
        file.setsampwidth(2)
        file.setframerate(rate)
        file.writeframes(samples.astype("<i2").tobytes())


@pytest.fixture
def speech(tmp_path) -> Path:
    """Tones of a height for each word, 14 recordings of which the last two are for the test."""
    folder = tmp_path / "data" / "speech_commands_v0.02"
    random = np.random.default_rng(3)
    names = []
    for number, word in enumerate(("yes", "zero", "marvin")):
        for take in range(14):
            tone = np.sin(np.arange(16000) * 2 * np.pi * (200 + 700 * number) / 16000)
            record(folder / word / f"{take}.wav", 9000 * tone + random.normal(0, 500, 16000))
            names += [f"{word}/{take}.wav"] * (take >= 12)
    record(folder / "_background_noise_" / "noise.wav", random.normal(0, 500, 90000))
    (folder / "testing_list.txt").write_text("\n".join(names))
    return folder.parent


def test_samples_become_codes_and_rows_become_channels():
    samples = np.arange(16384) - 8192
    folded = kws20.fold(samples)
    assert folded.shape == (128, 128)
    # sample 128 * step + channel, divided by 256, on top of 128; halves to even
    expected = np.rint((samples / 32768 + 1) * 128)
    assert folded[5, 70] == expected[128 * 70 + 5]
    assert np.array_equal(folded.T.flatten(), expected)


def test_short_recordings_end_in_silence_and_loud_ones_saturate():
    folded = kws20.fold(np.array([32767, -32768, 0]))
    assert folded[:4, 0].tolist() == [255, 0, 128, 128]
    assert (folded[:, 1:] == 128).all()
    assert kws20.fold(np.full(20000, 256)).min() == 129


def test_recordings_are_divided_by_the_list_and_labelled_by_their_folders(speech):
    training, test = kws20.load(speech)
    assert training.images.shape == (36, 128, 128, 1)
    assert sorted(test.labels.tolist()) == [6, 6, 19, 19, 20, 20]
    assert [kws20.dataset.classes[label] for label in (6, 19, 20)] == ["yes", "zero", "unknown"]
    assert len(kws20.dataset.classes) == 21


def test_speech_network_trains_quantized_on_recordings_and_saves_a_one_dimensional_sample(
    speech, tmp_path, monkeypatch, capsys
):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "qat.yaml").write_text("start_epoch: 1\nweight_bits: 8\n")
    network = ["--device", "MAX78000", "--model", "ai85kws20net", "--dataset", "KWS_20", "--data", str(speech),
               "--batch-norm"]  # fmt: skip
    assert train.main([*network, "--epochs", "2", "-b", "8", "--optimizer", "Adam", "--lr", "0.002", "--seed", "1",
                       "--no-tensorboard", "--qat-policy", "qat.yaml"]) == 0  # fmt: skip
    summary = json.loads((tmp_path / "logs" / "latest" / "summary.json").read_text())
    assert summary["test_images"] == 6
    content = torch.load(summary["best"], weights_only=True)
    for name in content["state_dict"]:  # integers, whatever they are worth
        if name.endswith((".weight", ".bias")):
            content["state_dict"][name] = content["state_dict"][name].mul(64).round()
        if name.endswith(".adjust_output_shift"):
            content["state_dict"][name].zero_()
    torch.save(content, "integers.pth.tar")
    assert train.main([*network, "-e", "-8", "--exp-load-weights-from", "integers.pth.tar", "--save-sample", "0"]) == 0
    sample = np.load("sample_kws_20.npy")
    assert sample.shape == (128, 128)
    assert np.array_equal(sample, kws20.load(speech)[1].images[0, :, :, 0].numpy().astype(int) - 128)
    assert "Test: 6 images" in capsys.readouterr().out


def test_missing_recordings_are_refused(tmp_path):
    with pytest.raises(UserError, match=r"KWS_20: there is no testing_list.txt in .*; unpack Speech Commands 0.02"):
        kws20.load(tmp_path)


@pytest.mark.parametrize("form", [{"channels": 2}, {"rate": 8000}])
def test_recordings_of_another_form_are_refused(tmp_path, form):
    record(tmp_path / "a.wav", np.zeros(4), **form)
    with pytest.raises(UserError, match=r"a.wav: a recording must have 1 channel of 2 bytes at 16000 samples a second"):
        kws20.read_recording(tmp_path / "a.wav")


def test_damaged_recordings_are_refused(tmp_path):
    (tmp_path / "a.wav").write_bytes(b"RIFFnothing")
    with pytest.raises(UserError, match=r"a.wav: cannot be read as a recording"):
        kws20.read_recording(tmp_path / "a.wav")
