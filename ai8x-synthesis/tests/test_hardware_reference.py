"""Numbers that the AI84 hardware reference prints: worked examples (4.5, 15) and known answers (appendix A)."""

import zlib
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest

from izer import listing, pipeline, reference, sampledata, torchfile
from izer.ai84 import kernels
from izer.device import AI84
from izer.emit.demofolder import interleave
from izer.operations import Program, Write

BASE = 0x50100000


def tensor(number: int, scale: int, *shape: int) -> np.ndarray:
    """The pseudo-random tensor K = `number`, S = `scale` of appendix A."""
    x = 2654435761 * number % 2**32
    values = []
    for _ in range(int(np.prod(shape))):
        x = (1664525 * x + 1013904223) % 2**32
        byte = x >> 24
        value = byte - 256 if byte > 127 else byte
        values.append(int(value / 2**scale))  # int() truncates toward zero
    return np.array(values, np.int8).reshape(shape)


def crc(array: np.ndarray) -> int:
    return zlib.crc32(np.ascontiguousarray(array).tobytes())


def build(folder: Path, layers: str, weights: dict[str, np.ndarray], sample: np.ndarray, extra: str = "",
          fc: bool = False) -> pipeline.Model:  # fmt: skip
    state = {name: value.astype(np.float32) for name, value in weights.items()}
    torchfile.write(folder / "c.pth.tar", {"arch": "test", "state_dict": state})
    np.save(folder / "sample.npy", sample)
    (folder / "net.yaml").write_text(f"arch: test\ndataset: MNIST\n{extra}layers:\n{layers}")
    request = pipeline.Request(AI84, folder / "net.yaml", folder / "c.pth.tar", folder / "sample.npy", fc)
    return pipeline.build_model(request)


@pytest.fixture
def test_a(tmp_path: Path) -> pipeline.Model:
    """The FashionMNIST topology of chapter 15 with the weights of A.1."""
    layers = """
- {out_offset: 0x2000, processors: 0x1, data_format: CHW, activate: ReLU}
- {max_pool: 2, pool_stride: 2, pad: 2, processors: 0xfffffffffffffff0, activate: ReLU}
- {max_pool: 2, pool_stride: 2, out_offset: 0x2000, processors: 0xfffffffffffffff0, activate: ReLU}
- {avg_pool: 2, pool_stride: 2, processors: 0x0ffffffffffffff0, activate: ReLU}
"""
    shapes = ((100, 1, 60, 1), (101, 3, 60, 60), (102, 3, 56, 60), (103, 3, 12, 56))
    weights = {f"conv{k}.weight": tensor(k, s, o, c, 3, 3) for k, s, o, c in shapes}
    weights["fc.weight"], weights["fc.bias"] = tensor(300, 0, 10, 192), tensor(301, 0, 10)
    return build(tmp_path, layers, weights, tensor(1, 0, 1, 28, 28), fc=True)


def test_tensors_are_those_of_appendix_a():
    assert tensor(1, 0, 8).tolist() == [66, 47, -59, 20, -128, 26, 35, -14]
    assert crc(tensor(1, 0, 1, 28, 28)) == 0x36FC2049
    assert crc(tensor(101, 3, 60, 60, 3, 3)) == 0x2C7F71A7


def test_layers_and_scores_of_test_a(test_a):
    outputs = [value.output for value in test_a.values]
    assert [crc(output) for output in outputs] == [0xE447FD3D, 0x0DDF6589, 0x794EE1B9, 0x29E3D3BE]
    assert [int(output.sum(dtype=int)) for output in outputs] == [1173334, 523959, 148216, 3672]
    assert test_a.scores.tolist() == [59, 95, 153, -806, 299, -389, -95, 120, 103, 142]
    assert reference.softmax(test_a.scores).tolist() == [2403, 2403, 4807, 18, 9614, 300, 1201, 4807, 2403, 4807]


def writes(program: Program, section: str) -> dict[int, int]:
    return {op.address: op.value for op in program.section(section).operations if isinstance(op, Write)}


def test_registers_of_the_worked_example(test_a):
    """15.2 to 15.4, every value in every group."""
    program = pipeline.embedded_program(test_a)
    same = {
        0: (0x11D, 0x21F, 0x111, 0x109), 1: (0x11D, 0x21F, 0x111, 0x109), 3: (1, 1, 1, 1), 4: (1, 1, 1, 1),
        5: (0, 1, 1, 1), 6: (0x1800, 0x1000, 0x1800, 0), 7: (0x10000000,) * 4, 8: (0, 0x800, 0, 0x800),
        10: (0x3B, 0x3B, 0x3C37, 0x740B), 11: (0x1B, 0xF, 7, 3),
    }  # fmt: skip
    lctl = ((0xB60, 0xEBA0, 0xEBA0, 0xEAA0), *[(0xB60, 0xBA0, 0xBA0, 0xAA0)] * 3)
    full = 0xFFFFFFFF
    ena = ((0x10001, 0xFFF0FFF0, 0xFFF0FFF0, 0xFFF0FFF0), (0, full, full, full), (0, full, full, full),
           (0, full, full, 0x0FFF0FFF))  # fmt: skip
    expected = {}
    for group in range(4):
        registers = same | {9: lctl[group], 12: ena[group]}
        for number, values in registers.items():
            for layer, value in enumerate(values):
                expected[BASE + 0x100000 * group + 0x10 + 0x80 * number + 4 * layer] = value
    assert writes(program, "cnn_configure") == expected
    globals_ = {BASE + 0x100000 * g + o: v for g in range(4) for o, v in ((0, 6), (4, 0x40E), (8, 3))}
    assert writes(program, "cnn_init") == globals_
    start = [(op.address, op.value) for op in program.section("cnn_start").operations]
    assert start == [(0x50200000, 0x807), (0x50300000, 0x807), (0x50400000, 0x807), (0x50100000, 7)]


