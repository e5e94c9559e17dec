"""Networks for AI85 with one thing wrong: refused by the rule that forbids it, or right on the chip model."""

from collections.abc import Iterator
from dataclasses import replace
from itertools import islice
from random import Random

import pytest

from chip.errors import ChipFault
from izer.targets import TARGETS
from mutations85 import FORBIDDEN, LAST, accepted, anywhere, change_files, change_last, refusal
from network_files85 import DrawnLayer85, DrawnNetwork85, Shape
from random_networks85 import random_network

TRIED = 4  # networks of each change
CHUNKS, NETWORKS = 4, 50


def networks(first: int) -> Iterator[tuple[Random, DrawnNetwork85]]:
    """Legal networks, and the dice with which they were drawn."""
    for seed in range(first, first + 2000):
        dice = Random(seed)
        yield dice, random_network(dice)


@pytest.mark.parametrize("name", FORBIDDEN)
def test_a_description_that_breaks_a_limit_is_refused_by_its_rule(name, tmp_path):
    rule, change = FORBIDDEN[name]
    tried = 0
    for dice, network in networks(0):
        if change_files(dice, network, change, tmp_path):
            assert rule in refusal(network, tmp_path), (tmp_path / "net.yaml").read_text()
            tried += 1
        if tried == TRIED:
            return
    pytest.fail(f"only {tried} networks could be changed")


@pytest.mark.parametrize("name", LAST)
def test_a_last_layer_that_breaks_a_limit_is_refused_by_its_rule(name, tmp_path):
    rule, change = LAST[name]
    tried = 0
    for dice, network in networks(0):
        other = change_last(dice, network, change)
        if other:
            other.write(tmp_path)
            assert rule in refusal(other, tmp_path), other.yaml
            tried += 1
        if tried == TRIED:
            return
    pytest.fail(f"only {tried} networks could be changed")


@pytest.mark.parametrize("chunk", range(CHUNKS))
def test_what_is_accepted_after_any_change_is_right_on_the_chip_model(chunk, tmp_path):
    found = []
    for seed in range(NETWORKS * chunk, NETWORKS * (chunk + 1)):
        dice = Random(seed)
        network = random_network(dice)
        change_files(dice, network, anywhere, tmp_path)
        found.append(accepted(network, tmp_path))
    assert NETWORKS // 5 < sum(found) < NETWORKS * 4 // 5


def test_a_network_that_should_have_been_refused_is_found_on_the_chip_model(monkeypatch, tmp_path):
    """Where a rule, here that of overlaps, and the verification are missing, programs that are wrong differ."""
    _, change = FORBIDDEN["output over input (10.4)"]
    rules = [rule for rule in TARGETS[85].rules if rule.id not in ("overlap", "in-offset")]
    monkeypatch.setitem(TARGETS, 85, replace(TARGETS[85], rules=rules, verify=lambda *_: ()))
    found = 0
    for dice, network in islice(networks(0), 60):
        if change_files(dice, network, change, tmp_path):
            try:
                accepted(network, tmp_path)
            except (AssertionError, ChipFault):
                found += 1
    assert found > 0


def test_a_layer_that_is_dilated_far_reads_whole_rows_of_the_memory(tmp_path):
    """20 samples, 15 apart, are 2 rows of 15 words (AI85 hardware reference 4.3.3): they end 10 words behind the last.
    """
    signal = Shape("conv1d", (20, 1), (2, 1), dilation=15)
    layer = DrawnLayer85(signal, (-1,), 1, 1, 8192 - 30, False, 1, 2, 0, "", 8, 0, "", (), "small", 0, False, False)
    network = DrawnNetwork85((layer,), "hwc", (1, 20, 1), "large", 0, False, True, "packed")
    network.write(tmp_path)
    assert accepted(network, tmp_path)
    behind = replace(network, layers=(replace(layer, in_word=8192 - 29),))
    behind.write(tmp_path)
    assert refusal(behind, tmp_path) == {"capacity-in"}
