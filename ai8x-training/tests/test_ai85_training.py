"""Training for AI85 as a user calls it: what is trained is what -8 computes; policies, folding, resuming."""

import json
import os
import re
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import torch
from ai85_integers import quantize

import ai8x
import ai85
import ai85net
import checkpoint
import qat
import train
import training
from errors import UserError
from evaluation import Evaluation

NETWORK = ["--device", "85", "--model", "ai85netextrasmall", "--dataset", "FashionMNIST"]
SHORT = ["--no-tensorboard", "-b", "16", "--optimizer", "Adam", "--lr", "0.01", "--seed", "3", "--batch-norm"]
MIXED = """start_epoch: 1
weight_bits: 4
bias_bits: 8
shift_quantile: 0.99
outlier_removal_z_score: 4
overrides:
  conv1: {weight_bits: 8}
  conv3: {weight_bits: 2}
"""


@pytest.fixture
def call(call):
    """train.py with the extra small network of AI85."""
    return partial(call, *NETWORK)


@pytest.fixture
def policy(tmp_path) -> Path:
    path = tmp_path / "policy.yaml"
    path.write_text(MIXED)
    return path


def run_directory(out: Path) -> Path:
    return out / os.readlink(out / "latest")


def quantize_file(source: Path, target: Path) -> None:
    """What the quantizer does to a checkpoint (AI85 hardware reference 12.3.1, 12.3.3), with numpy."""
    content = torch.load(source, weights_only=True)
    state = content["state_dict"]
    for layer in [name.removesuffix(".op.weight") for name in state if name.endswith(".op.weight")]:
        bits = int(state[f"{layer}.weight_bits"]) or 8
        bias = state.get(f"{layer}.op.bias")
        made = quantize(state[f"{layer}.op.weight"].numpy(), None if bias is None else bias.numpy(), bits,
                        float(state[f"{layer}.shift_quantile"]), int(state[f"{layer}.bias_bits"]))  # fmt: skip
        state[f"{layer}.op.weight"] = torch.tensor(made.weight).float()
        if bias is not None:
            state[f"{layer}.op.bias"] = torch.tensor(made.bias).float() * 2 ** (bits - 1)
        new = {"output_shift": made.shift, "weight_bits": bits, "quantize_activation": 1, "adjust_output_shift": 0}
        state |= {f"{layer}.{name}": torch.tensor([float(value)]) for name, value in new.items()}
    torch.save(content, target)


def test_what_is_trained_is_what_the_device_computes(call, policy, tmp_path):
    """Scores of quantized training, times 128 * 2**(bits - 1), equal the integers of -8 on all test images."""
    status, output, _ = call("--epochs", 3, *SHORT, "--qat-policy", policy, "--vs", 0.2)
    assert status == 0
    assert "Training with quantization from here on" in output
    assert "Activation thresholds: conv1 0." in output
    best = run_directory(tmp_path / "logs") / "best.pth.tar"
    found = checkpoint.load(best)
    assert found.epoch >= 1
    bits = {name.split(".")[0]: int(found.weights[name]) for name in found.weights if name.endswith(".weight_bits")}
    assert bits == {"conv1": 8, "conv2": 4, "conv3": 2, "fc": 4}
    quantize_file(best, tmp_path / "integers.pth.tar")
    for file, extra in (("trained", ["--exp-load-weights-from", best]),
                        ("exact", ["-8", "--exp-load-weights-from", "integers.pth.tar"])):  # fmt: skip
        status, _, errors = call("--evaluate", "--batch-norm", *extra, "--save-scores", f"{file}.npy",
                                 "--json", f"{file}.json")  # fmt: skip
        assert (status, errors) == (0, "")
    exact = np.load("exact.npy")
    assert exact.dtype == np.int32
    assert np.abs(exact).max() > 1000
    assert np.array_equal(np.load("trained.npy") * (128 * 2**3), exact)
    results = [json.loads(Path(f"{file}.json").read_text()) for file in ("trained", "exact")]
    assert results[0]["correct"] == results[1]["correct"]
    assert results[0]["loss"] == pytest.approx(results[1]["loss"], rel=1e-6)
    summary = json.loads((best.parent / "summary.json").read_text())
    assert summary["test_correct"] == results[0]["correct"]


