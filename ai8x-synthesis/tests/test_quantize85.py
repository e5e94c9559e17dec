"""Quantization for AI85: expected values are arithmetic written out here, PyTorch's, or the committed networks."""

import random
import statistics
import subprocess
import sys
from fractions import Fraction
from pathlib import Path
from typing import Any

import hypothesis.strategies as st
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis.extra.numpy import arrays

import ai84ize
from izer import torchfile
from izer.ai85.quantize import Method, quantize_checkpoint
from izer.ai85.scales import SATURATIONS, exponent, integers, quantile
from izer.errors import IzerError

ROOT = Path(__file__).resolve().parents[1]
TRAINED = ROOT / "trained"
NOWHERE = Path("net.pth.tar")
SIZES = st.floats(2.0**-30, 2.0**30, width=32)
WEIGHTS = st.floats(-4, 4, width=32)
BITS = st.sampled_from([1, 2, 4, 8])
FUSED = pytest.mark.skipif(torch.backends.cpu.get_cpu_capability() == "DEFAULT",
                           reason="PyTorch rounds twice where the processor cannot multiply and add in one step")
STATE = {"output_shift": 0, "weight_bits": 0, "bias_bits": 0, "quantize_activation": 0, "adjust_output_shift": 0,
         "shift_quantile": 1}  # fmt: skip


def f32(*values: float) -> np.ndarray:
    return np.array(values, np.float32)


def layer(name: str, weight: Any, bias: Any = None, **state: float) -> dict[str, np.ndarray]:
    """The tensors of a layer as training writes them."""
    tensors = {f"{name}.{key}": f32(value) for key, value in (STATE | state).items()}
    tensors[f"{name}.op.weight"] = np.asarray(weight, np.float32)
    if bias is not None:
        tensors[f"{name}.op.bias"] = np.asarray(bias, np.float32)
    return tensors


def checkpoint(*layers: dict[str, np.ndarray], **others: Any) -> dict[str, Any]:
    tensors = {key: value for tensors in layers for key, value in tensors.items()}
    return {"epoch": 3, "arch": "net", "state_dict": tensors, "extras": {"best_top1": 90.0}, **others}


def quantized(content: dict[str, Any], method: Method | None = None, described: Any = None, default: int = 8) -> Any:
    return quantize_checkpoint(content, NOWHERE, method or Method(), described, default)[0]["state_dict"]


def outputs(weights: np.ndarray) -> np.ndarray:
    """Weights [2, n] as those of a Linear layer with two outputs."""
    return weights.reshape(2, -1)


@FUSED
@settings(max_examples=200, deadline=None)
@given(arrays(np.float32, st.integers(1, 40), elements=SIZES), st.floats(2.0**-10, 1, width=32))
def test_quantile_is_that_of_pytorch(values, fraction):
    expected = torch.quantile(torch.tensor(values), torch.tensor(fraction)).numpy()
    assert quantile(values, fraction) == expected


@FUSED
@pytest.mark.parametrize("fraction", [0.5, 0.7, 0.95, 0.985, 0.995, 1.0])
def test_quantile_of_a_large_layer_is_that_of_pytorch(fraction):
    values = np.abs(np.random.default_rng(1).normal(size=300_007)).astype(np.float32)
    assert quantile(values, fraction) == torch.quantile(torch.tensor(values), torch.tensor(fraction)).numpy()


def test_exponent_is_that_of_pytorch_next_to_every_power_of_two():
    """Also where single precision rounds the logarithm up to the next integer."""
    power = (2.0 ** np.arange(-26, 26)).astype(np.float32).view(np.int32)
    near = (power[:, None] + np.arange(-40, 41, dtype=np.int32)).ravel().view(np.float32)
    expected = torch.floor(torch.log2(1 / torch.tensor(near))).clamp(-15, 15).numpy()
    assert [exponent(f32(value), 8, 1.0) for value in near] == expected.tolist()


