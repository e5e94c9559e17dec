"""Pruners: what each removes, and that what is removed stays away for as long as the policy says."""

import math
from itertools import pairwise

import hypothesis.strategies as st
import numpy as np
import pytest
import torch
from compression import Run, Small
from hypothesis import given
from hypothesis.extra.numpy import arrays

import train
from distiller import pruners
from errors import UserError

FRACTIONS = st.floats(0, 1)
WEIGHTS = arrays(np.float32, st.tuples(st.integers(1, 6), st.integers(1, 5), st.just(3), st.just(3)),
                 elements=st.floats(-2, 2, width=16))  # fmt: skip


def schedule(pruner: str, policy: str = "epochs: [0]", args: str = "") -> str:
    """A schedule with one pruner, in flow style."""
    instance = f"{{instance_name: p, args: {{{args}}}}}" if args else "{instance_name: p}"
    return f"pruners:\n  p: {{{pruner}}}\npolicies:\n  - {{pruner: {instance}, {policy}}}\n"


def masks_of(pruner: pruners.Pruner, **weights: np.ndarray) -> dict[str, np.ndarray]:
    """The masks of some weights in the last epoch of a policy."""
    masks = pruner.masks({name: torch.from_numpy(value) for name, value in weights.items()}, 1.0, {})
    return {name: mask.numpy() for name, mask in masks.items()}


@given(WEIGHTS, FRACTIONS)
def test_level_removes_the_smallest_elements_and_those_equal_to_the_largest_of_them(weight, level):
    pruner = pruners.SparsityLevelParameterPruner(levels={"w": level})
    count, sizes = math.floor(level * weight.size), sorted(abs(weight.flatten()))
    expected = abs(weight) > sizes[count - 1] if count else np.ones_like(weight)
    assert np.array_equal(masks_of(pruner, w=weight)["w"], expected)
    assert (expected == 0).sum() >= count


@given(WEIGHTS, FRACTIONS, st.sampled_from(["Filters", "3D", "Channels"]), st.sampled_from([1, 2]))
def test_ranking_removes_the_groups_with_the_smallest_norms(weight, fraction, group_type, norm):
    kind = getattr(pruners, f"L{norm}RankedStructureParameterPruner")
    pruner = kind(group_type=group_type, desired_sparsity=fraction, weights=["w"])
    groups = weight.swapaxes(0, 1) if group_type == "Channels" else weight
    mask = masks_of(pruner, w=weight)["w"]
    kept = (mask.swapaxes(0, 1) if group_type == "Channels" else mask).reshape(len(groups), -1)
    assert np.array_equal(kept.min(1), kept.max(1))
    assert (kept[:, 0] == 0).sum() == math.floor(fraction * len(groups))
    sizes = [(abs(group.astype(np.float64)) ** norm).sum() for group in groups]
    removed = [size for size, keep in zip(sizes, kept[:, 0], strict=True) if not keep]
    stay = [size for size, keep in zip(sizes, kept[:, 0], strict=True) if keep]
    assert not removed or not stay or max(removed) <= min(stay) * (1 + 1e-6)


def test_rows_of_a_linear_layer_are_ranked_too():
    pruner = pruners.L1RankedStructureParameterPruner(group_type="Rows", desired_sparsity=0.5, weights=["w"])
    weight = np.array([[1, -9], [2, 3], [-4, 0], [0, 6]], np.float32)  # sums of magnitudes 10, 5, 4, 6
    assert masks_of(pruner, w=weight)["w"].tolist() == [[1, 1], [0, 0], [0, 0], [1, 1]]


def test_followers_lose_the_groups_that_the_leader_loses():
    pruner = pruners.L1RankedStructureParameterPruner(
        group_type="Filters", desired_sparsity=0.5, weights=["first", "second"], group_dependency="Leader"
    )
    first = np.arange(1, 5, dtype=np.float32).reshape(4, 1, 1, 1) * np.ones((4, 2, 3, 3), np.float32)
    masks = masks_of(pruner, second=first[::-1].copy(), first=first)
    assert masks["first"][:, 0, 0, 0].tolist() == masks["second"][:, 0, 0, 0].tolist() == [0, 0, 1, 1]


