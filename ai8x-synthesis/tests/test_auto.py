"""Automatic placement: right on the chip model, optimal, true to what is given, and with reasons where nothing fits."""

import subprocess
import sys
from dataclasses import replace
from itertools import pairwise, product
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import automatic
from izer import pipeline
from izer.auto import completion, greedy
from izer.auto.problem import Problem, build_problem
from izer.auto.solution import Measures, measured
from izer.checkpoint import Checkpoint, LayerWeights
from izer.device import AI84, DEVICES
from izer.errors import RuleError
from izer.network import build_network
from izer.placement import Choices, first_bit, set_bits
from izer.targets import TARGETS
from izer.yamlcfg import Description, parse_description

ROOT = Path(__file__).resolve().parents[1]
PAIRS = [(84, *line.split()) for line in (ROOT / "networks" / "checkpoints.txt").read_text().splitlines()]
PAIRS += [(85, f"ai85/{line.split()[0]}", line.split()[1])
          for line in (ROOT / "networks" / "ai85" / "checkpoints.txt").read_text().splitlines()]  # fmt: skip
UNPROVEN = ("ai85/cifarnet",)
"""The solver may order the layers of a processor as the device does not, and finds less than the device can have."""


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize("chunk", range(3))
def test_random_networks_are_placed_checked_and_right_on_the_chip_model(device, chunk, tmp_path):
    outcomes = [automatic.place(device, seed, tmp_path, 0.3) for seed in range(12 * chunk, 12 * (chunk + 1))]
    placed = [outcome.verdict for outcome in outcomes if outcome.verdict]
    assert len(placed) >= 11
    assert sum(verdict.proven for verdict in placed) >= 6


@pytest.mark.parametrize(("device", "network", "checkpoint"), PAIRS)
def test_no_network_of_the_project_is_placed_better_by_hand(device, network, checkpoint, tmp_path):
    path, trained = ROOT / "networks" / f"{network}.yaml", ROOT / "trained" / f"{checkpoint}.pth.tar"
    hand = pipeline.build_model(pipeline.Request(DEVICES[device], path, trained))
    problem = build_problem(hand.device, hand.target, hand.description, hand.network, Choices())
    bare = tmp_path / "net.yaml"
    bare.write_text(automatic.without_places(path.read_text()))
    found = pipeline.build_model(pipeline.Request(DEVICES[device], bare, trained, auto=10))
    ours, theirs = found.verdict.measures, measured(problem, hand.description)
    assert found.verdict.proven == (network not in UNPROVEN)
    assert ours.columns <= theirs.columns and ours.memory <= theirs.memory and ours.clocks <= theirs.clocks
    for one, other in zip(found.values, hand.values, strict=True):
        assert np.array_equal(one.output, other.output)
    automatic.run(device, found)


def described(channels: list[int], extra: list[str] | None = None, image: str = "") -> tuple[Description, Checkpoint]:
    """A chain of 3x3 convolutions for AI84, with so many channels of input, outputs, ..."""
    lines = ["arch: a", "dataset: mnist", "layers:"]
    for number in range(len(channels) - 1):
        lines.append(f"- {{pad: 1, activate: ReLU{(', ' + extra[number]) if extra and extra[number] else ''}}}")
    layers = tuple(LayerWeights(f"layer{n}", np.ones((outputs, inputs, 3, 3), np.int8), None)
                   for n, (inputs, outputs) in enumerate(pairwise(channels)))  # fmt: skip
    text = ("\n".join(lines) + "\n").encode()
    return parse_description(text, "net.yaml", maps=False), Checkpoint("c.pth.tar", "a", layers, None)


def problem_of(channels: list[int], side: int = 8, extra: list[str] | None = None) -> Problem:
    """The problem of such a chain."""
    target = TARGETS[84]
    description, weights = described(channels, extra)
    network = build_network(description, weights, (channels[0], side, side), target.builder(False))
    return build_problem(AI84, target, description, network, Choices())


def complete(problem: Problem, seconds: float = 5) -> tuple[Description, completion.Verdict]:
    return completion.complete(problem.device, problem.target, problem.description, problem.network, problem.choices,
                               seconds)  # fmt: skip


def outputs(problem: Problem, windows: list[int], layer: int) -> int:
    """The map of a layer's output."""
    return problem.groups[layer + 1][0].windows[windows[layer + 1]].processors


