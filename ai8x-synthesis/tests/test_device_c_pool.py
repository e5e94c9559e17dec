"""Pooling and ReLU of the run-time C against the formulas of the AI84 hardware reference 13.4, on the host with
sanitizers and on the emulated Cortex-M4."""

from dataclasses import dataclass, replace

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from device_c_tools import Runtime, runtime_on

SQUARE = ", ".join(f"(uint16_t)a[{n}]" for n in range(8))
NONSQUARE = ", ".join(f"(uint16_t)a[{n}]" for n in range(11))
CALLS = {
    **{f"{kind}_square": f"arm_{kind}pool_q7_HWC_nonsquare(p[0], {SQUARE}, 0, p[1] ? p[1] : p[0]); return 0"
       for kind in ("max", "ave")},
    **{kind: f"arm_{kind}pool_nonsquare_q7_HWC_nonsquare(p[0], {NONSQUARE}, 0, p[1] ? p[1] : p[0]); return 0"
       for kind in ("max", "ave")},
    "relu32": "arm_relu32_q7(p[0], (uint32_t)a[0]); return 0",
}
SOURCES = ["arm_pool_q7_HWC_nonsquare.c", "arm_relu32_q7.c"]


@pytest.fixture(scope="module", params=["host", "cortex-m4"])
def runtime(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory):
    with runtime_on(request.param, tmp_path_factory.mktemp("runtime"), CALLS, SOURCES) as runtime:
        yield runtime


@dataclass(frozen=True)
class Axis:
    """Sizes along y or x. There are as many outputs as windows that hold a pixel of the image."""

    size: int
    kernel: int
    padding: int
    stride: int
    outputs: int