@pytest.mark.parametrize(
    ("largest", "bits", "power"),
    # 2**-10 < 0.0011 <= 2**-9, so 2**9 * 0.0011 = 0.56; with q bits the limits are -7 - q and 23 - q
    [(1.0, 8, 0), (1.01, 8, -1), (0.5, 8, 1), (0.51, 8, 0), (0.0011, 4, 9), (300.0, 2, -9), (1e9, 8, -15), (1e9, 1, -8),
     (1e-9, 8, 15), (1e-9, 4, 19), (1e-9, 1, 22), (0.0, 8, 15), (1e-42, 2, 21)],
)  # fmt: skip
def test_exponent_brings_the_largest_parameter_to_full_scale(largest, bits, power):
    assert exponent(f32(0, largest, -largest / 2), bits, 1.0) == power


@settings(max_examples=100, deadline=None)
@given(arrays(np.float32, 12, elements=WEIGHTS), BITS, st.sampled_from([0.25, 1.0, 108.8, 128.0]))
def test_integers_round_halves_up_and_saturate(values, bits, factor):
    scaled = values * np.float32(factor)
    expected = torch.floor(torch.tensor(scaled) + 0.5).clamp(-(2 ** (bits - 1)), 2 ** (bits - 1) - 1)
    result, clipped = integers(values, np.float32(factor), bits)
    assert result.tolist() == expected.tolist()
    assert clipped == sum(not -(2 ** (bits - 1)) <= np.floor(v + np.float32(0.5)) < 2 ** (bits - 1) for v in scaled)


def test_halves_of_both_signs():
    assert integers(f32(0.5, 1.5, -0.5, -1.5, -1.51), np.float32(1), 8)[0].tolist() == [1, 2, 0, -1, -2]


def test_every_layer_has_a_scale_of_its_own():
    # conv1: largest 0.25, e = 2, factor 512. fc: largest 1.5 (the bias), e = -1, factor 64.
    result = quantized(checkpoint(layer("conv1", [[[[0.25]], [[-0.1]]]]), layer("fc", [[0.5, -1.0]], [1.5])))
    assert result["conv1.op.weight"].ravel().tolist() == [127, -51]  # 128 is clipped; -51.2
    assert result["conv1.output_shift"].tolist() == [-2]
    assert result["fc.op.weight"].tolist() == [[32, -64]]
    assert result["fc.op.bias"].tolist() == [96 * 128]
    assert result["fc.output_shift"].tolist() == [1]


@pytest.mark.parametrize(
    ("bits", "weights", "bias"),
    # e = 0, factor 2**(bits - 1). Weights 0.9 and -0.6; bias -0.3, stored times 2**(bits - 1)
    [(8, [115, -77], -38 * 128), (4, [7, -5], -2 * 8), (2, [1, -1], -1 * 2), (1, [0, -1], 0)],
)
def test_widths(bits, weights, bias):
    result = quantized(checkpoint(layer("fc", [[0.9, -0.6]], [-0.3])), default=bits)
    assert result["fc.op.weight"].tolist() == [weights]
    assert result["fc.op.bias"].tolist() == [bias]
    assert (result["fc.weight_bits"].tolist(), result["fc.bias_bits"].tolist()) == ([bits], [bits])


def test_the_description_decides_on_the_width_before_training_before_the_option():
    layers = [layer(f"fc{n}", [[1.0]], weight_bits=trained) for n, trained in enumerate((4, 4, 0))]
    result = quantized(checkpoint(*layers), described=(1, None, None), default=2)
    assert [int(result[f"fc{n}.weight_bits"][0]) for n in range(3)] == [1, 4, 2]
    assert [int(result[f"fc{n}.op.weight"].item()) for n in range(3)] == [0, 7, 1]


@pytest.mark.parametrize(
    ("trained", "described", "expected"),
    [((8, 8), 4, 4), ((0, 8), 4, 4), ((2, 8), None, 8), ((2, 8), 4, 8), ((8, 2), None, 2), ((4, 0), None, 4)],
)
def test_a_bias_is_as_wide_as_the_weights_unless_training_gave_it_a_width_of_its_own(trained, described, expected):
    fc = layer("fc", [[0.1]], [1.0], weight_bits=trained[0], bias_bits=trained[1])
    result = quantized(checkpoint(fc), described=(described,))
    bits = described or trained[0]
    assert result["fc.bias_bits"].tolist() == [expected]
    # e = 0: 1.0 is 2**(bits - 1), limited to the bits of the bias
    assert result["fc.op.bias"].tolist() == [min(2 ** (bits - 1), 2 ** (expected - 1) - 1) * 2 ** (bits - 1)]


