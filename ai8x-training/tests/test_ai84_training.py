"""Training for AI84 with quantization: what is trained is what -8 computes; folding of batch normalization."""

import json
import os
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st

import ai8x
import ai84
import ai84net
import datasets

SHORT = ["--no-tensorboard", "-b", "16", "--optimizer", "AdamW", "--lr", "0.005", "--seed", "3", "--vs", "0.2"]
POLICY = "start_epoch: 1\nweight_bits: 8\noutlier_removal_z_score: 8\n"
SCHEDULE = """quantizers:
  ai84:
    class: QuantAwareTrainRangeLinearQuantizerAI84
    scale_approx_mult_bits: 2
policies:
  - quantizer: {instance_name: ai84}
    starting_epoch: 1
    ending_epoch: 9
    frequency: 1
"""


@pytest.fixture
def call(call, tmp_path):
    """train.py beside a policy and a schedule."""
    (tmp_path / "policy.yaml").write_text(POLICY)
    (tmp_path / "schedule.yaml").write_text(SCHEDULE)
    return call


def best_of(out: Path) -> Path:
    return out / os.readlink(out / "latest") / "best.pth.tar"


def quantize_file(source: Path, target: Path) -> None:
    """What ai84ize.py --scale 1.0 does to a checkpoint (AI84 hardware reference 1.3, chapter 5, 8.2), with numpy."""
    content = torch.load(source, weights_only=True)
    state = content["state_dict"]
    for name, value in state.items():
        fc, unit, low = name.startswith("fc."), 128, -128
        if fc:
            low = -127
        elif name.endswith("bias"):
            unit = 128 * 128
        elif name == "conv1.conv2d.weight":
            unit = 64
        state[name] = torch.from_numpy(np.clip(np.rint(value.numpy() * np.float32(unit)), low, 127)).float()
    torch.save(content, target)


@pytest.mark.parametrize(
    "network",
    [
        ["--model", "ai84foldednet", "--dataset", "FashionMNIST_folded", "--batch-norm"],
        ["--model", "ai84netextrasmall", "--dataset", "FashionMNIST"],
        ["--model", "ai84netsmall", "--dataset", "FashionMNIST", "--use-bias"],
    ],
)
def test_what_is_trained_is_what_the_device_computes(call, tiny_data, tmp_path, network):
    """Scores of quantized training, times 128, equal the integers of -8 on all test images."""
    status, output, errors = call(*network, *SHORT, "--epochs", 3, "--qat-policy", "policy.yaml")
    assert (status, errors) == (0, "")
    assert "Training with quantization from here on (policy.yaml)" in output
    assert "Activation thresholds: conv1 " in output
    check_integers(call, tiny_data, tmp_path, network)


@pytest.mark.parametrize("network", [["--model", "ai84netextrasmall"], ["--model", "ai84netsmall", "--use-bias"]])
def test_what_the_quantizer_of_a_schedule_trains_is_what_the_device_computes(call, tiny_data, tmp_path, network):
    network = [*network[:2], "--dataset", "FashionMNIST", *network[2:]]
    status, _, errors = call(*network, *SHORT, "--epochs", 3, "--compress", "schedule.yaml")
    assert (status, errors) == (0, "")
    check_integers(call, tiny_data, tmp_path, network)


def test_the_quantizer_of_a_schedule_is_refused_before_training_where_it_cannot_be(call):
    network = ["--dataset", "FashionMNIST_folded", "--compress", "schedule.yaml", "--batch-norm"]
    status, _, errors = call("--model", "ai84foldednet", *network)
    assert (status, errors) == (
        1,
        "train.py: error: schedule.yaml:3: QuantAwareTrainRangeLinearQuantizerAI84 'ai84': batch normalization must "
        "become part of the weights first: use --qat-policy instead\n",
    )
    status, _, errors = call("--device", "85", "--model", "ai85foldednet", *network)
    assert status == 1 and "schedule.yaml:3: unknown class 'QuantAwareTrainRangeLinearQuantizerAI84'" in errors
    Path("schedule.yaml").write_text(SCHEDULE.replace("scale_approx_mult_bits: 2", "bits_weights: 4"))
    status, _, errors = call("--model", "ai84netsmall", "--dataset", "FashionMNIST", "--compress", "schedule.yaml")
    assert status == 1 and "schedule.yaml:4: " in errors and "bits_weights" in errors and "given 4" in errors


