"""Distiller YAML: learning rates by epoch and by batch, and complaints with file and line."""

import math
from pathlib import Path

import pytest
import torch

from distiller import CompressionScheduler, read_schedule
from errors import UserError

SCHEDULES = Path(__file__).resolve().parents[1] / "schedules"


def learning_rates(path: Path, epochs: int, steps: int, start: int = 0, lr: float = 0.1) -> list[float]:
    """The learning rate of every batch from epoch `start` on, when the epochs before were replayed."""
    model = torch.nn.Linear(1, 1)
    optimizer = torch.optim.SGD(model.parameters(), lr=lr, momentum=0.9)
    scheduler = CompressionScheduler(read_schedule(path), model, optimizer, epochs, steps)
    scheduler.restore({"scores": [[loss(epoch), 100 * loss(epoch)] for epoch in range(start)]}, start)
    rates = []
    for epoch in range(start, epochs):
        scheduler.on_epoch_begin(epoch)
        for number in range(steps):
            scheduler.on_minibatch_begin(epoch, number)
            rates.append(optimizer.param_groups[0]["lr"])
            optimizer.step()
            scheduler.on_minibatch_end(epoch, number)
        scheduler.on_epoch_end(epoch)
        scheduler.on_validation_end(epoch, loss(epoch), 100 * loss(epoch))
    return rates


def loss(epoch: int) -> float:
    """What the validation is said to have given: it falls for three epochs, and then no more."""
    return max(1.0 - 0.25 * epoch, 0.5)


def write(tmp_path: Path, text: str) -> Path:
    path = tmp_path / "schedule.yaml"
    path.write_text(text)
    return path


STEP = """\
lr_schedulers:
  drop:
    class: StepLR
    step_size: 1
    gamma: 0.5
policies:
"""
DROP = "  - {lr_scheduler: {instance_name: drop}, starting_epoch: 0, ending_epoch: 9, frequency: 1}\n"
LR_CLASSES = "StepLR, MultiStepLR, MultiStepMultiGammaLR, ConstantLR, LinearLR, ExponentialLR, PolynomialLR, " \
    "CosineAnnealingLR, CosineAnnealingWarmRestarts, ReduceLROnPlateau, OneCycleLR, CyclicLR"  # fmt: skip
EITHER = "a policy needs either epochs, a list of integers of at least 0, or starting_epoch, ending_epoch and frequency"


def test_multi_step_drops_at_the_start_of_each_milestone():
    rates = learning_rates(SCHEDULES / "schedule.yaml", 200, 1)
    expected = [0.1 * 0.1 ** sum(epoch >= milestone for milestone in (100, 140, 170)) for epoch in range(200)]
    assert rates == pytest.approx(expected, rel=1e-12)


def test_one_cycle_follows_the_length_of_the_run():
    """Cosine from max/25 up to max at 30 % of the steps, and down to max/25/10000 at the last: torch's defaults."""
    peak, share = 0.02, 0.3
    first = peak / 25
    for epochs, steps in ((4, 10), (7, 3)):
        top, last = share * epochs * steps - 1, epochs * steps - 1
        expected = []
        for step in range(epochs * steps):
            low, high, way = (
                (first, peak, step / top) if step <= top else (first / 1e4, peak, 1 - (step - top) / (last - top))
            )
            expected.append(low + (high - low) * (1 - math.cos(math.pi * way)) / 2)
        assert learning_rates(SCHEDULES / "onecycle.yaml", epochs, steps, lr=peak) == pytest.approx(expected, rel=1e-9)


@pytest.mark.parametrize("name", ["schedule.yaml", "onecycle.yaml"])
def test_replay_continues_with_the_same_learning_rates(name):
    whole = learning_rates(SCHEDULES / name, 150, 3)
    assert learning_rates(SCHEDULES / name, 150, 3, start=101) == whole[101 * 3 :]


@pytest.mark.parametrize(
    "policy, drops_after",
    [
        ("  - {lr_scheduler: {instance_name: drop}, starting_epoch: 1, ending_epoch: 5, frequency: 2}\n", {1, 3}),
        ("  - {lr_scheduler: {instance_name: drop}, epochs: [0, 4]}\n", {0, 4}),
    ],
)
def test_policy_says_in_which_epochs_the_scheduler_steps(tmp_path, policy, drops_after):
    rates = learning_rates(write(tmp_path, STEP + policy), 8, 1, lr=1.0)
    assert rates == [0.5 ** sum(passed in drops_after for passed in range(epoch)) for epoch in range(8)]


@pytest.mark.parametrize("mode, epochs_of_drops", [("min", {5, 7, 9}), ("max", {3, 5, 7, 9})])
def test_plateau_looks_at_the_loss_or_at_the_accuracy_of_the_validation(tmp_path, mode, epochs_of_drops):
    """With patience 1 the rate halves before the epoch that follows two epochs in a row without improvement.

    The loss improves in epochs 0, 1, 2 and is bad in 3, 4, then 5, 6, and so on. As an accuracy it is best in epoch 0.
    """
    text = f"""lr_schedulers:
  wait: {{class: ReduceLROnPlateau, mode: {mode}, factor: 0.5, patience: 1}}
policies:
  - {{lr_scheduler: {{instance_name: wait}}, starting_epoch: 0, ending_epoch: 100, frequency: 1}}
"""
    expected = [0.5 ** sum(epoch >= drop for drop in epochs_of_drops) for epoch in range(10)]
    path = write(tmp_path, text)
    assert learning_rates(path, 10, 1, lr=1.0) == expected
    assert learning_rates(path, 10, 1, start=6, lr=1.0) == expected[6:]