def test_the_quantile_lets_large_parameters_saturate():
    # |parameters| 0.1, 0.2, 0.3, 0.4, 4.0: the quantile 0.75 is the fourth, 0.4, so e = 1, factor 16
    fc = layer("fc", [[0.1, -0.2, 0.3, 0.4, 4.0]], weight_bits=4, shift_quantile=0.75)
    result = quantized(checkpoint(fc))
    assert result["fc.op.weight"].tolist() == [[2, -3, 5, 6, 7]]
    assert result["fc.output_shift"].tolist() == [-1]


@settings(max_examples=60, deadline=None)
@given(arrays(np.float32, 12, elements=WEIGHTS), arrays(np.float32, 2, elements=WEIGHTS), BITS)
def test_every_layer_follows_the_formula(weights, bias, bits):
    """In exact fractions: no parameter of this size is rounded in single precision before the half is added."""
    result = quantized(checkpoint(layer("fc", outputs(weights), bias)), default=bits)
    largest = max(map(abs, [*weights.tolist(), *bias.tolist()]))
    power = next(e for e in range(23 - bits, -8 - bits, -1) if Fraction(largest) * Fraction(2) ** e <= 1)
    low, high = -(2 ** (bits - 1)), 2 ** (bits - 1) - 1

    def rounded(value: float) -> int:
        exact = Fraction(value) * Fraction(2) ** (power + bits - 1)
        single = Fraction(float(np.float32(exact) + np.float32(0.5)))
        return min(max(single.__floor__(), low), high)

    if result["fc.output_shift"] == [-power]:  # not so where single precision rounds the logarithm up
        assert result["fc.op.weight"].ravel().tolist() == [rounded(w) for w in weights.tolist()]
        assert result["fc.op.bias"].tolist() == [rounded(b) * 2 ** (bits - 1) for b in bias.tolist()]
    else:
        assert 1 < Fraction(largest) * Fraction(2) ** -int(result["fc.output_shift"].item()) < 1 + Fraction(1, 10**6)


@pytest.mark.parametrize(
    ("method", "scale"),
    [
        (Method("SCALE", 0.7), 0.7),
        (Method("MAX"), 0.75),
        (Method("AVGMAX"), 0.625),  # minima -0.5, -0.75: mean 0.625; maxima 0.5, 0.25: 0.375
    ],
)
def test_clipping_methods_multiply_weights_and_bias_and_leave_the_shift(method, scale):
    weights = [[0.5, -0.5, 0.125], [-0.75, 0.25, 0.0]]
    result = quantized(checkpoint(layer("fc", weights, [0.25, -0.25], output_shift=3, weight_bits=4)), method)
    expected = [[min(max(int(np.floor(8 * scale * w + 0.5)), -8), 7) for w in row] for row in weights]
    assert result["fc.op.weight"].tolist() == expected
    assert result["fc.op.bias"].tolist() == [8 * int(np.floor(8 * scale * b + 0.5)) for b in (0.25, -0.25)]
    assert result["fc.output_shift"].tolist() == [3]


@settings(max_examples=60, deadline=None)
@given(arrays(np.float32, 20, elements=WEIGHTS))
def test_average_maximum(weights):
    rows = outputs(weights).tolist()
    expected = max(abs(statistics.mean(map(reduce, rows))) for reduce in (min, max))
    assert SATURATIONS["AVGMAX"](outputs(weights), 0) == pytest.approx(expected, rel=1e-12)


@settings(max_examples=60, deadline=None)
@given(arrays(np.float32, 20, elements=WEIGHTS), st.sampled_from([0.5, 1.5, 2.0]))
def test_standard_deviations_with_the_unbiased_estimate(weights, count):
    values = weights.tolist()
    mean, reach = statistics.mean(values), count * statistics.stdev(values)
    expected = max(abs(max(min(values), mean - reach)), abs(min(max(values), mean + reach)))
    assert SATURATIONS["STDDEV"](outputs(weights), count) == pytest.approx(expected, rel=1e-9, abs=1e-12)