def check_integers(call, tiny_data: Path, tmp_path: Path, network: list[str]) -> None:
    """Scores of the best weights, times 128, and what the log says of them, equal the integers of -8."""
    best = best_of(tmp_path / "logs")
    trained = json.loads((best.parent / "summary.json").read_text())
    assert trained["best_epoch"] >= 1
    quantize_file(best, tmp_path / "integers.pth.tar")
    exact_mode = ["-e", "-8", "--exp-load-weights-from", "integers.pth.tar"]
    status, _, errors = call(*network, *exact_mode, "--json", "exact.json", "--save-scores", "exact.npy")
    assert (status, errors) == (0, "")
    exact = json.loads(Path("exact.json").read_text())
    assert exact["correct"] == trained["test_correct"]
    assert exact["loss"] == pytest.approx(trained["test_loss"], rel=1e-6)
    assert np.array_equal(quantized_scores(best, network, tiny_data) * 128, np.load("exact.npy"))


def quantized_scores(best: Path, network: list[str], data: Path) -> np.ndarray:
    """The scores of a network in quantized training, for the test images."""
    dataset = datasets.REGISTRY[network[3]]
    channels, height, width = dataset.input
    model = ai84net.models[network[1]](10, channels, (height, width), bias="--use-bias" in network)
    model.load_state_dict(torch.load(best, weights_only=True)["state_dict"])
    ai84.start_quantization(model)
    _, test = dataset.load(data)
    with torch.no_grad():
        return model(dataset.arrange(test.images).float() / 255 - 0.5).numpy()


def test_resumed_quantized_training_ends_with_the_same_weights(call, tmp_path):
    network = ["--model", "ai84foldednet", "--dataset", "FashionMNIST_folded", "--batch-norm", *SHORT]
    network += ["--qat-policy", "policy.yaml"]
    call(*network, "--epochs", 4, "--out-dir", "whole")
    call(*network, "--epochs", 3, "--out-dir", "parts")
    last = best_of(tmp_path / "parts").with_name("checkpoint.pth.tar")
    assert call(*network, "--epochs", 4, "--out-dir", "parts", "--resume-from", last)[0] == 0
    whole, parts = (
        torch.load(best_of(tmp_path / out).with_name("checkpoint.pth.tar"), weights_only=True)["state_dict"]
        for out in ("whole", "parts")
    )
    assert list(whole) == list(parts)
    assert all(torch.equal(whole[name], parts[name]) for name in whole)


@pytest.mark.parametrize(
    "line", ["weight_bits: 4", "bias_bits: 4", "shift_quantile: 0.9", "overrides: {conv1: {weight_bits: 4}}"]
)
def test_policy_that_asks_for_more_than_8_bits_is_refused(call, line):
    rest = [] if line.startswith("weight_bits") else ["weight_bits: 8"]
    Path("policy.yaml").write_text("\n".join(["start_epoch: 1", line, *rest]))
    status, _, errors = call("--model", "ai84netsmall", "--dataset", "FashionMNIST", "--qat-policy", "policy.yaml")
    assert (status, errors) == (
        1,
        "train.py: error: policy.yaml: AI84 has weights and biases of 8 bits without a scale; the policy must have "
        "start_epoch, weight_bits: 8, outlier_removal_z_score where wanted, and nothing else\n",
    )


def test_batch_normalization_is_refused_without_a_constant_channel(call):
    status, _, errors = call("--model", "ai84net5", "--dataset", "FashionMNIST", "--batch-norm")
    assert status == 2
    assert "--batch-norm needs biases, and ai84net5 has no constant channel that makes them on AI84" in errors


def test_batch_normalization_is_refused_where_the_border_would_have_no_bias():
    with pytest.raises(ValueError, match="needs padding 0 or 1, or the border has no bias; given 2"):
        ai84.Conv2d(2, 2, padding=2, batch_norm=True)


def test_constants_are_those_that_the_device_computes():
    model = ai84net.ai84foldednet(batch_norm=True)
    constant, expected = 127, []
    for _ in range(6):
        constant = (constant * 127 + 64) >> 7
        expected.append(constant)
    norms = [model.get_submodule(name).norm for name in model.conv_names]
    assert [norm.constant_out * 128 for norm in norms] == expected
    assert [norm.constant_in * 128 for norm in norms] == [63.5, *expected[:-1]]