def test_plateau_cannot_go_on_without_the_scores_of_all_epochs(tmp_path):
    text = "lr_schedulers: {w: {class: ReduceLROnPlateau}}\npolicies: [{epochs: [0], lr_scheduler: {instance_name: w}}]"
    model = torch.nn.Linear(1, 1)
    scheduler = CompressionScheduler(
        read_schedule(write(tmp_path, text)), model, torch.optim.SGD(model.parameters(), lr=1.0), 9, 1
    )
    with pytest.raises(ValueError, match="needs the scores of 3 validations, not 1"):
        scheduler.restore({"scores": [[1.0, 50.0]]}, 3)


def test_each_milestone_may_have_its_own_factor(tmp_path):
    text = """lr_schedulers:
  drop: {class: MultiStepMultiGammaLR, milestones: [1, 3], gammas: [0.5, 0.25]}
policies:
  - {lr_scheduler: {instance_name: drop}, starting_epoch: 0, ending_epoch: 9, frequency: 1}
"""
    assert learning_rates(write(tmp_path, text), 5, 2, lr=1.0) == [1.0, 1.0, *[0.5] * 4, *[0.125] * 4]


def test_numbers_may_be_written_with_an_exponent_only(tmp_path):
    rates = learning_rates(write(tmp_path, STEP.replace("0.5", "1e-3") + DROP), 3, 1, lr=1.0)
    assert rates == pytest.approx([1, 1e-3, 1e-6], rel=1e-12)


@pytest.mark.parametrize(
    "text, line, message",
    [
        ("extensions: {}\n", 1, "extensions (thinning among them) are not supported; remove them to train without"),
        ("policy: []\n", 1, "unknown section 'policy'; known are version, lr_schedulers, pruners, regularizers, "
         "quantizers, policies"),
        ("lr_schedulers:\n  a:\n    gamma: 1\n", 2,
         f"'a' needs a key 'class', the name of a lr_scheduler: {LR_CLASSES}"),
        ("lr_schedulers:\n  a: {class: StepLR}\n  a: {class: StepLR}\n", 3, "'a' is given twice in lr_schedulers"),
        ("lr_schedulers: []\n", 1, "lr_schedulers must be a mapping of names to values"),
        ("lr_schedulers:\n  a: {\n    class: MagicLR}\n", 3, f"unknown class 'MagicLR' of 'a'; known are {LR_CLASSES}"),
        ("lr_schedulers:\n  a: {class: StepLR,\n    step: 3, step_size: 1}\n", 3,
         "StepLR 'a': unknown key 'step'; known are step_size, gamma"),
        ("lr_schedulers:\n  a:\n    class: StepLR\n", 3, "StepLR 'a': needs the key 'step_size'"),
        ("lr_schedulers:\n  a:\n    class: StepLR\n    step_size: 1.5\n", 4,
         "StepLR 'a': step_size should be a valid integer; given 1.5"),
        ("lr_schedulers:\n  a:\n    class: OneCycleLR\n    max_lr: high\n", 4,
         "OneCycleLR 'a': max_lr should be a valid number or should be a valid list; given 'high'"),
        ("policies: {}\n", 1, "policies must be a list"),
        (STEP + "  - 3\n", 7, "a policy must be a mapping of names to values"),
        (STEP + "  - epochs: [1]\n    extension: {instance_name: p}\n    lr_scheduler: {instance_name: drop}\n", 8,
         "extensions (thinning among them) are not supported; remove them to train without"),
        (STEP + "  - lr_scheduler: {instance_name: drop}\n    start: 3\n    epochs: [1]\n", 8,
         "unknown key 'start' in a policy; known are lr_scheduler, pruner, regularizer, quantizer, epochs, "
         "starting_epoch, ending_epoch, frequency"),
        (STEP + "  - epochs: [1]\n", 7,
         "a policy needs one of the keys lr_scheduler, pruner, regularizer, quantizer; given none"),
        (STEP + "  - epochs: [1]\n    lr_scheduler: {}\n    pruner: {}\n", 7,
         "a policy needs one of the keys lr_scheduler, pruner, regularizer, quantizer; given lr_scheduler, pruner"),
        (STEP + "  - epochs: [1]\n    lr_scheduler:\n      instance_name: lift\n", 9,
         "no lr_scheduler is named 'lift'; defined are drop"),
        (STEP + "  - epochs: [1]\n    lr_scheduler:\n      instance_name: drop\n      argument: 1\n", 10,
         "unknown key 'argument' in lr_scheduler; known are instance_name, args"),
        (STEP + "  - epochs: [1]\n    lr_scheduler: {instance_name: drop, args: {keep: 1}}\n", 8,
         "args of the lr_scheduler 'drop': unknown key 'keep'; known are none"),
        (STEP + "  - lr_scheduler: {instance_name: drop}\n", 7,
         "a policy needs either epochs or all of starting_epoch, ending_epoch, frequency, integers of at least 0; "
         "given none"),
        (STEP + "  - lr_scheduler: {instance_name: drop}\n    epochs: 3\n", 8, EITHER),
        (STEP + "  - lr_scheduler: {instance_name: drop}\n    epochs: [-1]\n", 8, EITHER),
        (STEP + "  - {lr_scheduler: {instance_name: drop}, starting_epoch: 5, ending_epoch: 5, frequency: 1}\n", 7,
         "a policy needs 0 < frequency <= ending_epoch - starting_epoch; given 1, 5 and 5"),
        ("lr_schedulers: [\n", 2, "not valid YAML: expected the node content, but found '<stream end>'"),
    ],
)
def test_complaints_name_file_and_line(tmp_path, text, line, message):
    path = write(tmp_path, text)
    with pytest.raises(UserError) as caught:
        read_schedule(path)
    assert str(caught.value) == f"{path}:{line}: {message}"


