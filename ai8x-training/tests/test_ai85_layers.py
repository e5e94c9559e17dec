"""AI85's layers: the exact mode equals integer arithmetic; quantized training equals the exact mode; limits hold."""

import numpy as np
import pytest
import torch
from ai85_integers import Form, Parameters, layer, pool, quantize
from hypothesis import given, settings
from hypothesis import strategies as st

import ai8x
import ai85
import quantization

BITS = st.sampled_from([1, 2, 4, 8])
ACTIVATIONS = st.sampled_from([None, "ReLU", "Abs"])
POOLS = st.sampled_from([None]) | st.tuples(
    st.sampled_from(["Max", "Avg"]), st.tuples(st.integers(1, 4), st.integers(1, 4)), st.integers(1, 3)
)
SEED = st.integers(0, 2**32 - 1)


def int8(random: np.random.Generator, shape: tuple[int, ...], extreme: bool) -> np.ndarray:
    """int64 values over the whole 8-bit range, or only its two ends."""
    return random.choice([-128, 127], shape) if extreme else random.integers(-128, 128, shape)


def random_parameters(random, shape, bits, shift, bias, extreme) -> Parameters:
    low, high = -(2 ** (bits - 1)), 2 ** (bits - 1)
    weight = random.choice([low, high - 1], shape) if extreme else random.integers(low, high, shape)
    return Parameters(weight, int8(random, shape[:1], extreme) if bias else None, bits, shift)


def load(module: ai85.Layer, parameters: Parameters) -> ai85.Layer:
    """Give a layer the tensors that a quantized checkpoint holds (AI85 hardware reference 12.1, 12.3.3)."""
    state = {"weight_bits": parameters.bits, "output_shift": parameters.shift}
    for name, value in state.items():
        module.get_buffer(name).fill_(value)
    with torch.no_grad():
        module.op.weight.copy_(torch.tensor(parameters.weight).view_as(module.op.weight))
        if parameters.bias is not None:
            module.op.bias.copy_(torch.tensor(parameters.bias) * 2 ** (parameters.bits - 1))
    return module


def run(module: ai85.Layer, data: np.ndarray) -> np.ndarray:
    with torch.no_grad():
        return module(torch.tensor(data).float()).numpy()


@settings(max_examples=150, deadline=None)
@given(
    seed=SEED,
    kernel=st.sampled_from([1, 3]),
    padding=st.integers(0, 2),
    pooling=POOLS,
    activation=ACTIVATIONS,
    wide=st.booleans(),
    bits=BITS,
    total_shift=st.integers(-15, 15),
    channels=st.sampled_from([(1, 1), (3, 2), (65, 3), (130, 2)]),
    bias=st.booleans(),
    extreme=st.booleans(),
)
def test_exact_conv2d_equals_integer_arithmetic(
    seed, kernel, padding, pooling, activation, wide, bits, total_shift, channels, bias, extreme
):
    random = np.random.default_rng(seed)
    padding, activation = padding if kernel == 3 else 0, None if wide else activation
    form = Form((padding, padding), 1, pooling, activation, wide)
    parameters = random_parameters(random, (channels[1], channels[0], kernel, kernel), bits, total_shift - 8 + bits,
                                   bias, extreme)  # fmt: skip
    rows, columns = random.integers(10, 13, 2)
    data = int8(random, (2, channels[0], rows, columns), extreme)
    kind, window, stride = pooling or (None, 2, 2)
    module = ai85.Conv2d(channels[0], channels[1], kernel, pooling=kind, pool_size=window, pool_stride=stride,
                         padding=padding, bias=bias, activation=activation, wide=wide, simulate=True)  # fmt: skip
    expected = layer(data, parameters, form)
    assert np.array_equal(run(load(module, parameters), data), expected)


