"""The networks have the published shapes and sizes, and refuse inputs that do not fit."""

import pytest
import torch

import ai84
import ai84net


def parameter_count(model):
    return sum(parameter.numel() for parameter in model.parameters())


@pytest.mark.parametrize(
    "name, channels, side, classes, bias, count",
    [
        ("ai84net5", 1, 28, 10, False, 71_158),
        ("ai84net5", 3, 32, 10, False, 72_238),
        ("ai84net5", 3, 32, 10, True, 72_238 + 188),
        ("ai84net5chw", 3, 32, 10, False, 9 * (3 * 52 + 52 * 52 + 52 * 64 + 64 * 12) + 192 * 10 + 10),
        ("ai84net7", 1, 64, 7, False, 56_152),
        ("ai84netsmall", 1, 28, 10, False, 6_106),
        ("ai84foldednet", 5, 16, 10, False, 9 * 32 * (5 + 32 + 64 + 64 + 32 + 32) + 512 * 10 + 10),
        ("ai84cifarnet", 4, 32, 10, False, 9 * 32 * (4 + 32 + 64 + 64 + 32 + 32) + 512 * 10 + 10),
        ("ai84netextrasmall", 1, 28, 10, False, 2_514),
    ],
)
def test_parameter_counts(name, channels, side, classes, bias, count):
    model = getattr(ai84net, name)(classes, channels, (side, side), bias)
    assert parameter_count(model) == count
    assert model(torch.zeros(2, channels, side, side)).shape == (2, classes)


@pytest.mark.parametrize(
    "name, side, shapes",
    [
        ("ai84net5", 28, [(60, 28), (60, 16), (56, 8), (12, 4)]),
        ("ai84net5", 32, [(60, 32), (60, 16), (56, 8), (12, 4)]),
        ("ai84net5chw", 32, [(52, 32), (52, 16), (64, 8), (12, 4)]),
        ("ai84net7", 64, [(15, 64), (30, 32), (60, 16), (30, 8), (30, 4), (30, 4)]),
        ("ai84foldednet", 16, [(32, 16), (32, 16), (64, 8), (32, 8), (32, 8), (32, 4)]),
        ("ai84netsmall", 28, [(16, 28), (16, 16), (12, 4)]),
        ("ai84cifarnet", 32, [(32, 32), (32, 32), (64, 16), (32, 16), (32, 8), (32, 4)]),
        ("ai84netextrasmall", 28, [(8, 28), (8, 16), (8, 4)]),
    ],
)
def test_layer_output_shapes(name, side, shapes):
    model = getattr(ai84net, name)(num_channels=1, dimensions=(side, side))
    data, seen = torch.zeros(1, 1, side, side), []
    for conv in model.conv_names:
        data = model.get_submodule(conv)(data)
        seen.append((data.shape[1], data.shape[2]))
    assert seen == shapes


def test_parameters_are_listed_in_execution_order():
    model = ai84net.ai84net5(num_channels=1, bias=True)
    convs = [f"conv{n}.conv2d.{kind}" for n in (1, 2, 3, 4) for kind in ("weight", "bias")]
    assert list(model.state_dict()) == [*convs, "fc.linear.weight", "fc.linear.bias"]


def test_only_the_first_layer_has_the_doubled_weight_range():
    for constructor in ai84net.models.values():
        convs = [layer for layer in constructor(num_channels=1).modules() if isinstance(layer, ai84.Convolution)]
        ranges = [conv.parameter_ranges[f"{conv.name}.weight"] for conv in convs]
        assert ranges == [ai84.FIRST_CONV_WEIGHTS, *[ai84.CONV_WEIGHTS] * (len(convs) - 1)]


def test_models_are_found_by_the_names_of_their_constructors():
    names = ["ai84net5", "ai84net5chw", "ai84net7", "ai84netsmall", "ai84netextrasmall"]
    assert list(ai84net.models) == [*names, "ai84foldednet", "ai84cifarnet", "ai84signalnet"]
    assert all(constructor is getattr(ai84net, name) for name, constructor in ai84net.models.items())


def test_input_that_pooling_does_not_divide_is_refused_when_the_network_is_built():
    with pytest.raises(ValueError, match=r"AI84 rule pool-divide: .* Given: 29 pixels"):
        ai84net.ai84net5(num_channels=1, dimensions=(29, 29))


def test_input_that_is_not_square_is_refused():
    with pytest.raises(ValueError, match=r"ai84net5 needs a square input; given dimensions=\(28, 32\)"):
        ai84net.ai84net5(dimensions=(28, 32))


def test_too_many_planes_are_refused():
    with pytest.raises(
        ValueError, match="planes \\+ num_channels <= 64 and planes \\+ fc_inputs <= 127; given planes=62"
    ):
        ai84net.ai84net5(num_channels=3, planes=62)


def test_rules_between_layers():
    relu, plain = ai84.FusedConv2dReLU(1, 1, padding=1), ai84.Conv2d(1, 1, padding=1)
    average = ai84.FusedAvgPoolConv2d(1, 1, pool_size=4, pool_stride=4, padding=1)
    ai84.check_network([relu, average])
    with pytest.raises(ValueError, match="AI84 rule avg4-relu: 4x4 average pooling needs"):
        ai84.check_network([plain, average])
    with pytest.raises(ValueError, match="AI84 rule pool4-last: 4x4 pooling is possible in the last layer only"):
        ai84.check_network([relu, average, relu])
    with pytest.raises(ValueError, match=r"AI84 rule layers-max: A network has at most 32 layers\. Given: 33 layers"):
        ai84.check_network([relu] * 33)
