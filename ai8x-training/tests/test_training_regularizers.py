"""Regularizers: what they add to the loss, and what their thresholds remove."""

import numpy as np
import pytest
import torch
from compression import Run

CONV = "conv.weight"


def schedule(regularizer: str, args: str = "") -> str:
    instance = f"{{instance_name: r, args: {{{args}}}}}"
    return f"regularizers:\n  r: {{{regularizer}}}\npolicies:\n  - {{regularizer: {instance}, epochs: [0, 1]}}\n"


def added(run: Run, epoch: int = 0) -> float:
    """What the schedule adds to a loss of 0."""
    return float(run.scheduler.before_backward_pass(epoch, torch.tensor(0.0)).detach())


def test_lasso_adds_the_sum_of_magnitudes_in_its_epochs_only(tmp_path):
    run = Run(schedule("class: L1Regularizer, reg_regims: {conv.weight: 0.5, module.fc.weight: 2}"), tmp_path)
    conv, fc = (np.abs(run.weight(name).numpy().astype(np.float64)).sum() for name in (CONV, "fc.weight"))
    assert added(run) == pytest.approx(0.5 * conv + 2 * fc, rel=1e-5)
    assert added(run, epoch=2) == 0


@pytest.mark.parametrize(
    "group, axes", [("2D", (2, 3)), ("3D", (1, 2, 3)), ("Filters", (1, 2, 3)), ("Channels", (0, 2, 3)),
                    ("4D", (0, 1, 2, 3))],
)  # fmt: skip
def test_group_lasso_adds_the_norms_of_the_groups(tmp_path, group, axes):
    run = Run(schedule(f"class: GroupLassoRegularizer, reg_regims: {{conv.weight: [0.5, {group}]}}"), tmp_path)
    weight = run.weight(CONV).numpy().astype(np.float64)
    assert added(run) == pytest.approx(0.5 * np.sqrt((weight**2).sum(axes)).sum(), rel=1e-5)


@pytest.mark.parametrize("group, axis", [("Rows", 1), ("Cols", 0)])
def test_group_lasso_knows_rows_and_columns_of_linear_layers(tmp_path, group, axis):
    run = Run(schedule(f"class: GroupLassoRegularizer, reg_regims: {{fc.weight: [0.5, {group}]}}"), tmp_path)
    weight = run.weight("fc.weight").numpy().astype(np.float64)
    assert added(run) == pytest.approx(0.5 * np.sqrt((weight**2).sum(axis)).sum(), rel=1e-5)


def test_group_that_is_zero_gets_no_gradient_that_is_not_a_number(tmp_path):
    run = Run(schedule("class: GroupLassoRegularizer, reg_regims: {conv.weight: [0.5, Filters]}"), tmp_path)
    with torch.no_grad():
        run.model.conv.weight[0] = 0
    run.scheduler.before_backward_pass(0, torch.tensor(0.0)).backward()
    gradient = run.model.conv.weight.grad
    assert not gradient[0].any()
    expected = 0.5 * run.weight(CONV)[1:] / run.weight(CONV)[1:].flatten(1).norm(dim=1).view(-1, 1, 1, 1)
    assert torch.allclose(gradient[1:], expected)


def test_training_makes_the_regularized_weights_smaller(tmp_path):
    sizes = []
    for strength in (0, 0.3):
        run = Run(schedule(f"class: L1Regularizer, reg_regims: {{conv.weight: {strength}}}"), tmp_path, momentum=0.0)
        list(run.epochs(2))
        sizes.append(float(run.weight(CONV).abs().sum()))
    assert sizes[1] < 0.7 * sizes[0]


@pytest.mark.parametrize("keep, zeros", [("", False), ("keep_mask: true", True)])
def test_lasso_with_a_threshold_removes_small_elements_after_every_batch(tmp_path, keep, zeros):
    text = schedule("class: L1Regularizer, reg_regims: {conv.weight: 0.05}, threshold_criteria: Mean_Abs", keep)
    run = Run(text, tmp_path)
    counts = []
    for _ in run.epochs(2):
        weight = run.weight(CONV)
        assert bool(((weight == 0) | (weight.abs() > 0.05)).all())
        counts.append(run.zeros(CONV))
    assert 0 < counts[1] < 108
    run.epoch(2)
    assert run.zeros(CONV) == (counts[1] if zeros else 0)


@pytest.mark.parametrize("criterion, size", [("Max", np.max), ("Mean_Abs", np.mean)])
def test_group_lasso_with_a_threshold_removes_whole_groups(tmp_path, criterion, size):
    """The threshold is the strength: filters whose largest (or mean) magnitude does not exceed it."""
    text = schedule(f"class: GroupLassoRegularizer, reg_regims: {{conv.weight: [0.15, 3D]}}, "
                    f"threshold_criteria: {criterion}", "keep_mask: true")  # fmt: skip
    run = Run(text, tmp_path)
    with torch.no_grad():
        run.model.conv.weight[:3] *= 0.5
    weight = run.weight(CONV).numpy()
    run.scheduler.on_minibatch_end(1, 1)
    expected = np.stack([filter * (size(abs(filter)) > 0.15) for filter in weight])
    assert np.array_equal(run.weight(CONV).numpy(), expected)
    assert 0 < (run.weight(CONV).flatten(1) == 0).all(1).sum() < (6 if criterion == "Max" else 7)
    assert np.array_equal(run.scheduler.masked[CONV].mask.numpy()[:, 0, 0, 0], expected[:, 0, 0, 0] != 0)


def test_masks_of_pruners_and_regularizers_are_combined(tmp_path):
    text = """pruners:
  p: {class: SparsityLevelParameterPruner, levels: {conv.weight: 0.5}}
regularizers:
  r: {class: L1Regularizer, reg_regims: {conv.weight: 0.12}, threshold_criteria: Max}
policies:
  - {pruner: {instance_name: p}, epochs: [0]}
  - {regularizer: {instance_name: r, args: {keep_mask: true}}, epochs: [1]}
"""
    run = Run(text, tmp_path)
    zeros = [run.weight(CONV) == 0 for _ in run.epochs(3)]
    assert int(zeros[0].sum()) == 54
    assert bool(zeros[1][zeros[0]].all())
    assert 54 < int(zeros[1].sum()) < 108
    assert torch.equal(zeros[2], zeros[1])
