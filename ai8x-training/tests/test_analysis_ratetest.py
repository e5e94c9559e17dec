"""train.py --lr-range-test: which learning rates are tried, when it ends, what it advises."""

import csv
import math
from functools import partial
from types import SimpleNamespace

import pytest
import torch
from PIL import Image
from small_runs import NETWORK
from torch import nn

from analysis.ratetest import Trial, advice, lowest_rate, plot, steepest_rate, sweep
from datasets import ImageSet
from pipeline import Augmentation


class ScriptedTrainer:
    """Gives the losses that it is told instead of training, and remembers learning rates and labels."""

    def __init__(self, losses: list[float]) -> None:
        self.losses = losses
        self.model = nn.Identity()
        self.optimizer = SimpleNamespace(param_groups=[{"lr": 0.0}])
        self.training_set = ImageSet(torch.zeros(5, 1, 4, 4, dtype=torch.uint8), torch.arange(5))
        self.augmentation, self.batch_size, self.seed = Augmentation(0, False), 2, 1
        self.rates: list[float] = []
        self.labels: list[int] = []

    def train_batch(self, images, labels, epoch, number):
        self.rates.append(self.optimizer.param_groups[0]["lr"])
        self.labels += labels.tolist()
        return torch.tensor(self.losses[number], dtype=torch.float64), None


def test_every_step_has_its_rate_and_goes_on_with_the_next_epoch():
    rates = [0.001 * 2**step for step in range(6)]
    trainer = ScriptedTrainer([3.0, 2.0, 1.0, 1.0, 2.0, 1.0])
    trials = sweep(trainer, rates)
    assert trainer.rates == [trial.learning_rate for trial in trials] == rates
    assert [trial.loss for trial in trials] == trainer.losses
    assert sorted(trainer.labels) == sorted(2 * list(range(5)))  # three batches an epoch
    assert trainer.model.training


def test_the_mean_weighs_older_steps_less_and_starts_without_bias():
    first, second, third = sweep(ScriptedTrainer([4.0, 1.0, 2.0]), [0.1, 0.2, 0.3])
    assert first.smoothed == pytest.approx(4)
    assert second.smoothed == pytest.approx((0.9 * 4 + 1) / (0.9 + 1))
    assert third.smoothed == pytest.approx((0.81 * 4 + 0.9 * 1 + 2) / (0.81 + 0.9 + 1))


@pytest.mark.parametrize("last", [1e6, math.inf, math.nan])
def test_the_sweep_ends_where_the_loss_explodes(last):
    trainer = ScriptedTrainer([1.0, 1.0, 1.0, last, 1.0])
    assert len(sweep(trainer, [0.1, 0.2, 0.3, 0.4, 0.5])) == 3
    assert len(trainer.rates) == 4


CURVE = [Trial(10.0**-power, loss, loss) for power, loss in ((5, 2.3), (4, 2.2), (3, 1.2), (2, 1.0), (1, 4.0))]


def test_advice_reads_the_curve():
    # slopes per decade: -0.1, -0.55, -0.6, +1.4, +3
    assert steepest_rate(CURVE) == pytest.approx(1e-3)
    assert lowest_rate(CURVE) == pytest.approx(1e-2)
    assert advice(CURVE).endswith("--lr 0.001")


def test_plot_has_both_curves_and_both_rates():
    axes = plot(CURVE).axes[0]
    lines = {line.get_label(): line.get_xdata() for line in axes.lines}
    assert list(lines) == ["loss of a batch", "mean", "falls fastest", "smallest"]
    assert lines["smallest"][0] == pytest.approx(1e-2)
    assert axes.get_xscale() == "log"


@pytest.fixture
def call(call):
    """train.py with the extra small network."""
    return partial(call, *NETWORK, "-b", "16")


def test_a_run_writes_table_and_picture_and_repeats_by_seed(call, tmp_path):
    command = ["--lr-range-test", "--lr-range", 1e-3, 1, "--lr-steps", 12, "--optimizer", "adam", "--seed", 5]
    assert [call(*command)[0] for _ in range(2)] == [0, 0]
    tables = [path.read_text() for path in (tmp_path / "logs").glob("*/lr_range.csv")]
    assert tables[0] == tables[1]
    rows = list(csv.DictReader(tables[0].splitlines()))
    first, second = (float(row["learning_rate"]) for row in rows[:2])
    assert (first, second) == pytest.approx((1e-3, 10 ** (-3 + 3 / 11)))
    assert len({row["loss"] for row in rows}) == len(rows) >= 3
    assert Image.open(next((tmp_path / "logs").glob("*/lr_range.png"))).size == (700, 420)
    assert not (tmp_path / "logs" / "latest").exists()


@pytest.mark.parametrize(
    ("arguments", "message", "expected"),
    [
        (["--lr-range", 1, 1], "--lr-range needs FROM < TO", 2),
        (["--lr-range", 0, 1], "must be above 0; given 0", 2),
        (["--lr-steps", 0], "must be at least 1; given 0", 2),
        (["--sense", "element"], "not allowed with argument", 2),
        (["-8"], "-8 needs --evaluate", 2),
        (["--lr-range", 1e30, 1e35, "--optimizer", "adam", "--lr-steps", 2], "the loss explodes at", 1),
    ],
)
def test_what_cannot_be_measured_is_refused(call, arguments, message, expected):
    status, _, error = call("--lr-range-test", *arguments)
    assert status == expected
    assert message in error