def test_policy_that_begins_after_the_end_is_warned_about(call, policy):
    status, output, _ = call("--epochs", 1, *SHORT, "--qat-policy", policy)
    assert status == 0
    assert f"{policy}: quantization would begin in epoch 1, but the run has 1 epochs" in output


def test_float_weights_are_refused_by_the_exact_mode_and_integers_by_float_mode(call, tmp_path):
    call("--epochs", 1, *SHORT)
    best = run_directory(tmp_path / "logs") / "best.pth.tar"
    status, _, errors = call("-e", "-8", "--batch-norm", "--exp-load-weights-from", best)
    assert (status, "these are float weights" in errors) == (1, True)
    quantize_file(best, tmp_path / "integers.pth.tar")
    status, _, errors = call("-e", "--batch-norm", "--exp-load-weights-from", "integers.pth.tar")
    assert (status, "evaluate them with -8" in errors) == (1, True)


@pytest.mark.parametrize("first", [1, 2])
def test_run_resumed_before_or_after_quantization_began_ends_with_the_same_weights(call, policy, tmp_path, first):
    options = [*SHORT, "--qat-policy", policy]
    call("--epochs", 3, *options, "--out-dir", "whole")
    call("--epochs", first, *options)
    status, output, _ = call("--epochs", 3, *options, "--resume-from", "logs/latest/checkpoint.pth.tar")
    assert status == 0
    assert f"Resuming at epoch {first}" in output
    whole, resumed = (
        checkpoint.load(run_directory(tmp_path / out) / "checkpoint.pth.tar") for out in ("whole", "logs")
    )
    assert list(whole.weights) == list(resumed.weights)
    assert all(torch.equal(whole.weights[name], resumed.weights[name]) for name in whole.weights)
    trained = [name for name in whole.weights if ".op." in name]
    assert whole.optimizer_state["param_groups"][0]["params"] == list(range(len(trained)))
    assert {key: whole.extras[key] for key in ("best_epoch", "best_top1")} == {
        key: resumed.extras[key] for key in ("best_epoch", "best_top1")
    }


def test_best_epoch_is_one_of_those_with_quantization(call, policy, tmp_path, monkeypatch):
    """Validation is replaced by given accuracies: 90 % before quantization, 50 and 40 % with it."""
    correct = iter([9, 5, 4, 0])

    def judge(model, image_set, batch_size, normalize, simulate):
        wrong = 10 - next(correct)
        return Evaluation(torch.eye(10)[[0] * 10], torch.tensor([1] * wrong + [0] * (10 - wrong)), 1)

    monkeypatch.setattr(training, "evaluate", judge)
    call("--epochs", 3, *SHORT, "--qat-policy", policy)
    best = checkpoint.load(run_directory(tmp_path / "logs") / "best.pth.tar")
    assert (best.epoch, best.extras["best_top1"]) == (1, 50.0)
    assert best.weights["conv1.weight_bits"].item() == 8


def test_best_weights_are_folded_and_the_last_ones_are_not(call, tmp_path):
    call("--epochs", 1, *SHORT)
    best, last = (
        checkpoint.load(run_directory(tmp_path / "logs") / name).weights
        for name in ("best.pth.tar", "checkpoint.pth.tar")
    )
    assert [name for name in last if ".bn." in name]
    assert not [name for name in best if ".bn." in name]
    assert "conv1.op.bias" in best


def test_folded_network_computes_the_same():
    torch.manual_seed(4)
    model = ai85net.ai85kws20net(batch_norm=True)
    for module in model.modules():
        if isinstance(module, torch.nn.BatchNorm1d | torch.nn.BatchNorm2d):
            for values, low in ((module.running_mean, -1), (module.running_var, 0.5), (module.weight, -2)):
                torch.nn.init.uniform_(values, low, 2)
            torch.nn.init.uniform_(module.bias, -1, 1)
    model.eval()
    data = torch.rand(3, 128, 128, 1) - 0.5
    before = model(data)
    qat.fold(model)
    assert not any(".bn." in name for name in model.state_dict())
    assert before.std() > 0.01
    torch.testing.assert_close(model(data), before, rtol=1e-3, atol=1e-4)


