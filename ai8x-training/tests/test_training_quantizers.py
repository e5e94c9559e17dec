"""Quantizers of schedules: what they round weights and activations to, and what ends up in the checkpoints."""

import math

import hypothesis.strategies as st
import numpy as np
import pytest
import torch
from compression import Run
from hypothesis import given
from hypothesis.extra.numpy import arrays
from torch.nn.utils import parametrize

import train
from distiller.quantizers import (
    DorefaQuantizer,
    DorefaRounding,
    LinearRounding,
    QuantAwareTrainRangeLinearQuantizer,
    Range,
    plain,
    unit_rounding,
)

WEIGHTS = arrays(np.float32, st.tuples(st.integers(1, 4), st.integers(1, 9)),
                 elements=st.floats(-4, 4, width=16))  # fmt: skip
MODES = ("SYMMETRIC", "SYMMETRIC_RESTRICTED", "ASYMMETRIC_UNSIGNED", "ASYMMETRIC_SIGNED")


def rounded(rounding: torch.nn.Module, weight: np.ndarray) -> np.ndarray:
    return rounding(torch.from_numpy(weight)).numpy()


def expected_steps(weight: np.ndarray, bits: int, mode: str) -> tuple[np.float32, int, int]:
    """The step, and how many steps from 0 the grid begins and ends."""
    if mode.startswith("A"):
        low, high = min(weight.min(), np.float32(0)), max(weight.max(), np.float32(0))
        step = (high - low) / np.float32(2**bits - 1)
        first = round(float(low / step)) if step else 0
        return step, first, first + 2**bits - 1
    n = 2 ** (bits - 1) - 1 if mode == "SYMMETRIC_RESTRICTED" else (2**bits - 1) / 2
    return np.float32(abs(weight).max() / n), -(2 ** (bits - 1)) + (n == int(n)), 2 ** (bits - 1) - 1


@given(WEIGHTS, st.integers(2, 8), st.sampled_from(MODES))
def test_linear_rounding_gives_the_nearest_point_of_the_grid(weight, bits, mode):
    step, first, last = expected_steps(weight, bits, mode)
    result = rounded(LinearRounding(bits, mode, per_channel=False), weight)
    if not step:
        assert not result.any()
        return
    points = np.arange(first, last + 1) * np.float64(step)
    nearest = points[abs(weight.astype(np.float64)[..., None] - points).argmin(-1)]
    error, best = abs(result - weight.astype(np.float64)), abs(nearest - weight.astype(np.float64))
    assert (abs(result[..., None] - points).min(-1) < 256 * 2**-22 * step).all()  # 256 steps in float32, rounded thrice
    assert (error <= best + 1e-3 * step).all()


def test_every_output_channel_may_have_its_own_step():
    weight = np.array([[1.0, -0.4], [100.0, 40.0]], np.float32)
    whole = rounded(LinearRounding(4, "SYMMETRIC_RESTRICTED", per_channel=False), weight)
    single = rounded(LinearRounding(4, "SYMMETRIC_RESTRICTED", per_channel=True), weight)
    assert whole[0].tolist() == [0, 0]
    assert single == pytest.approx(np.array([[1, -3 / 7], [100, 300 / 7]]), rel=1e-6)


@pytest.mark.parametrize("rounding", [LinearRounding(3, "SYMMETRIC_RESTRICTED", False), DorefaRounding(1)])
def test_gradients_pass_the_rounding(rounding):
    weight = torch.tensor([0.1, -0.2, 0.3], requires_grad=True)
    (rounding(weight) * torch.tensor([1.0, 2.0, 3.0])).sum().backward()
    assert weight.grad.tolist() == [1.0, 2.0, 3.0]


@given(WEIGHTS, st.integers(2, 8))
def test_dorefa_rounds_the_scaled_tangent(weight, bits):
    curve = np.tanh(weight.astype(np.float64))
    unit = curve / (2 * max(abs(curve).max(), 1e-8)) + 0.5
    levels = (rounded(DorefaRounding(bits), weight).astype(np.float64) + 1) / 2 * (2**bits - 1)
    assert np.abs(levels - levels.round()).max() < 1e-3
    assert (abs(levels - unit * (2**bits - 1)) <= 0.5 + 1e-3).all()


