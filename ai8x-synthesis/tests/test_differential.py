"""Random legal networks: reference, chip model, 8-bit training layers and compiled firmware give equal integers."""

import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from random import Random

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings

import differential
import run_fuzz
from chip.binding import Chip
from differential import build, run_seeds
from fuzzing import Difference
from izer import reference
from izer.network import Layer
from network_files import EXTREMES, DrawnNetwork
from random_networks import CHAINS, EVERYTHING, random_network, random_networks

CHUNKS, NETWORKS = 6, 50  # 300 networks; make fuzz N=10000 runs more


@pytest.mark.parametrize("number", range(CHUNKS))
def test_reference_chip_model_training_layers_and_firmware_are_equal(number):
    tried = run_seeds(range(number * NETWORKS, (number + 1) * NETWORKS))
    assert (tried.networks, tried.compiled) == (NETWORKS, 1)


def pooled(layer: Layer, plane: list[list[int]]) -> list[list[int]]:
    """One channel after pooling, window by window (AI84 hardware reference 1.4)."""
    size, step = layer.pool_size, layer.pool_stride
    if not layer.pool:
        return plane
    rows, columns = range(0, len(plane) - size + 1, step), range(0, len(plane[0]) - size + 1, step)
    combine = max if layer.pool == "max" else lambda window: int(sum(window) / size**2)
    return [[combine([plane[y + i][x + j] for i in range(size) for j in range(size)]) for x in columns] for y in rows]


def taps_2d(layer: Layer, y: int, x: int) -> list[tuple[int, int, int]]:
    """Number, row and column of the nine taps of an output pixel."""
    return [(3 * i + j, y + i - layer.pad, x + j - layer.pad) for i in range(3) for j in range(3)]