def fewest_columns(problem: Problem) -> int:
    """By trying all windows: columns lie behind those of earlier layers in the same processors."""
    best = 10**6
    last = problem.network.layers[-1].index
    leads = {first_bit(window.processors) % 4 for window in problem.groups[-1][0].windows}
    for *windows, answer in product(*(range(len(group[0].windows)) for group in problem.groups[:-1]), sorted(leads)):
        tops = np.zeros(64, int)
        for layer, window in zip(problem.network.layers, windows, strict=True):
            rows = set_bits(problem.groups[layer.index][0].windows[window].processors)
            lead = answer if layer.index == last else first_bit(outputs(problem, windows, layer.index)) % 4
            tops[rows] = (max(0, tops[rows].max() - lead) + 3) // 4 * 4 + lead + layer.out_channels
        best = min(best, tops.max())
    return int(best)


@settings(max_examples=8, deadline=None, suppress_health_check=list(HealthCheck))
@given(st.lists(st.integers(52, 64), min_size=3, max_size=4))
def test_the_solver_finds_and_proves_the_fewest_columns(channels):
    problem = problem_of(channels)
    try:
        _, verdict = complete(problem)
    except RuleError as error:
        if "rule auto-weights" not in str(error):
            assert f"{fewest_columns(problem)} columns in the placement that is proven" in str(error)
        return
    assert (verdict.measures.columns, verdict.columns) == (fewest_columns(problem),) * 2
    assert verdict.proven


def test_a_chain_whose_windows_can_be_disjoint_needs_no_more_memory_than_one_output():
    """Three outputs of 16 channels of 8x8 pixels beside each other: 256 bytes."""
    _, verdict = complete(problem_of([16, 16, 16, 16]))
    assert verdict.measures == Measures(16, 256, verdict.measures.clocks)
    assert verdict.proven


def test_two_outputs_in_all_instances_lie_one_behind_the_other():
    description, verdict = complete(problem_of([64, 64, 64]))
    assert verdict.measures.memory == 2 * 256
    assert {layer.out_offset for layer in description.layers} == {0, 256}
    assert [layer.processors for layer in description.layers] == [2**64 - 1] * 2


def test_what_is_given_is_kept_to_the_letter():
    extra = ["out_offset: 0x1230", "processors: 0x0ff0f00000000000", "output_processors: 0x000000000000f0f0"]
    description, verdict = complete(problem_of([4, 16, 16, 8], extra=extra))
    layers = description.layers
    assert (layers[0].out_offset, layers[1].processors) == (0x1230, 0x0FF0F00000000000)
    assert layers[2].output_processors == 0xF0F0
    assert verdict.proven and verdict.measures.memory == 0x1230 + 256
    again, same = complete(replace_description(problem_of([4, 16, 16, 8], extra=extra), description))
    assert replace(again, text=b"") == replace(description, text=b"") and same.measures == verdict.measures


@pytest.mark.parametrize("seconds", [0, 5])
def test_what_is_computed_keeps_clear_of_an_offset_that_is_given_later(seconds):
    """Layer 0 writes 8x8 pixels to the words from 0 on, in all instances: its input, and the answer, lie behind."""
    description, verdict = complete(problem_of([64, 64, 64], extra=["out_offset: 0", ""]), seconds)
    assert description.layers[0].in_offset == 256
    assert [layer.out_offset for layer in description.layers] == [0, 256]
    assert verdict.measures.memory == 2 * 256


def replace_description(problem: Problem, description: Description) -> Problem:
    """The same network, described completely."""
    given = ("processors", "output_processors", "out_offset", "in_offset", "data_format")
    layers = tuple(replace(layer, lines={**layer.lines, **dict.fromkeys(given, 1)}) for layer in description.layers)
    lines = [layer.lines for layer in description.layers]
    assert all(set(each) <= {*given, "pad", "activate"} for each in lines)
    restored = tuple(replace(layer, lines=each) for layer, each in zip(layers, lines, strict=True))
    return replace(problem, description=replace(description, layers=restored))


def test_a_first_placement_needs_no_solver_and_claims_no_proof():
    problem = problem_of([4, 16, 16, 8])
    _, verdict = complete(problem, 0)
    assert not verdict.proven and (verdict.columns, verdict.memory) == (None, None)
    assert str(verdict).endswith("not proven to be the best (--auto-time 0).")
    assert greedy.solve(problem) == greedy.solve(problem)