def test_dorefa_with_one_bit_keeps_signs_and_the_mean_magnitude():
    assert rounded(DorefaRounding(1), np.array([0.5, -1.0, 1.5], np.float32)).tolist() == [1.0, -1.0, 1.0]


def test_dorefa_rounds_activations_between_0_and_1():
    values = unit_rounding(torch.tensor([0.0, 0.3, 0.4, 1.0]), 2)
    assert values.tolist() == pytest.approx([0, 1 / 3, 1 / 3, 1], abs=1e-7)


def test_range_is_a_moving_average_without_the_pull_of_its_beginning():
    measured = Range()
    assert measured.limits() == (0.0, 0.0)
    measured.update(torch.tensor([-1.0, 3.0]), 0.75)
    assert measured.limits() == pytest.approx((-1, 3))
    measured.update(torch.tensor([-2.0, 7.0]), 0.75)
    weights = 0.25 * 0.75, 0.25
    total = sum(weights)
    assert measured.limits() == pytest.approx(
        ((weights[0] * -1 + weights[1] * -2) / total, (weights[0] * 3 + weights[1] * 7) / total)
    )


def test_first_override_that_fits_the_whole_name_counts():
    quantizer = QuantAwareTrainRangeLinearQuantizer(
        bits_weights=8, bits_activations=6,
        overrides={"conv1": {"bits_weights": None}, "conv.*": {"bits_weights": 4}, "fc": {"bits_activations": 2}},
    )  # fmt: skip
    names = ("conv1", "conv12", "conv1.op", "fc", "fc2")
    assert [quantizer.bits("weights", name) for name in names] == [None, 4, 4, 8, 8]
    assert [quantizer.bits("activations", name) for name in names] == [6, 6, 6, 2, 6]


def test_more_bits_than_a_float_has_round_nothing(tmp_path):
    names = ("conv", "fc")
    quantizer = DorefaQuantizer(bits_weights=24, bits_bias=32, overrides={"fc": {"bits_weights": 25, "bits_bias": 24}})
    assert [quantizer.bits("weights", name) for name in names] == [24, None]
    assert [quantizer.bits("bias", name) for name in names] == [None, 24]
    run = Run(schedule("class: QuantAwareTrainRangeLinearQuantizer, bits_weights: 8, bits_bias: 32"), tmp_path)
    list(run.epochs(1))
    assert parametrize.is_parametrized(run.model.conv, "weight")
    assert not parametrize.is_parametrized(run.model.conv, "bias")


def schedule(quantizer: str, start: int = 0) -> str:
    policy = f"{{quantizer: {{instance_name: q}}, starting_epoch: {start}, ending_epoch: 9, frequency: 1}}"
    return f"quantizers:\n  q: {{{quantizer}}}\npolicies:\n  - {policy}\n"


LINEAR = "class: QuantAwareTrainRangeLinearQuantizer, bits_weights: 3, bits_bias: 4, bits_activations: 5"


def test_network_computes_with_rounded_weights_from_the_first_epoch_of_the_policy_on(tmp_path):
    run = Run(schedule(LINEAR, start=1), tmp_path)
    levels = []
    for _ in run.epochs(3):
        weights = run.model.conv.weight.detach()
        levels.append(len(weights.unique()))
        assert len(run.scheduler.masked["conv.weight"].parameter.unique()) > 50
    assert levels[0] > 50
    assert all(2 < level <= 8 for level in levels[1:])
    assert len(run.model.conv.bias.unique()) <= 6


def test_activations_are_rounded_to_as_many_values_as_the_bits_allow(tmp_path):
    run = Run(schedule(LINEAR), tmp_path)
    run.epoch(0)
    seen = {}
    run.model.relu.register_forward_hook(lambda module, inputs, output: seen.update(relu=output))
    run.model.conv.register_forward_pre_hook(lambda module, inputs: seen.update(input=inputs[0]))
    run.model.eval()
    run.model(torch.rand(64, 2, 4, 4) - 0.5)
    ranges = {name: (entry.low, entry.high) for name, entry in run.scheduler.ranges.items()}
    assert set(ranges) == {"", "relu"}
    assert len(seen["relu"].unique()) <= 16  # of 32 values, those of at least 0
    assert 16 < len(seen["input"].unique()) <= 32
    assert ranges == {name: (entry.low, entry.high) for name, entry in run.scheduler.ranges.items()}


