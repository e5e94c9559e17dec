"""The schedules in schedules/, each run for a few steps with ai84net5: they do what their comments promise."""

import math
from pathlib import Path

import pytest
import torch
from compression import Run

import ai84net

SCHEDULES = Path(__file__).resolve().parents[1] / "schedules"
CONV2, CONV3, FC = "conv2.conv2d.weight", "conv3.conv2d.weight", "fc.linear.weight"
SIZES = {CONV2: 60 * 60 * 9, CONV3: 56 * 60 * 9, FC: 192 * 10}


@pytest.fixture
def start(tmp_path):
    """Begins to train ai84net5 with one of the schedules."""

    def begin(name, **more):
        model = ai84net.ai84net5(num_channels=1)
        return Run(SCHEDULES / name, tmp_path, model, epochs=20, shape=(1, 28, 28), lr=0.01, **more)

    return begin


def cubic(first: float, last: float, begin: int, end: int, epoch: int) -> float:
    """The sparsity of automated gradual pruning in `epoch` of the active epochs `begin` to `end`."""
    progress = min(max(epoch - begin, 0) / (end - begin), 1)
    return last + (first - last) * (1 - progress) ** 3


def test_prune_agp_reaches_its_sparsity_and_keeps_it_at_falling_learning_rates(start):
    run = start("prune_agp.yaml")
    rate = run.optimizer.param_groups[0]["lr"]
    for epoch in run.epochs(20):
        assert rate == pytest.approx(0.01 * 0.1 ** ((epoch >= 12) + (epoch >= 16)))
        rate = run.optimizer.param_groups[0]["lr"]
        for name in (CONV2, CONV3):
            assert run.zeros(name) == math.floor(cubic(0.1, 0.8, 0, 11, epoch) * SIZES[name])
        expected = cubic(0, 0.5, 4, 10, epoch - epoch % 2) if epoch >= 4 else 0
        assert run.zeros(FC) == math.floor(expected * SIZES[FC])
    assert [run.zeros(name) / SIZES[name] for name in (CONV2, CONV3, FC)] == [0.8, 0.8, 0.5]


def test_prune_filters_removes_whole_filters_and_whole_input_channels(start):
    run = start("prune_filters.yaml")
    for epoch in run.epochs(8):
        filters = int((run.weight(CONV2).flatten(1) == 0).all(1).sum())
        channels = int((run.weight(CONV3).transpose(0, 1).flatten(1) == 0).all(1).sum())
        assert filters == math.floor(60 * cubic(0.05, 0.25, 0, 5, epoch))
        assert channels == (15 if epoch >= 6 else 0)
        assert (run.zeros(CONV2), run.zeros(CONV3)) == (filters * 60 * 9, channels * 56 * 9)


def test_prune_thresholds_removes_what_is_small(start):
    run = start("prune_thresholds.yaml")
    spread = 0.5 * float(run.weight(CONV2).std())
    seen = []
    for epoch in run.epochs(7):
        seen.append([run.zeros(name) for name in (CONV2, CONV3, FC)])
        mask = run.scheduler.masked[CONV2].mask
        assert 0.3 < 1 - float(mask.mean()) < 0.5  # of a normal distribution 38 % are within half its spread
        if epoch == 4:
            kept = run.weight(CONV2)[mask.bool()]
            assert float(kept.abs().min()) > 0.9 * spread
    zeros = [list(column) for column in zip(*seen, strict=True)]
    assert zeros[0][:4] == [0] * 4
    assert zeros[0][4] == zeros[0][5] == zeros[0][6] > 0.3 * SIZES[CONV2]
    assert zeros[1][0] == 0 < zeros[1][1] == zeros[1][2] <= zeros[1][3] == zeros[1][6]
    assert zeros[2] == [0, 0, *[math.floor(0.3 * SIZES[FC])] * 5]


def test_lasso_removes_small_weights_and_small_filters_for_good(start):
    run = start("lasso.yaml")
    with torch.no_grad():
        run.model.conv2.conv2d.weight[:7] *= 0.002
    rate = run.optimizer.param_groups[0]["lr"]
    for epoch in run.epochs(13):
        assert rate == pytest.approx(0.01 * 0.9**epoch)
        rate = run.optimizer.param_groups[0]["lr"]
        filters = run.weight(CONV2).flatten(1).abs().amax(1)
        if epoch < 10:
            fc = run.weight(FC).abs()
            assert bool(((fc == 0) | (fc > 0.01)).all())
            assert bool(((filters == 0) | (filters > 0.002)).all())
            removed = run.weight(FC) == 0
        assert bool((run.weight(FC)[removed] == 0).all())
        assert int((filters == 0).sum()) == 7
    assert 0.1 * SIZES[FC] < int(removed.sum()) < 0.5 * SIZES[FC]


def test_quant_train_computes_with_as_many_values_as_the_bits_allow(start):
    run = start("quant_train.yaml")
    list(run.epochs(3))
    for layer, bits in (("conv1.conv2d", 6), ("conv2.conv2d", 8), ("fc.linear", 8)):
        module = run.model.get_submodule(layer)
        for channel in module.weight.detach()[:5]:
            assert len(channel.unique()) <= 2**bits
        assert len(run.scheduler.masked[f"{layer}.weight"].parameter.unique()) > 500
    assert set(run.scheduler.ranges) == {"", "conv1", "conv2", "conv3", "conv4"}
    assert run.losses[-1] != run.losses[0]


def test_quant_train_dorefa_begins_in_its_epoch_and_leaves_the_first_and_the_last_layer_alone(start):
    run, levels = start("quant_train_dorefa.yaml"), {name: [] for name in ("conv1.conv2d", "conv2.conv2d", "fc.linear")}
    for _ in run.epochs(4):
        for name, counts in levels.items():
            counts.append(len(run.model.get_submodule(name).weight.detach().unique()))
    assert levels["conv1.conv2d"] == [540] * 4
    assert min(levels["fc.linear"]) > 1500
    assert min(levels["conv2.conv2d"][:2]) > 10000
    assert all(8 < count <= 16 for count in levels["conv2.conv2d"][2:])


def test_quant_train_ai84_computes_in_steps_of_the_device_from_epoch_10_on_at_cosine_learning_rates(start):
    run, data = start("quant_train_ai84.yaml"), torch.rand(2, 1, 28, 28) - 0.5
    rate = run.optimizer.param_groups[0]["lr"]
    for epoch in run.epochs(13):
        assert rate == pytest.approx(0.01 * (1 + math.cos(math.pi * epoch / 20)) / 2)
        rate = run.optimizer.param_groups[0]["lr"]
        with torch.no_grad():
            steps = 128 * run.model.conv2(run.model.conv1(data))
        assert (epoch >= 10) == torch.equal(steps, steps.round())
        assert len(run.weight(CONV2).unique()) > 10000


def test_every_schedule_is_run_by_a_test():
    """Those of learning rates only are in test_training_schedule.py, the policies of --qat-policy in test_ai85_*.py."""
    tests = "".join(path.read_text(encoding="utf-8") for path in Path(__file__).parent.glob("test_*.py"))
    names = [path.name for path in SCHEDULES.glob("*.yaml") if not path.name.startswith("qat_")]
    assert len(names) > 5
    assert [name for name in names if f'"{name}"' not in tests] == []
