"""Activation thresholds: where they are, and that making them part of the weights changes no score."""

import pytest
import torch

import ai8x
import ai84
import ai84net
import ai85
import ai85net
import qat
import thresholds

ALL = 1e6
"""A z-score that no value reaches: the largest magnitude is the threshold."""


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
    """One pixel of 1/4 becomes 1/8 and then 1/4: thresholds of 16/127 and 32/127, as 128 / 127 of each."""
    convs = ai85.Conv2d(1, 1, 1, bias=True), ai85.Conv2d(1, 1, 1, bias=True)
    model = torch.nn.Sequential(*convs, ai85.Linear(1, 1, wide=True))
    for parameter, value in zip(model.parameters(), (0.25, 1 / 16, 1.0, 1 / 8, 2.0), strict=True):
        torch.nn.init.constant_(parameter, value)
    found = thresholds.fold_ai85(model, [torch.full((1, 1, 1, 1), 0.25)], ALL)
    one, other = 16 / 127, 32 / 127
    assert found == pytest.approx({"0": one, "1": other})
    values = [parameter.item() for parameter in model.parameters()]
    assert values == pytest.approx([0.25 / one, 1 / 16 / one, one / other, 1 / 8 / other, 2 * other])


def with_normalization(model: torch.nn.Module) -> torch.nn.Module:
    """The network with small factors of batch normalization, as weight decay leaves them."""
    for module in model.modules():
        if isinstance(module, torch.nn.BatchNorm1d | torch.nn.BatchNorm2d):
            torch.nn.init.uniform_(module.weight, 0.02, 0.2)
            torch.nn.init.uniform_(module.bias, -0.05, 0.05)
    return model.eval()


@pytest.mark.parametrize(
    ("arch", "shape"),
    [("ai85kws20net", (128, 128, 1)), ("ai85signalnet", (1, 512, 1)), ("ai85netextrasmall", (1, 28, 28))],
)
def test_every_layer_of_ai85_uses_its_whole_range_and_the_scores_stay_what_they_were(arch, shape):
    torch.manual_seed(5)
    model = with_normalization(ai85net.models[arch](batch_norm=True))
    data = torch.rand(8, *shape) - 0.5
    before = model(data)
    found = thresholds.fold_ai85(model, data.split(4), ALL)
    assert before.std() > 1e-4
    torch.testing.assert_close(model(data), before, rtol=1e-3, atol=1e-6)
    layers = {name: layer for name, layer in qat.layers(model).items() if layer.op is not None}
    assert [*found, "fc"] == list(layers)
    assert max(found.values()) < 0.9
    sizes = thresholds.measure(model, {name: layers[name] for name in found}, [data])
    assert [entry.largest for entry in sizes.values()] == pytest.approx([127 / 128] * len(found), rel=1e-4)


@pytest.mark.parametrize(
    ("arch", "shape", "settings"),
    [
        ("ai84foldednet", (5, 16, 16), {"batch_norm": True}),
        ("ai84netsmall", (1, 28, 28), {"bias": True}),
        ("ai84signalnet", (1, 486, 1), {}),
    ],
)
def test_layers_of_ai84_use_what_their_weights_allow_and_the_scores_stay_what_they_were(arch, shape, settings):
    torch.manual_seed(6)
    model = with_normalization(ai84net.models[arch](**settings))
    data = torch.rand(8, *shape) - 0.5
    data[:, 0] = ai84.FIRST_DATA.high if "batch_norm" in settings else data[:, 0]
    before = model(data)
    found = thresholds.fold_ai84(model, data.split(4), ALL)
    assert before.std() > 1e-4
    torch.testing.assert_close(model(data), before, rtol=1e-3, atol=1e-4)
    assert min(found.values()) < 0.8
    assert max(found.values()) <= 1
    convs = {name: model.get_submodule(name) for name in found}
    sizes = thresholds.measure(model, convs, [data], int("batch_norm" in settings))
    for name, conv in convs.items():
        limit, largest = conv.parameter_ranges[f"{conv.name}.weight"].high, conv.operator.weight.abs().max().item()
        assert largest <= limit * (1 + 1e-6)
        full = sizes[name].largest == pytest.approx(ai8x.Q7.high, rel=1e-4)
        assert full or largest == pytest.approx(limit) or found[name] == 1
        if "batch_norm" in settings:
            others = conv.operator.weight[0].flatten().tolist()
            assert others.count(0) == len(others) - 1
