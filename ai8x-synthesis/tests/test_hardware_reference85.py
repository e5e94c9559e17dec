"""Registers and weight memory as the AI85 hardware reference has them, in its appendix A and its worked examples.

Where a case has the same value in all groups, it stands once. Registers that are not listed are 0 and not written.
"""

from collections import defaultdict
from pathlib import Path

import numpy as np
import pytest

from izer import pipeline
from izer.ai85.weights import layer_columns, merge
from izer.device import AI85
from izer.operations import CopyPacked
from networks85 import ALL, PLAIN, POOL2, conv, conv1d, model, through


def registers(made: pipeline.Model, layer: int = 0) -> dict[str, list[int]]:
    """Names and values in the used groups, in their order."""
    found: dict[str, dict[int, int]] = defaultdict(dict)
    for register in made.registers:
        if register.layer == layer:
            found[register.name][register.group] = register.value
    return {name: [values.get(group, 0) for group in made.placement.groups] for name, values in found.items()}


def listed(text: str, groups: int) -> dict[str, list[int]]:
    """The registers of a row: a value for every group, or one that all have."""
    values = {name: [int(value, 16) for value in given.split("/")]
              for name, given in (register.split() for register in text.split(", "))}  # fmt: skip
    return {name: given if len(given) > 1 else given * groups for name, given in values.items()}


LOW40 = 0xFF_FFFFFFFF
GALLERY = {
    "6": ((3, 11, 11), through(7, 7),
        "RCNT A, CCNT A, ONED 100, WPTR_BASE 800, WPTR_TOFFS 800, LCTL 920, ENA 7, POST 3000000"),
    "7": ((3, 11, 11), through(7, 7, max_pool=2, **POOL2),
        "RCNT A, CCNT A, ONED 100, WPTR_BASE 800, WPTR_TOFFS 800, LCTL 9A0, ENA 7, POST 3000000, PRCNT 1, "
        "PCCNT 1, STRIDE 1"),
    "8": ((127, 12, 12), through(ALL, ALL),
        "RCNT B, CCNT B, ONED 103, WPTR_BASE 800/8800/10800/18800, WPTR_TOFFS 2000, WPTR_CHOFFS 1, LCTL 920, "
        "MCNT 8, ENA FFFF, POST 3000000, LCTL2 1"),
    "9": ((79, 11, 11), conv("3x3", LOW40, 1, 1),
        "RCNT A, CCNT A, WPTR_BASE 800, WPTR_MOFFS 2000, LCTL 6920/920/920, MCNT 8, TPTR 8, "
        "ENA FFFFFFFF/FFFFFFFF/FF00FF, LCTL2 1"),
    "10": ((4, 13, 11), conv("3x3", 0xF, ALL, 126),
        "RCNT C, CCNT A, WPTR_BASE 800, WPTR_MOFFS 2000, WPTR_CHOFFS 1, LCTL 920, MCNT 3F8, TPTR 8, "
        "ENA F000F/0/0/0, LCTL2 1F810"),
    "11": ((4, 13, 11), conv("3x3", 0xF, ALL, 126, quantization=4, output_shift=-3),
        "RCNT C, CCNT A, WPTR_BASE 800, WPTR_MOFFS 2000, WPTR_CHOFFS 1, LCTL 920, MCNT 1FC, TPTR 8, "
        "ENA F000F/0/0/0, LCTL2 FC10, POST C02000"),
    "12": ((79, 11, 11), conv("1x1", LOW40, LOW40, 79),
        "RCNT A, CCNT A, ONED 100, WPTR_BASE 800, WPTR_TOFFS 1, WPTR_MOFFS 2000, WPTR_CHOFFS 1, "
        "LCTL 6920/920/920, MCNT 4F8, ENA FFFFFFFF/FFFFFFFF/FF00FF, LCTL2 13811"),
    "13": ((7, 255), conv1d(7, 0x7F, 0xFFFFFFFF),
        "RCNT FE, ONED 1700, WPTR_BASE 800, WPTR_MOFFS 2000, LCTL 920, MCNT F8, ENA 7F007F/0, LCTL2 F800"),
    "14": ((5, 211), conv1d(3, 0x1F, 0x7FF, dilation=4),
        "RCNT D2, ONED 1900, WPTR_BASE 800, WPTR_MOFFS 2000, LCTL 920, MCNT 50, ENA 1F001F, LCTL2 5000"),
    "15": ((5, 211), conv1d(3, 0x1F, 0x7FF, dilation=7),
        "RCNT 10020, CCNT 10008, WPTR_BASE 7F9, WPTR_MOFFS 2000, LCTL 920, MCNT 50, TPTR 6, ENA 1F001F, "
        "LCTL2 5000"),
    "16": ((5, 111), conv1d(2, 0x1F, 0x7FF, dilation=13),
        "RCNT 1000A, CCNT 1000E, WPTR_BASE 800, WPTR_MOFFS 2000, LCTL 920, MCNT 50, TPTR C, ENA 1F001F, "
        "LCTL2 5000"),
    "20": ((12, 8, 8), [{"processors": 0xFFF, "output_processors": 0x3FF, "op": "linear", "flatten": True,
                         "output_width": 32, **PLAIN}],
        "ONED 100, WPTR_BASE 800, WPTR_TOFFS 1, WPTR_MOFFS 2000, LCTL 10920, MCNT 13F8, TPTR 3F007F, "
        "ENA FFF0FFF, POST 80C0000, LCTL2 480F"),
    "21": ((128, 5, 7), [{"processors": ALL, "output_processors": 3, "op": "linear", "flatten": True,
                          "output_width": 32, "in_offset": 0x1000, **PLAIN}],
        "ONED 100, WPTR_BASE 800, WPTR_TOFFS 1, WPTR_MOFFS 2000, RPTR_BASE 400, LCTL 1E920/10920/10920/10920, "
        "MCNT 458, TPTR 45008B, ENA FFFFFFFF, POST 8100000, LCTL2 805"),
    "22": ((512, 5, 3), [{"processors": ALL, "output_processors": ALL, "op": "none", "avg_pool": [5, 3],
                          "in_offset": 0x1000, "out_offset": 0}],
        "RCNT 4, CCNT 2, ONED 103, PRCNT 4, PCCNT 2, WPTR_BASE 0/8000/10000/18000, WPTR_TOFFS 2000, "
        "WPTR_CHOFFS 1, RPTR_BASE 400, LCTL 8A0, MCNT 38, ENA FFFF, POST 3000000, LCTL2 7"),
}  # fmt: skip


