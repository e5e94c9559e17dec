"""Fixed-scale quantization: expected values are arithmetic written out here."""

import subprocess
import sys
from pathlib import Path

import hypothesis.strategies as st
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis.extra.numpy import arrays

from izer import torchfile
from izer.quantize import quantize

ROOT = Path(__file__).resolve().parents[1]
FLOATS = st.floats(-4, 4, width=32)


def names(**tensors: np.ndarray) -> dict[str, np.ndarray]:
    return {name.replace("_", "."): value for name, value in tensors.items()}


def kernel(*values: float) -> np.ndarray:
    return np.array([*values, *[0.0] * (9 - len(values))], np.float32).reshape(1, 1, 3, 3)


def test_first_layer_is_worth_half_and_others_full():
    tensors = names(conv1_conv2d_weight=kernel(1.0, -1.0, 0.5), conv2_conv2d_weight=kernel(1.0, -1.0, 0.5))
    result, _ = quantize(tensors, 1.0, 8)
    assert result["conv1.conv2d.weight"].flatten()[:3].tolist() == [64, -64, 32]
    assert result["conv2.conv2d.weight"].flatten()[:3].tolist() == [127, -128, 64]


def test_halves_round_to_even():
    tensors = names(a_weight=kernel(), b_weight=kernel(0.5 / 128, 1.5 / 128, 2.5 / 128, -0.5 / 128, -1.5 / 128))
    result, _ = quantize(tensors, 1.0, 8)
    assert result["b.weight"].flatten()[:5].tolist() == [0, 2, 2, 0, -2]


def test_classification_layer_is_symmetric_and_its_bias_has_its_scale():
    tensors = names(conv1_conv2d_weight=kernel(), fc_linear_weight=np.array([[2.0, -2.0, 0.25]], np.float32),
                    fc_linear_bias=np.array([0.5, -3.0], np.float32))
    result, _ = quantize(tensors, 0.85, 8)
    assert result["fc.linear.weight"].tolist() == [[127, -127, 27]]  # 128 * 0.85 * 0.25 = 27.2
    assert result["fc.linear.bias"].tolist() == [54, -127]  # 128 * 0.85 * 0.5 = 54.4


def test_convolution_bias_has_seven_more_bits_and_is_not_halved():
    bias = np.array([0.001, -0.005, 1.0, -1.0], np.float32)
    result, _ = quantize(names(conv1_conv2d_weight=kernel(), conv1_conv2d_bias=bias), 1.0, 8)
    assert result["conv1.conv2d.bias"].tolist() == [16, -82, 127, -128]  # 16384 * 0.001 = 16.384, * -0.005 = -81.92


@pytest.mark.parametrize("bits", range(2, 9))
def test_width_of_the_classification_layer(bits):
    high = 2 ** (bits - 1) - 1
    tensors = names(conv1_conv2d_weight=kernel(), fc_weight=np.array([[9.0, -9.0, 1 / high]], np.float32))
    result, _ = quantize(tensors, 1.0, bits)
    assert result["fc.weight"].tolist() == [[high, -high, min(high, round((high + 1) / high))]]


@settings(max_examples=60, deadline=None)
@given(arrays(np.float32, (2, 2, 3, 3), elements=FLOATS), st.sampled_from([0.5, 0.85, 0.97, 1.0, 3.4]))
def test_every_weight_follows_the_formula(weights, scale):
    tensors = names(a_weight=weights, b_weight=weights)
    result, log = quantize(tensors, scale, 8)
    for name, factor in (("a.weight", 64 * scale), ("b.weight", 128 * scale)):
        scaled = [float(np.float32(w) * np.float32(factor)) for w in weights.flatten()]
        expected = [min(max(round(w), -128), 127) for w in scaled]  # Python's round is half to even
        assert result[name].flatten().tolist() == expected
        entry = next(entry for entry in log if entry.name == name)
        assert entry.clipped == sum(not -128 <= round(w) <= 127 for w in scaled)


def run(*arguments: object) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, ROOT / "ai84ize.py", *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def float_checkpoint(path: Path) -> Path:
    content = {"epoch": 4, "arch": "net", "state_dict": names(conv1_conv2d_weight=kernel(0.5)),
               "optimizer_state_dict": {"state": {0: {"momentum_buffer": np.ones(3, np.float32)}}},
               "extras": {"best_top1": 90.0}}  # fmt: skip
    torchfile.write(path, content)
    return path


def test_command_line_keeps_the_rest_and_notes_the_method(tmp_path):
    done = run(float_checkpoint(tmp_path / "in.pth.tar"), tmp_path / "out.pth.tar", "--scale", 1.0, "--verbose")
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    assert "conv1.conv2d.weight" in done.stdout
    content = torchfile.read(tmp_path / "out.pth.tar")
    assert content["extras"] == {"best_top1": 90.0, "clipping_method": "SCALE", "clipping_scale": 1.0}
    assert (content["epoch"], content["arch"]) == (4, "net")
    assert content["optimizer_state_dict"]["state"][0]["momentum_buffer"].tolist() == [1, 1, 1]
    assert content["state_dict"]["conv1.conv2d.weight"].flatten()[0] == 32


def test_command_line_warns_about_the_default_scale(tmp_path):
    done = run(float_checkpoint(tmp_path / "in.pth.tar"), tmp_path / "out.pth.tar")
    assert done.returncode == 0
    assert done.stderr == "ai84ize.py: warning: --scale is not given; using 0.85\n"
    content = torchfile.read(tmp_path / "out.pth.tar")
    assert content["state_dict"]["conv1.conv2d.weight"].flatten()[0] == 27  # 64 * 0.85 * 0.5 = 27.2


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("conv1.bn.weight", np.ones(3, np.float32), "conv1.bn.weight has 1 dimensions"),
        ("conv1.conv2d.bias", np.array([1, np.nan], np.float32), "conv1.conv2d.bias holds values that are not finite"),
        ("fc.weight", np.array([[np.inf]], np.float32), "fc.weight holds values that are not finite"),
    ],
)
def test_weights_that_have_no_integer_are_refused(tmp_path, name, value, message):
    state = {"conv1.conv2d.weight": kernel(), name: value}
    torchfile.write(tmp_path / "in.pth.tar", {"arch": "net", "state_dict": state})
    done = run(tmp_path / "in.pth.tar", tmp_path / "out.pth.tar", "--scale", 1)
    assert (done.returncode, done.stderr.count("\n")) == (1, 1)
    assert message in done.stderr
    assert not (tmp_path / "out.pth.tar").exists()


def test_quantizing_twice_and_bad_files_are_refused_without_output(tmp_path):
    once = tmp_path / "once.pth.tar"
    run(float_checkpoint(tmp_path / "in.pth.tar"), once, "--scale", 1)
    (tmp_path / "text.pth.tar").write_text("no checkpoint")
    for source, message in ((once, "quantized already"), (tmp_path / "text.pth.tar", "not a usable checkpoint"),
                            (tmp_path / "missing", "No such file")):  # fmt: skip
        done = run(source, tmp_path / "out.pth.tar", "--scale", 1)
        assert done.returncode == 1
        assert message in done.stderr
        assert done.stderr.count("\n") == 1
        assert not (tmp_path / "out.pth.tar").exists()
    assert run(once, tmp_path / "out.pth.tar", "--scale", "-1").returncode == 2