def axis(size: int, kernel: int, padding: int, stride: int) -> Axis:
    """With the outputs whose windows lie within the padded image, at least one."""
    return Axis(size, kernel, padding, stride, max(1, (size + 2 * padding - kernel) // stride + 1))


def expected_pool(kind: str, image: np.ndarray, y: Axis, x: Axis) -> np.ndarray:
    """13.4, window by window; the average in Python's integers, truncated toward zero."""
    out = np.empty((y.outputs, x.outputs, image.shape[2]), np.int64)
    for oy, ox, c in np.ndindex(out.shape):
        top, left = oy * y.stride - y.padding, ox * x.stride - x.padding
        window = image[max(0, top):top + y.kernel, max(0, left):left + x.kernel, c]
        total = sum(window.flatten().tolist())
        out[oy, ox, c] = window.max() if kind == "max" else (abs(total) // window.size) * (1 if total >= 0 else -1)
    return out


def pool(runtime: Runtime, kind: str, image: np.ndarray, y: Axis, x: Axis) -> np.ndarray:
    """By the function for any window, which must leave the source as it was."""
    source, channels = image.astype(np.int8).tobytes(), image.shape[2]
    arguments = [x.size, y.size, channels, x.kernel, y.kernel, x.padding, y.padding, x.stride, y.stride, x.outputs,
                 y.outputs]
    _, (after, out) = runtime.call(kind, arguments, source, bytes(y.outputs * x.outputs * channels))
    assert after == source
    return np.frombuffer(out, np.int8).reshape(y.outputs, x.outputs, channels)


def pool_square(runtime: Runtime, kind: str, image: np.ndarray, y: Axis, x: Axis, in_place: bool) -> np.ndarray:
    """By the function for square windows, to a block of its own or onto the source."""
    source, channels = image.astype(np.int8).tobytes(), image.shape[2]
    size = y.outputs * x.outputs * channels
    arguments = [x.size, y.size, channels, x.kernel, x.padding, x.stride, x.outputs, y.outputs]
    _, blocks = runtime.call(f"{kind}_square", arguments, source, None if in_place else bytes(size))
    assert in_place or blocks[0] == source
    return np.frombuffer(blocks[not in_place], np.int8)[:size].reshape(y.outputs, x.outputs, channels)


def images(height: int, width: int) -> st.SearchStrategy[np.ndarray]:
    """HWC, of random values or of extremes only."""
    def build(channels: int, seed: int, values: list[int]) -> np.ndarray:
        return np.random.default_rng(seed).choice(values, (height, width, channels))

    return st.builds(build, st.integers(1, 5), st.integers(0, 2**32 - 1),
                     st.sampled_from([list(range(-128, 128)), [-128, 127], [-128], [-1, 0], [-3, -2, -1, 1, 2, 3]]))


@st.composite
def axes(draw) -> Axis:
    kernel = draw(st.integers(1, 5))
    padding = draw(st.integers(0, min(2, kernel - 1)))
    return axis(draw(st.integers(max(1, kernel - padding), 9)), kernel, padding, draw(st.integers(1, 4)))


@st.composite
def poolings(draw) -> tuple[np.ndarray, Axis, Axis]:
    y, x = draw(axes()), draw(axes())
    return draw(images(y.size, x.size)), y, x


@st.composite
def square_poolings(draw) -> tuple[np.ndarray, Axis, Axis]:
    y = draw(axes())
    x = axis(draw(st.integers(max(1, y.kernel - y.padding), 9)), y.kernel, y.padding, y.stride)
    return draw(images(y.size, x.size)), y, x


@pytest.mark.parametrize("kind", ["max", "ave"])
@settings(max_examples=60, deadline=None)
@given(pooling=poolings())
@example(pooling=(np.full((1, 1, 1), -128), axis(1, 1, 0, 1), axis(1, 1, 0, 1)))
@example(pooling=(np.arange(-6, 6).reshape(1, 12, 1), axis(1, 1, 0, 1), axis(12, 2, 0, 2)))
def test_pooling_equals_the_formula(runtime: Runtime, kind: str, pooling):
    assert np.array_equal(pool(runtime, kind, *pooling), expected_pool(kind, *pooling))


@pytest.mark.parametrize("kind", ["max", "ave"])
@settings(max_examples=30, deadline=None)
@given(pooling=square_poolings())
def test_pooling_with_square_windows_equals_the_formula(runtime: Runtime, kind: str, pooling):
    assert np.array_equal(pool_square(runtime, kind, *pooling, in_place=False), expected_pool(kind, *pooling))


@pytest.mark.parametrize("kind", ["max", "ave"])
@settings(max_examples=60, deadline=None)
@given(pooling=square_poolings())
def test_pooling_without_padding_may_overwrite_its_source(runtime: Runtime, kind: str, pooling):
    image, y, x = pooling
    y, x = (axis(max(a.size, a.kernel), a.kernel, 0, a.stride) for a in (y, x))
    image = np.resize(image, (y.size, x.size, image.shape[2]))
    assert np.array_equal(pool_square(runtime, kind, image, y, x, in_place=True), expected_pool(kind, image, y, x))


@pytest.mark.parametrize("kind", ["max", "ave"])
def test_windows_that_leave_the_image_at_its_end_are_clipped(runtime: Runtime, kind: str):
    """Two outputs from three pixels: the second window holds one."""
    image, pixels = np.array([[[-128], [127], [-5]]]), replace(axis(3, 2, 0, 2), outputs=2)
    assert pool(runtime, kind, image, axis(1, 1, 0, 1), pixels).flatten().tolist() == \
        {"max": [127, -5], "ave": [0, -5]}[kind]


def test_averages_are_truncated_toward_zero(runtime: Runtime):
    """Over 4: sums of -7, -1, 1, 7, -512 and 508."""
    windows = [[-7, 0, 0, 0], [0, -1, 0, 0], [1, 0, 0, 0], [0, 3, 0, 4], [-128] * 4, [127] * 4]
    image = np.array(windows).T.reshape(2, 2, 6)
    size = axis(2, 2, 0, 2)
    assert pool(runtime, "ave", image, size, size).flatten().tolist() == [-1, 0, 0, 1, -128, 127]


@settings(max_examples=30, deadline=None)
@given(values=st.lists(st.integers(-128, 127), max_size=40))
def test_relu_zeroes_negative_values(runtime: Runtime, values: list[int]):
    _, (out,) = runtime.call("relu32", [len(values)], np.array(values, np.int8).tobytes())
    assert np.frombuffer(out, np.int8).tolist() == [max(0, value) for value in values]


def test_relu_counts_in_32_bits(runtime: Runtime):
    values = np.random.default_rng(1).integers(-128, 128, 70000).astype(np.int8)
    _, (out,) = runtime.call("relu32", [70000], values.tobytes())
    assert np.array_equal(np.frombuffer(out, np.int8), np.maximum(values, 0))
