"""The plain C that stands for CMSIS-NN against the formula of the AI84 hardware reference 13.1, on the host with
sanitizers and on the emulated Cortex-M4."""

from collections.abc import Sequence
from dataclasses import astuple
from pathlib import Path

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from convolution_tools import (
    CALLS,
    INCLUDE,
    PORTABLE,
    Convolution,
    Pair,
    arguments,
    blocks,
    convolve,
    documented,
    expected,
    square_arguments,
)
from device_c_tools import Runtime, build_host, runtime_on
from firmware_tools import DEVICE

SIZE_MISMATCH = -3  # Arm's number


@pytest.fixture(scope="module", params=["host", "cortex-m4"])
def runtime(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory):
    with runtime_on(request.param, tmp_path_factory.mktemp("runtime"), CALLS, [PORTABLE], INCLUDE) as runtime:
        yield runtime


@st.composite
def convolutions(draw, square: bool, in_channels: Sequence[int] = range(1, 10),
                 out_channels: Sequence[int] = range(1, 8)) -> Convolution:
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    pair = st.integers(0, 2).map(lambda n: Pair(n, n)) if square else st.builds(Pair, *[st.integers(0, 2)] * 2)
    padding, stride = draw(pair), draw(pair)
    kernel = draw(st.tuples(*[st.integers(1, 4)] * 2)) if not square else (draw(st.integers(1, 4)),) * 2
    extra = draw(st.tuples(*[st.integers(0, 6)] * 2)) if not square else (draw(st.integers(0, 6)),) * 2
    size = [max(1, k - 2 * p) + e for k, p, e in zip(kernel, astuple(padding), extra, strict=True)]
    values = draw(st.sampled_from([list(range(-128, 128)), [-128, 127], [-128], [0, 1, -1], [64, -64]]))
    channels, outputs = draw(st.sampled_from(in_channels)), draw(st.sampled_from(out_channels))
    return Convolution(rng.choice(values, (*size, channels)), rng.choice(values, (outputs, *kernel, channels)),
                       rng.choice(values, outputs), padding, Pair(stride.y + 1, stride.x + 1),
                       draw(st.integers(0, 7)), draw(st.integers(0, 9)))


def one(value: int, weight: int, bias: int = 0) -> Convolution:
    """One product."""
    image, weights = np.full((1, 1, 1), value), np.full((1, 1, 1, 1), weight)
    return Convolution(image, weights, np.array([bias]), Pair(0, 0), Pair(1, 1))


def single_row(width: int) -> Convolution:
    rng = np.random.default_rng(width)
    return Convolution(rng.integers(-128, 128, (1, width, 3)), rng.integers(-128, 128, (5, 3, 3, 3)),
                       rng.integers(-128, 128, 5), Pair(1, 1), Pair(1, 1))


@settings(max_examples=80, deadline=None)
@given(conv=convolutions(square=False))
@example(conv=one(-128, -128))
@example(conv=single_row(1))
@example(conv=single_row(200))
def test_convolution_equals_the_formula(runtime: Runtime, conv: Convolution):
    assert np.array_equal(convolve(runtime, "basic_nonsquare", conv), expected(conv))


@settings(max_examples=40, deadline=None)
@given(conv=convolutions(square=True))
def test_square_convolution_equals_the_formula(runtime: Runtime, conv: Convolution):
    assert np.array_equal(convolve(runtime, "basic", conv), expected(conv))


FAST = {"in_channels": (4, 8, 12), "out_channels": (2, 4, 6)}


@settings(max_examples=30, deadline=None)
@given(conv=convolutions(square=True, **FAST))
def test_fast_convolutions_equal_the_formula(runtime: Runtime, conv: Convolution):
    assert np.array_equal(convolve(runtime, "fast", conv), expected(conv))
    assert np.array_equal(convolve(runtime, "fast_nonsquare", conv), expected(conv))


@settings(max_examples=30, deadline=None)
@given(conv=convolutions(square=False, **FAST))
def test_fast_convolution_of_any_shape_equals_the_formula(runtime: Runtime, conv: Convolution):
    assert np.array_equal(convolve(runtime, "fast_nonsquare", conv), expected(conv))


