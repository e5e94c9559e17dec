"""The run-time C of the demos against the formulas of the AI84 hardware reference, on the host with sanitizers and on
the emulated Cortex-M4."""

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from chip_tools import CASES
from device_c_tools import Runtime, runtime_on
from izer import torchfile

CALLS = {
    "fc": "arm_fully_connected_q7_q8p7_opt(p[0], p[1], (uint16_t)a[0], (uint16_t)a[1], (uint16_t)a[2], (uint16_t)a[3], "
          "p[2], p[3], p[4]); return 0",
    "softmax": "arm_softmax_q8p7_q15(p[0], (uint16_t)a[0], p[1]); return 0",
    "softmax_frac": "arm_softmax_q8p7_q15_frac(p[0], (uint16_t)a[0], p[1]); return 0",
}
SOURCES = ["arm_fully_connected_q7_q8p7_opt.c", "arm_softmax_q8p7_q15.c"]


@pytest.fixture(scope="module", params=["host", "cortex-m4"])
def runtime(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory):
    with runtime_on(request.param, tmp_path_factory.mktemp("runtime"), CALLS, SOURCES) as runtime:
        yield runtime


def interleave(weights: np.ndarray) -> bytes:
    """FC weights [r][n] in the order of 8.2, written from its text."""
    order = [(0, 0), (1, 0), (0, 2), (1, 2), (2, 0), (3, 0), (2, 2), (3, 2),
             (0, 1), (1, 1), (0, 3), (1, 3), (2, 1), (3, 1), (2, 3), (3, 3)]
    rows, columns = weights.shape
    values: list[int] = []
    for r in range(0, rows - rows % 4, 4):
        for n in range(0, columns - columns % 4, 4):
            values += [weights[r + i, n + j] for i, j in order]
        for n in range(columns - columns % 4, columns):
            values += [weights[r + i, n] for i in range(4)]
    values += weights[rows - rows % 4:].flatten().tolist()
    return np.array(values, np.int8).tobytes()