def test_kernel_copy_regions_of_the_worked_example(test_a):
    """15.5: start addresses and numbers of kernels."""
    copies = pipeline.embedded_program(test_a).section("load_kernels").operations
    assert [(copy.address, len(copy.words)) for copy in copies] == [
        (0x50104800, 60), (0x50106800, 1536), (0x50204800, 2048), (0x50304800, 2048), (0x50404800, 1652),
        (0x5040B000, 116), (0x5040B800, 116), (0x5040C000, 116),
    ]  # fmt: skip


@pytest.mark.parametrize("arrays", [kernels.kernel_arrays, kernels.kernel_stores])
@pytest.mark.parametrize(
    ("layer", "output", "channel", "address"),
    [(0, 7, 0, 0x50104870), (1, 5, 2, 0x50107850), (2, 10, 30, 0x50305C60), (3, 11, 55, 0x5040A7F0)],
)
def test_kernels_of_the_worked_example_are_at_their_addresses(test_a, arrays, layer, output, channel, address):
    words = {}
    for copy in arrays(AI84, test_a.network, test_a.placement):
        words |= {access.address: access.value for access in copy.accesses()}
    k = [int(value) & 0xFF for value in test_a.network.layers[layer].weight[output, channel].flatten()]
    expected = [k[0], k[1] << 24 | k[2] << 16 | k[3] << 8 | k[4], k[5] << 24 | k[6] << 16 | k[7] << 8 | k[8], 0]
    assert [words[address + 4 * n] for n in range(4)] == expected


def test_output_words_of_test_a(test_a):
    """A.1: the final data memory words of instance 0 and 2, in the order of the check (15.5)."""
    checks = pipeline.embedded_program(test_a).check.operations
    assert [c.address for c in checks[:6]] == [
        0x50110000, 0x50114000, 0x50118000, 0x50110004, 0x50114004, 0x50118004,
    ]  # fmt: skip
    assert len(checks) == 48
    words = {check.address: check.value for check in checks}
    zero = "09000001 1C00000D 4A00000A 2D000000 00000000 50000013 66000000 00000003"
    two = "2C007847 4F00007F 36000060 00090038 00006858 0700007F 02000045 00000037"
    assert [words[0x50110000 + 4 * k] for k in range(8)] == [int(word, 16) for word in zero.split()]
    assert [words[0x50118000 + 4 * k] for k in range(8)] == [int(word, 16) for word in two.split()]


def test_operation_counts_of_chapter_10(test_a):
    total = listing.total_operations(test_a.network)
    assert (total.macc, total.comp, total.add, total.true_macc) == (10749888, 128576, 3584, 8447280)


@pytest.fixture
def test_b(tmp_path: Path) -> pipeline.Model:
    """A.2: HWC input, bias, negative averages, pad 0 and 2, pooling stride 1, incomplete quads."""
    layers = """
- {out_offset: 0x1000, processors: 0x7, pad: 0}
- {avg_pool: 2, pool_stride: 2, pad: 2, processors: 0x7f0}
- {max_pool: 2, pool_stride: 1, out_offset: 0x800, processors: 0x1ff00000, activate: ReLU}
"""
    weights = {
        "a.weight": tensor(1100, 1, 7, 3, 3, 3), "a.bias": tensor(1200, 0, 7),
        "b.weight": tensor(1101, 2, 9, 7, 3, 3), "b.bias": tensor(1201, 0, 9), "c.weight": tensor(1102, 2, 5, 9, 3, 3),
    }  # fmt: skip
    return build(tmp_path, layers, weights, tensor(2, 0, 3, 12, 12), "output_map: 0x1f\n")


def test_layers_of_test_b(test_b):
    assert [crc(value.output) for value in test_b.values] == [0xDA8F1C59, 0xE66C8EA2, 0x881DBDC2]
    assert crc(test_b.values[1].pooled) == 0x58109C63