@pytest.mark.parametrize("channels, outputs", [(1, 2), (2, 2), (3, 2), (6, 2), (4, 1), (4, 3)])
@pytest.mark.parametrize("function", ["fast", "fast_nonsquare"])
def test_fast_convolution_refuses_other_channels(runtime: Runtime, function: str, channels: int, outputs: int):
    conv = Convolution(np.ones((4, 4, channels)), np.ones((outputs, 3, 3, channels)), np.ones(outputs), Pair(1, 1),
                       Pair(1, 1))
    before = blocks(conv, documented(conv))
    numbers = (arguments if function.endswith("nonsquare") else square_arguments)(conv)
    status, after = runtime.call(function, numbers, *before)
    assert status == SIZE_MISMATCH and after == before


@pytest.mark.parametrize("value, weight, bias, answer", [
    (63, 1, 0, 0), (64, 1, 0, 1), (-64, 1, 0, 0), (-65, 1, 0, -1),  # + 64, over 128, rounded down
    (0, 0, 63, 0), (0, 0, 64, 1), (1, -1, -63, 0), (1, -1, -64, -1),  # the bias counts before rounding
    (-128, -128, 0, 127), (-128, 127, 0, -127), (-128, 127, -128, -128), (127, 127, 127, 127)])
def test_rounding_ties_and_saturation(runtime: Runtime, value: int, weight: int, bias: int, answer: int):
    assert convolve(runtime, "basic_nonsquare", one(value, weight, bias)).item() == answer


def test_sums_far_outside_saturate(runtime: Runtime):
    """576 products of 16384 or -16256."""
    image, weights = np.full((3, 3, 64), -128), np.stack([np.full((3, 3, 64), n) for n in (-128, 127)])
    conv = Convolution(image, weights, np.zeros(2), Pair(0, 0), Pair(1, 1))
    assert convolve(runtime, "fast_nonsquare", conv).flatten().tolist() == [127, -128]


@settings(max_examples=20, deadline=None)
@given(values=st.lists(st.integers(-128, 127), max_size=40))
def test_relu_zeroes_negative_values(runtime: Runtime, values: list[int]):
    _, (out,) = runtime.call("relu", [len(values)], np.array(values, np.int8).tobytes())
    assert np.frombuffer(out, np.int8).tolist() == [max(0, value) for value in values]


def test_relu_counts_to_65535(runtime: Runtime):
    values = np.random.default_rng(2).integers(-128, 128, 65535).astype(np.int8)
    _, (out,) = runtime.call("relu", [65535], values.tobytes())
    assert np.array_equal(np.frombuffer(out, np.int8), np.maximum(values, 0))


def test_a_column_buffer_that_is_too_small_is_found(tmp_path: Path):
    """By the address sanitizer, where the compiler has one; the buffer one value short, even for a single pixel."""
    host = build_host(tmp_path, CALLS, sorted((DEVICE / PORTABLE).glob("*.c")), INCLUDE, [f"-I{DEVICE / PORTABLE}"])
    if not host.finds_overruns:
        pytest.skip("this compiler has no address sanitizer")
    conv = Convolution(np.ones((3, 3, 4)), np.ones((2, 3, 3, 4)), np.ones(2), Pair(0, 0), Pair(1, 1))
    host.call("fast_nonsquare", arguments(conv), *blocks(conv, documented(conv)))
    with pytest.raises(AssertionError, match="heap-buffer-overflow"):
        host.call("fast_nonsquare", arguments(conv), *blocks(conv, documented(conv) - 1))


def test_the_guards_of_the_emulated_processor_find_a_buffer_that_is_too_small(tmp_path: Path):
    conv = Convolution(np.ones((3, 3, 4)), np.ones((2, 3, 3, 4)), np.ones(2), Pair(0, 0), Pair(1, 1))
    with runtime_on("cortex-m4", tmp_path, CALLS, [PORTABLE], INCLUDE) as arm, \
            pytest.raises(AssertionError, match="written outside the blocks"):
        arm.call("fast_nonsquare", arguments(conv), *blocks(conv, documented(conv) - 1))