def test_magnitude_has_a_threshold_by_name_and_one_for_all_other_weights(tmp_path):
    run = Run(schedule("class: MagnitudeParameterPruner, thresholds: {conv.weight: 0.1, '*': 0.05}"), tmp_path)
    before = {name: run.weight(name) for name in ("conv.weight", "fc.weight", "conv.bias")}
    run.scheduler.on_epoch_begin(0)
    run.scheduler.on_minibatch_begin(0, 0)
    for name, threshold in (("conv.weight", 0.1), ("fc.weight", 0.05), ("conv.bias", 0.0)):
        assert torch.equal(run.weight(name), before[name].where(before[name].abs() > threshold, 0.0))
    assert 0 < run.zeros("conv.weight") < 108
    assert 0 < run.zeros("fc.weight") < 72


def test_sensitivity_is_measured_once(tmp_path):
    """The threshold is 0.5 * standard deviation of the first epoch, though the weights are ten times as large later."""
    run = Run(schedule("class: SensitivityPruner, sensitivities: {fc.weight: 0.5}", "epochs: [0, 1]"), tmp_path)
    first = run.weight("fc.weight").numpy().astype(np.float64)
    threshold = 0.5 * math.sqrt(((first - first.mean()) ** 2).sum() / (first.size - 1))
    run.scheduler.on_epoch_begin(0)
    assert run.scheduler.memory == {"p": {"fc.weight": pytest.approx(threshold, rel=1e-5)}}
    expected = abs(first) > threshold
    assert np.array_equal(run.scheduler.masked["fc.weight"].mask.numpy(), expected)
    with torch.no_grad():
        run.model.fc.weight.mul_(10)
    run.scheduler.on_epoch_begin(1)
    expected = abs(10 * first) > threshold
    assert np.array_equal(run.scheduler.masked["fc.weight"].mask.numpy(), expected)


@pytest.mark.parametrize("frequency, active", [(1, [2, 3, 4, 5, 6, 7]), (2, [2, 4, 6]), (5, [2, 7])])
def test_gradual_sparsity_follows_the_cubic_and_ends_at_the_final_one(tmp_path, frequency, active):
    pruner = "class: AutomatedGradualPruner, initial_sparsity: 0.1, final_sparsity: 0.75, weights: [conv.weight]"
    run = Run(schedule(pruner, f"starting_epoch: 2, ending_epoch: 8, frequency: {frequency}"), tmp_path)
    expected, sparsity = [], 0.0
    for epoch in range(10):
        if epoch in active:
            sparsity = 0.75 + (0.1 - 0.75) * (1 - (epoch - active[0]) / (active[-1] - active[0])) ** 3
        expected.append(math.floor(sparsity * 108))
    assert expected[-1] == 81
    assert [run.zeros("conv.weight") for _ in run.epochs(10)] == expected


def test_gradual_ranking_removes_whole_filters(tmp_path):
    pruner = ("class: L2RankedStructureParameterPruner_AGP, group_type: Filters, initial_sparsity: 0, "
              "final_sparsity: 0.5, weights: [conv.weight]")  # fmt: skip
    run = Run(schedule(pruner, "epochs: [0, 1, 2]"), tmp_path)
    removed = [int((run.weight("conv.weight").flatten(1) == 0).all(1).sum()) for _ in run.epochs(4)]
    assert removed == [0, 2, 3, 3]  # of 6: floor(6 * 0.5 * (1 - (1 - 1/2)**3)) = 2 in the middle
    assert run.zeros("conv.weight") == 3 * 18


def test_masks_hold_against_momentum_and_weight_decay_after_the_policy_has_ended(tmp_path):
    run = Run(schedule("class: SparsityLevelParameterPruner, levels: {fc.weight: 0.5}", "epochs: [1]"), tmp_path)
    run.optimizer.param_groups[0]["weight_decay"] = 0.1
    weights = [run.weight("fc.weight") for _ in run.epochs(5)]
    assert [int((weight == 0).sum()) for weight in weights] == [0, 36, 36, 36, 36]
    assert all(torch.equal(weight == 0, weights[1] == 0) for weight in weights[1:])
    assert not any(torch.equal(earlier, later) for earlier, later in pairwise(weights))


FORWARD_ONLY = "mask_on_forward_only: true, use_double_copies: true"


