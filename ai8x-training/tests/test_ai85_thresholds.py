"""Activation thresholds: where they are, and that making them part of the weights changes no score."""

import pytest
import torch

import ai85
import ai85net
import qat
import thresholds


def test_threshold_is_at_the_largest_magnitude_that_is_no_outlier():
    """Of 0, 0, 0 and -4 the mean magnitude is 1 and the standard deviation sqrt(16 / 4 - 1); 127/128 is full scale."""
    sizes = thresholds.Magnitudes()
    sizes.add(torch.tensor([[0.0, 0.0], [0.0, -4.0]]))
    assert sizes.threshold(1.0) == pytest.approx((1 + 3**0.5) * 128 / 127)
    assert sizes.threshold(2.0) == 4 * 128 / 127
    sizes.add(torch.tensor([7.0, 7.0, 7.0, 3.0]))
    assert (sizes.count, sizes.total, sizes.squares, sizes.largest) == (8, 28, 16 + 3 * 49 + 9, 7)


def test_layer_without_output_stays_as_it_is():
    sizes = thresholds.Magnitudes()
    sizes.add(torch.zeros(3))
    assert sizes.threshold(8.0) == 1.0


def test_factors_of_a_layer_are_those_of_its_input_and_its_output():
    """Input of half the size and an eighth of the output: four times the weights, eight times the bias."""
    layer = ai85.Conv2d(1, 1, 1, bias=True)
    with torch.no_grad():
        layer.op.weight.fill_(0.25)
        layer.op.bias.fill_(0.5)
        thresholds.scale(layer, 0.5, 0.125)
    assert (layer.op.weight.item(), layer.op.bias.item()) == (1.0, 4.0)


@pytest.mark.parametrize("arch", ["ai85kws20net", "ai85signalnet", "ai85netextrasmall"])
def test_every_layer_uses_its_whole_range_and_the_scores_stay_what_they_were(arch):
    torch.manual_seed(5)
    model = ai85net.models[arch](batch_norm=True).eval()
    for module in model.modules():
        if isinstance(module, torch.nn.BatchNorm1d | torch.nn.BatchNorm2d):
            torch.nn.init.uniform_(module.weight, 0.02, 0.2)
            torch.nn.init.uniform_(module.bias, -0.05, 0.05)
    shape = {"ai85kws20net": (128, 128, 1), "ai85signalnet": (1, 512, 1), "ai85netextrasmall": (1, 28, 28)}[arch]
    data = torch.rand(8, *shape) - 0.5
    before = model(data)
    found = thresholds.fold(model, data.split(4), 1e6)
    assert before.std() > 1e-4
    torch.testing.assert_close(model(data), before, rtol=1e-3, atol=1e-6)
    names = [name for name, layer in qat.layers(model).items() if layer.op is not None]
    assert [*found, "fc"] == names
    assert max(found.values()) < 0.9
    largest = {name: sizes.largest for name, sizes in thresholds.measure(model, [data]).items()}
    assert largest == pytest.approx(dict.fromkeys(found, 127 / 128), rel=1e-4)