@pytest.mark.parametrize("number", GALLERY)
def test_registers_of_the_gallery(number, tmp_path):
    shape, layers, expected = GALLERY[number]
    made = model(tmp_path, shape, layers)
    assert registers(made) == listed(expected, len(made.placement.groups))


def test_kernels_of_every_length_cross_columns_as_in_gallery_25(tmp_path):
    layers = [{**conv1d(kernel, 7, 7)[0], "out_offset": 0x1000 * (1 + n % 2)}
              for n, kernel in enumerate(range(9, 0, -1))]  # fmt: skip
    made = model(tmp_path, (3, 60), layers)
    found = [(values.get("ONED", [0])[0], values["MCNT"][0]) for values in (registers(made, n) for n in range(6))]
    assert found[1:] == [(0x1840, 0x200030), (0x1720, 0x500060), (0x1600, 0x9000A0), (0x1540, 0xE000F0),
                         (0x1400, 0x1680178)]  # fmt: skip


def one_layer(folder: Path, weight: np.ndarray, bits: int, processors: int) -> np.ndarray:
    """The columns [processor, column, 9] of a single layer."""
    outputs, inputs = weight.shape[:2]
    keys = {"net.op.weight": weight.astype("f4"), "net.weight_bits": np.array([bits], "f4")}
    layer = {"processors": processors, "pad": 0, "out_offset": 0x2000,
             **({"op": "conv1d", "kernel_size": weight.shape[2]} if weight.ndim == 3 else
                {"kernel_size": f"{weight.shape[2]}x{weight.shape[3]}"})}  # fmt: skip
    made = model(folder, (inputs, 9) if weight.ndim == 3 else (inputs, 4, 4), [layer], keys)
    assert made.network.layers[0].out_channels == outputs
    return layer_columns(AI85, made.network.layers[0], made.placement.layers[0])


