"""The plan of the arena: nothing that is still needed is overwritten, and the arena is as small as the steps allow."""

import ctypes
import subprocess
import sys
from collections.abc import Iterator

import hypothesis.strategies as st
import numpy as np
import pytest
from hypothesis import given, settings

from conformance_cases import ROOT
from izer import reference
from izer.arena import Buffer, Plan, plan
from izer.checkpoint import LayerWeights
from izer.network import Layer, Network


def layer(index: int, channels: tuple[int, int], size: tuple[int, int], pool: tuple[str, int, int], pad: int) -> Layer:
    kind, window, stride = pool
    weight = np.zeros((channels[1], channels[0], 3, 3), np.int8)
    return Layer(index, "", 1, (index - 1,), "conv2d", channels[0], *size, kind, (max(1, window),) * 2, (stride,) * 2,
                 pad, (pad, pad), "relu", weight, None)  # fmt: skip


@st.composite
def chains(draw: st.DrawFn) -> Network:
    """One to six layers of any sizes, with and without pooling and classification layer."""
    size, channels = (draw(st.integers(1, 40)), draw(st.integers(1, 40))), draw(st.integers(1, 64))
    shape = channels, *size
    layers: list[Layer] = []
    for index in range(draw(st.integers(1, 6))):
        windows = [pool for pool in (("", 0, 1), ("max", 2, 1), ("max", 2, 2), ("avg", 4, 4))
                   if all(side >= pool[1] and (side - pool[1]) % pool[2] == 0 for side in size)]  # fmt: skip
        outputs = draw(st.integers(1, 64))
        made = layer(index, (channels, outputs), size, draw(st.sampled_from(windows)), draw(st.integers(0, 2)))
        if min(made.out_height, made.out_width) < 1:
            break
        layers.append(made)
        size, channels = (made.out_height, made.out_width), outputs
    if not layers:
        layers, channels, size = [layer(0, (channels, 1), size, ("", 0, 1), 2)], 1, (size[0] + 2, size[1] + 2)
    fc = LayerWeights("fc", np.zeros((3, channels * size[0] * size[1]), np.int8), None)
    return Network("", "", "", shape, "hwc", tuple(layers), draw(st.sampled_from([None, fc])))


def words(values: int, size: int = 1) -> int:
    """Bytes of a buffer for values of a size, up to the next multiple of four."""
    return (values * size + 3) // 4 * 4


def steps(network: Network) -> Iterator[int]:
    """Bytes that each call has in use at once; shapes by the formulas of the AI84 hardware reference 1.4."""
    channels, height, width = network.input_shape
    in_ram = False
    for made in network.layers:
        if made.pool:
            if in_ram:
                yield words(channels * height * width)  # in place
            height, width = ((side + made.pool_stride - made.pool_size) // made.pool_stride
                             for side in (height, width))  # fmt: skip
            in_ram = True
        source = words(channels * height * width) if in_ram else 0
        columns = words(2 * channels * 9, 2)
        channels, height, width = len(made.weight), height + 2 * made.pad - 2, width + 2 * made.pad - 2
        yield source + columns + words(channels * height * width)
        in_ram = True
    if network.fc:
        yield words(channels * height * width) + words(channels * height * width, 2)


class Memory:
    """Every byte is marked with what was written there last."""

    def __init__(self, size: int) -> None:
        self.marks = [""] * size

    def write(self, buffer: Buffer, mark: str) -> None:
        assert buffer.offset % 4 == 0
        assert buffer.offset >= 0
        assert buffer.end <= len(self.marks)
        self.marks[buffer.offset : buffer.offset + buffer.size] = [mark] * buffer.size

    def holds(self, buffer: Buffer, mark: str) -> bool:
        return set(self.marks[buffer.offset : buffer.offset + buffer.size]) == {mark}