@settings(max_examples=80, deadline=None)
@given(
    seed=SEED,
    taps=st.integers(1, 9),
    padding=st.integers(0, 2),
    dilation=st.integers(1, 8),
    pooling=st.sampled_from([None]) | st.tuples(st.sampled_from(["Max", "Avg"]), st.integers(1, 5), st.integers(1, 3)),
    activation=ACTIVATIONS,
    bits=BITS,
    total_shift=st.integers(-15, 15),
    bias=st.booleans(),
    extreme=st.booleans(),
)
def test_exact_conv1d_equals_integer_arithmetic(
    seed, taps, padding, dilation, pooling, activation, bits, total_shift, bias, extreme
):
    random = np.random.default_rng(seed)
    padding = min(padding, taps - 1)
    dilation = dilation if (taps - 1) * dilation < 9 else 1
    kind, window, stride = pooling or (None, 2, 2)
    form = Form((padding, 0), dilation, pooling and (kind, (window, 1), stride), activation)
    parameters = random_parameters(random, (4, 7, taps, 1), bits, total_shift - 8 + bits, bias, extreme)
    data = int8(random, (2, 7, int(random.integers(45, 60))), extreme)
    module = ai85.Conv1d(7, 4, taps, pooling=kind, pool_size=window, pool_stride=stride, padding=padding,
                         dilation=dilation, bias=bias, activation=activation, simulate=True)  # fmt: skip
    expected = layer(data[..., None], parameters, form)[..., 0]
    assert np.array_equal(run(load(module, parameters), data), expected)


@settings(max_examples=40, deadline=None)
@given(seed=SEED, shape=st.sampled_from([(1, 1, 1), (12, 4, 4), (1024, 1, 1), (64, 16, 16)]), activation=ACTIVATIONS,
       wide=st.booleans(), bits=BITS, bias=st.booleans(), extreme=st.booleans())  # fmt: skip
def test_exact_linear_flattens_and_equals_integer_arithmetic(seed, shape, activation, wide, bits, bias, extreme):
    random = np.random.default_rng(seed)
    activation = None if wide else activation
    size = int(np.prod(shape))
    parameters = random_parameters(random, (5, size, 1, 1), bits, -2, bias, extreme)
    data = int8(random, (3, *shape), extreme)
    module = ai85.Linear(size, 5, bias, activation=activation, wide=wide, simulate=True)
    expected = layer(data.reshape(3, size, 1, 1), parameters, Form(activation=activation, wide=wide))
    assert np.array_equal(run(load(module, parameters), data), expected[:, :, 0, 0])


@settings(max_examples=60, deadline=None)
@given(seed=SEED, kind=st.sampled_from(["Max", "Avg"]), window=st.tuples(st.integers(1, 16), st.integers(1, 16)),
       stride=st.integers(1, 16), extreme=st.booleans())  # fmt: skip
def test_pooling_alone_equals_integer_arithmetic(seed, kind, window, stride, extreme):
    random = np.random.default_rng(seed)
    data = int8(random, (2, 3, int(random.integers(16, 22)), int(random.integers(16, 22))), extreme)
    two = (ai85.MaxPool2d if kind == "Max" else ai85.AvgPool2d)(window, stride, simulate=True)
    assert np.array_equal(run(two, data), pool(data, Form(pool=(kind, window, stride))))
    one = (ai85.MaxPool1d if kind == "Max" else ai85.AvgPool1d)(window[0], stride, simulate=True)
    expected = pool(data[:, :, :, :1], Form(pool=(kind, (window[0], 1), stride)))
    assert np.array_equal(run(one, data[:, :, :, 0]), expected[..., 0])


def test_sums_beyond_single_precision_are_exact():
    """1024 channels * 9 taps * 127 * 127 is 148,644,864, above 2**24; a unit less in one tap must be seen."""
    data, weight = np.full((1, 1024, 3, 3), 127), np.full((1, 1024, 3, 3), 127)
    data[0, 1023, 2, 2] = 126
    module = load(ai85.Conv2d(1024, 1, wide=True, simulate=True), Parameters(weight, None, 8, 0))
    assert run(module, data).item() == 1024 * 9 * 127 * 127 - 127


def test_one_bit_weights_are_0_and_minus_1():
    module = load(ai85.Linear(4, 1, wide=True, simulate=True), Parameters(np.array([[-1, 0, -1, 0]]), None, 1, 0))
    assert run(module, np.array([[1, 2, 4, 8]])).tolist() == [[-5]]


def test_absolute_value_is_taken_after_rounding_and_saturation():
    """acc -64 with shift 0 is -0.5 and rounds up to 0; acc -128 * 128 gives -128, whose absolute value saturates."""
    module = load(ai85.Linear(1, 1, activation="Abs", simulate=True), Parameters(np.array([[-64]]), None, 8, 0))
    assert run(module, np.array([[1]])).tolist() == [[0]]
    module = load(ai85.Linear(1, 1, activation="Abs", simulate=True), Parameters(np.array([[-128]]), None, 8, 1))
    assert run(module, np.array([[127]])).tolist() == [[127]]