def test_a_3x3_kernel_is_a_column_in_natural_order(tmp_path):
    """The worked example of 5.1."""
    kernel = np.array([51, 17, 4, 41, -10, -22, 44, -12, -9]).reshape(1, 1, 3, 3)
    assert one_layer(tmp_path, kernel, 8, 1)[0, 0].tobytes() == bytes.fromhex("33110429F6EA2CF4F7")


def test_1x1_kernels_fill_a_column_from_its_end(tmp_path):
    """Example (a) of 5.13: five inputs, two outputs."""
    weight = np.arange(1, 11).reshape(2, 5, 1, 1)
    columns = one_layer(tmp_path, weight, 8, 0x1F)
    assert columns[:, 0].tolist() == [[0] * 7 + [int(weight[1, p, 0, 0]), int(weight[0, p, 0, 0])] for p in range(5)]


def test_two_kernels_of_4_bits_share_a_column(tmp_path):
    """Example (b) of 5.13: K = 4, the first output in the low half of every byte."""
    weight = np.random.default_rng(1).integers(-8, 8, (4, 1, 3, 3))
    taps = weight.reshape(4, 9) & 15
    due = [(taps[0] | taps[1] << 4).tolist(), (taps[2] | taps[3] << 4).tolist()]
    assert one_layer(tmp_path, weight, 4, 1)[0].tolist() == due


def test_one_dimensional_kernels_run_from_their_last_tap(tmp_path):
    """Example (c) of 5.13: kernels of three taps, K = 4."""
    w = np.arange(1, 13).reshape(4, 1, 3)
    first = [*w[2, 0], *w[1, 0], *w[0, 0]]
    assert one_layer(tmp_path, w, 8, 1)[0].tolist() == [first, [0] * 6 + w[3, 0].tolist()]


def test_passes_lie_side_by_side(tmp_path):
    """Example (e) of 5.13: 128 inputs, so that every output has a column for each of two passes."""
    weight = np.random.default_rng(2).integers(-128, 128, (3, 128, 3, 3))
    columns = one_layer(tmp_path, weight, 8, ALL).view(np.int8)
    for processor in (0, 1, 63):
        due = [weight[k, processor + 64 * step].reshape(9).tolist() for k in range(3) for step in range(2)]
        assert columns[processor].tolist()[:6] == due


@pytest.mark.parametrize(("bits", "values", "byte"), [(4, [1, -2], 0xE1), (2, [1, -2, 0, -1], 0b11001001),
                                                      (1, [0, -1, 0, 0, -1, -1, 0, -1], 0b10110010)])  # fmt: skip
def test_narrow_weights_share_a_byte_the_first_in_the_low_bits(bits, values, byte):
    assert merge(np.array(values, np.int8).reshape(1, -1, 1), bits).tolist() == [[[byte]]]


def test_the_address_code_of_a_run_counts_four_bytes_for_a_column():
    """The example of 5.8: column 128 of processor 0."""
    run = CopyPacked("k", AI85.kernel(0, 128), np.zeros((18, 9), np.uint8), "")
    assert (run.code, len(run.words)) == (0x50180200, 41)


def test_three_kernels_of_five_taps_and_4_bits_take_ten_bytes(tmp_path):
    """The formula of 5.5 counts nine: the third kernel has a byte for every tap, although it uses half of it."""
    weight = np.full((3, 1, 5), -8)
    columns = one_layer(tmp_path, weight, 4, 1)
    assert columns[0].tolist() == [[8] * 4 + [0x88] * 5, [0] * 8 + [8]]
    assert len(columns[0]) == 2


@pytest.mark.parametrize(("width", "words"), [(8, 7), (32, 28)])
def test_a_dilated_layer_writes_as_many_pixels_before_its_output_as_its_taps_are_apart(tmp_path, width, words):
    """4.3.3; a pixel of 32-bit output is four words (7.4)."""
    made = model(tmp_path, (5, 211), conv1d(3, 0x1F, 0x7FF, dilation=7, output_width=width))
    assert registers(made)["WPTR_BASE"] == [0x800 - words]