def test_registers_bias_and_input_of_test_b(test_b):
    program = pipeline.embedded_program(test_b)
    registers = writes(program, "cnn_configure")
    per_group = {
        0: [(0x0B, 0x20D, 0x108)] * 2, 5: [(0, 1, 0)] * 2, 6: [(0x1400, 0x5000, 0x200)] * 2, 8: [(0, 0x400, 0)] * 2,
        9: [(0x920, 0x8A0, 0x2BA0), (0x920, 0x8A0, 0xBA0)], 10: [(0x01000006, 0x01070008, 4), (6, 8, 4)],
        11: [(9, 6, 5)] * 2, 12: [(0x00070007, 0x07F007F0, 0), (0, 0, 0x1FF01FF0)],
    }  # fmt: skip
    for number, groups in per_group.items():
        for group, values in enumerate(groups):
            base = BASE + 0x100000 * group + 0x10 + 0x80 * number
            assert tuple(registers[base + 4 * layer] for layer in range(3)) == values, (number, group)
    (bias,) = program.section("load_bias").operations
    assert bias.address == 0x5010C800
    assert bytes(bias.words.tolist()).hex() == "6e204b06a9a7ff74083e6fc722caabe8"
    (data,) = program.section("load_input").operations
    assert data.address == 0x50110000
    assert data.words[:4].tolist() == [0x00873547, 0x00AE7C17, 0x00B9FFB8, 0x0069F97E]
    checks = {check.address: (check.mask, check.value) for check in program.check.operations}
    assert [checks[0x50110800 + 4 * k] for k in range(4)] == [
        (0xFFFFFFFF, value) for value in (0x000A2C03, 0x00354000, 0x000C2A00, 0x001A1000)
    ]
    assert checks[0x50114878 + 4] == (0xFF, 0x17)


def test_kernel_words_of_4_2():
    kernel = np.array([[17, -11, 0, 4, -1, 1, -14, 18, 1], [1, 2, 3, 4, 5, 6, 7, 8, 9]], np.int8)
    assert kernels.pack(kernel).tolist() == [[0x11, 0xF50004FF, 0x01F21201], [1, 0x02030405, 0x06070809]]


def test_pixel_words_of_6_1_and_6_2():
    data = np.array([0x1F, 0xF0, 0xB1], np.uint8).view(np.int8).reshape(3, 1, 1)
    hwc = sampledata.InputArray("input_0", (0, 1, 2, None), None)
    assert sampledata.pack_input(hwc, data).tolist() == [0x00B1F01F]
    chw = sampledata.InputArray("input_0", (), 0)
    assert sampledata.pack_input(chw, np.arange(1, 6, dtype=np.int8).reshape(1, 1, 5)).tolist() == [0x04030201, 5]


def columns(tmp_path: Path, layers: str, channels: list[int], last: str) -> list[tuple[int, int]]:
    shapes = [(o, i, 3, 3) for i, o in pairwise(channels)]
    weights = {f"l{n}.weight": np.zeros(shape) for n, shape in enumerate(shapes)}
    model = build(tmp_path, layers, weights, np.zeros((channels[0], 4, 4), np.int64), f"output_map: {last}\n")
    return [(place.kernel_column, place.kernel_count) for place in model.placement.layers]


def test_columns_of_examples_e2_and_e3(tmp_path):
    shifted = """
- {processors: 0x7, out_offset: 0x1000}
- {processors: 0x7ffffffffffffff8}
- {processors: 0x7ffffffffffffff8, out_offset: 0x1000}
"""
    assert columns(tmp_path, shifted, [3, 60, 60, 56], "0x0ffffffffffffff0") == [(0, 63), (0, 63), (64, 56)]
    gaps = """
- {processors: 0x0000000100010001, data_format: CHW, out_offset: 0x1000}
- {processors: 0xfffefffefffefffe}
- {processors: 0xfffefffefffefffe, out_offset: 0x1000}
"""
    assert columns(tmp_path, gaps, [3, 60, 60, 56], "0x7ffe7ffe7ffe7ffe") == [(0, 64), (0, 64), (64, 63)]


@pytest.mark.parametrize("shape", [(10, 192), (4, 4), (1, 1), (7, 9), (8, 3), (3, 8), (9, 10)])
def test_order_of_classification_weights_is_that_of_8_2(shape):
    rows, cols = shape
    weights = (np.arange(rows * cols) % 251 - 125).astype(np.int8).reshape(shape)
    pattern = ((0, 0), (1, 0), (0, 2), (1, 2), (2, 0), (3, 0), (2, 2), (3, 2),
               (0, 1), (1, 1), (0, 3), (1, 3), (2, 1), (3, 1), (2, 3), (3, 3))  # fmt: skip
    expected = []
    for r in range(0, rows - 3, 4):
        for n in range(0, cols - 3, 4):
            expected += [weights[r + i, n + j] for i, j in pattern]
        for n in range(cols // 4 * 4, cols):
            expected += [weights[r + i, n] for i in range(4)]
    expected += weights[rows // 4 * 4 :].flatten().tolist()
    assert interleave(weights).tolist() == expected