def test_bias_of_the_file_is_divided_by_its_weights_scale_and_floored():
    """4-bit weights: 20 / 2**3 = 2.5 gives 2, -20 / 8 gives -3 (AI85 hardware reference 12.2), each worth 128."""
    module = ai85.Linear(1, 2, True, wide=True, simulate=True)
    load(module, Parameters(np.zeros((2, 1), int), None, 4, 0))
    with torch.no_grad():
        module.op.bias.copy_(torch.tensor([20.0, -20.0]))
    assert run(module, np.zeros((1, 1), int)).tolist() == [[256, -384]]


def quantized_twins(build, weight, bias, bits, bias_bits, quantile):
    """A layer in quantized training, and the exact layer with the integers that the rule of 12.3.1 makes of it."""
    parameters = quantize(weight, bias, bits, quantile, bias_bits)
    trained, exact = build(simulate=False), load(build(simulate=True), parameters)
    state = {"weight_bits": bits, "bias_bits": bias_bits, "quantize_activation": 1, "adjust_output_shift": 1,
             "shift_quantile": quantile}  # fmt: skip
    for name, value in state.items():
        trained.get_buffer(name).fill_(value)
    with torch.no_grad():
        trained.op.weight.copy_(torch.tensor(weight).view_as(trained.op.weight))
        if bias is not None:
            trained.op.bias.copy_(torch.tensor(bias))
    return trained, exact, parameters


