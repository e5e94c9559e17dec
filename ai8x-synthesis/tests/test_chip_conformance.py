"""The chip model against data that others computed: conformance cases and the known answers of appendix A."""

from pathlib import Path

import numpy as np
import pytest

from chip import Chip
from chip_tools import CASES, Layer, Network, ctl, read_case, run, setup, sram, start, wait, write_all

FOLDERS = sorted(CASES.iterdir())


@pytest.mark.parametrize("folder", FOLDERS, ids=lambda folder: folder.name)
def test_every_output_word_of_a_conformance_case_is_equal(folder: Path):
    case = read_case(folder)
    with Chip() as chip:
        write_all(chip, case.setup + case.start)
        wait(chip)
        words = chip.read_many(case.addresses)
    assert np.array_equal(words & case.masks, case.values & case.masks)


def test_all_conformance_cases_are_there():
    assert len(FOLDERS) == 34


@pytest.mark.parametrize("folder", FOLDERS, ids=lambda folder: folder.name)
def test_a_second_run_of_a_conformance_case_gives_the_same_words(folder: Path):
    case = read_case(folder)
    with Chip() as chip:
        write_all(chip, case.setup + case.start)
        wait(chip)
        write_all(chip, [(address, 0x06) for address, _ in case.start] + case.setup + case.start)
        wait(chip)
        words = chip.read_many(case.addresses)
    assert np.array_equal(words & case.masks, case.values & case.masks)


def tensor(number: int, scale: int, *shape: int) -> np.ndarray:
    """Tensor K of appendix A: the top bytes of a congruential sequence, divided by 2**S toward zero."""
    x, values = 2654435761 * number % 2**32, []
    for _ in range(int(np.prod(shape))):
        x = (1664525 * x + 1013904223) % 2**32
        values.append(((x >> 24) ^ 0x80) - 0x80)
    signed = np.array(values).reshape(shape)
    return np.sign(signed) * (np.abs(signed) >> scale)


def span(first: int, last: int) -> list[int]:
    return list(range(first, last + 1))


def network_a() -> Network:
    """Appendix A.1: the topology and placement of section 15."""
    return Network(data=tensor(1, 0, 1, 28, 28), layers=[
        Layer(tensor(100, 1, 60, 1, 3, 3), [0], span(4, 63), chw=True),
        Layer(tensor(101, 3, 60, 60, 3, 3), span(4, 63), span(4, 63), pool=2, stride=2, pad=2, in_offset=0x2000,
              out_offset=0),
        Layer(tensor(102, 3, 56, 60, 3, 3), span(4, 63), span(4, 59), pool=2, stride=2, column=60),
        Layer(tensor(103, 3, 12, 56, 3, 3), span(4, 59), span(0, 11), pool=2, stride=2, average=True, column=116,
              in_offset=0x2000, out_offset=0)])


WORDS_A = {
    0: "09000001 1C00000D 4A00000A 2D000000 00000000 50000013 66000000 00000003 00000000 26000015 2F00000F 00000014 "
       "00220000 2C000014 26000031 00000A49",
    1: "00000000 00000002 00001431 00003C22 00000000 00000000 00000038 0006004A 00000000 00000001 00000063 000F005A "
       "002F0000 001B002D 003F006D 0027001D",
    2: "2C007847 4F00007F 36000060 00090038 00006858 0700007F 02000045 00000037 00006B50 2C00007F 0F003962 0000002B "
       "00084B1C 00002027 13005004 13001F00",
}


def test_final_data_memory_words_of_test_a():
    network = network_a()
    with Chip() as chip:
        write_all(chip, setup(network) + start(network.groups))
        wait(chip)
        for instance, expected in WORDS_A.items():
            words = chip.read_many([sram(instance, n) for n in range(16)])
            assert " ".join(f"{word:08X}" for word in words) == expected


def network_b() -> Network:
    """Appendix A.2: HWC input, bias, signed data, negative averages, pads 0 and 2, pooling stride 1."""
    bias = [np.array([110, 32, 75, 6, -87, -89, -1]), np.array([116, 8, 62, 111, -57, 34, -54, -85, -24])]
    return Network(groups=[0, 1], data=tensor(2, 0, 3, 12, 12), layers=[
        Layer(tensor(1100, 1, 7, 3, 3, 3), [0, 1, 2], span(4, 10), bias[0], pad=0, relu=False, out_offset=0x1000),
        Layer(tensor(1101, 2, 9, 7, 3, 3), span(4, 10), span(20, 28), bias[1], pool=2, stride=2, average=True, pad=2,
              relu=False, in_offset=0x1000, out_offset=0, column=8, first_bias=7),
        Layer(tensor(1102, 2, 5, 9, 3, 3), span(20, 28), span(0, 4), pool=2, stride=1, out_offset=0x800)])


def test_final_data_memory_words_of_test_b():
    network = network_b()
    with Chip() as chip:
        output = run(chip, network)
        words = chip.read_many([0x50110800 + 4 * n for n in range(4)] + [0x50110878 + 4 * n for n in range(6)])
        second = chip.read_many([0x50114878 + 4 * n for n in range(6)])
    assert [f"{word:08X}" for word in words] == [
        "000A2C03", "00354000", "000C2A00", "001A1000", "00020100", "00000000", "00000000", "00001D00", "00001C00",
        "12000005"]
    assert second.tolist() == [0, 0x17, 0xF, 0, 0, 0]
    assert output.sum() == 1957


def cifar_layers() -> list[Layer]:
    """ai84net5 for 32x32 colour images: outputs of 32x32, 16x16, 8x8 and 4x4 pixels (appendix D)."""
    def weights(outputs: int, inputs: int) -> np.ndarray:
        return np.zeros((outputs, inputs, 3, 3), int)

    return [Layer(weights(60, 3), [0, 1, 2], span(4, 63)),
            Layer(weights(60, 60), span(4, 63), span(4, 63), pool=2, stride=2, column=60, in_offset=0x2000,
                  out_offset=0),
            Layer(weights(56, 60), span(4, 63), span(4, 59), pool=2, stride=2),
            Layer(weights(12, 56), span(4, 59), span(0, 11), pool=2, stride=2, column=60, in_offset=0x2000,
                  out_offset=0)]


def test_cycle_estimate_of_the_documented_cifar_network_is_within_one_per_mille():
    masks = 32 * 32 * 60 + 16 * 16 * 60 + 8 * 8 * 56 + 4 * 4 * 12
    padded = 34 * 34 + 18 * 18 + 10 * 10 + 6 * 6
    ahead = sum(2 * side + 2 * (side - 2) for side in (34, 18, 10, 6))  # pixels at which no output can be computed yet
    pooling = 5 * (16 * 16 + 8 * 8 + 4 * 4)  # the window and one more, see docs/estimate.md
    network = Network(cifar_layers(), np.zeros((3, 32, 32), int))
    with Chip() as chip:
        run(chip, network)
        assert chip.cycles() == masks + 2 * padded + ahead + pooling == 85744
    assert abs(85744 - 85664) / 85664 < 0.001  # cycles of the RTL simulation, appendix D


def test_the_flag_is_in_the_master_only_and_irq_agrees():
    network = network_b()
    with Chip() as chip:
        assert not chip.irq()
        write_all(chip, setup(network) + start(network.groups))
        assert [chip.read32(ctl(0)), chip.read32(ctl(0))] == [0x07, 0x1007]
        assert chip.irq()
        assert chip.read32(ctl(1)) == 0x807
        chip.write32(ctl(0), 0x06)
        assert not chip.irq()