def taps_1d(layer: Layer, y: int, _: int) -> list[tuple[int, int, int]]:
    """The same for a signal: kernel 9, stride 3 (12.6); sample n is row n // 3, column n % 3."""
    return [(k, *divmod(3 * y + k - layer.pad, 3)) for k in range(9)]


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(network=random_networks(EVERYTHING))
def test_reference_equals_sums_written_out(network, tmp_path_factory):
    """Some outputs of every layer in plain integers (AI84 hardware reference 1.4)."""
    model = build(network, tmp_path_factory.mktemp("net"))
    random = np.random.default_rng(network.seed)
    for layer, values in zip(model.network.layers, model.values, strict=True):
        image = [pooled(layer, plane) for plane in values.input.tolist()]
        taps = taps_1d if layer.op == "conv1d" else taps_2d
        kernels = layer.weight.reshape(*layer.weight.shape[:2], 9).tolist()
        for o, y, x in zip(*(random.integers(0, size, 8) for size in values.output.shape), strict=True):
            total = 0 if layer.bias is None else int(layer.bias[o])
            for c, plane in enumerate(image):
                total += sum(kernels[o][c][k] * plane[v][h] for k, v, h in taps(layer, int(y), int(x))
                             if 0 <= v < len(plane) and 0 <= h < len(plane[0]))  # fmt: skip
            value = min(max((total + 64) // 128, -128), 127)
            assert values.output[o, y, x] == (max(value, 0) if layer.relu else value)


FEATURES = {
    "32 layers": lambda n: len(n.layers) == 32,
    "64 channels": lambda n: any(layer.outputs == 2**64 - 1 for layer in n.layers),
    "64 HWC input channels": lambda n: n.data_format == "hwc" and n.layers[0].processors == 2**64 - 1,
    "CHW input that fills an instance": lambda n: n.data_format == "chw" and n.height * n.width == 128 * 128,
    "HWC input that fills an instance": lambda n: n.data_format == "hwc" and (n.height, n.width) == (64, 64),
    "one row": lambda n: n.height == 1 and n.width > 100,
    "one column": lambda n: n.width == 1 and n.height > 100,
    "256 rows with padding": lambda n: n.height + 2 * n.layers[0].pad == 256,
    "4x4 average pooling": lambda n: n.layers[-1].pool == ("avg", 4, 4),
    "paddings of conv1d": lambda n: {0, 3, 6} <= {layer.pad for layer in n.layers if layer.op == "conv1d"},
    "all of -128": lambda n: n.sample == "lowest" and any(layer.values == "lowest" for layer in n.layers),
    "all of 127": lambda n: n.sample == "highest" and any(layer.values == "highest" for layer in n.layers),
    "joined layers": lambda n: any(-1 not in layer.sources and len(layer.sources) > 1 for layer in n.layers),
    "joined with the input": lambda n: any(-1 in layer.sources and len(layer.sources) > 1 for layer in n.layers),
    "three joined": lambda n: any(len(layer.sources) > 2 for layer in n.layers),
    "input offset at the last word": lambda n: n.data_format == "hwc" and
    n.input_offset == 16384 - 4 * n.height * n.width > 0,
    "classification": lambda n: n.classes == 10 and n.fc_bias,
}  # fmt: skip


@pytest.fixture(scope="module")
def drawn() -> list[DrawnNetwork]:
    """Networks that make fuzz begins with."""
    return [random_network(Random(seed), EVERYTHING) for seed in range(4000)]


@pytest.mark.parametrize("feature", FEATURES)
def test_every_feature_is_drawn(drawn, feature):
    assert any(FEATURES[feature](network) for network in drawn)


def test_a_seed_always_gives_the_same_network(drawn):
    assert [random_network(Random(seed), EVERYTHING) for seed in range(200)] == drawn[:200]
    assert len({replace(network, seed=0).yaml for network in drawn}) > 3900


def test_chains_have_no_joined_inputs_and_no_side_above_127():
    networks = [random_network(Random(seed), CHAINS) for seed in range(500)]
    assert all(layer.sources == (n - 1,) for network in networks for n, layer in enumerate(network.layers))
    assert max(max(network.height, network.width) for network in networks) <= 127


def test_values_of_an_extreme_are_all_the_same(tmp_path):
    network = next(n for n in (random_network(Random(seed), EVERYTHING) for seed in range(1000))
                   if n.sample == "lowest" and n.layers[0].values == "lowest")  # fmt: skip
    model = build(network, tmp_path)
    assert set(model.data.ravel().tolist()) == set(model.network.layers[0].weight.ravel().tolist()) == {-128}
    assert EXTREMES["lowest"] == -128


def floor_scale(accumulator: np.ndarray, shift: int) -> np.ndarray:
    """A wrong reference: no rounding."""
    return np.clip(accumulator >> 7, -128, 127).astype(np.int8)


def test_a_wrong_reference_is_found_and_its_network_described(monkeypatch):
    monkeypatch.setattr(reference, "scale", floor_scale)
    with pytest.raises(Difference, match=r"(?s)^seed \d+: AssertionError.*random_network\(Random\(\d+\).*layers:\n- {"):
        run_seeds(range(20))


def test_a_bit_that_changes_while_it_is_read_is_found(monkeypatch):
    read = Chip.read_many
    monkeypatch.setattr(Chip, "read_many", lambda chip, addresses: read(chip, addresses) ^ np.uint32(0x01010101))
    with pytest.raises(Difference, match=r"^seed 0: AssertionError"):
        run_seeds(range(1))


def test_a_wrong_training_layer_is_found(monkeypatch):
    monkeypatch.setattr(differential, "run_training_layers",
                        lambda model: [values.output ^ 1 for values in model.values])  # fmt: skip
    with pytest.raises(Difference, match="training layer 0"):
        run_seeds(range(1))


def run_main(monkeypatch, *arguments: str) -> int:
    monkeypatch.setattr(sys, "argv", ["run_fuzz.py", *arguments])
    return run_fuzz.main()


def test_a_difference_ends_with_status_1(monkeypatch, capsys):
    def differs(*_):
        raise Difference("seed 7: the network")
        yield

    monkeypatch.setattr(run_fuzz, "run_all", differs)
    assert run_main(monkeypatch, "10") == 1
    assert capsys.readouterr().err == "A network differs:\nseed 7: the network\n"


def test_the_program_counts_what_ran_in_several_processes():
    command = [sys.executable, Path(run_fuzz.__file__), "3", "--first", "40"]
    done = subprocess.run(command, capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.splitlines()[-1] == "3 networks ran, 1 of them compiled as firmware: no difference"


@pytest.mark.parametrize("number", ["0", "-1", "x"])
def test_numbers_of_networks_that_make_no_sense_are_refused(monkeypatch, number):
    with pytest.raises(SystemExit, match="2"):
        run_main(monkeypatch, number)


def test_chunks_cover_every_seed_once():
    assert run_fuzz.chunks_of(5, 250) == [range(5, 105), range(105, 205), range(205, 255)]