def test_all_complaints_come_together(tmp_path):
    text = """lr_schedulers:
  a: {class: StepLR, step_size: 1.5, gama: 3}
  b: {class: MagicLR}
pruners:
  p:
    class: AutomatedGradualPruner
    initial_sparsity: 0.1
    final_sparsity: 1.5
    weights: [conv1.weight, 1]
  q: {class: SensitivityPruner, sensitivities: {fc.weight: low}}
regularizers:
  r: {class: GroupLassoRegularizer, reg_regims: {fc.weight: [0.1, 5D]}}
quantizers:
  s: {class: DorefaQuantizer, overrides: {"fc(": {bits_weights: 8}}}
policies:
  - pruner: {instance_name: p, args: {mask_gradients: true}}
    epochs: [1]
"""
    path = write(tmp_path, text)
    with pytest.raises(UserError) as caught:
        read_schedule(path)
    assert [line.removeprefix(f"{path}:") for line in str(caught.value).splitlines()] == [
        "2: StepLR 'a': step_size should be a valid integer; given 1.5",
        "2: StepLR 'a': unknown key 'gama'; known are step_size, gamma",
        f"3: unknown class 'MagicLR' of 'b'; known are {LR_CLASSES}",
        "8: AutomatedGradualPruner 'p': final_sparsity should be less than or equal to 1; given 1.5",
        "9: AutomatedGradualPruner 'p': weights.1 should be a valid string; given 1",
        "10: SensitivityPruner 'q': sensitivities.fc.weight should be a valid number; given 'low'",
        "12: GroupLassoRegularizer 'r': reg_regims.fc.weight.1 should be '2D', '3D', 'Filters', 'Channels', '4D', "
        "'Rows' or 'Cols'; given '5D'",
        "14: DorefaQuantizer 's': overrides.fc( should be a regular expression (missing ), unterminated subpattern at "
        "position 2); given 'fc('",
        "16: args of the pruner 'p': mask_gradients needs mask_on_forward_only",
    ]


@pytest.mark.parametrize(
    "component, message",
    [
        ("{class: StepLR, step_size: 0}", "StepLR 'a': refuses its arguments: "),
        ("{class: OneCycleLR, max_lr: 1, pct_start: 7}", "OneCycleLR 'a': refuses its arguments: "),
        ("{class: OneCycleLR, max_lr: 1, epochs: 2}", "OneCycleLR 'a': refuses its arguments: Tried to step 7 times"),
        ("{class: MultiStepMultiGammaLR, milestones: [1], gammas: []}",
         "MultiStepMultiGammaLR 'a': refuses its arguments: needs as many gammas as milestones, not 0 and 1"),
        ("{class: ExponentialLR, gamma: -1}", "ExponentialLR 'a': makes the learning rate -0.1 in step 1 of 3"),
    ],
)  # fmt: skip
def test_learning_rates_that_would_fail_in_the_middle_of_the_run_are_refused_at_its_beginning(
    tmp_path, component, message
):
    policy = "{lr_scheduler: {instance_name: a}, starting_epoch: 0, ending_epoch: 100, frequency: 1}"
    path = write(tmp_path, f"version: 1\nlr_schedulers:\n  a: {component}\npolicies:\n  - {policy}\n")
    model = torch.nn.Linear(1, 1)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.9)
    with pytest.raises(UserError) as caught:
        CompressionScheduler(read_schedule(path), model, optimizer, 3, 3)
    assert str(caught.value).startswith(f"{path}:3: {message}")
    assert optimizer.param_groups[0]["lr"] == 0.1


def test_missing_schedule_is_refused(tmp_path):
    with pytest.raises(UserError, match=r"none\.yaml: the schedule cannot be read"):
        read_schedule(tmp_path / "none.yaml")


def test_empty_schedule_does_nothing(tmp_path):
    assert learning_rates(write(tmp_path, ""), 3, 2) == [0.1] * 6
