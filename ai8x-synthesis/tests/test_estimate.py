"""The generator's estimate of the accelerator's time is what the chip model counts when it runs the program."""

import pytest
from hypothesis import HealthCheck, assume, given, settings

from chip import Chip
from cmsisnn_tools import conv1d_model
from conformance_cases import cases, model_of
from conformance_checks import run_on_chip
from izer import pipeline
from izer.device import AI84
from izer.errors import RuleError
from random_networks import random_networks


def counted(model: pipeline.Model) -> tuple[int, ...]:
    """The clocks of every layer; those of the run are their sum."""
    with Chip() as chip:
        run_on_chip(chip, pipeline.embedded_program(model))
        clocks = tuple(chip.layer_cycles(layer.index) for layer in model.network.layers)
        assert chip.cycles() == sum(clocks)
        return clocks


@pytest.mark.parametrize("folder", cases("valid"))
def test_estimate_is_the_chips_count_for_conformance_cases(folder):
    model = model_of(folder)
    assert model.clocks == counted(model)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(network=random_networks())
def test_estimate_is_the_chips_count_for_random_networks(network, tmp_path_factory):
    folder = tmp_path_factory.mktemp("net")
    network.write(folder)
    request = pipeline.Request(AI84, folder / "net.yaml", folder / "c.pth.tar", folder / "sample.npy",
                               input_offset=network.input_offset)  # fmt: skip
    try:
        model = pipeline.build_model(request)
    except RuleError as error:
        assume({violation.rule for violation in error.violations} != {"mask-ram"})
        raise
    assert model.clocks == counted(model)


def test_estimate_of_a_layer_by_hand():
    """layers_32: 32 layers of 1x4x4 with padding 1: one clock per output and one more per row of a single mask, three
    for each of six pixels of the top padding and of the first row, 3 + 3 + 3 * 2 + 2 in the other rows (AI85 14.1)."""
    folder = next(case.values[0] for case in cases("valid") if case.id == "layers_32")
    model = model_of(folder)
    shapes = {(layer.height, layer.width, layer.pad, layer.pool, layer.out_channels) for layer in model.network.layers}
    assert shapes == {(4, 4, 1, "", 1)}
    assert model.clocks == (16 + 4 + 2 * 6 * 3 + 4 * 14,) * 32


def test_estimate_is_the_chips_count_for_one_dimensional_layers(tmp_path):
    """These have padding above and below only."""
    model = conv1d_model(tmp_path, 21, (6, 3))
    assert model.clocks == counted(model)
