"""Loading weights into the AI85 model: packed and plain, and every mistake in it."""

import pytest

from chip import Chip, ChipFault
from chip_tools85 import AON_CTL, CLOCK, PACKED, ctl, load_packed, mram, packed_address, read_columns, sram, write_all


@pytest.mark.parametrize("address, value", [
    (packed_address(5, 3) + 2, 1), (packed_address(5, 3), 1), (sram(0, 0) + 1, 1), (ctl(0) + 1, 1), (0x50000001, 1),
])  # fmt: skip
def test_an_8_bit_write_elsewhere_stops(address: int, value: int):
    with Chip(85) as chip, pytest.raises(ChipFault, match="8-bit write: only 32 bits are possible, except to begin"):
        chip.write32(ctl(0), CLOCK | PACKED)
        chip.write8(address, value)


@pytest.mark.parametrize("device", [84, 85])
def test_an_8_bit_write_without_packed_loading_stops(device: int):
    with Chip(device) as chip, pytest.raises(ChipFault, match="8-bit write: only 32 bits are possible"):
        chip.write8(0x50104801 if device == 84 else packed_address(0, 0) | 1, 1)


ORDER = ("packed loading is on (CTL bit 20): words follow the 8-bit write that begins their run, at rising addresses")


@pytest.mark.parametrize("first, word", [(None, packed_address(0, 0)), (0, packed_address(0, 1)),
                                         (0, packed_address(1, 0)), (4, packed_address(0, 0))])  # fmt: skip
def test_packed_words_out_of_order_stop(first: int | None, word: int):
    with Chip(85) as chip:
        chip.write32(ctl(0), CLOCK | PACKED)
        if first is not None:
            chip.write8(packed_address(0, first) | 1, 1)
        with pytest.raises(ChipFault) as caught:
            chip.write32(word, 0)
    assert (caught.value.address, caught.value.text) == (word, ORDER)


@pytest.mark.parametrize("column, value", [(768, 1), (3, 2)])
def test_a_packed_run_begins_with_1_and_inside_the_memory(column: int, value: int):
    text = f"begins with an 8-bit write of 1 to a column below 768, not of {value} to column {column}"
    with Chip(85) as chip, pytest.raises(ChipFault, match=text):
        chip.write32(ctl(0), CLOCK | PACKED)
        chip.write8(packed_address(0, column) | 1, value)


@pytest.mark.parametrize("words, value, waiting", [(4, 0, 7), (3, 1, 3), (1, 0, 4)])
def test_a_packed_run_that_ends_inside_a_column_stops(words: int, value: int, waiting: int):
    column = 4 * words // 9
    with Chip(85) as chip:
        chip.write32(ctl(0), CLOCK | PACKED)
        chip.write8(packed_address(7, 0) | 1, 1)
        write_all(chip, [(packed_address(7, 0) + 4 * n, value) for n in range(words)])
        with pytest.raises(ChipFault) as caught:
            chip.write32(ctl(0), CLOCK)
    assert caught.value.address == mram(7, column)
    assert caught.value.text == (f"a run of packed columns ended inside column {column} of processor 7: {waiting} of "
                                 "its 9 bytes were written")  # fmt: skip


def test_a_packed_run_behind_the_last_column_stops():
    with Chip(85) as chip, pytest.raises(ChipFault, match="goes on behind the last column of processor 0"):
        chip.write32(ctl(0), CLOCK | PACKED)
        chip.write8(packed_address(0, 767) | 1, 1)
        write_all(chip, [(packed_address(0, 767) + 4 * n, 0) for n in range(4)])


def test_several_packed_runs_give_the_documented_columns():
    """The MNIST example of 5.1: weights 51, 17, 4, ... are column bytes 33 11 04 29 F6 EA 2C F4 F7."""
    first = bytes.fromhex("331104 29F6EA 2CF4F7".replace(" ", ""))
    second = bytes(range(9))
    columns = {(0, 0): first, (0, 1): second, (0, 767): second, (63, 5): first}
    with Chip(85) as chip:
        write_all(chip, [(ctl(0), CLOCK | PACKED), (ctl(3), CLOCK | PACKED)])
        load_packed(chip, columns)
        assert read_columns(chip, columns) == columns
        assert [chip.read32(mram(0, 0, n)) for n in range(4)] == [0x33, 0x110429F6, 0xEA2CF4F7, 0]
        with pytest.raises(ChipFault, match="read of column 2 of processor 0, which was never written"):
            chip.read32(mram(0, 2))


def test_any_value_commits_a_column():
    """5.9: the write to the fourth address commits; 2.3: any value."""
    with Chip(85) as chip:
        write_all(chip, [(mram(3, 700, n), 0x11 * (n + 1)) for n in range(4)])
        assert [chip.read32(mram(3, 700, n)) for n in range(4)] == [0x11, 0x22, 0x33, 0]


def test_weight_memory_without_power_forgets_its_columns():
    with Chip(85) as chip:
        write_all(chip, [(mram(p, 1, n), 5) for p in (0, 16) for n in range(4)])
        chip.write32(AON_CTL, 0x2000)
        assert (chip.read32(AON_CTL), chip.read32(mram(0, 1))) == (0x2000, 5)
        with pytest.raises(ChipFault, match="read of column 1 of processor 16, which was never written"):
            chip.read32(mram(16, 1))