def execute(network: Network, planned: Plan) -> None:
    """Every call finds its inputs whole, and its own buffers do not overlap."""
    memory = Memory(planned.size)
    for made, buffers in zip(network.layers, planned.layers, strict=True):
        data, mark = buffers.source, f"output {made.index - 1}"
        assert (data is None) == (made.index == 0)
        if data:
            assert memory.holds(data, mark)
        if buffers.pooled:
            assert data is None or buffers.pooled.offset <= data.offset  # forward
            memory.write(buffers.pooled, "pooled")
            data, mark = buffers.pooled, "pooled"
        memory.write(buffers.columns, "columns")
        memory.write(buffers.output, f"output {made.index}")
        assert memory.holds(buffers.columns, "columns")
        assert data is None or memory.holds(data, mark)
    if planned.scratch:
        memory.write(planned.scratch, "scratch")
        assert memory.holds(planned.layers[-1].output, f"output {network.layers[-1].index}")


@settings(deadline=None, max_examples=300)
@given(network=chains())
def test_nothing_that_is_needed_is_overwritten_in_the_smallest_arena(network):
    planned = plan(network)
    assert planned.size == max(steps(network))
    execute(network, planned)


@settings(deadline=None)
@given(network=chains())
def test_buffers_have_the_sizes_of_their_data(network):
    planned = plan(network)
    channels = network.input_shape[0]
    for made, buffers in zip(network.layers, planned.layers, strict=True):
        assert buffers.columns.size == 2 * channels * 9 * 2  # AI84 hardware reference 13.3
        assert buffers.output.size == made.out_channels * made.out_height * made.out_width
        assert (buffers.pooled is not None) == bool(made.pool)
        channels = made.out_channels
    assert (planned.scratch is not None) == (network.fc is not None)
    assert planned.scratch is None or planned.scratch.size == 2 * network.outputs


def test_the_documented_network_needs_what_was_computed_by_hand():
    """FashionMNIST (AI84 hardware reference 15): the 60x28x28 output of layer 0 and 2*1*9 values of 16 bits."""
    layers = [layer(0, (1, 60), (28, 28), ("", 0, 1), 1), layer(1, (60, 60), (28, 28), ("max", 2, 2), 2)]
    planned = plan(Network("", "", "", (1, 28, 28), "chw", tuple(layers), None))
    assert planned.size == 60 * 28 * 28 + 36
    assert [str(b and (b.offset, b.size)) for b in (planned.layers[1].source, planned.layers[1].pooled)] == [
        "(0, 47040)", "(0, 11760)"]
    assert planned.layers[1].output.end == planned.size


@pytest.fixture(scope="module")
def pooling(tmp_path_factory: pytest.TempPathFactory) -> ctypes.CDLL:
    """The pooling functions of Device/ for this machine."""
    library = tmp_path_factory.mktemp("pool") / "pool.so"
    sources = sorted(str(path) for path in (ROOT / "Device").glob("arm_*pool*.c"))
    subprocess.run([sys.executable, "-m", "ziglang", "cc", "-shared", "-fPIC", "-O1", "-o", str(library), *sources],
                   check=True)  # fmt: skip
    return ctypes.CDLL(str(library))


@settings(deadline=None, max_examples=200)
@given(data=st.data())
def test_pooling_may_move_data_to_a_lower_address_that_overlaps(data, pooling):
    """What the plan relies on, for every distance between source and result."""
    kind, window, stride = data.draw(st.sampled_from([("max", 2, 1), ("max", 2, 2), ("avg", 2, 2), ("avg", 4, 4)]))
    rows, columns = (window + stride * data.draw(st.integers(0, 4)) for _ in range(2))
    channels, distance = data.draw(st.integers(1, 5)), data.draw(st.integers(0, 40))
    random = np.random.default_rng(data.draw(st.integers(0, 1000)))
    image = random.integers(-128, 128, (channels, rows, columns)).astype(np.int8)
    expected = reference.pool(image, kind, (window, window), (stride, stride))
    memory = np.zeros(distance + image.size, np.int8)
    memory[distance:] = image.transpose(1, 2, 0).reshape(-1)
    function = {"max": pooling.arm_maxpool_q7_HWC_nonsquare, "avg": pooling.arm_avepool_q7_HWC_nonsquare}[kind]
    start = memory.ctypes.data
    function(ctypes.c_void_p(start + distance), columns, rows, channels, window, 0, stride, *expected.shape[:0:-1],
             None, ctypes.c_void_p(start))
    found = memory[: expected.size].reshape(*expected.shape[1:], channels).transpose(2, 0, 1)
    np.testing.assert_array_equal(found, expected)