def test_keys_after_quantization():
    """In place where they were, new ones at the end and in the masks; leftovers of other quantizers are gone."""
    old = {"conv1.op.weight": f32(1, 2).reshape(2, 1, 1), "conv1.op.bias": f32(1, 1), "conv1.base_b_q": f32(5),
           "conv1.w_zero_point": f32(0), "pool.quantize_activation": f32(0), "pool.adjust_output_shift": f32(1)}
    masks = {"conv1.op.weight": None}
    content = checkpoint(old, compression_sched={"masks_dict": masks, "other": 1}, optimizer_type="Adam")
    result, _ = quantize_checkpoint(content, NOWHERE, Method(), None, 4)
    tensors = result["state_dict"]
    assert list(tensors) == ["conv1.op.weight", "conv1.op.bias", "pool.quantize_activation", "pool.adjust_output_shift",
                             "conv1.output_shift", "conv1.weight_bits", "conv1.bias_bits"]  # fmt: skip
    small = {key: value.tolist() for key, value in tensors.items() if value.shape == (1,)}
    assert small == {"pool.quantize_activation": [1], "pool.adjust_output_shift": [0], "conv1.output_shift": [1],
                     "conv1.weight_bits": [4], "conv1.bias_bits": [4]}  # fmt: skip
    added = {key: tensors[key] for key in ("conv1.output_shift", "conv1.weight_bits", "conv1.bias_bits")}
    assert result["compression_sched"]["masks_dict"] == masks | added
    assert result["compression_sched"]["other"] == 1
    assert result["extras"] == {"best_top1": 90.0, "clipping_method": "MAX_BIT_SHIFT"}
    assert (result["epoch"], result["arch"], result["optimizer_type"]) == (3, "net", "Adam")
    assert masks == {"conv1.op.weight": None}  # the input is as it was


@pytest.mark.parametrize("key", ["conv1.weight", "conv1.conv2d.weight", "module.conv1.op.weight"])
def test_names_of_older_files_and_of_parallel_training(key):
    result = quantized(checkpoint({key: np.ones((1, 1, 3, 3), np.float32)}))
    assert result["conv1.output_shift"].tolist() == [0]
    assert result[key.removeprefix("module.")].ravel().tolist() == [127] * 9


@pytest.mark.parametrize(("trained", "made"), [("qat8", "q8"), ("qat1", "q1"), ("qatmixed", "mixed")])
def test_networks_trained_with_quantization_become_the_committed_integers(trained, made):
    """They were quantized by the training side, whose exact mode computes the same with them as the training did."""
    result = quantized(torchfile.read(TRAINED / f"ai85-fashionmnist-{trained}.pth.tar"))
    expected = torchfile.read(TRAINED / f"ai85-fashionmnist-{made}.pth.tar")["state_dict"]
    assert list(result) == list(expected)
    for key, value in expected.items():
        assert np.array_equal(result[key], value), key


