"""The chip model against 64-bit integer arithmetic written in chip_tools.py, on random small networks."""

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from chip import Chip
from chip_tools import (
    LCTL,
    Layer,
    Network,
    ctl,
    evaluate,
    input_writes,
    lreg,
    read_output,
    run,
    setup,
    start,
    wait,
    write_all,
)

POOLINGS = [(0, 1), (2, 1), (2, 2), (4, 4)]
BYTES = (-128, -127, -65, -64, -63, -3, -1, 0, 1, 63, 64, 127)


@st.composite
def numbers(draw, shape: tuple[int, ...]) -> np.ndarray:
    """Random bytes, with many extremes."""
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    extreme = rng.random(shape) < draw(st.sampled_from([0.0, 0.3, 1.0]))
    return np.where(extreme, rng.choice(BYTES, shape), rng.integers(-128, 128, shape))


def processor_sets(step: int = 1) -> st.SearchStrategy[list[int]]:
    return st.lists(st.sampled_from(range(0, 64, step)), min_size=1, max_size=6, unique=True).map(sorted)


def size(draw, pool: int, stride: int, pad: int) -> int:
    """Rows or columns that the windows tile, with at least one output (9.1)."""
    windows = draw(st.integers(max(1, 3 - 2 * pad), 5))
    return (windows - 1) * stride + pool if pool else windows


@st.composite
def layers(draw, processors: list[int], chw: bool, last: bool, **places: int) -> Layer:
    pool, stride = draw(st.sampled_from(POOLINGS if last else POOLINGS[:3]))
    outputs = draw(processor_sets())
    bias = draw(st.none() | numbers((len(outputs),)))
    bias_group = draw(st.sampled_from(sorted({0} | {p // 16 for p in processors})))
    return Layer(draw(numbers((len(outputs), len(processors), 3, 3))), processors, outputs, bias, pool, stride,
                 draw(st.booleans()), draw(st.integers(0, 2)), draw(st.booleans()), chw,
                 bias_group=bias_group, **places)


@st.composite
def single_layers(draw) -> Network:
    chw = draw(st.booleans())
    processors = draw(processor_sets(4 if chw else 1))
    column, first_bias = draw(st.sampled_from([0, 4, 60])), draw(st.integers(0, 192))
    layer = draw(layers(processors, chw, True, column=column, first_bias=first_bias))
    height, width = (size(draw, layer.pool, layer.stride, layer.pad) for _ in range(2))
    return Network([layer], draw(numbers((len(processors), height, width))))


@st.composite
def two_layers(draw) -> Network:
    first = draw(layers(draw(processor_sets()), False, False))
    second = draw(layers(first.outputs, False, True, column=64, first_bias=64, in_offset=0x2000, out_offset=0))
    wanted = [size(draw, second.pool, second.stride, second.pad) for _ in range(2)]
    windows = [max(1, n + 2 - 2 * first.pad) for n in wanted]
    height, width = ((n - 1) * first.stride + max(1, first.pool) for n in windows)
    return Network([first, second], draw(numbers((len(first.processors), height, width))))


@settings(max_examples=200, deadline=None)
@given(single_layers())
def test_a_random_layer_equals_the_formulas(network: Network):
    with Chip() as chip:
        assert np.array_equal(run(chip, network), evaluate(network.layers[0], network.data))


@settings(max_examples=100, deadline=None)
@given(two_layers())
def test_two_random_layers_equal_the_formulas(network: Network):
    first, second = network.layers
    with Chip() as chip:
        assert np.array_equal(run(chip, network), evaluate(second, evaluate(first, network.data)))


@settings(max_examples=50, deadline=None)
@given(single_layers(), st.data())
def test_restart_with_new_input_equals_a_fresh_run(network: Network, data: st.DataObject):
    layer, images = network.layers[0], data.draw(numbers(network.data.shape))
    with Chip() as chip:
        run(chip, network)
        write_all(chip, [(ctl(g), 0x06) for g in network.groups] + input_writes(layer, images) + start(network.groups))
        wait(chip)
        height, width = (layer.output(n) for n in images.shape[1:])
        assert np.array_equal(read_output(chip, layer, height, width), evaluate(layer, images))


def test_lanes_behind_the_last_mask_are_written_as_zero():
    """1.5.7; the word held other bytes before."""
    layer = Layer(np.full((1, 1, 3, 3), 127), [0], [8], relu=False, out_offset=0)
    with Chip() as chip:
        chip.write32(0x50118000, 0x55555555)
        run(chip, Network([layer], np.full((1, 1, 1), 100)))
        assert chip.read32(0x50118000) == 99  # (127 * 100 + 64) >> 7, centre tap only


def test_one_layer_micro_example():
    """The example of 1.4."""
    kernel = np.array([-16, 26, 35, -6, -40, -31, -27, -54, -51]).reshape(1, 1, 3, 3)
    image = np.array([[[85, 112], [69, 81]]])
    for relu, expected in ((False, [[-115, -88], [7, -16]]), (True, [[0, 0], [7, 0]])):
        with Chip() as chip:
            assert run(chip, Network([Layer(kernel, [0], [0], relu=relu)], image)).tolist() == [expected]


def test_truncation_of_a_negative_average():
    """The example of 1.4 that tells truncation from floor."""
    kernel = np.array([0, 0, 0, 0, 127, 0, 0, 0, 0]).reshape(1, 1, 3, 3)
    layer = Layer(kernel, [0], [0], pool=2, stride=2, average=True, relu=False)
    with Chip() as chip:
        assert run(chip, Network([layer], np.array([[[-1, -2], [0, 0]]]))).tolist() == [[[0]]]


def test_the_sum_leaves_out_groups_that_cnnsiena_does_not_name():
    """Appendix E 13: group 1 is active, but only group 0 counts."""
    layer = Layer(np.full((1, 2, 3, 3), 127), [0, 16], [0], relu=False)
    network = Network([layer], np.array([[[50]], [[70]]]), [0, 1])
    with Chip() as chip:
        write_all(chip, [*setup(network), (lreg(0, LCTL, 0), 0x920), *start(network.groups)])
        wait(chip)
        assert read_output(chip, layer, 1, 1).tolist() == [[[50]]]  # (127 * 50 + 64) >> 7


def test_cycles_are_those_of_completed_runs():
    """Of 3x3 padded pixels the last computes the one output and takes two clocks, the others three; one clock for the
    output and one for a row of one pixel (AI85 hardware reference 14.1, see docs/estimate.md)."""
    clocks = 8 * 3 + 2 + 1 + 1
    network = Network([Layer(np.ones((1, 1, 3, 3), int), [0], [0])], np.ones((1, 1, 1), int), [0])
    with Chip() as chip:
        write_all(chip, setup(network) + start([0]))
        assert (chip.cycles(), chip.total_cycles()) == (0, 0)
        wait(chip)
        write_all(chip, [(ctl(0), 0x06), *start([0])])
        wait(chip)
        assert (chip.cycles(), chip.total_cycles()) == (clocks, 2 * clocks)
