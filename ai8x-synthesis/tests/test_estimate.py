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


def counted(model: pipeline.Model) -> int:
    with Chip() as chip:
        run_on_chip(chip, pipeline.embedded_program(model))
        return chip.cycles()


@pytest.mark.parametrize("folder", cases("valid"))
def test_estimate_is_the_chips_count_for_conformance_cases(folder):
    model = model_of(folder)
    assert sum(model.clocks) == counted(model)


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
    assert sum(model.clocks) == counted(model)


def test_estimate_of_a_layer_by_hand():
    """layers_32: 32 layers of 1x4x4 with padding 1: 16 outputs, one mask, 36 padded inputs each (appendix D)."""
    folder = next(case.values[0] for case in cases("valid") if case.id == "layers_32")
    model = model_of(folder)
    shapes = {(layer.height, layer.width, layer.pad, layer.pool, layer.out_channels) for layer in model.network.layers}
    assert shapes == {(4, 4, 1, "", 1)}
    assert sum(model.clocks) == 32 * (16 + 2 * 36)


def test_estimate_is_the_chips_count_for_one_dimensional_layers(tmp_path):
    """These have padding above and below only."""
    model = conv1d_model(tmp_path, 21, (6, 3))
    assert sum(model.clocks) == counted(model)
