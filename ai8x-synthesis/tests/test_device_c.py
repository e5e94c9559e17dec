"""The run-time C of the demos against the formulas of the AI84 hardware reference, on the host with sanitizers and on
the emulated Cortex-M4."""

import json
import shutil
import struct
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from chip import Chip
from chip.mcu import Mcu
from chip_tools import CASES
from firmware_tools import DEVICE, build_firmware
from izer import torchfile

HARNESS = """
#include "tornadocnn.h"
q7_t data[256], weights[64 * 1024], bias[64];
q15_t out[256], buffer[256], values[256];
int columns, rows, bias_shift, out_shift;
int run_fc(void)
{
    return arm_fully_connected_q7_q8p7_opt(data, weights, (uint16_t)columns, (uint16_t)rows, (uint16_t)bias_shift,
                                           (uint16_t)out_shift, bias, out, buffer);
}
void run_softmax(void) { arm_softmax_q8p7_q15(values, (uint16_t)rows, out); }
void run_softmax_frac(void) { arm_softmax_q8p7_q15_frac(values, (uint16_t)rows, out); }
"""

# Reads: what to do, columns, rows, shifts, then the inputs in heap blocks of exactly their size; writes the outputs.
HOST_MAIN = """
#include <stdio.h>
#include <stdlib.h>
#include "tornadocnn.h"
static void *get(size_t count, size_t size)
{
    void *block = malloc(count * size + !count);
    if (fread(block, size, count, stdin) != count)
        exit(2);
    return block;
}
int main(void)
{
    int32_t *h = get(5, 4);
    uint16_t columns = (uint16_t)h[1], rows = (uint16_t)h[2];
    q15_t *out = malloc(2u * rows + !rows), *buffer = malloc(2u * columns + !columns);
    if (h[0] == 0) {
        q7_t *data = get(columns, 1), *weights = get((size_t)columns * rows, 1), *bias = get(rows, 1);
        arm_fully_connected_q7_q8p7_opt(data, weights, columns, rows, (uint16_t)h[3], (uint16_t)h[4], bias, out,
                                        buffer);
        free(data), free(weights), free(bias);
    } else {
        q15_t *values = get(rows, 2);
        (h[0] == 1 ? arm_softmax_q8p7_q15 : arm_softmax_q8p7_q15_frac)(values, rows, out);
        free(values);
    }
    fwrite(out, 2, rows, stdout);
    free(out), free(buffer), free(h);
    return 0;
}
"""


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


class HostRuntime:
    """The functions compiled for this machine; each call is a process of its own, watched by the sanitizers."""

    def __init__(self, program: Path) -> None:
        self._program = program

    def _run(self, kind: int, columns: int, rows: int, shifts: tuple[int, int], content: bytes) -> list[int]:
        header = struct.pack("<5i", kind, columns, rows, *shifts)
        result = subprocess.run([self._program], input=header + content, capture_output=True)
        assert result.returncode == 0 and not result.stderr, result.stderr.decode()
        return np.frombuffer(result.stdout, "<i2").tolist()

    def fc(self, data: np.ndarray, weights: np.ndarray, bias: np.ndarray, bias_shift: int, out_shift: int) -> list[int]:
        content = data.astype(np.int8).tobytes() + interleave(weights) + bias.astype(np.int8).tobytes()
        return self._run(0, len(data), len(weights), (bias_shift, out_shift), content)

    def softmax(self, values: list[int]) -> list[int]:
        return self._run(1, 0, len(values), (0, 0), np.array(values, "<i2").tobytes())

    def softmax_frac(self, values: list[int]) -> list[int]:
        return self._run(2, 0, len(values), (0, 0), np.array(values, "<i2").tobytes())


class ArmRuntime:
    """The same functions on the emulated Cortex-M4."""

    def __init__(self, mcu: Mcu) -> None:
        self._mcu = mcu

    def _write(self, **values: bytes | int) -> None:
        for name, value in values.items():
            content = value.to_bytes(4, "little") if isinstance(value, int) else value
            self._mcu.write_symbol(name, content.ljust(self._mcu.firmware.object(name).size, b"\xAA"))

    def _outputs(self, count: int) -> list[int]:
        return np.frombuffer(self._mcu.read_symbol("out"), "<i2")[:count].tolist()

    def fc(self, data: np.ndarray, weights: np.ndarray, bias: np.ndarray, bias_shift: int, out_shift: int) -> list[int]:
        self._write(data=data.astype(np.int8).tobytes(), weights=interleave(weights),
                    bias=bias.astype(np.int8).tobytes(), columns=len(data), rows=len(weights), bias_shift=bias_shift,
                    out_shift=out_shift)
        assert self._mcu.call("run_fc") == 0
        return self._outputs(len(weights))

    def softmax(self, values: list[int]) -> list[int]:
        self._write(values=np.array(values, "<i2").tobytes(), rows=len(values))
        self._mcu.call("run_softmax")
        return self._outputs(len(values))

    def softmax_frac(self, values: list[int]) -> list[int]:
        self._write(values=np.array(values, "<i2").tobytes(), rows=len(values))
        self._mcu.call("run_softmax_frac")
        return self._outputs(len(values))