GOOD = layer("conv1", np.ones((2, 1, 3, 3)), [0.5, 0.5])


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"conv1.op.weight": f32(np.nan)[:, None]}, "conv1.op.weight holds values that are not finite"),
        ({"conv1.op.weight": np.full((2, 1), 1e300)}, "conv1.op.weight holds values that are not finite"),
        ({"conv1.op.bias": f32(0, np.inf)}, "conv1.op.bias holds values that are not finite"),
        ({"conv1.op.bias": f32(0, 1, 2)}, "conv1.op.bias has the shape [3]; a bias has one value for each of the 2"),
        ({"conv1.op.weight": np.zeros((2, 0, 3, 3), np.float32)}, "conv1.op.weight is empty"),
        ({"conv1.op.weight": np.zeros((2, 1, 3, 3, 3), np.float32)}, "conv1.op.weight has the shape [2, 1, 3, 3, 3]"),
        ({"conv1.op.weight": np.array(1, np.float32)}, "conv1.op.weight has the shape []"),
        ({"conv1.weight_bits": f32(3)}, "conv1.weight_bits has no legal value; given 3.0"),
        ({"conv1.bias_bits": f32(4, 4)}, "conv1.bias_bits has no legal value; given 2 numbers"),
        ({"conv1.shift_quantile": f32(1.5)}, "conv1.shift_quantile has no legal value; given 1.5"),
        ({"conv1.shift_quantile": f32(np.nan)}, "conv1.shift_quantile has no legal value; given nan"),
        ({"conv1.w_zero_point": f32(1)}, "conv1.w_zero_point is not 0"),
        ({"conv1.bn.weight": f32(1, 1), "a.bn.running_mean": f32(1)}, "it is not in conv1, a. Quantize best.pth.tar"),
        ({"conv1.quantize_activation": f32(1)}, "this checkpoint is quantized already"),
    ],
)
def test_what_has_no_integers_is_refused_with_its_name(change, message):
    with pytest.raises(IzerError) as error:
        quantized(checkpoint(GOOD, change))
    assert message in str(error.value)
    assert str(error.value).startswith("net.pth.tar: ")
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"extras": [1]}, "`extras` of a checkpoint is a dictionary"),
        ({"compression_sched": 5}, "`compression_sched` of a checkpoint is a dictionary"),
        ({"extras": {"clipping_method": "MAX"}}, "is quantized already"),
        ({"state_dict": {"conv1.bias": f32(1)}}, "no weights in this checkpoint"),
    ],
)
def test_other_parts_of_a_checkpoint_that_are_wrong(change, message):
    with pytest.raises(IzerError, match=message):
        quantized(checkpoint(GOOD) | change)


@pytest.mark.parametrize(("method", "weight"), [("MAX", np.full((1, 2), 3e38)), ("STDDEV", np.ones((1, 1)))])
def test_a_scale_that_is_no_number_is_refused(method, weight):
    with pytest.raises(IzerError, match=f"fc.op.weight has no finite scale with --clip-method {method}"):
        quantized(checkpoint(layer("fc", weight)), Method(method, 2.0))


def test_a_description_of_another_network_is_refused():
    with pytest.raises(IzerError, match=r"weights of 1 layers \(conv1\); the description has 2 layers"):
        quantized(checkpoint(GOOD), described=(8, 4))


def run(*arguments: object) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, ROOT / "ai84ize.py", *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, check=False)


@pytest.fixture
def source(tmp_path: Path) -> Path:
    """A float checkpoint of two layers."""
    path = tmp_path / "in.pth.tar"
    torchfile.write(path, checkpoint(GOOD, layer("fc", [[0.3, -0.4]], [0.1])))
    return path


def test_the_same_checkpoint_gives_the_same_bytes_that_pytorch_reads(source, tmp_path):
    outputs = [tmp_path / name for name in ("a.pth.tar", "b.pth.tar")]
    for output, device in zip(outputs, (["--ai85"], ["--device", "85"]), strict=True):
        done = run(source, output, *device, "--verbose")
        assert (done.returncode, done.stderr) == (0, "")
        assert "fc.op.bias" in done.stdout
    assert outputs[0].read_bytes() == outputs[1].read_bytes()
    state = torch.load(outputs[0], weights_only=True)["state_dict"]
    assert state["fc.op.weight"].tolist() == [[77, -102]]  # e = 1, factor 256: 76.8, -102.4
    assert state["fc.op.bias"].tolist() == [26 * 128]  # 25.6


def test_widths_come_from_the_description(source, tmp_path):
    description = tmp_path / "net.yaml"
    description.write_text("arch: net\ndataset: none\nlayers:\n- op: conv2d\n  quantization: 2\n- op: passthrough\n"
                           "- op: linear\n")  # fmt: skip
    done = run(source, tmp_path / "out.pth.tar", "--ai85", "-c", description, "--qat-weight-bits", 4)
    assert (done.returncode, done.stderr) == (0, "")
    state = torchfile.read(tmp_path / "out.pth.tar")["state_dict"]
    assert (state["conv1.weight_bits"].tolist(), state["fc.weight_bits"].tolist()) == ([2], [4])