@pytest.mark.parametrize("gradients", [True, False])
def test_forward_only_masks_leave_the_weights_themselves_to_be_trained(tmp_path, gradients):
    args = FORWARD_ONLY + (", mask_gradients: true" if gradients else "")
    pruner = "class: SparsityLevelParameterPruner, levels: {fc.weight: 0.5}"
    run = Run(schedule(pruner, "epochs: [0]", args), tmp_path, momentum=0.0)
    before, during = run.weight("fc.weight"), []
    run.epoch(0, lambda: during.append(run.weight("fc.weight")))
    after, mask = run.weight("fc.weight"), run.scheduler.masked["fc.weight"].mask.bool()
    assert [int((weight == 0).sum()) for weight in (before, *during, after)] == [0, 36, 36, 0]
    assert torch.equal(during[0], before * mask)
    assert torch.equal(after[~mask], before[~mask]) == gradients
    assert not torch.equal(after[mask], before[mask])


def test_forward_only_masks_become_permanent_with_keep_mask(tmp_path):
    pruner = "class: SparsityLevelParameterPruner, levels: {fc.weight: 0.5}"
    run = Run(schedule(pruner, "epochs: [0, 2]", f"{FORWARD_ONLY}, keep_mask: true"), tmp_path)
    assert [run.zeros("fc.weight") for _ in run.epochs(5)] == [0, 0, 36, 36, 36]


def test_masks_may_be_computed_anew_within_an_epoch(tmp_path, monkeypatch):
    seen, masks = [], pruners.SparsityLevelParameterPruner.masks

    def counted(self, weights, progress, memory):
        seen.append(progress)
        return masks(self, weights, progress, memory)

    monkeypatch.setattr(pruners.SparsityLevelParameterPruner, "masks", counted)
    pruner = "class: SparsityLevelParameterPruner, levels: {fc.weight: 0.5}"
    run = Run(schedule(pruner, "epochs: [0, 1]", "mini_batch_pruning_frequency: 3"), tmp_path)
    list(run.epochs(3))
    assert seen == [0.0, 1.0, 1.0]  # epochs 0 and 1, and batch 3 of the run, the second of epoch 1


def test_masks_may_be_forgotten_after_every_batch(tmp_path):
    pruner = "class: SparsityLevelParameterPruner, levels: {fc.weight: 0.5}"
    run = Run(schedule(pruner, "epochs: [0]", "discard_masks_at_minibatch_end: true"), tmp_path)
    assert [run.zeros("fc.weight") for _ in run.epochs(2)] == [0, 0]


def test_several_pruners_with_policies_of_their_own_work_side_by_side(tmp_path):
    text = """pruners:
  early: {class: SparsityLevelParameterPruner, levels: {conv.weight: 0.25}}
  late: {class: SparsityLevelParameterPruner, levels: {module.fc.weight: 0.5}}
policies:
  - {pruner: {instance_name: early}, epochs: [0]}
  - {pruner: {instance_name: late}, epochs: [2]}
"""
    run = Run(text, tmp_path)
    zeros = [(run.zeros("conv.weight"), run.zeros("fc.weight")) for _ in run.epochs(3)]
    assert zeros == [(27, 0), (27, 0), (27, 36)]


def test_all_names_that_the_network_does_not_have_are_complained_about_with_their_lines(tmp_path):
    text = """pruners:
  p:
    class: AutomatedGradualPruner
    initial_sparsity: 0
    final_sparsity: 1
    weights:
      - conv.weight
      - layer1.0.conv1.weight
  q: {class: L1RankedStructureParameterPruner, desired_sparsity: 0.5, group_type: Channels,
      weights: [fc.weight]}
regularizers:
  r:
    class: GroupLassoRegularizer
    reg_regims:
      fc.weight: [0.1, 2D]
policies:
  - {pruner: {instance_name: p}, epochs: [0]}
  - {pruner: {instance_name: q}, epochs: [0]}
  - {regularizer: {instance_name: r}, epochs: [0]}
"""
    with pytest.raises(UserError) as caught:
        Run(text, tmp_path)
    path = tmp_path / "schedule.yaml"
    assert str(caught.value).splitlines() == [
        f"{path}:8: AutomatedGradualPruner 'p': the network has no parameter 'layer1.0.conv1.weight'; it has "
        "conv.weight, conv.bias, fc.weight, fc.bias",
        f"{path}:10: L1RankedStructureParameterPruner 'q': fc.weight: group_type Channels needs weights with 3 or 4 "
        "dimensions, not 2",
        f"{path}:15: GroupLassoRegularizer 'r': fc.weight: group type 2D needs weights with 4 dimensions, not 2",
    ]


