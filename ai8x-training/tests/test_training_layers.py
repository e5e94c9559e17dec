"""The exact 8-bit mode equals integer arithmetic written out in numpy; the float mode clamps; limits are refused."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.lib.stride_tricks import sliding_window_view

import ai8x
import ai84

POOLINGS = [(None, 2, 2), *((kind, *window) for kind in ("Max", "Avg") for window in ((2, 1), (2, 2), (4, 4)))]


def integer_pool(data: np.ndarray, kind: str | None, size: int, stride: int) -> np.ndarray:
    """Pooling of int64 [N, C, H, W]: maximum, or sum divided by the window's area and truncated toward zero."""
    if kind is None:
        return data
    windows = sliding_window_view(data, (size, size), axis=(2, 3))[:, :, ::stride, ::stride]
    if kind == "Max":
        return windows.max((4, 5))
    total = windows.sum((4, 5))
    return np.sign(total) * (np.abs(total) // size**2)


def integer_layer(data, weight, bias, pooling, padding, relu):
    """One accelerator layer in int64: pool, convolve, add the bias, shift with rounding, saturate, rectify."""
    data = integer_pool(data, *pooling)
    data = np.pad(data, ((0, 0), (0, 0), (padding, padding), (padding, padding)))
    acc = np.einsum("nchwij,ocij->nohw", sliding_window_view(data, (3, 3), axis=(2, 3)), weight)
    out = np.clip((acc + bias[:, None, None] + 64) >> 7, -128, 127)
    return np.maximum(out, 0) if relu else out


def run_exact(data, weight, bias, pooling, padding, relu):
    """The same through ai84.Conv2d."""
    kind, size, stride = pooling
    layer = ai84.Conv2d(
        weight.shape[1],
        weight.shape[0],
        3,
        pooling=kind,
        pool_size=size,
        pool_stride=stride,
        padding=padding,
        bias=True,
        activation="ReLU" if relu else None,
        simulate=True,
    )
    layer.load_state_dict({"conv2d.weight": torch.tensor(weight).float(), "conv2d.bias": torch.tensor(bias).float()})
    with torch.no_grad():
        return layer(torch.tensor(data).float()).numpy()


def int8(random: np.random.Generator, shape: tuple[int, ...], extreme: bool) -> np.ndarray:
    """int64 values over the whole 8-bit range, or only its two ends."""
    return random.choice([-128, 127], shape) if extreme else random.integers(-128, 128, shape)


@settings(max_examples=60, deadline=None)
@given(
    seed=st.integers(0, 2**32 - 1),
    pooling=st.sampled_from(POOLINGS),
    padding=st.integers(0, 2),
    relu=st.booleans(),
    channels=st.sampled_from([(1, 1), (1, 3), (3, 2), (17, 5), (64, 4)]),
    extreme=st.booleans(),
    small=st.booleans(),
    windows=st.tuples(st.integers(3, 5), st.integers(3, 5)),
)
def test_exact_layer_equals_integer_arithmetic(seed, pooling, padding, relu, channels, extreme, small, windows):
    random = np.random.default_rng(seed)
    kind, size, stride = pooling
    height, width = ((n - 1) * stride + size if kind else n for n in windows)
    data = int8(random, (2, channels[0], height, width), extreme)
    weight = (
        random.integers(-3, 4, (channels[1], channels[0], 3, 3))
        if small
        else int8(random, (channels[1], channels[0], 3, 3), extreme)
    )
    bias = int8(random, (channels[1],), extreme)
    expected = integer_layer(data, weight, bias, pooling, padding, relu)
    assert np.array_equal(run_exact(data, weight, bias, pooling, padding, relu), expected)


@pytest.mark.parametrize(
    "acc, expected",
    [
        (64, 1),
        (63, 0),
        (-64, 0),
        (-65, -1),
        (191, 1),
        (192, 2),
        (127 * 127, 126),
        (128 * 128, 128),
        (-192, -1),
    ],
)
def test_accumulator_is_divided_by_128_with_halves_rounded_up(acc, expected):
    assert ai8x.reduce_accumulator(torch.tensor([float(acc)])).tolist() == [expected]


def test_largest_accumulator_is_exact():
    """64 channels * 9 taps * (-128) * (-128) = 9,437,184; a single unit less in one tap must still be seen."""
    data = np.full((1, 64, 3, 3), -128)
    weight = np.full((1, 64, 3, 3), -128)
    layer = ai84.Conv2d(64, 1, simulate=True)
    layer.load_state_dict({"conv2d.weight": torch.tensor(weight).float()})
    data[0, 63, 2, 2] = -127
    with torch.no_grad():
        assert layer.conv2d(torch.tensor(data).float()).item() == 9_437_184 - 128


def test_negative_average_is_truncated_toward_zero():
    """(-1 - 2 + 0 + 0) / 4 = -0.75 gives 0, where a floor would give -1: AI84 hardware reference 1.4."""
    data = np.array([[[[-1, -2], [0, 0]]]])
    weight = np.zeros((1, 1, 3, 3), int)
    weight[0, 0, 1, 1] = 127
    assert run_exact(data, weight, np.zeros(1, int), ("Avg", 2, 2), 1, relu=False).tolist() == [[[[0.0]]]]


def test_micro_example_of_the_hardware_reference():
    data = np.array([[[[85, 112], [69, 81]]]])
    weight = np.array([-16, 26, 35, -6, -40, -31, -27, -54, -51]).reshape(1, 1, 3, 3)
    no_bias = np.zeros(1, int)
    assert run_exact(data, weight, no_bias, (None, 2, 2), 1, relu=False).tolist() == [[[[-115, -88], [7, -16]]]]
    assert run_exact(data, weight, no_bias, (None, 2, 2), 1, relu=True).tolist() == [[[[0, 0], [7, 0]]]]


@settings(max_examples=40, deadline=None)
@given(seed=st.integers(0, 2**32 - 1), inputs=st.sampled_from([1, 7, 192, 480]), extreme=st.booleans())
def test_exact_linear_equals_integer_arithmetic(seed, inputs, extreme):
    random = np.random.default_rng(seed)
    data, weight, bias = (
        int8(random, (3, inputs), extreme),
        int8(random, (10, inputs), extreme),
        int8(random, (10,), extreme),
    )
    layer = ai84.SoftwareLinear(inputs, 10, simulate=True)
    layer.load_state_dict({"linear.weight": torch.tensor(weight).float(), "linear.bias": torch.tensor(bias).float()})
    with torch.no_grad():
        output = layer(torch.tensor(data).float()).numpy()
    assert np.array_equal(output, np.clip((data @ weight.T + bias + 64) >> 7, -32768, 32767))


def test_exact_linear_saturates_at_16_bits():
    """300 * 127 * 127 / 128 = 37,802 does not fit 16 bits."""
    layer = ai84.SoftwareLinear(300, 2, bias=False, simulate=True)
    layer.load_state_dict({"linear.weight": torch.tensor([[127.0] * 300, [-127.0] * 300])})
    assert layer(torch.full((1, 300), 127.0)).tolist() == [[32767, -32768]]


def test_exact_mode_ignores_a_surrounding_autocast():
    data, weight = np.full((1, 5, 6, 6), 113), np.full((3, 5, 3, 3), 27)
    expected = integer_layer(data, weight, np.zeros(3, int), (None, 2, 2), 1, relu=True)
    with torch.autocast("cpu", torch.bfloat16):
        assert np.array_equal(run_exact(data, weight, np.zeros(3, int), (None, 2, 2), 1, relu=True), expected)


def test_8_bit_input_of_every_pixel_value():
    codes = ai8x.normalize_8bit(torch.arange(256, dtype=torch.uint8), 255)
    assert codes.tolist() == [u - 128 if u <= 127 else min(u - 127, 127) for u in range(256)]


def test_float_input_spans_half_of_full_scale():
    assert ai8x.normalize_float(torch.tensor([0, 51, 255], dtype=torch.uint8), 255).tolist() == pytest.approx(
        [-0.5, -0.3, 0.5]
    )


def test_float_layer_clamps_to_the_range_of_q7():
    layer = ai84.Conv2d(1, 2)
    layer.load_state_dict({"conv2d.weight": torch.stack([torch.ones(1, 3, 3), -torch.ones(1, 3, 3)])})
    assert layer(torch.ones(1, 1, 3, 3)).flatten().tolist() == [127 / 128, -1.0]
    assert layer(torch.full((1, 1, 3, 3), 1 / 16)).flatten().tolist() == [9 / 16, -9 / 16]


def test_float_relu_layer_clips_below_at_zero():
    layer = ai84.FusedConv2dReLU(1, 1)
    layer.load_state_dict({"conv2d.weight": -torch.ones(1, 1, 3, 3)})
    assert layer(torch.ones(1, 1, 3, 3)).flatten().tolist() == [0.0]


def test_float_linear_clamps_to_the_range_of_q8_7():
    layer = ai84.SoftwareLinear(1, 3, bias=False)
    layer.load_state_dict({"linear.weight": torch.tensor([[300.0], [-300.0], [2.0]])})
    assert layer(torch.ones(1, 1)).tolist() == [[256 - 1 / 128, -256.0, 2.0]]


@pytest.mark.parametrize(
    "preset, pooling, activation",
    [
        (ai84.FusedConv2dReLU, None, "ReLU"),
        (ai84.FusedMaxPoolConv2d, "Max", None),
        (ai84.FusedMaxPoolConv2dReLU, "Max", "ReLU"),
        (ai84.FusedAvgPoolConv2d, "Avg", None),
        (ai84.FusedAvgPoolConv2dReLU, "Avg", "ReLU"),
    ],
)
def test_presets(preset, pooling, activation):
    conv = preset(3, 4, 3).settings
    assert (conv.pooling, conv.activation) == (pooling, activation)


@pytest.mark.parametrize(
    "arguments, message",
    [
        ({"kernel_size": 1}, "AI84 rule kernel: The kernel is 3x3, without dilation. Given: kernel_size=1, dilation=1"),
        (
            {"kernel_size": (3, 1)},
            "AI84 rule kernel: The kernel is 3x3, without dilation. Given: kernel_size=(3, 1), dilation=1",
        ),
        ({"dilation": 2}, "AI84 rule kernel: The kernel is 3x3, without dilation. Given: kernel_size=3, dilation=2"),
        ({"stride": 2}, "AI84 rule stride: The convolution stride is 1. Given: stride=2"),
        ({"padding": 3}, "AI84 rule pad: Padding is 0, 1 or 2. Given: padding=3"),
        ({"padding": -1}, "AI84 rule pad: Padding is 0, 1 or 2. Given: padding=-1"),
        ({"groups": 2}, "AI84 rule groups: All input channels are summed: groups is 1. Given: groups=2"),
        ({"pooling": "Min"}, "AI84 rule pool-kind: Pooling is 'Max', 'Avg' or None. Given: pooling='Min'"),
        ({"pooling": "Max", "pool_size": 3}, "AI84 rule pool-size: The pooling size is 2 or 4. Given: pool_size=3"),
        (
            {"pooling": "Avg", "pool_stride": 4},
            "AI84 rule pool-stride: Pooling is 2x2 with stride 1 or 2, or 4x4 with stride 4. "
            "Given: pool_size=2, pool_stride=4",
        ),
        (
            {"pooling": "Max", "pool_size": 4},
            "AI84 rule pool-stride: Pooling is 2x2 with stride 1 or 2, or 4x4 with stride 4. "
            "Given: pool_size=4, pool_stride=2",
        ),
        ({"activation": "Abs"}, "AI84 rule activation: The activation is 'ReLU' or None. Given: activation='Abs'"),
    ],
)
def test_limits_are_refused_when_the_layer_is_built(arguments, message):
    with pytest.raises(ValueError) as caught:
        ai84.Conv2d(2, 4, **arguments)
    assert str(caught.value) == f"{message} (Conv2d 2 -> 4)"


@pytest.mark.parametrize("channels", [(0, 4), (65, 4), (4, 0), (4, 65)])
def test_channel_limits_are_refused(channels):
    with pytest.raises(
        ValueError,
        match=r"^AI84 rule channels-max: A layer has at most 64 input and 64 output channels. "
        rf"Given: in_channels={channels[0]}, out_channels={channels[1]} ",
    ):
        ai84.Conv2d(*channels)


def test_all_broken_rules_are_reported_together():
    with pytest.raises(ValueError) as caught:
        ai84.Conv2d(1, 65, 5, padding=3)
    assert [line.split(":")[0] for line in str(caught.value).splitlines()] == [
        "AI84 rule kernel",
        "AI84 rule pad",
        "AI84 rule channels-max",
    ]


def test_every_allowed_setting_is_accepted():
    for kind, size, stride in POOLINGS:
        for padding in (0, 1, 2):
            ai84.Conv2d(64, 64, (3, 3), pooling=kind, pool_size=size, pool_stride=stride, padding=padding)


def test_windows_that_do_not_tile_the_input_are_refused():
    layer = ai84.FusedMaxPoolConv2d(1, 1, pool_size=2, pool_stride=2, padding=1)
    message = (
        "AI84 rule pool-divide: Pooling windows must tile the input exactly: (size - pool) must be a multiple of the "
        "pooling stride, in both directions. Given: 7 pixels, pool_size=2, pool_stride=2 (Conv2d 1 -> 1)"
    )
    with pytest.raises(ValueError) as caught:
        layer(torch.zeros(1, 1, 8, 7))
    assert str(caught.value) == message


def test_projection_moves_weights_into_their_ranges_and_leaves_the_rest():
    conv, first = ai84.Conv2d(1, 1, bias=True), ai84.Conv2d(1, 1, weight_range=ai84.FIRST_CONV_WEIGHTS)
    linear = ai84.SoftwareLinear(3, 1)
    with torch.no_grad():
        for weight in (conv.conv2d.weight, first.conv2d.weight):
            weight.copy_(torch.tensor([-9, -1.5, -1, -0.25, 0, 0.25, 1, 1.5, 9]).view(1, 1, 3, 3))
        conv.conv2d.bias.fill_(0.5)
        linear.linear.weight.copy_(torch.tensor([[-9.0, 0.5, 9.0]]))
        linear.linear.bias.fill_(-9)
    ai84.project_parameters(torch.nn.Sequential(conv, first, linear))
    top = 127 / 128
    assert conv.conv2d.weight.flatten().tolist() == [-1, -1, -1, -0.25, 0, 0.25, top, top, top]
    assert first.conv2d.weight.flatten().tolist() == [-2, -1.5, -1, -0.25, 0, 0.25, 1, 1.5, 2 * top]
    assert conv.conv2d.bias.tolist() == [127 / 16384]
    assert linear.linear.weight.tolist() == [[-top, 0.5, top]]
    assert linear.linear.bias.tolist() == [-top]


def with_gradient(function, values: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """What a function makes of some values, and the gradient that an output gradient of 1, 2, 3... becomes."""
    leaf = values.clone().requires_grad_()
    result = function(leaf)
    result.backward(torch.arange(1, len(values) + 1).to(values.dtype))
    return result.detach(), leaf.grad


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("limits", [ai8x.Q7, ai8x.INT8, ai84.FIRST_DATA, ai8x.Range(0.0, 127 / 128)], ids=repr)
def test_saturation_has_the_values_and_gradients_of_pytorch_for_every_bfloat16_and_next_to_the_limits(limits, dtype):
    every = torch.arange(2**16).to(torch.uint16).view(torch.bfloat16)
    ends = torch.tensor([limits.low, 0.0, limits.high])
    near = [torch.nextafter(ends, torch.full((3,), side)) for side in (-torch.inf, torch.inf)]
    values = torch.cat([every[every.isfinite()].float(), ends, *near]).to(dtype)
    for ours, theirs in (
        (lambda data: ai8x.clamp(data, limits), lambda data: data.clamp(limits.low, limits.high)),
        (lambda data: ai8x.rectify(data, limits), lambda data: data.clamp(limits.low, limits.high).relu()),
    ):
        for mine, expected in zip(with_gradient(ours, values), with_gradient(theirs, values), strict=True):
            assert torch.equal(mine, expected)