@settings(max_examples=10, deadline=None)
@given(seed=st.integers(0, 2**31))
def test_folding_changes_no_output_of_a_layer_that_reads_the_constant(seed):
    """In double precision, with scales and offsets small enough for the kernels to hold."""
    torch.manual_seed(seed)
    model = ai84net.ai84foldednet(batch_norm=True).double().eval()
    convs = [model.get_submodule(name) for name in model.conv_names]
    norms = [conv.norm for conv in convs]
    for norm in norms:
        norm.load_state_dict(
            {
                "weight": 0.5 + torch.rand(norm.num_features),
                "bias": 0.1 * torch.randn(norm.num_features),
                "running_mean": 0.1 * torch.randn(norm.num_features),
                "running_var": 0.5 + torch.rand(norm.num_features),
                "num_batches_tracked": torch.tensor(1),
            }
        )
    images = [torch.rand(2, conv.settings.in_channels, 8, 8, dtype=torch.float64) - 0.5 for conv in convs]
    for image, norm in zip(images, norms, strict=True):
        image[:, 0] = norm.constant_in
    with torch.no_grad():
        before = [conv(image) for conv, image in zip(convs, images, strict=True)]
        ai84.fold(model)
        after = [conv(image) for conv, image in zip(convs, images, strict=True)]
    assert not any(".norm." in name for name in model.state_dict())
    for norm, normalized, folded in zip(norms, before, after, strict=True):
        assert torch.allclose(normalized[:, 1:], folded[:, 1:], rtol=0, atol=1e-12)
        assert float(normalized[:, 1:].std()) > 0.01
        assert bool((normalized[:, 0] == norm.constant_out).all())
        assert bool((ai8x.round_half_up(folded[:, 0], 128) == norm.constant_out).all())


def test_folding_leaves_only_the_constant_in_the_kernels_of_channel_0():
    model = ai84net.ai84foldednet(batch_norm=True)
    ai84.fold(model)
    for number, name in enumerate(model.conv_names):
        kernels = model.get_submodule(name).conv2d.weight[0]
        assert kernels.count_nonzero() == 1
        assert kernels[0, 1, 1] == (254 if number == 0 else 127) / 128


@given(
    st.lists(st.integers(-3 * 2**16, 3 * 2**16), min_size=1, max_size=20),
    st.sampled_from([(ai84.CONV_WEIGHTS, 128, -128), (ai84.FIRST_CONV_WEIGHTS, 64, -128), (ai84.CONV_BIAS, 16384, -128),
                     (ai84.LINEAR_WEIGHTS, 128, -127)]),
)  # fmt: skip
def test_parameters_are_rounded_as_the_quantizer_rounds(values, case):
    limits, unit, low = case
    parameter = (torch.tensor(values) / 2**16 * 128 / unit).requires_grad_()
    rounded = ai84.represent(parameter, limits)
    expected = np.clip(np.rint(parameter.detach().numpy() * np.float32(unit)), low, 127)
    assert np.array_equal(rounded.detach().numpy() * unit, expected)
    rounded.sum().backward()
    grid = np.rint(parameter.detach().numpy() * np.float32(unit))
    assert np.array_equal(parameter.grad.numpy(), ((grid >= low) & (grid <= 127)).astype(np.float32))


def test_folded_images_are_squares_behind_a_constant():
    dataset = datasets.REGISTRY["FashionMNIST_folded"]
    images = torch.randint(256, (3, 1, 28, 28), dtype=torch.uint8)
    arranged = dataset.arrange(images)
    assert arranged.dtype == torch.uint8
    assert arranged.shape == (3, *dataset.input)
    assert bool((arranged[:, 0] == 255).all())
    framed = torch.zeros(3, 32, 32, dtype=torch.uint8)
    framed[:, 2:30, 2:30] = images[:, 0]
    for channel, (row, column) in enumerate([(0, 0), (0, 1), (1, 0), (1, 1)], 1):
        assert torch.equal(arranged[:, channel], framed[:, row::2, column::2])


def test_other_data_sets_stay_as_they_are():
    images = torch.randint(256, (2, 1, 28, 28), dtype=torch.uint8)
    assert torch.equal(datasets.REGISTRY["FashionMNIST"].arrange(images), images)


def test_a_constant_channel_stands_before_the_colours():
    dataset = datasets.REGISTRY["CIFAR10_constant"]
    images = torch.randint(255, (2, 3, 32, 32), dtype=torch.uint8)
    arranged = dataset.arrange(images)
    assert arranged.shape == (2, *dataset.input)
    assert bool((arranged[:, 0] == 255).all())
    assert torch.equal(arranged[:, 1:], images)


def test_gradients_pass_the_rounding_of_activations():
    torch.manual_seed(7)
    layer = ai84.FusedAvgPoolConv2dReLU(2, 3, padding=1)
    layer.quantized = True
    data = torch.rand(1, 2, 4, 4, requires_grad=True)
    layer(data).sum().backward()
    free = data.detach().clone().requires_grad_()
    with torch.no_grad():
        weight = ai84.represent(layer.conv2d.weight, ai84.CONV_WEIGHTS)
        means = torch.trunc(F.avg_pool2d(free, 2) * 128) / 128
        rounded = torch.floor(F.conv2d(means, weight, padding=1) * 128 + 0.5) / 128
    passed = (rounded > 0) & (rounded <= 127 / 128)
    assert 0 < int(passed.sum()) < passed.numel()
    F.conv2d(F.avg_pool2d(free, 2), weight, padding=1)[passed].sum().backward()
    assert torch.allclose(data.grad, free.grad, atol=1e-5)
