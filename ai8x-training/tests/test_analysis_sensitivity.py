"""train.py --sense: what is removed, that it comes back, and what is written about it."""

import csv
import os
from functools import partial
from pathlib import Path

import pytest
import torch
from PIL import Image
from small_runs import NETWORK

import ai84net
import checkpoint
from analysis import sensitivity
from analysis.sensitivity import Point, Trial, levels, mask, plot, sweep, targets, tolerance_table
from evaluation import Evaluation

RUN = {"run": {"seed": 3, "validation_split": 0.25}}


def small_network() -> ai84net.Ai84Net:
    torch.manual_seed(4)
    return ai84net.ai84netextrasmall(num_channels=1)


def result_with(correct: int) -> Evaluation:
    """Four images, of which so many are right."""
    return Evaluation(torch.eye(2)[[0] * correct + [1] * (4 - correct)], torch.zeros(4, dtype=torch.int64), 1)


def test_levels_leave_out_the_end():
    assert levels(0.0, 0.95, 0.05) == [round(0.05 * step, 6) for step in range(19)]
    assert levels(0.0, 1.0, 0.25) == [0.0, 0.25, 0.5, 0.75]


def test_elements_are_removed_by_magnitude():
    weight = torch.tensor([[4.0, -1.0, 3.0, 0.5]])
    assert mask("element", "fc", weight, 0.5).tolist() == [[1, 0, 1, 0]]
    assert mask("element", "fc", weight, 0.0).tolist() == [[1, 1, 1, 1]]


def test_filters_and_channels_are_removed_by_their_sum_of_magnitudes():
    weight = torch.tensor([[3.0, -3.0, 1.0], [1.0, 6.0, -1.0]])[:, :, None, None].expand(2, 3, 3, 3)
    assert mask("filter", "conv", weight, 0.5)[:, :, 0, 0].tolist() == [[0, 0, 0], [1, 1, 1]]  # 7 and 8
    assert mask("channel", "conv", weight, 0.7)[:, :, 1, 2].tolist() == [[0, 1, 0], [0, 1, 0]]  # 4, 9 and 2


def test_only_convolutions_have_filters():
    model = small_network()
    convolutions = ["conv1.conv2d.weight", "conv2.conv2d.weight", "conv3.conv2d.weight"]
    assert list(targets(model, "element")) == [*convolutions, "fc.linear.weight"]
    assert list(targets(model, "filter")) == list(targets(model, "channel")) == convolutions


def test_one_tensor_at_a_time_is_pruned_and_all_are_as_before_in_the_end():
    model = small_network()
    weights = targets(model, "element")
    before = {name: weight.detach().clone() for name, weight in weights.items()}
    seen = []

    def evaluate() -> Evaluation:
        seen.append({name: int((weight == 0).sum()) for name, weight in weights.items()})
        return result_with(3)

    points = sweep(Trial("element", weights, evaluate), [0.0, 0.5])
    expected = []
    for pruned in weights:
        expected += [dict.fromkeys(weights, 0), dict.fromkeys(weights, 0) | {pruned: before[pruned].numel() // 2}]
    assert seen == expected
    assert points[:2] == [Point("conv1.conv2d.weight", level, 75.0, 100.0, points[0].loss) for level in (0.0, 0.5)]
    assert all(torch.equal(weight, before[name]) for name, weight in weights.items())


def test_weights_come_back_when_the_evaluation_fails():
    weight = torch.nn.Parameter(torch.ones(2, 2))
    with pytest.raises(KeyboardInterrupt), sensitivity.masked(weight, torch.zeros(2, 2)):
        assert not weight.any()
        raise KeyboardInterrupt
    assert weight.all()


POINTS = [Point("a", 0.0, 90.0, 99.0, 0.3), Point("a", 0.2, 89.0, 99.0, 0.3), Point("a", 0.4, 88.9, 99.0, 0.4),
          Point("a", 0.6, 90.0, 99.0, 0.4), Point("b", 0.0, 88.0, 99.0, 0.4)]  # fmt: skip


def test_tolerance_ends_at_the_first_sparsity_that_costs_more_than_a_point():
    rows = dict(line.split(None, 1) for line in tolerance_table(POINTS, 90.0).splitlines()[2:])
    assert rows == {"a": "20 %", "b": "nothing"}


def test_plot_has_a_curve_for_each_tensor():
    axes = plot(POINTS, "filter", 90.0).axes[0]
    curves = {line.get_label(): line.get_xydata().tolist() for line in axes.lines[1:]}
    assert curves == {"a": [[0, 90], [20, 89], [40, 88.9], [60, 90]], "b": [[0, 88]]}


@pytest.fixture
def call(call):
    """train.py with the extra small network."""
    return partial(call, *NETWORK)


def test_a_run_writes_table_and_picture_and_leaves_latest_alone(call, tmp_path):
    checkpoint.save(tmp_path / "net", small_network(), "ai84netextrasmall", 0, None, {}, RUN)
    status, output, _ = call("--sense", "filter", "--sense-range", 0, 1, 0.5, "--exp-load-weights-from", "net")
    assert status == 0
    assert "Top1 of 30 validation images" in output  # a quarter of 120, as the checkpoint says
    (directory,) = (tmp_path / "logs").iterdir()
    with (directory / "sensitivity.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert [(row["parameter"], row["sparsity"]) for row in rows] == [
        (f"conv{number}.conv2d.weight", level) for number in (1, 2, 3) for level in ("0.0", "0.5")
    ]
    unpruned = {(row["top1"], row["top5"], row["loss"]) for row in rows if row["sparsity"] == "0.0"}
    assert len(unpruned) == 1
    assert len({row["loss"] for row in rows}) == 4
    assert Image.open(directory / "sensitivity.png").size == (700, 450)
    assert f"Picture: {Path('logs') / directory.name / 'sensitivity.png'}" in output


def test_weights_that_do_not_say_what_they_were_trained_on_are_a_warning(call, tmp_path):
    checkpoint.save(tmp_path / "net", small_network(), "ai84netextrasmall", 0, None, {}, {})
    arguments = ["--sense", "element", "--sense-range", 0, 0.1, 0.2, "--exp-load-weights-from", "net"]
    status, output, _ = call(*arguments, "--validation-split", 0.5)
    assert status == 0
    assert "does not say which images its training saw" in output
    assert "Top1 of 60 validation images" in output


@pytest.mark.parametrize(
    ("arguments", "message", "expected"),
    [
        (["--sense", "element"], "--sense needs --exp-load-weights-from FILE", 2),
        (["--sense", "row"], "invalid choice: 'row'", 2),
        (["--sense", "element", "--summary", "model"], "not allowed with argument", 2),
        (["--sense", "element", "--sense-range", "0.5", "0.5", "0.1"], "--sense-range needs 0 <= FROM < TO <= 1", 2),
        (["--sense", "element", "--exp-load-weights-from", "missing"], "there is no such checkpoint", 1),
        (["--sense", "element", "--exp-load-weights-from", "net"], "there are no validation images", 1),
    ],
)
def test_what_cannot_be_measured_is_refused_before_anything_is_written(call, tmp_path, arguments, message, expected):
    none = {"run": {"seed": 3, "validation_split": 0.0}}
    checkpoint.save(tmp_path / "net", small_network(), "ai84netextrasmall", 0, None, {}, none)
    status, _, error = call(*arguments)
    assert status == expected
    assert message in error
    assert os.listdir(tmp_path) == ["net"]