@pytest.mark.parametrize(
    ("channels", "side", "extra", "message"),
    [
        ([64, 64, 64, 64], 8, None,
         "rule auto-weights: All kernels together fit the 8,192 columns of weight memory. Given: 12,288 columns, 4,096 "
         "too many; layer 0 has most of them. Train with fewer channels or layers."),
        ([33, 50, 40, 40], 8, None,
         "rule auto-columns: A processor has 128 columns of weight memory. Given: 130 columns in the placement that is "
         "proven to be the best among consecutive processors, 2 too many; layer 1 has most kernels. Train with fewer "
         "channels, or layers of at most "
         "half of the processors, two of which can share columns."),
        ([1, 8], 65, None,
         "rule auto-data: Every value fits the 16384 bytes of a data memory instance, four for each pixel. Given: the "
         "output of layer 0 takes 16900 bytes, 516 too many. Pool earlier, or use smaller images."),
        ([64, 64, 4], 60, None,
         "rule auto-memory: A data memory instance has 16384 bytes. Given: 28800 bytes in the placement that is proven "
         "to be the best among consecutive processors, 12416 too many. Pool earlier, use smaller images, or fewer "
         "channels, so that a layer's input "
         "and output are not in the same instances."),
    ],
)  # fmt: skip
def test_a_network_that_fits_nowhere_gets_the_reason(channels, side, extra, message):
    with pytest.raises(RuleError) as caught:
        complete(problem_of(channels, side, extra))
    assert message in str(caught.value)


def test_maps_that_leave_no_place_are_refused():
    text = (b"arch: a\ndataset: mnist\nlayers:\n- {pad: 1}\n- {pad: 1, in_sequences: -1, output_processors: 0xf00}\n"
            b"- {pad: 1, in_sequences: [0, 1], processors: 0xff}\n")  # fmt: skip
    description = parse_description(text, "net.yaml", maps=False)
    shapes = ((4, 4), (4, 4), (8, 8))
    weights = tuple(LayerWeights("", np.ones((o, i, 3, 3), np.int8), None) for i, o in shapes)
    target = TARGETS[84]
    network = build_network(description, Checkpoint("c", "a", weights, None), (4, 8, 8), target.builder(False))
    with pytest.raises(RuleError, match="rule auto-maps: The given maps of processors must leave a place for every"):
        build_problem(AI84, target, description, network, Choices())


def cnn_gen(*arguments: object) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, ROOT / "cnn-gen.py", *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, cwd=ROOT, check=False)


def without_command(lines: list[bytes]) -> list[bytes]:
    return [line for line in lines if b"Created by" not in line]


@pytest.mark.parametrize(("device", "network", "checkpoint"), [PAIRS[6], PAIRS[4], PAIRS[9]])
def test_the_written_description_generates_the_identical_program(device, network, checkpoint, tmp_path):
    bare, full = tmp_path / "bare.yaml", tmp_path / "full.yaml"
    bare.write_text(automatic.without_places((ROOT / "networks" / f"{network}.yaml").read_text()))
    options = ["--device", device, "--checkpoint-file", ROOT / "trained" / f"{checkpoint}.pth.tar", "--prefix", "net",
               "--embedded-code"]  # fmt: skip
    done = cnn_gen(*options, "--auto", "--config-file", bare, "--write-yaml", full, "--test-dir", tmp_path / "one")
    assert done.returncode == 0, done.stderr
    assert "; proven optimal among consecutive processors." in done.stdout
    assert cnn_gen(*options, "--config-file", full, "--test-dir", tmp_path / "two").returncode == 0
    names = sorted(path.name for path in (tmp_path / "one" / "net").iterdir())
    for name in names:
        one, two = ((tmp_path / folder / "net" / name).read_bytes().splitlines() for folder in ("one", "two"))
        assert without_command(one) == without_command(two)
    text = full.read_text()
    assert text.startswith("# Created by: cnn-gen.py --device") and "\n# Layer 0: " in text
    assert "; weights in columns 0 to " in text


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--auto"], "--auto needs --checkpoint-file, whose weights tell how many channels there are"),
        (["--write-yaml", "x.yaml", "--config-file", "y.yaml"], "--write-yaml needs --auto"),
        ([], "--config-file is required, except with --auto and a checkpoint that describes its network"),
        (["--auto", "--auto-time", "-1"], "a time of at least 0 is wanted, not -1"),
    ],
)
def test_wrong_options_end_with_status_2(options, message):
    done = cnn_gen("--check", *options)
    assert done.returncode == 2 and message in done.stderr


def test_an_older_checkpoint_without_description_needs_a_file():
    done = cnn_gen("--check", "--auto", "--checkpoint-file", "trained/ai84-mnist.pth.tar")
    assert done.returncode == 1
    assert "this checkpoint does not describe its network (the key `network`); write a description" in done.stderr