def expected_fc(data: np.ndarray, weights: np.ndarray, bias: np.ndarray, bias_shift: int, out_shift: int) -> list[int]:
    """8.2 in 64-bit integers."""
    total = weights.astype(np.int64) @ data.astype(np.int64) + bias.astype(np.int64) * 2**bias_shift
    return np.clip((total + 2**out_shift // 2) // 2**out_shift, -32768, 32767).tolist()


def clip(value: int, low: int, high: int) -> int:
    return max(low, min(value, high))


def expected_softmax(values: list[int]) -> list[int]:
    """8.3 in Python integers, R = 63."""
    base = max(values) - 2048
    total = sum(1 << clip((63 + v - base) >> 7, 0, 31) for v in values if v > base)
    shifts = [clip(17 + ((63 + base - v) >> 7), 0, 31) for v in values]
    return [clip(2**32 // total >> shift, -32768, 32767) if v > base else 0
            for v, shift in zip(values, shifts, strict=True)]


def wrap(value: int) -> int:
    return (value + 2**31) % 2**32 - 2**31


def power(f: int) -> int:
    """P2(f) of 8.3, unsigned."""
    r = wrap(0x0E20 * f + 0x3E1CC333) >> 17
    r = wrap(r * f + 0x58BD46A6) >> 16
    return wrap(r * f + 0x7FFDE4A3) % 2**32


def expected_softmax_frac(values: list[int]) -> list[int]:
    """The fractional variant of 8.3 in Python integers."""
    base, total, result = max(values) - 2048, 0, []
    for v in (v for v in values if v > base):
        t = clip(v - base, 0, 4095)
        s = (t + 64) & ~127
        total += power((t - s) << 9) >> ((((15 << 16) - (s << 9)) >> 16) + 16)
    for v in values:
        t = clip(2049 + base - v, 0, 4095)
        s = (t + 64) & ~127
        u = power((s - t) << 9) >> (31 - (((15 << 16) - (s << 9)) >> 16))
        p = (2**32 // total * u >> 16) & 0xFFFF
        result.append(0 if v <= base else p - 2**16 * (p >> 15))
    return result


def fully_connected(
    runtime: Runtime, data: np.ndarray, weights: np.ndarray, bias: np.ndarray, bias_shift: int, out_shift: int
) -> list[int]:
    rows, columns = weights.shape
    content = [data.astype(np.int8).tobytes(), interleave(weights), bias.astype(np.int8).tobytes()]
    arguments = [columns, rows, bias_shift, out_shift]
    _, blocks = runtime.call("fc", arguments, *content, bytes(2 * rows), bytes(2 * columns))
    assert blocks[:3] == content
    return np.frombuffer(blocks[3], "<i2").tolist()


def softmax(runtime: Runtime, values: list[int], function: str = "softmax") -> list[int]:
    _, blocks = runtime.call(function, [len(values)], np.array(values, "<i2").tobytes(), bytes(2 * len(values)))
    return np.frombuffer(blocks[1], "<i2").tolist()


def softmax_frac(runtime: Runtime, values: list[int]) -> list[int]:
    return softmax(runtime, values, "softmax_frac")


@st.composite
def fc_inputs(draw) -> tuple[np.ndarray, np.ndarray, np.ndarray, int, int]:
    rows, columns = draw(st.integers(1, 13)), draw(st.integers(1, 37))
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    pick: Callable[..., np.ndarray] = draw(st.sampled_from([
        lambda *shape: rng.integers(-128, 128, shape), lambda *shape: rng.choice([-128, 127], shape),
        lambda *shape: np.full(shape, -128)]))
    return pick(columns), pick(rows, columns), pick(rows), draw(st.integers(0, 8)), draw(st.integers(0, 9))


@settings(max_examples=80, deadline=None)
@given(inputs=fc_inputs())
def test_fully_connected_layer_equals_the_formula(runtime: Runtime, inputs):
    assert fully_connected(runtime, *inputs) == expected_fc(*inputs)


def test_fully_connected_layer_saturates_both_ways(runtime: Runtime):
    """256 products of 16384 or -16256, over 128: 32768 and -32512; without output shift far outside."""
    data, weights = np.full(256, -128), np.stack([np.full(256, -128), np.full(256, 127)])
    assert fully_connected(runtime, data, weights, np.zeros(2, int), 0, 7) == [32767, -32512]
    assert fully_connected(runtime, data, weights, np.zeros(2, int), 0, 0) == [32767, -32768]


VECTORS = (st.lists(st.integers(-32768, 32767), min_size=1, max_size=40)
           | st.lists(st.integers(-1200, 1200), min_size=1, max_size=20)
           | st.lists(st.sampled_from([-32768, -2048, -2047, -64, 0, 63, 64, 65, 127, 128, 2047, 2048, 32767]),
                      min_size=1, max_size=20))


@settings(max_examples=80, deadline=None)
@given(values=VECTORS)
@example(values=[0])
@example(values=[32767] * 256)
@example(values=[-32768])
@example(values=[0, -2047, -2048, -2049])
def test_softmax_equals_the_formula(runtime: Runtime, values: list[int]):
    assert softmax(runtime, values) == expected_softmax(values)


@settings(max_examples=80, deadline=None)
@given(values=VECTORS)
@example(values=[0])
@example(values=[32767] * 256)
@example(values=[-32768])
@example(values=[0, -2047, -2048, -2049])
def test_fractional_softmax_equals_the_formula(runtime: Runtime, values: list[int]):
    assert softmax_frac(runtime, values) == expected_softmax_frac(values)


def test_softmax_known_answers(runtime: Runtime):
    """8.3, the sample with the vendor's checkpoint."""
    values = [-209, 47, -392, -482, -437, 130, -378, 537, 14, 1158]
    assert softmax(runtime, values) == [15, 61, 7, 3, 7, 123, 7, 984, 61, 31495]
    assert softmax_frac(runtime, values) == [18, 75, 6, 3, 4, 118, 6, 1080, 63, 31209]


@pytest.mark.parametrize("folder", sorted(path.parent for path in CASES.glob("*/fc.json")), ids=lambda path: path.name)
def test_software_layers_of_the_conformance_cases(runtime: Runtime, folder: Path):
    known = json.loads((folder / "fc.json").read_text())
    assert softmax(runtime, known["q8_7"]) == known["softmax_q15"]
    assert softmax_frac(runtime, known["q8_7"]) == known["softmax_frac_q15"]
    weights, bias = fc_tensors(folder, known["outputs"])
    assert fully_connected(runtime, np.load(folder / "output.npy").flatten(), weights, bias, 0, 7) == known["q8_7"]


def fc_tensors(folder: Path, outputs: int) -> tuple[np.ndarray, np.ndarray]:
    state = torchfile.read(folder / "checkpoint.pth.tar")["state_dict"]
    return state["fc.linear.weight"], state.get("fc.linear.bias", np.zeros(outputs))