def test_folding_follows_the_formula():
    """w = 3 * 0.25 * 2 / sqrt(4) and b = (1 - 5) * 0.25 * 2 / sqrt(4) + 0.25 * 8 (AI85 hardware reference 12.5)."""
    layer = ai85.Conv2d(1, 1, 1, batch_norm=True)
    layer.bn.eps = 0.0
    with torch.no_grad():
        for tensor, value in ((layer.op.weight, 3), (layer.op.bias, 1), (layer.bn.weight, 2), (layer.bn.bias, 8),
                              (layer.bn.running_mean, 5), (layer.bn.running_var, 4)):  # fmt: skip
            tensor.fill_(value)
    qat.fold(torch.nn.Sequential(layer))
    assert (layer.op.weight.item(), layer.op.bias.item()) == (0.75, 1.0)


def test_scores_that_the_loss_sees_stay_what_they_were_when_quantization_begins():
    """The largest weight of the last layer is 3: it fits after a division by 4, and so the scores are a quarter."""
    torch.manual_seed(8)
    model = ai85net.ai85netextrasmall().eval()
    torch.nn.init.uniform_(model.fc.op.weight, -2.0, 2.0)
    model.fc.op.weight.data[0, 0] = 3.0
    data = torch.rand(16, 1, 28, 28)
    before = model(data)
    assert qat.score_factor(model) == 1
    qat.start(model, qat.Policy(Path(), "", 0, 8, None, 1.0, None, {}))
    assert qat.score_factor(model) == 4
    difference = model(data) * 4 - before
    assert before.std() > 10 * difference.std()


def test_loss_does_not_jump_when_quantization_begins(call, tmp_path, policy):
    """Weights up to 6 in the last layer, which quantization divides by 8: the loss is that of the float network."""
    policy.write_text("start_epoch: 0\nweight_bits: 8\n")
    torch.manual_seed(9)
    model = ai85net.ai85netextrasmall(bias=True)
    model.fc.op.weight.data.mul_(6 / model.fc.op.weight.abs().max())
    torch.save({"epoch": 0, "arch": "ai85netextrasmall", "state_dict": model.state_dict()}, tmp_path / "large.pth.tar")
    losses = []
    for quantization in ([], ["--qat-policy", policy]):
        rest = [option for option in SHORT if option != "--batch-norm"]
        status, output, errors = call("--epochs", 1, *rest, "--use-bias", "--lr", "1e-9", *quantization,
                                      "--exp-load-weights-from", tmp_path / "large.pth.tar")  # fmt: skip
        assert (status, errors) == (0, "")
        losses.append(float(re.search(r"training loss ([\d.]+)", output).group(1)))
    assert losses[1] == pytest.approx(losses[0], rel=0.1)


def test_normalized_sums_are_divided_by_four_while_training():
    layer = ai85.Conv2d(1, 1, 1, batch_norm=True).train()
    with torch.no_grad():
        layer.op.weight.fill_(1)
    data = torch.tensor([-2.0, 2.0]).view(2, 1, 1, 1)
    torch.testing.assert_close(layer(data).flatten(), torch.tensor([-0.25, 0.25]))


@pytest.mark.parametrize(
    "old", ["{}.weight", "{}.conv2d.weight", "module.{}.op.weight", "{}.op.weight"], ids=lambda old: old.format("conv1")
)
def test_weights_of_earlier_names_are_read(old, tmp_path):
    torch.manual_seed(2)
    model = ai85net.ai85netextrasmall(simulate=True)
    state = {}
    for name, tensor in model.state_dict().items():
        if ".op." in name:
            layer, kind = name.split(".op.")
            pattern = old.replace("conv2d", "linear") if layer == "fc" else old
            state[pattern.format(layer).replace("weight", kind)] = torch.randint(-128, 128, tensor.shape).float()
    path = tmp_path / "old.pth.tar"
    torch.save({"epoch": 0, "arch": "ai85netextrasmall", "state_dict": state}, path)
    found = checkpoint.load(path)
    assert found.quantized
    checkpoint.load_weights(model, found, "ai85netextrasmall")
    assert torch.equal(model.conv1.op.weight, next(iter(state.values())))
    assert torch.equal(model.fc.op.bias, list(state.values())[-1])
    assert (model.conv1.bits, int(model.conv1.output_shift)) == (8, 0)


