"""Random legal networks for AI85: reference, plain integers, chip model, training layers and firmware are equal."""

import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from random import Random

import numpy as np
import pytest

import differential85
import run_fuzz
from allocation85 import columns_fit
from chip.binding import Chip
from differential85 import run_seeds
from fuzzing import Difference
from izer import reference
from izer.ai85 import weights
from izer.targets import TARGETS
from kinds85 import kinds, readable
from network_files85 import DrawnNetwork85, Shape
from random_networks85 import random_network

CHUNKS, NETWORKS = 4, 25  # 100 networks; make fuzz DEVICE=85 N=10000 runs more


@pytest.mark.parametrize("number", range(CHUNKS))
def test_reference_chip_model_training_layers_and_firmware_are_equal(number):
    tried = run_seeds(range(number * NETWORKS, (number + 1) * NETWORKS))
    assert (tried.networks, tried.compiled) == (NETWORKS, 1)


FEATURES = {
    *(f"weights of {bits} bits" for bits in (1, 2, 4, 8)),
    *(f"kernel {size} of conv1d" for size in range(1, 10)),
    *(f"conv1d with padding {pad}" for pad in range(3)),
    *(f"conv2d with padding {pad}" for pad in range(3)),
    *(f"dilation, {kind}" for kind in ("short", "long, kernel 2", "long, kernel 3")),
    *(f"layer without weights: {kind}" for kind in ("pooling", "copy", "other lanes or instances", "several passes")),
    *(f"several {way} passes{kind}" for way in ("input", "output") for kind in ("", ", the last not full",
                                                                               ", narrow weights")),
    *(f"activation {name}" for name in ("none", "relu", "abs")),
    *(f"program: {style}" for style in ("packed", "verify", "rtl")),
    "1 layer", "32 layers", "conv2d 1x1", "conv2d 3x3", "conv1d", "linear", "none", "flatten",
    "flatten, several passes", "flatten, more than 16 weights per output",
    "1024 input channels", "1024 output channels", "max pooling",
    "avg pooling", "sub-sampling", "pooling window not square", "pooling window of 16", "pooling stride above 2",
    "rounded averages", "rounding in front of conv1d", "32-bit output", "32-bit output, several passes",
    "total shift 15", "total shift -15", "shift and bits in the description", "bias", "bias_group", "in_dim",
    "bias, unaligned output map", "output map unaligned", "output map with holes", "weights all the same",
    "joined inputs", "all 64 processors", "output up to the last word", "output from the first word", "input CHW",
    "input HWC", "input not square", "input of one row or column", "input with 1023 rows or columns",
    "input that fills an instance", "input offset", "input map with gaps", "data all the same", "shared weights",
    "no de-duplication", "all 768 columns", "two outputs or more readable in the end",
}  # fmt: skip


@pytest.fixture(scope="module")
def drawn() -> list[DrawnNetwork85]:
    """Networks that make fuzz begins with."""
    return [random_network(Random(seed)) for seed in range(1500)]


def test_every_feature_is_drawn(drawn):
    found = {kind for network in drawn for kind in kinds(network)}
    assert found >= FEATURES, FEATURES - found


def test_a_seed_always_gives_the_same_network(drawn):
    assert [random_network(Random(seed)) for seed in range(100)] == drawn[:100]
    assert len({network.yaml for network in drawn}) > 1400


def test_all_outputs_stay_readable_that_nothing_writes_over(drawn):
    """The last layer's always; one that a layer like it follows at the same place does not."""
    assert all(len(network.layers) - 1 in readable(network) for network in drawn)
    network = next(network for network in drawn if len(network.layers) == 2)
    same = replace(network.layers[1], out_word=network.layers[0].out_word, outputs=network.layers[0].outputs,
                   shape=network.layers[0].shape, out_channels=network.layers[0].out_channels)  # fmt: skip
    assert readable(replace(network, layers=(network.layers[0], same))) == [1]


def test_columns_that_two_layers_would_write_do_not_fit(drawn):
    """The same weights twice fit when they are shared; 800 kernels of 3x3 never fit in 768 columns (5.7)."""
    network = next(network for network in drawn if len(network.layers) == 1 and network.layers[0].weighted)
    image = Shape("conv2d", (3, 3), (3, 3))
    layer = replace(network.layers[0], shape=image, channels=1, processors=1, bits=8, bias="", out_channels=512,
                    outputs=2**64 - 1)  # fmt: skip
    twice = replace(network, layers=(layer, layer), deduplicate=True)
    assert columns_fit(replace(network, layers=(layer,)))
    assert columns_fit(twice)
    assert not columns_fit(replace(twice, deduplicate=False))
    assert not columns_fit(replace(network, layers=(replace(layer, out_channels=800),)))


def floor_scale(accumulator: np.ndarray, shift: int) -> np.ndarray:
    """A wrong reference: no rounding."""
    return np.clip((accumulator << max(0, shift)) >> 7 + max(0, -shift), -128, 127).astype(np.int8)


def test_a_wrong_reference_is_found_and_its_network_described(monkeypatch):
    monkeypatch.setattr(reference, "scale", floor_scale)
    with pytest.raises(Difference, match=r"(?s)^seed \d+: AssertionError.* is not .*random_network\(.*layers:\n- {"):
        run_seeds(range(20))


def test_a_bit_that_changes_while_it_is_read_is_found(monkeypatch):
    read = Chip.read_many
    monkeypatch.setattr(Chip, "read_many", lambda chip, addresses: read(chip, addresses) ^ np.uint32(0x01010101))
    with pytest.raises(Difference, match=r"^seed 0: AssertionError"):
        run_seeds(range(1))


@pytest.mark.parametrize("register", ["RPTR_BASE", "WPTR_BASE", "LCTL", "POST", "MCNT", "STRIDE"])
def test_a_wrong_register_is_found(register, monkeypatch):
    monkeypatch.setitem(TARGETS, 85, replace(TARGETS[85], registers=wrong_registers(register)))
    with pytest.raises(Difference):
        run_seeds(range(12))


def wrong_registers(name: str):
    """The generator's registers, one of which has a wrong bit 0 (of LCTL bit 9, of POST bit 13) in every layer."""
    right, bit = TARGETS[85].registers, {"LCTL": 9, "POST": 13}.get(name, 0)
    return lambda *network: (replace(each, value=each.value ^ 1 << bit) if each.name == name else each
                             for each in right(*network))


def test_a_wrong_order_of_weights_is_found(monkeypatch):
    merge = weights.merge
    monkeypatch.setattr(weights, "merge", lambda slots, bits: merge(slots[:, ::-1], bits))
    with pytest.raises(Difference):
        run_seeds(range(8))


def test_a_wrong_training_layer_is_found(monkeypatch):
    monkeypatch.setattr(differential85, "run_training_layer", lambda layer, data: data + 1)
    with pytest.raises(Difference, match="training layer 0"):
        run_seeds(range(1))


def test_the_program_compares_networks_for_ai85():
    command = [sys.executable, Path(run_fuzz.__file__), "3", "--device", "85", "--first", "40"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.splitlines()[-1] == "3 networks ran, 1 of them compiled as firmware: no difference"