def test_masks_hold_in_a_quantized_network_and_regularizers_see_its_weights(tmp_path):
    text = schedule(LINEAR).replace("policies:\n", """regularizers:
  r: {class: L1Regularizer, reg_regims: {conv.weight: 0.01}}
pruners:
  p: {class: SparsityLevelParameterPruner, levels: {fc.weight: 0.5}}
policies:
  - {pruner: {instance_name: p}, epochs: [1]}
  - {regularizer: {instance_name: r}, epochs: [1]}
""")  # fmt: skip
    run = Run(text, tmp_path)
    for epoch in run.epochs(3):
        original, mask = run.scheduler.masked["fc.weight"].parameter, run.scheduler.masked["fc.weight"].mask
        if epoch:
            assert int((mask == 0).sum()) == 36
            assert not original[mask == 0].any()
            assert not run.model.fc.weight[mask == 0].any()


def test_plain_copy_has_the_names_and_the_order_of_the_network(tmp_path):
    run = Run(schedule("class: DorefaQuantizer, bits_weights: 2"), tmp_path)
    names = list(run.model.state_dict())
    list(run.epochs(1))
    assert list(run.model.state_dict()) != names
    for is_rounded in (False, True):
        copy = plain(run.model, rounded=is_rounded)
        assert list(copy.state_dict()) == names
        levels = torch.tensor([-1, -1 / 3, 1 / 3, 1])
        on_grid = bool(torch.isclose(copy.conv.weight.view(-1, 1), levels, atol=1e-6).any(1).all())
        assert on_grid == is_rounded
    assert parametrize.is_parametrized(run.model.conv)


def test_network_without_parametrizations_is_not_copied():
    model = torch.nn.Linear(1, 1)
    assert plain(model, rounded=True) is model


@pytest.fixture
def call(tiny_data, tmp_path, monkeypatch, capsys):
    """Runs train.py in an empty directory; returns (exit status, standard error)."""
    monkeypatch.chdir(tmp_path)

    def run(*arguments):
        options = ["--model", "ai84netextrasmall", "--dataset", "FashionMNIST", "--data", tiny_data, "--seed", 1,
                   "-b", 40, "--lr", 0.01, "--no-tensorboard", "--compress", "schedule.yaml"]  # fmt: skip
        return train.main([str(argument) for argument in (*options, *arguments)]), capsys.readouterr().err

    return run


@pytest.mark.parametrize("first", [1, 2])
def test_quantized_run_that_is_resumed_ends_with_the_same_weights(call, tmp_path, first):
    (tmp_path / "schedule.yaml").write_text(schedule(LINEAR, start=1))
    assert call("--epochs", 3, "--out-dir", "whole") == (0, "")
    assert call("--epochs", first) == (0, "")
    assert call("--epochs", 3, "--resume-from", "logs/latest/checkpoint.pth.tar") == (0, "")
    whole, resumed = (torch.load(f"{out}/latest/checkpoint.pth.tar", weights_only=True) for out in ("whole", "logs"))
    assert list(whole["state_dict"]) == ["conv1.conv2d.weight", "conv2.conv2d.weight", "conv3.conv2d.weight",
                                         "fc.linear.weight", "fc.linear.bias"]  # fmt: skip
    for name, value in whole["state_dict"].items():
        assert torch.equal(value, resumed["state_dict"][name])
        assert len(value.unique()) > 8
    assert whole["compression_sched"]["activation_ranges"] == resumed["compression_sched"]["activation_ranges"]
    assert set(whole["compression_sched"]["activation_ranges"]) == {"", "conv1", "conv2", "conv3"}
    best = torch.load("whole/latest/best.pth.tar", weights_only=True)
    assert best["epoch"] >= 1
    assert math.prod(len(best["state_dict"][f"conv{layer}.conv2d.weight"].unique()) <= 8 for layer in (1, 2, 3))