@pytest.mark.parametrize(
    "text, message",
    [
        ("", ":1: the policy is empty; it needs start_epoch and weight_bits"),
        ("- 1", ":1: the policy must be a mapping of names to values"),
        ("weight_bits: 8", ":1: the policy needs the key 'start_epoch'"),
        ("start_epoch: 3", ":1: the policy needs the key 'weight_bits'"),
        ("start_epoch: 3\nweight_bits: 3", ":2: weight_bits must be 1, 2, 4 or 8; given 3"),
        ("start_epoch: 3\nweight_bits: yes", ":2: weight_bits must be 1, 2, 4 or 8; given True"),
        ("start_epoch: -1\nweight_bits: 8", ":1: start_epoch must be an integer of at least 0; given -1"),
        ("start_epoch: 0\nweight_bits: 8\nshift_quantile: 0",
         ":3: shift_quantile must be above 0 and at most 1; given 0"),
        ("start_epoch: 0\nweight_bits: 8\nbits: 0",
         ":3: unknown key 'bits'; known are start_epoch, weight_bits, bias_bits, shift_quantile, "
         "outlier_removal_z_score, overrides"),
        ("start_epoch: 0\nweight_bits: 8\noutlier_removal_z_score: 0",
         ":3: outlier_removal_z_score must be a number above 0; given 0"),
        ("start_epoch: 0\nweight_bits: 8\noutlier_removal_z_score: .inf",
         ":3: outlier_removal_z_score must be a number above 0; given inf"),
        ("start_epoch: 0\nweight_bits: 8\noverrides:\n  conv1: 4", ":4: the override of 'conv1' must be a mapping"),
        ("start_epoch: 0\nweight_bits: 8\noverrides:\n  conv1: {bias_bits: 4}",
         ":4: the override of 'conv1' must have the key weight_bits and no other"),
        ("start_epoch: 0\nstart_epoch: 0", ":2: 'start_epoch' is given twice in the policy"),
        ("a: [", ": not valid YAML: "),
    ],
)  # fmt: skip
def test_policies_that_are_wrong_are_refused_with_file_and_line(tmp_path, text, message):
    path = tmp_path / "policy.yaml"
    path.write_text(text)
    with pytest.raises(UserError) as caught:
        qat.read_policy(path)
    assert message in str(caught.value)
    assert str(caught.value).startswith(f"{path}:")


def test_override_of_a_layer_that_is_not_there_is_refused(call, policy, tmp_path):
    policy.write_text(MIXED.replace("conv3", "conv9"))
    status, _, errors = call("--epochs", 1, *SHORT, "--qat-policy", policy)
    assert status == 1
    assert errors == (
        f"train.py: error: {policy}: the override names a layer 'conv9'; the network has conv1, conv2, conv3, fc\n"
    )
    assert not (tmp_path / "logs").exists()


def test_committed_policies_can_be_read():
    folder = Path(train.__file__).parent / "schedules"
    policies = [qat.read_policy(path) for path in sorted(folder.glob("qat_policy*.yaml"))]
    assert len(policies) >= 2
    for policy in policies:
        qat.check_names(policy, ai85net.ai85net5())


def test_float_input_is_on_the_8_bit_grid_and_spans_full_scale():
    values = torch.arange(256, dtype=torch.uint8)
    codes = ai8x.normalize_float_8bit(values, 255) * 128
    assert codes.tolist() == [u - 128 if u <= 127 else min(u - 127, 127) for u in range(256)]
    assert (ai8x.normalize_float_8bit(values, 256) * 128).tolist() == list(range(-128, 128))