@pytest.mark.parametrize(
    ("options", "extras", "warning"),
    [
        (["--clip-method", "SCALE"], {"clipping_method": "SCALE", "clipping_scale": 0.85}, "--scale is not given"),
        (["--clip-method", "STDDEV"], {"clipping_method": "STDDEV", "clipping_nstds": 2.0}, "--stddev is not given"),
        (["--clip-method", "STDDEV", "--stddev", 1.5], {"clipping_method": "STDDEV", "clipping_nstds": 1.5}, ""),
        (["--clip-method", "MAX"], {"clipping_method": "MAX"}, ""),
        (["--clip-method", "MAX_BIT_SHIFT"], {"clipping_method": "MAX_BIT_SHIFT"}, ""),
    ],
)
def test_the_method_is_recorded(source, tmp_path, options, extras, warning):
    done = run(source, tmp_path / "out.pth.tar", "--ai85", *options)
    assert done.returncode == 0, done.stderr
    assert warning in done.stderr
    assert done.stderr.count("\n") == bool(warning)
    assert torchfile.read(tmp_path / "out.pth.tar")["extras"] == {"best_top1": 90.0, **extras}


def test_a_layer_of_zeros_is_a_warning(tmp_path):
    torchfile.write(tmp_path / "in.pth.tar", checkpoint(GOOD, layer("fc", np.zeros((3, 2)))))
    done = run(tmp_path / "in.pth.tar", tmp_path / "out.pth.tar", "--ai85")
    assert (done.returncode, done.stderr.count("\n")) == (0, 1)
    assert "warning: all weights of fc.op.weight are 0" in done.stderr
    assert torchfile.read(tmp_path / "out.pth.tar")["state_dict"]["fc.output_shift"].tolist() == [-15]


def test_quantizing_twice_is_refused_without_output(source, tmp_path):
    assert run(source, tmp_path / "once.pth.tar", "--ai85").returncode == 0
    done = run(tmp_path / "once.pth.tar", tmp_path / "twice.pth.tar", "--ai85")
    assert (done.returncode, done.stderr.count("\n")) == (1, 1)
    assert "quantized already" in done.stderr
    assert not (tmp_path / "twice.pth.tar").exists()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--ai85", "--fc", 4], "--fc is not for AI85"),
        (["--clip-method", "MAX"], "--clip-method is not for AI84"),
        (["--qat-weight-bits", 4], "--qat-weight-bits is not for AI84"),
        (["--ai85", "--scale", 0.9], "--scale belongs to --clip-method SCALE"),
        (["--ai85", "--clip-method", "SCALE", "--stddev", 2], "--stddev belongs to --clip-method STDDEV"),
        (["--ai85", "--clip-method", "STDDEV", "--stddev", 0], "--stddev is a positive number"),
        (["--ai85", "--qat-weight-bits", 3], "invalid choice"),
        (["--ai85", "--device", 84], "not allowed with"),
    ],
)
def test_options_that_do_not_fit_together(source, tmp_path, options, message):
    done = run(source, tmp_path / "out.pth.tar", *options)
    assert done.returncode == 2
    assert message in done.stderr
    assert not (tmp_path / "out.pth.tar").exists()


def damaged(data: bytes, dice: random.Random) -> bytes:
    """Some bytes changed; the first kilobyte, which has the names and shapes, more often than the others."""
    changed = bytearray(data)
    for _ in range(dice.choice([1, 2, 5, 20])):
        changed[dice.randrange(dice.choice([1024, len(data)]))] = dice.randrange(256)
    return bytes(changed)


def test_damaged_checkpoints_give_a_result_or_one_message(source, tmp_path, capsys):
    dice, good, statuses = random.Random(85), source.read_bytes(), []
    for number in range(300):
        source.write_bytes(damaged(good, dice))
        output = tmp_path / f"{number}.pth.tar"
        statuses.append(ai84ize.main([str(source), str(output), "--ai85"]))
        errors = capsys.readouterr().err
        assert (statuses[-1] == 1) == errors.startswith("ai84ize.py: error: "), errors
        assert output.exists() == (statuses[-1] == 0)
        assert "Warning" not in errors
    assert {0, 1} == set(statuses)
