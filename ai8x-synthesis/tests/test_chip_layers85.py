"""The AI85 model against 64-bit integer arithmetic written in chip_layers85.py, on random single layers."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from chip import Chip
from chip_layers85 import (
    Layer,
    clocks,
    control_writes,
    evaluate,
    input_writes,
    passes_of,
    per_pass,
    pooled,
    run,
    start_writes,
)
from chip_tools85 import (
    CCNT,
    ENA,
    LCTL,
    LCTL2,
    MCNT,
    ONED,
    PCCNT,
    POST,
    PRCNT,
    RCNT,
    STRIDE,
    WPTR_BASE,
    WPTR_TOFFS,
    lreg,
    sram,
    wait,
    write_all,
)


@st.composite
def numbers(draw, shape: tuple[int, ...], bits: int = 8) -> np.ndarray:
    """Random signed integers of `bits` bits, with many extremes."""
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    low, high = -(2 ** (bits - 1)), 2 ** (bits - 1)
    extreme = rng.random(shape) < draw(st.sampled_from([0.0, 0.3, 1.0]))
    return np.where(extreme, rng.choice((low, high - 1), shape), rng.integers(low, high, shape))


def processor_sets(count: int, step: int = 1) -> st.SearchStrategy[list[int]]:
    places = range(0, 64, step)
    return st.lists(st.sampled_from(places), min_size=count, max_size=count, unique=True).map(sorted)


CHANNELS = st.one_of(st.integers(1, 8), st.integers(60, 68), st.sampled_from([128, 130]))


def window(draw, one_dimension: bool) -> tuple[int, int]:
    sides = st.one_of(st.just(1), st.integers(1, 4), st.just(16))
    return draw(sides), 1 if one_dimension else draw(sides)


def size(draw, pool: int, stride: int, least: int) -> int:
    """Rows or columns with at least `least` windows, some with a rest that no window covers."""
    return (draw(st.integers(least, least + 3)) - 1) * stride + pool + draw(st.integers(0, stride - 1))


def output_options(draw, outputs: int, processors: list[int]) -> dict:
    """What a layer does behind the sum, and where it is."""
    activation = draw(st.sampled_from(["none", "relu", "abs"]))
    groups = sorted({0} | {p // 16 for p in processors})
    return {
        "outputs": draw(processor_sets(per_pass(outputs))), "bias": draw(st.none() | numbers((outputs,))),
        "shift": draw(st.integers(-15, 15)), "activation": activation, "rounding": draw(st.booleans()),
        "wide": activation == "none" and draw(st.booleans()), "write_gap": draw(st.sampled_from([0, 0, 1, 3])),
        "column": draw(st.sampled_from([0, 4, 8, 192])), "bias_group": draw(st.sampled_from(groups)),
        "first_bias": draw(st.sampled_from([0, 9, 200])),
    }  # fmt: skip


@st.composite
def convolutions(draw) -> tuple[Layer, np.ndarray]:
    """3x3, 1x1, and one dimension with 1 to 9 taps."""
    one_dimension, chw = draw(st.booleans()), draw(st.booleans())
    rows, columns = (draw(st.integers(1, 9)), 1) if one_dimension else draw(st.sampled_from([(3, 3), (1, 1)]))
    bits = draw(st.sampled_from([8, 4, 2, 1]))
    inputs, outputs = draw(st.integers(1, 5) if chw else CHANNELS), draw(CHANNELS)
    pad = draw(st.integers(0, min(2, rows - 1)))
    pool, stride = window(draw, one_dimension), draw(st.integers(1, 5))
    height = size(draw, pool[0], stride, max(1, rows - 2 * pad))
    width = 1 if one_dimension else size(draw, pool[1], stride, max(1, columns - 2 * pad))
    processors = draw(processor_sets(per_pass(inputs), 4 if chw else 1))
    layer = Layer(draw(numbers((outputs, inputs, rows, columns), bits)), processors, bits=bits, pool=pool,
                  stride=stride, average=draw(st.booleans()), pad=pad, one_dimension=one_dimension, chw=chw,
                  in_offset=draw(st.sampled_from([0, 0x40])), **output_options(draw, outputs, processors))
    return layer, draw(numbers((inputs, height, width)))


@st.composite
def flattened(draw) -> tuple[Layer, np.ndarray]:
    """Fully connected layers; with more than 64 channels every pass is full (5.4)."""
    bits = draw(st.sampled_from([8, 4, 2, 1]))
    inputs, outputs = draw(st.one_of(st.integers(1, 8), st.sampled_from([64, 72, 128]))), draw(st.integers(1, 10))
    height, width = draw(st.integers(1, 5)), draw(st.integers(1, 5))
    processors = draw(processor_sets(per_pass(inputs)))
    layer = Layer(draw(numbers((outputs, inputs * height * width), bits)), processors, bits=bits, flatten=True,
                  **output_options(draw, outputs, processors))
    return layer, draw(numbers((inputs, height, width)))


@settings(max_examples=200, deadline=None)
@given(convolutions())
def test_a_random_convolution_equals_the_formulas(case: tuple[Layer, np.ndarray]):
    layer, data = case
    with Chip(85) as chip:
        assert np.array_equal(run(chip, layer, data), evaluate(layer, data))
        assert chip.cycles() == clocks(layer, data)


@settings(max_examples=60, deadline=None)
@given(flattened())
def test_a_random_flattened_layer_equals_the_formulas(case: tuple[Layer, np.ndarray]):
    """Registers do not tell the rows that were flattened: with one slot, the clock of each (14.1) is left out."""
    layer, data = case
    single = len(layer.slots()) == 1 and passes_of(len(data)) == 1 and data[0].size > 1
    with Chip(85) as chip:
        assert np.array_equal(run(chip, layer, data), evaluate(layer, data))
        assert chip.cycles() == clocks(layer, data) - (data.shape[1] if single else 0)


@pytest.mark.parametrize("shift", [*range(-15, 16)])
def test_the_largest_sums_saturate_or_round_at_every_shift(shift: int):
    """64 channels of 9 taps: sums of 2**23 and more, whose shifted value has up to 39 bits; and of a single tap."""
    weights = np.full((4, 64, 3, 3), -128)
    weights[1], weights[2:] = 127, 0
    weights[2:, 0, 1, 1] = 1, -1
    layer = Layer(weights, list(range(64)), [0, 1, 2, 3], shift=shift, pad=1)
    for pixel in (-128, 127):
        data = np.full((64, 3, 3), pixel)
        with Chip(85) as chip:
            assert np.array_equal(run(chip, layer, data), evaluate(layer, data))


@st.composite
def pass_throughs(draw) -> tuple[dict, np.ndarray]:
    """Pooling only: channels, windows and places."""
    group = draw(st.integers(0, 3))
    count = draw(st.integers(1, 16))
    many = draw(st.booleans())  # two or three passes on all processors
    processors = list(range(64)) if many else [16 * group + p for p in draw(processor_sets(count).map(
        lambda places: sorted({place % 16 for place in places})))]  # fmt: skip
    slots = -(-max(sum(p // 16 == g for p in processors) for g in range(4)) // 4)
    pool, stride = window(draw, False), draw(st.integers(1, 4))
    layer = {
        "processors": processors, "instance": draw(st.integers(0, 4 - slots)), "pool": pool, "stride": stride,
        "average": draw(st.booleans()), "rounding": draw(st.booleans()), "gap": draw(st.sampled_from([0, 2])),
    }  # fmt: skip
    channels = draw(st.sampled_from([128, 192])) if many else len(processors)
    shape = channels, size(draw, pool[0], stride, 1), size(draw, pool[1], stride, 1)
    return layer, draw(numbers(shape))


def run_pass_through(chip: Chip, layer: dict, data: np.ndarray) -> list[int]:
    """Set up, start, wait and read the bytes [channel, pixel] as 7.5 places them."""
    processors, (_, height, width) = layer["processors"], data.shape
    passes = passes_of(len(data))
    groups = sorted({0} | {p // 16 for p in processors})
    counts = {g: [p for p in processors if p // 16 == g] for g in groups}
    slots = -(-max(len(found) for found in counts.values()) // 4)
    write_all(chip, control_writes(groups) + input_writes(processors, data, 0, False))
    for g in groups:
        values = {
            RCNT: height - 1, CCNT: width - 1, ONED: 0x100 | (slots - 1), PRCNT: layer["pool"][0] - 1,
            PCCNT: layer["pool"][1] - 1, STRIDE: layer["stride"] - 1, LCTL2: passes - 1 | layer["gap"] << 4,
            WPTR_BASE: 0x1000 | (4 * g + layer["instance"]) << 13, WPTR_TOFFS: 0x2000, MCNT: 8 * (passes - 1),
            LCTL: 0x820 | (layer["pool"] != (1, 1)) << 7 | (not layer["average"]) << 8, POST: 3 << 24,
            ENA: sum(1 << p % 16 for p in counts[g]),
        }  # fmt: skip
        write_all(chip, [(lreg(g, number, 0), value) for number, value in values.items() if value])
    write_all(chip, start_writes(groups, layer["rounding"]))
    wait(chip)
    pixels = pooled(data, layer["pool"], layer["stride"], False, False)[0].size
    result = []
    for c in range(len(data)):
        e, p = c // len(processors), processors[c % len(processors)]
        v = counts[p // 16].index(p)
        words = [0x1000 + (x * passes + e) * (layer["gap"] + 1) for x in range(pixels)]
        values = chip.read_many([sram(p // 16 * 4 + layer["instance"] + v // 4, word) for word in words])
        result += (values >> np.uint32(8 * (v % 4))).astype(np.uint8).astype(np.int8).tolist()
    return result


@settings(max_examples=100, deadline=None)
@given(pass_throughs())
def test_a_random_layer_without_kernels_equals_the_formulas(case: tuple[dict, np.ndarray]):
    layer, data = case
    expected = pooled(data, layer["pool"], layer["stride"], layer["average"], layer["rounding"])
    passes, pooling = passes_of(len(data)), layer["pool"] != (1, 1)
    mp = 2 * passes - 1 if passes > 1 and pooling else passes
    slots = -(-max(sum(p // 16 == g for p in layer["processors"]) for g in range(4)) // 4)
    clocks_per_pixel = mp * (layer["pool"][0] * layer["pool"][1] + 1) + mp * slots
    with Chip(85) as chip:
        assert run_pass_through(chip, layer, data) == expected.ravel().tolist()
        assert chip.cycles() == 1 + expected[0].size * clocks_per_pixel


MNIST = [
    (60, 1, 28, 1, 1, False, [0], 48956), (60, 60, 28, 2, 2, False, range(4, 64), 16664),
    (56, 60, 16, 2, 1, False, range(4, 64), 4012), (12, 56, 8, 2, 1, True, range(4, 60), 332),
]  # fmt: skip


@pytest.mark.parametrize("outputs, inputs, side, pool, pad, average, processors, expected", MNIST)
def test_clocks_of_the_documented_network(outputs: int, inputs: int, side: int, pool: int, pad: int, average: bool,
                                          processors: list[int], expected: int):  # fmt: skip
    """The layers of 17.1 and their clocks of 14.1."""
    layer = Layer(np.zeros((outputs, inputs, 3, 3), int), list(processors), list(range(outputs)), pad=pad,
                  pool=(pool, pool), stride=pool, average=average, chw=inputs == 1)  # fmt: skip
    with Chip(85) as chip:
        run(chip, layer, np.zeros((inputs, side, side), int))
        assert chip.cycles() == 1 + expected


def test_clocks_of_flattened_layers():
    """The last layer of 17.1 (14.1: 192), and appendix A 20: 64 rows of 12 clocks, and one for more than 16 passes."""
    for side, expected in ((4, 192), (8, 64 * (2 + 10) + 1)):
        layer = Layer(np.zeros((10, 12 * side**2), int), list(range(12)), list(range(10)), flatten=True, wide=True)
        with Chip(85) as chip:
            run(chip, layer, np.zeros((12, side, side), int))
            assert chip.cycles() == 1 + expected
