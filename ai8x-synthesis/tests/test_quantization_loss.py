"""What `ai84ize.py --compare` says a layer loses: expected values are arithmetic written out here."""

import math
from fractions import Fraction
from pathlib import Path

import hypothesis.strategies as st
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis.extra.numpy import arrays

import ai84ize
from izer import torchfile
from izer.ai85.quantize import Method, quantize_checkpoint
from izer.quantize import quantize

WEIGHTS = st.floats(-2, 2, width=32)


def decibels(signal: float, noise: float) -> float:
    return 10 * math.log10(signal / noise)


def kernel(*values: float) -> np.ndarray:
    return np.array([*values, *[0.0] * (9 - len(values))], np.float32).reshape(1, 1, 3, 3)



def test_loss_of_a_convolution_is_that_of_rounding_and_clipping():
    # Second layer, scale 1: times 128. 0.25/128 becomes 0, 1.5 (192) is clipped to 127, 0.5 (64) is exact.
    _, log = quantize({"a.weight": kernel(), "b.weight": kernel(0.25 / 128, 1.5, 0.5)}, 1.0, 8)
    first, second = log
    assert (first.signal, first.noise, first.decibels) == (0, 0, math.inf)
    assert second.signal == 0.25**2 + 192**2 + 64**2
    assert second.noise == 0.25**2 + (192 - 127) ** 2
    assert second.decibels == decibels(0.0625 + 36864 + 4096, 0.0625 + 4225)
    assert (second.clipped, second.zeros, second.size) == (1, 7, 9)


def test_first_layer_loses_what_its_half_scale_loses():
    _, log = quantize({"a.weight": kernel(1.25 / 128)}, 1.0, 8)  # times 64: 0.625, which becomes 1
    assert (log[0].signal, log[0].noise) == (0.625**2, 0.375**2)


def test_bias_of_the_classification_layer_counts_a_128th():
    # 0.5 becomes 64, but the device should add 64 * 128: the error is 64 * 127.
    _, log = quantize({"fc.linear.weight": np.eye(1, dtype=np.float32), "fc.linear.bias": np.array([0.5])}, 1.0, 8)
    assert (log[1].signal, log[1].noise) == ((64 * 128) ** 2, (64 * 127) ** 2)


@settings(max_examples=60, deadline=None)
@given(arrays(np.float32, (2, 6), elements=WEIGHTS), st.sampled_from([1, 2, 4, 8]))
def test_loss_on_ai85_is_the_distance_to_the_scaled_values(weights, bits):
    content = {"state_dict": {"fc.op.weight": weights}}
    result, (entry,) = quantize_checkpoint(content, Path("net"), Method(), None, bits)
    integers = result["state_dict"]["fc.op.weight"].ravel().tolist()
    power = -int(result["state_dict"]["fc.output_shift"][0])
    exact = [Fraction(float(value)) * Fraction(2) ** (power + bits - 1) for value in weights.ravel()]
    assert entry.signal == pytest.approx(float(sum(value**2 for value in exact)), rel=1e-12)
    noise = float(sum((value - int(integer)) ** 2 for value, integer in zip(exact, integers, strict=True)))
    assert entry.noise == pytest.approx(noise, rel=1e-12, abs=1e-12)
    assert entry.zeros == integers.count(0)


def rows(text: str) -> dict[str, list[str]]:
    """The lines of the table by the tensor's name."""
    return {line.split()[0]: line.split()[1:] for line in text.splitlines() if "%" in line}


def test_ai84_prints_every_tensor_and_the_worst(tmp_path, capsys):
    tensors = {"conv1.conv2d.weight": kernel(1.0, 0.5), "conv2.conv2d.weight": kernel(1.0, 2.0, 0.5),
               "conv2.conv2d.bias": np.array([1.0, 0.001], np.float32)}  # fmt: skip
    torchfile.write(tmp_path / "in", {"arch": "net", "state_dict": tensors})
    assert ai84ize.main([str(tmp_path / "in"), str(tmp_path / "out"), "--scale", "1", "--compare"]) == 0
    output = capsys.readouterr().out
    # conv2: 128, 256 and 64 become 127, 127 and 64; its bias: 16384 and 16.384 become 127 and 16.
    weights, bias = decibels(128**2 + 256**2 + 64**2, 1 + 129**2), decibels(16384**2 + 16.384**2, 16257**2 + 0.384**2)
    assert rows(output) == {
        "conv1.conv2d.weight": ["8", "9", "inf", "dB", "0.00", "%", "77.78", "%"],
        "conv2.conv2d.weight": ["8", "9", f"{weights:.1f}", "dB", "22.22", "%", "66.67", "%"],
        "conv2.conv2d.bias": ["8", "2", f"{bias:.1f}", "dB", "50.00", "%", "0.00", "%"],
    }
    assert f"The weight that loses most: conv2.conv2d.weight, {weights:.1f} dB" in output
    assert f"The bias that loses most: conv2.conv2d.bias, {bias:.1f} dB" in output


def test_ai85_prints_the_width_of_every_layer(tmp_path, capsys):
    tensors = {"conv1.op.weight": kernel(0.5, -0.25), "fc.op.weight": np.array([[0.75, 0.3]], np.float32),
               "conv1.weight_bits": np.array([2.0], np.float32)}  # fmt: skip
    torchfile.write(tmp_path / "in", {"arch": "net", "state_dict": tensors})
    assert ai84ize.main([str(tmp_path / "in"), str(tmp_path / "out"), "--ai85", "--compare"]) == 0
    output = capsys.readouterr().out
    # conv1, 2 bits, times 2 * 2: 2 and -1 become 1 and -1. fc, 8 bits, times 128: 96 and 38.4 become 96 and 38.
    conv, fc = decibels(5, 1), decibels(96**2 + 38.4**2, 0.4**2)
    assert rows(output) == {
        "conv1.op.weight": ["2", "9", f"{conv:.1f}", "dB", "11.11", "%", "77.78", "%"],
        "fc.op.weight": ["8", "2", f"{fc:.1f}", "dB", "0.00", "%", "0.00", "%"],
    }
    assert "The weight that loses most: conv1.op.weight, 7.0 dB" in output
    assert "bias" not in output  # no layer has one


def test_without_the_option_nothing_is_compared(tmp_path, capsys):
    torchfile.write(tmp_path / "in", {"arch": "net", "state_dict": {"a.weight": kernel(1.0)}})
    assert ai84ize.main([str(tmp_path / "in"), str(tmp_path / "out"), "--scale", "1"]) == 0
    assert "signal" not in capsys.readouterr().out


def test_values_too_large_for_single_precision_are_refused(tmp_path, capsys):
    torchfile.write(tmp_path / "in", {"arch": "net", "state_dict": {"a.weight": np.full((1, 1, 3, 3), 1e300)}})
    assert ai84ize.main([str(tmp_path / "in"), str(tmp_path / "out"), "--scale", "1", "--compare"]) == 1
    assert "a.weight holds values that are not finite" in capsys.readouterr().err