@settings(max_examples=120, deadline=None)
@given(
    seed=SEED,
    spread=st.sampled_from([0.01, 0.1, 0.3, 1.0, 3.0, 40.0]),
    kernel=st.sampled_from([1, 3]),
    pooling=POOLS,
    activation=ACTIVATIONS,
    wide=st.booleans(),
    bits=BITS,
    bias_bits=BITS | st.just(0),
    quantile=st.sampled_from([1.0, 0.995, 0.9, 0.5]),
    bias=st.booleans(),
)
def test_quantized_training_computes_what_the_device_will(
    seed, spread, kernel, pooling, activation, wide, bits, bias_bits, quantile, bias
):
    random = np.random.default_rng(seed)
    activation = None if wide else activation
    weight = random.normal(0, spread, (3, 5, kernel, kernel)).astype(np.float32)
    offset = random.normal(0, spread, 3).astype(np.float32) if bias else None
    kind, window, stride = pooling or (None, 2, 2)

    def build(simulate):
        return ai85.Conv2d(5, 3, kernel, pooling=kind, pool_size=window, pool_stride=stride, padding=kernel // 2,
                           bias=bias, activation=activation, wide=wide, simulate=simulate)  # fmt: skip

    trained, exact, parameters = quantized_twins(build, weight, offset, bits, bias_bits, quantile)
    data = int8(random, (2, 5, 9, 8), extreme=False)
    form = Form((kernel // 2, kernel // 2), 1, pooling, activation, wide)
    expected = layer(data, parameters, form)
    unit = 128 * 2 ** (bits - 1) if wide else 128
    with ai8x.exact_arithmetic():
        assert np.array_equal(run(trained, data / 128) * unit, expected)
    assert np.array_equal(run(exact, data), expected)


@pytest.mark.parametrize(
    "bits, size, expected",
    [(8, 1.0, 0), (8, 0.5, 1), (8, 0.51, 0), (8, 1.01, -1), (8, 2.0**-20, 15), (4, 2.0**-20, 19), (1, 2.0**-20, 20),
     (1, 2.0**-30, 22), (8, 2.0**20, -15), (4, 2.0**20, -11), (1, 2.0**20, -8), (2, 0.0, 21)],
)  # fmt: skip
def test_exponent_keeps_the_total_shift_within_15(bits, size, expected):
    """The device shifts by -e + 8 - bits, from -15 to 15."""
    assert quantization.exponent([torch.tensor([size, -size / 2])], bits, 1.0) == expected


def test_average_pooling_alone_rounds_in_quantized_training():
    module = ai85.AvgPool2d(2)
    data = np.array([[[[-1, -2], [0, 0]]], [[[3, 0], [0, 0]]]]) / 128
    assert run(module, data).flatten().tolist() == [-0.75 / 128, 0.75 / 128]
    module.quantize_activation.fill_(1)
    assert run(module, data).flatten().tolist() == [0, 0]


def test_gradients_pass_the_rounding_and_stop_where_something_saturates():
    module = ai85.Linear(3, 1)
    for name in ("quantize_activation", "adjust_output_shift"):
        module.get_buffer(name).fill_(1)
    module.shift_quantile.fill_(0.5)  # the median 0.5 fits with exponent 1, the largest, 0.9, saturates
    with torch.no_grad():
        module.op.weight.copy_(torch.tensor([[0.9, 0.5, -0.1]]))
    data = torch.tensor([[0.25, 0.5, -0.5]], requires_grad=True)
    module(data).sum().backward()
    # 0.5 * 2 = 1.0 saturates too, to 127/128; -0.1 * 2 * 128 = -25.6 rounds to -26. The scale 2 is undone: 0.5 * 2 = 1.
    assert module.op.weight.grad.tolist() == [[0.0, 0.0, -0.5]]
    assert data.grad.tolist() == [[127 / 256, 127 / 256, -26 / 256]]


def test_float_mode_saturates_like_the_device():
    module = ai85.Linear(1, 3)
    with torch.no_grad():
        module.op.weight.copy_(torch.tensor([[2.0], [-2.0], [0.123]]))
    assert run(module, np.ones((1, 1))).tolist() == [[127 / 128, -1.0, np.float32(0.123)]]
    for activation, expected in (("ReLU", [127 / 128, 0.0]), ("Abs", [127 / 128, 127 / 128])):
        module = ai85.Linear(1, 2, activation=activation)
        with torch.no_grad():
            module.op.weight.copy_(torch.tensor([[2.0], [-2.0]]))
        assert run(module, np.ones((1, 1))).tolist() == [expected]


def test_wide_layer_does_not_saturate_in_float_mode():
    module = ai85.Linear(1, 1, wide=True)
    with torch.no_grad():
        module.op.weight.fill_(300)
    assert run(module, np.ones((1, 1))).item() == 300


@pytest.mark.parametrize(
    "preset, operator, pooling, activation",
    [
        (ai85.FusedConv2dReLU, "Conv2d", None, "ReLU"),
        (ai85.FusedConv2dAbs, "Conv2d", None, "Abs"),
        (ai85.FusedMaxPoolConv2d, "Conv2d", "Max", None),
        (ai85.FusedMaxPoolConv2dReLU, "Conv2d", "Max", "ReLU"),
        (ai85.FusedMaxPoolConv2dAbs, "Conv2d", "Max", "Abs"),
        (ai85.FusedAvgPoolConv2d, "Conv2d", "Avg", None),
        (ai85.FusedAvgPoolConv2dReLU, "Conv2d", "Avg", "ReLU"),
        (ai85.FusedAvgPoolConv2dAbs, "Conv2d", "Avg", "Abs"),
        (ai85.FusedConv1dReLU, "Conv1d", None, "ReLU"),
        (ai85.FusedConv1dAbs, "Conv1d", None, "Abs"),
        (ai85.FusedMaxPoolConv1d, "Conv1d", "Max", None),
        (ai85.FusedMaxPoolConv1dReLU, "Conv1d", "Max", "ReLU"),
        (ai85.FusedMaxPoolConv1dAbs, "Conv1d", "Max", "Abs"),
        (ai85.FusedAvgPoolConv1d, "Conv1d", "Avg", None),
        (ai85.FusedAvgPoolConv1dReLU, "Conv1d", "Avg", "ReLU"),
        (ai85.FusedAvgPoolConv1dAbs, "Conv1d", "Avg", "Abs"),
        (ai85.FusedLinearReLU, "Linear", None, "ReLU"),
        (ai85.FusedLinearAbs, "Linear", None, "Abs"),
    ],
)
def test_presets(preset, operator, pooling, activation):
    made = preset(3, 4).settings
    assert (made.operator, made.pooling, made.activation) == (operator, pooling, activation)


CONV = "(Conv2d 2 -> 4)"


@pytest.mark.parametrize(
    "arguments, message",
    [
        ({"kernel_size": 5}, "kernel: The kernel of a Conv2d is 1x1 or 3x3, of a Conv1d 1 to 9. Given: kernel 5x5"),
        ({"kernel_size": (3, 1)},
         "kernel: The kernel of a Conv2d is 1x1 or 3x3, of a Conv1d 1 to 9. Given: kernel 3x1"),
        ({"stride": 2}, "stride: The convolution stride is 1. Given: stride=2"),
        ({"padding": 3}, "pad: Padding is 0, 1 or 2, and smaller than the kernel. Given: padding=3, kernel 3"),
        ({"padding": 1, "kernel_size": 1},
         "pad: Padding is 0, 1 or 2, and smaller than the kernel. Given: padding=1, kernel 1"),
        ({"dilation": 2},
         "dilation: Only Conv1d has dilation: 1 to 1023; from (kernel - 1) * dilation = 9 on, kernel <= 3, no padding, "
         "no pooling. Given: dilation=2, kernel 3, padding=0, pooling=None"),
        ({"groups": 2}, "groups: All input channels are summed: groups is 1. Given: groups=2"),
        ({"pooling": "Min"}, "pool-kind: Pooling is 'Max', 'Avg' or None. Given: pooling='Min'"),
        ({"pooling": "Max", "pool_size": 17},
         "pool-size: The pooling window has 1 to 16 rows and 1 to 16 columns. Given: pool_size=(17, 17)"),
        ({"pooling": "Max", "pool_stride": (1, 2)},
         "pool-stride: The pooling stride is 1 to 16, the same for rows and columns. Given: pool_stride=(1, 2)"),
        ({"pooling": "Max", "pool_stride": 17},
         "pool-stride: The pooling stride is 1 to 16, the same for rows and columns. Given: pool_stride=(17, 17)"),
        ({"activation": "Tanh"}, "activation: The activation is 'ReLU', 'Abs' or None. Given: activation='Tanh'"),
        ({"activation": "ReLU", "wide": True},
         "wide: A wide (32-bit) output has no activation. Given: wide=True, activation='ReLU'"),
    ],
)  # fmt: skip
def test_limits_are_refused_when_the_layer_is_built(arguments, message):
    with pytest.raises(ValueError) as caught:
        ai85.Conv2d(2, 4, **arguments)
    assert str(caught.value) == f"AI85 rule {message} {CONV}"


@pytest.mark.parametrize("channels, bias", [((0, 4), False), ((1025, 4), False), ((4, 1025), False), ((4, 513), True)])
def test_channel_limits_are_refused(channels, bias):
    with pytest.raises(ValueError, match=r"^AI85 rule channels-max: A layer has at most 1024 input and 1024 output"):
        ai85.Conv2d(*channels, bias=bias)


def test_largest_layers_are_accepted():
    ai85.Conv2d(1024, 1024, 1)
    ai85.Conv2d(1, 512, 1, bias=True)
    ai85.Linear(16384, 1024)
    ai85.Conv1d(4, 4, 3, dilation=1023)
    ai85.Conv1d(4, 4, 9, padding=2, pooling="Avg", pool_size=16, pool_stride=16)


@pytest.mark.parametrize(
    "arguments", [{"kernel_size": 10}, {"kernel_size": 9, "dilation": 2}, {"kernel_size": 3, "dilation": 1024},
                  {"kernel_size": 3, "dilation": 9, "padding": 1}, {"kernel_size": 3, "dilation": 9, "pooling": "Max"}]
)  # fmt: skip
def test_conv1d_limits_are_refused(arguments):
    with pytest.raises(ValueError, match=r"^AI85 rule (kernel|dilation): "):
        ai85.Conv1d(4, 4, **arguments)


def test_window_larger_than_the_input_is_refused():
    with pytest.raises(ValueError) as caught:
        ai85.FusedMaxPoolConv2d(1, 1, pool_size=(2, 4))(torch.zeros(1, 1, 8, 3))
    assert str(caught.value) == (
        "AI85 rule pool-fits: The pooling window is not larger than the input. Given: 8x3 pixels, pool_size=(2, 4) "
        "(Conv2d 1 -> 1)"
    )


def test_windows_that_do_not_tile_the_input_drop_the_rest():
    assert ai85.MaxPool2d(2)(torch.zeros(1, 1, 7, 9)).shape == (1, 1, 3, 4)
