"""train.py --activation-stats: statistics of layers whose outputs are known."""

import csv
import statistics
from functools import partial
from pathlib import Path

import hypothesis.strategies as st
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis.extra.numpy import arrays
from PIL import Image
from small_runs import NETWORK

import ai84net
import checkpoint
from ai84 import FusedConv2dReLU, SoftwareLinear
from ai85 import Linear
from analysis.activations import Recorder, channel_rows, layer_rows, plot, recording, table

CODES = arrays(np.int64, (3, 2, 2, 2), elements=st.integers(-128, 127))


def small_network(simulate: bool) -> ai84net.Ai84Net:
    torch.manual_seed(4)
    return ai84net.ai84netextrasmall(num_channels=1, simulate=simulate)


def recorded(layer, *batches: np.ndarray):
    recorder = Recorder(layer)
    for batch in batches:
        recorder.add(layer, None, torch.from_numpy(batch).float())
    return recorder.activations()


@settings(max_examples=40, deadline=None)
@given(CODES, CODES, st.booleans())
def test_statistics_of_8_bit_layers_are_those_of_all_values(first, second, simulate):
    unit = 1 if simulate else 128
    layer = FusedConv2dReLU(1, 2, 3, simulate=simulate)
    found = recorded(layer, first / unit, second / unit)
    everything = np.concatenate((first, second))
    for channel in range(2):
        values = [value / unit for value in everything[:, channel].ravel().tolist()]
        assert found.mean[channel] == pytest.approx(statistics.fmean(values), abs=1e-6)
        assert found.magnitude[channel] == pytest.approx(statistics.fmean(map(abs, values)), abs=1e-6)
        assert found.zeros[channel] == values.count(0) / 24
    codes = everything.ravel().tolist()
    assert (found.low, found.high) == (min(codes) / unit, max(codes) / unit)
    assert found.std == pytest.approx(statistics.pstdev(codes) / unit, rel=1e-4, abs=1e-4)
    assert found.saturated == sum(code in (-128, 127) for code in codes) / 48
    assert found.counts.tolist() == [codes.count(code) for code in range(-128, 128)]
    assert found.edges.tolist() == [code / unit for code in range(-128, 129)]


def test_more_values_than_single_precision_can_count_are_counted():
    many = np.zeros((1, 1, 4099, 4096), np.float32)  # more than 2**24
    many[0, 0, 0, :3] = 0.5
    found = recorded(FusedConv2dReLU(1, 1, 3), many)
    assert (found.counts[128], found.counts[192], found.counts.sum()) == (many.size - 3, 3, many.size)


@pytest.mark.parametrize(
    ("layer", "saturated"),
    [
        (SoftwareLinear(2, 3), 1 / 6),  # ends at 256 - 1/128
        (Linear(2, 3, wide=True), 0),  # 32 bits
    ],
)
def test_wide_layers_have_a_histogram_of_what_they_gave(layer, saturated):
    scores = np.array([[256 - 1 / 128, 1, 0], [-3, 5, 0]])
    found = recorded(layer, scores)
    assert found.saturated == saturated
    assert found.zeros.tolist() == [0, 0, 1]
    assert (found.counts.sum(), found.edges[0], found.edges[-1]) == (6, -3, 256 - 1 / 128)


def test_layers_are_recorded_in_order_and_not_after_the_block():
    model = small_network(simulate=False)
    with recording(model) as recorders, torch.no_grad():
        model(torch.zeros(2, 1, 28, 28))
    with torch.no_grad():
        model(torch.zeros(5, 1, 28, 28))
    assert list(recorders) == ["conv1", "conv2", "conv3", "fc"]
    activations = {name: recorder.activations() for name, recorder in recorders.items()}
    assert [int(layer.counts.sum()) for layer in activations.values()] == [
        2 * 8 * 28 * 28, 2 * 8 * 16 * 16, 2 * 8 * 4 * 4, 2 * 10]  # fmt: skip


def test_rows_table_and_plot_show_every_layer():
    layer = FusedConv2dReLU(1, 2, 3)
    found = {"conv": recorded(layer, np.array([[[[0.5, 0.0]], [[0.0, 0.0]]]]))}
    ((name, mean, std, low, high, zeros, saturated, silent),) = layer_rows(found)
    assert (name, mean, low, high, zeros, saturated, silent) == ("conv", 0.125, 0, 0.5, 75, 0, 1)
    assert std == pytest.approx(statistics.pstdev([0.5, 0, 0, 0]))
    assert channel_rows(found) == [("conv", 0, 0.25, 0.25, 50), ("conv", 1, 0, 0, 100)]
    assert table(found).splitlines()[-1].split() == ["conv", "0.125", "0.2165", "0", "0.5", "75.00", "0.00", "1"]
    (axes,) = plot(found).axes
    assert axes.get_title() == "conv: 75.0 % zero, 0.00 % saturated"


@pytest.fixture
def call(call):
    """train.py with the extra small network."""
    return partial(call, *NETWORK)


def rows_of(path: Path) -> list[dict[str, str]]:
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


@pytest.mark.parametrize(("phase", "images"), [("train", 90), ("valid", 30), ("test", 50)])
def test_each_phase_has_its_images(call, tmp_path, phase, images):
    run = {"run": {"seed": 3, "validation_split": 0.25}}
    checkpoint.save(tmp_path / "net", small_network(False), "ai84netextrasmall", 0, None, {}, run)
    status, output, _ = call("--activation-stats", phase, "--exp-load-weights-from", "net")
    assert status == 0
    assert f"{images} images ({phase}): Top1" in output


def test_integers_of_the_device_are_written_as_tables_and_picture(call, tmp_path):
    model = small_network(simulate=True)
    integers = {name: torch.randint(-128, 128, value.shape).float() for name, value in model.state_dict().items()}
    model.load_state_dict(integers)
    checkpoint.save(tmp_path / "net", model, "ai84netextrasmall", 0, None, {}, {})
    status, output, _ = call("--act-stats", "test", "-8", "--exp-load-weights-from", "net")
    assert status == 0
    (directory,) = (tmp_path / "logs").iterdir()
    layers = rows_of(directory / "activations.csv")
    assert [row["layer"] for row in layers] == ["conv1", "conv2", "conv3", "fc"]
    assert all(float(row["max"]).is_integer() for row in layers)
    assert float(layers[0]["max"]) == 127  # random weights saturate
    assert len(rows_of(directory / "channels.csv")) == 8 + 8 + 8 + 10
    assert Image.open(directory / "activations.png").size[0] == 800
    assert f"Written: {Path('logs') / directory.name / 'channels.csv'}" in output


@pytest.mark.parametrize(
    ("arguments", "message", "expected"),
    [
        (["--activation-stats"], "--activation-stats needs --exp-load-weights-from FILE", 2),
        (["--activation-stats", "all"], "invalid choice: 'all'", 2),
        (["--activation-stats", "-8", "--exp-load-weights-from", "net"], "-8 needs the integer weights", 1),
    ],
)
def test_what_cannot_be_measured_is_refused_before_anything_is_written(call, tmp_path, arguments, message, expected):
    checkpoint.save(tmp_path / "net", small_network(False), "ai84netextrasmall", 0, None, {}, {})
    status, _, error = call(*arguments)
    assert status == expected
    assert message in error
    assert [path.name for path in tmp_path.iterdir()] == ["net"]