def test_state_of_another_network_is_refused(tmp_path):
    run = Run(schedule("class: SparsityLevelParameterPruner, levels: {fc.weight: 0.5}"), tmp_path)
    with pytest.raises(ValueError, match=r"the mask of fc\.weight has shape \(2, 2\), not \(3, 24\)"):
        run.scheduler.restore({"masks_dict": {"fc.weight": torch.ones(2, 2)}}, 0)


PRUNE = """pruners:
  agp:
    class: AutomatedGradualPruner
    initial_sparsity: 0.2
    final_sparsity: 0.8
    weights: [conv2.conv2d.weight]
  ranked: {class: SensitivityPruner, sensitivities: {fc.linear.weight: 0.7}}
policies:
  - {pruner: {instance_name: agp}, starting_epoch: 0, ending_epoch: 3, frequency: 1}
  - {pruner: {instance_name: ranked, args: {mask_on_forward_only: true, use_double_copies: true, keep_mask: true}},
     epochs: [0, 2]}
"""


@pytest.fixture
def call(tiny_data, tmp_path, monkeypatch, capsys):
    """Runs train.py in an empty directory; returns (exit status, standard error)."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "prune.yaml").write_text(PRUNE)

    def run(*arguments):
        options = ["--model", "ai84netextrasmall", "--dataset", "FashionMNIST", "--data", tiny_data, "--seed", 1,
                   "-b", 40, "--lr", 0.01, "--no-tensorboard", "--compress", "prune.yaml"]  # fmt: skip
        return train.main([str(argument) for argument in (*options, *arguments)]), capsys.readouterr().err

    return run


@pytest.mark.parametrize("first", [1, 2, 3])
def test_pruned_run_that_is_resumed_ends_with_the_same_weights_and_masks(call, tmp_path, first):
    assert call("--epochs", 5, "--out-dir", "whole") == (0, "")
    assert call("--epochs", first) == (0, "")
    assert call("--epochs", 5, "--resume-from", "logs/latest/checkpoint.pth.tar") == (0, "")
    whole, resumed = (torch.load(f"{out}/latest/checkpoint.pth.tar", weights_only=True) for out in ("whole", "logs"))
    for name, value in whole["state_dict"].items():
        assert torch.equal(value, resumed["state_dict"][name])
    masks, again = (content["compression_sched"]["masks_dict"] for content in (whole, resumed))
    assert [name for name, mask in masks.items() if mask is not None] == ["conv2.conv2d.weight", "fc.linear.weight"]
    for name in ("conv2.conv2d.weight", "fc.linear.weight"):
        assert torch.equal(masks[name], again[name])
        assert not whole["state_dict"][name][masks[name] == 0].any()
    assert int((masks["conv2.conv2d.weight"] == 0).sum()) == math.floor(0.8 * 8 * 8 * 9)
    assert 0 < int((masks["fc.linear.weight"] == 0).sum()) < 1280


def test_weights_that_the_network_does_not_have_end_the_command_before_anything_is_written(call, tmp_path):
    (tmp_path / "prune.yaml").write_text(PRUNE.replace("conv2.conv2d", "conv9.conv2d"))
    status, errors = call("--epochs", 1)
    assert status == 1
    assert errors.startswith("train.py: error: prune.yaml:6: AutomatedGradualPruner 'agp': the network has no ")
    assert [path.name for path in tmp_path.iterdir()] == ["prune.yaml"]


def test_checkpoint_whose_masks_do_not_fit_is_refused(call, tmp_path):
    call("--epochs", 1)
    path = next(tmp_path.glob("logs/20*/checkpoint.pth.tar"))
    content = torch.load(path, weights_only=True)
    content["compression_sched"]["masks_dict"]["conv2.conv2d.weight"] = torch.ones(3)
    torch.save(content, path)
    status, errors = call("--epochs", 2, "--resume-from", path)
    assert status == 1
    assert "its compression_sched does not fit this run (the mask of conv2.conv2d.weight has shape (3,)" in errors


def test_pruning_of_the_small_network_is_what_the_helper_says():
    """The numbers of elements that the tests above count with."""
    assert {name: value.numel() for name, value in Small().named_parameters()} == {
        "conv.weight": 108, "conv.bias": 6, "fc.weight": 72, "fc.bias": 3}  # fmt: skip