Runtime = HostRuntime | ArmRuntime


def build_host(folder: Path) -> HostRuntime:
    """With gcc or clang: address and undefined-behaviour sanitizers; their messages fail the test."""
    (folder / "host.c").write_text(HOST_MAIN)
    (folder / "tornadocnn.h").write_text((DEVICE / "tornadocnn.h").read_text())
    (folder / "mxc_sys.h").write_text("")
    compiler = [shutil.which("cc")] if shutil.which("cc") else [sys.executable, "-m", "ziglang", "cc"]
    sources = [str(DEVICE / "arm_fully_connected_q7_q8p7_opt.c"), str(DEVICE / "arm_softmax_q8p7_q15.c")]
    command = [*compiler, "-std=c11", "-O1", "-g", "-Wall", "-Wextra", "-Werror", "-DMXC_SDK", f"-I{folder}",
               "-o", str(folder / "host"), str(folder / "host.c"), *sources]
    for flags in (["-fsanitize=address,undefined", "-fno-sanitize-recover=all"], ["-fsanitize=undefined"], []):
        if subprocess.run([*command, *flags], capture_output=True).returncode == 0:
            return HostRuntime(folder / "host")
    raise AssertionError("the run-time does not compile for this machine")


@pytest.fixture(scope="module", params=["host", "cortex-m4"])
def runtime(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory):
    folder = tmp_path_factory.mktemp("runtime")
    if request.param == "host":
        yield build_host(folder)
        return
    with Chip() as chip:
        mcu = Mcu(build_firmware(folder, HARNESS + "int main(void) { return 0; }\n"), chip)
        assert mcu.run().status == 0
        yield ArmRuntime(mcu)


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
    assert runtime.fc(*inputs) == expected_fc(*inputs)


def test_fully_connected_layer_saturates_both_ways(runtime: Runtime):
    """256 products of 16384 or -16256, over 128: 32768 and -32512; without output shift far outside."""
    data, weights = np.full(256, -128), np.stack([np.full(256, -128), np.full(256, 127)])
    assert runtime.fc(data, weights, np.zeros(2, int), 0, 7) == [32767, -32512]
    assert runtime.fc(data, weights, np.zeros(2, int), 0, 0) == [32767, -32768]


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
    assert runtime.softmax(values) == expected_softmax(values)


@settings(max_examples=80, deadline=None)
@given(values=VECTORS)
@example(values=[0])
@example(values=[32767] * 256)
@example(values=[-32768])
@example(values=[0, -2047, -2048, -2049])
def test_fractional_softmax_equals_the_formula(runtime: Runtime, values: list[int]):
    assert runtime.softmax_frac(values) == expected_softmax_frac(values)


def test_softmax_known_answers(runtime: Runtime):
    """8.3, the sample with the vendor's checkpoint."""
    values = [-209, 47, -392, -482, -437, 130, -378, 537, 14, 1158]
    assert runtime.softmax(values) == [15, 61, 7, 3, 7, 123, 7, 984, 61, 31495]
    assert runtime.softmax_frac(values) == [18, 75, 6, 3, 4, 118, 6, 1080, 63, 31209]


@pytest.mark.parametrize("folder", sorted(path.parent for path in CASES.glob("*/fc.json")), ids=lambda path: path.name)
def test_software_layers_of_the_conformance_cases(runtime: Runtime, folder: Path):
    known = json.loads((folder / "fc.json").read_text())
    assert runtime.softmax(known["q8_7"]) == known["softmax_q15"]
    assert runtime.softmax_frac(known["q8_7"]) == known["softmax_frac_q15"]
    weights, bias = fc_tensors(folder, known["outputs"])
    assert runtime.fc(np.load(folder / "output.npy").flatten(), weights, bias, 0, 7) == known["q8_7"]


def fc_tensors(folder: Path, outputs: int) -> tuple[np.ndarray, np.ndarray]:
    state = torchfile.read(folder / "checkpoint.pth.tar")["state_dict"]
    return state["fc.linear.weight"], state.get("fc.linear.bias", np.zeros(outputs))
