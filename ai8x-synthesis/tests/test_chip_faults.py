"""Every mistake that software can make at the registers stops the model with a message that names it."""

import numpy as np
import pytest

from chip import Chip, ChipError, ChipFault
from chip_tools import (
    ENA,
    LCTL,
    MCNT,
    PCCNT,
    PRCNT,
    RCNT,
    RPTR_BASE,
    STRIDE,
    TPTR,
    WPTR_BASE,
    WPTR_OFF,
    Layer,
    Network,
    Write,
    bram,
    ctl,
    evaluate,
    lcnt,
    lreg,
    mram,
    read_output,
    run,
    setup,
    sram,
    start,
    wait,
    write_all,
)

RNG = np.random.default_rng(84)
NETWORK = Network(groups=[0, 1], data=RNG.integers(-128, 128, (3, 4, 4)), layers=[
    Layer(RNG.integers(-128, 128, (3, 3, 3, 3)), [0, 1, 16], [4, 6, 20], RNG.integers(-128, 128, 3), pool=2, stride=2,
          pad=2),
    Layer(RNG.integers(-128, 128, (2, 3, 3, 3)), [4, 6, 20], [0, 1], column=20, in_offset=0x2000, out_offset=0x1000)])
SETUP = dict(setup(NETWORK))
START = start(NETWORK.groups)


def changed(changes: dict[int, int | None]) -> list[Write]:
    """The working program with some of its values changed, or left out (None)."""
    program = {address: value for address, value in (SETUP | changes).items() if value is not None}
    return list(program.items())


def stopped(writes: list[Write]) -> str:
    """The message that stops the program, with the address in front."""
    with Chip() as chip, pytest.raises(ChipFault) as caught:
        write_all(chip, writes)
    assert str(caught.value) == f"accelerator fault at address 0x{caught.value.address:08X}: {caught.value.text}"
    return f"{caught.value.address:08X} {caught.value.text}"


def test_the_unchanged_program_works():
    with Chip() as chip:
        expected = evaluate(NETWORK.layers[1], evaluate(NETWORK.layers[0], NETWORK.data))
        assert np.array_equal(run(chip, NETWORK), expected)


@pytest.mark.parametrize("address", [
    0, 0x500FFFFC, 0x5010000C, lreg(0, 2, 0), lreg(3, 2, 31), 0x50100690, 0x501007FC, 0x5010CC00, 0x5010FFFC,
    0x50120000, 0x501FFFFC, 0x50420000, 0x50500000, 0xFFFFFFFC], ids=hex)
def test_an_address_that_does_not_exist_stops_reads_and_writes(address: int):
    assert stopped([(address, 0)]) == f"{address:08X} address does not exist on the AI84"
    with Chip() as chip, pytest.raises(ChipFault, match="does not exist on the AI84") as caught:
        chip.read32(address)
    assert caught.value.address == address


@pytest.mark.parametrize("address", [
    ctl(0), ctl(3) + 4, lcnt(2), lreg(0, 0, 0), lreg(3, 12, 31), 0x50100800, 0x501047FC, mram(0, 0), bram(0, 0),
    bram(3, 255), sram(0, 0), sram(15, 4095)], ids=hex)
def test_the_ends_of_every_address_range_exist(address: int):
    with Chip() as chip:
        chip.write32(address, 0)


@pytest.mark.parametrize("address", [0x50100001, 0x50110002, 0x50110003])
def test_an_unaligned_access_stops(address: int):
    assert stopped([(address, 0)]) == f"{address:08X} access is not aligned to 32 bits"


@pytest.mark.parametrize("address, value, text", [
    (ctl(0), 0x8, "CTL = 0x00000008: reserved bits 0x00000008 must be 0"),
    (ctl(0), 0x2007, "CTL = 0x00002007: reserved bits 0x00002000 must be 0"),
    (ctl(0), 0x10, "CTL = 0x00000010: field calcmax (bits 4:4) does not support 1"),
    (ctl(1), 0x20, "CTL = 0x00000020: field poolena (bits 5:5) does not support 1"),
    (ctl(0), 0x40, "CTL = 0x00000040: field bigdata (bits 6:6) does not support 1"),
    (ctl(0), 0x80, "CTL = 0x00000080: field actena (bits 7:7) does not support 1"),
    (ctl(0), 0x106, "CTL = 0x00000106: field oneshot (bits 8:8) does not support 1"),
    (ctl(0), 0x1006, "CTL = 0x00001006: field cnn_irq (bits 12:12) does not support 1"),
    (ctl(2) + 4, 0x8000, "SRAM control = 0x00008000: reserved bits 0x00008000 must be 0"),
    (lcnt(0), 32, "LCNT_MAX = 0x00000020: reserved bits 0x00000020 must be 0"),
    (lreg(0, RCNT, 0), 0x307, "RCNT = 0x00000307: field rcnt_pad (bits 9:8) does not support 3"),
    (lreg(0, RCNT, 0), 0x407, "RCNT = 0x00000407: reserved bits 0x00000400 must be 0"),
    (lreg(0, 1, 0), 0x307, "CCNT = 0x00000307: field ccnt_pad (bits 9:8) does not support 3"),
    (lreg(0, PRCNT, 5), 2, "PRCNT = 0x00000002: field pooling rows - 1 (bits 3:0) does not support 2"),
    (lreg(0, PCCNT, 5), 7, "PCCNT = 0x00000007: field pooling columns - 1 (bits 3:0) does not support 7"),
    (lreg(0, STRIDE, 5), 2, "STRIDE = 0x00000002: field pooling stride - 1 (bits 3:0) does not support 2"),
    (lreg(0, WPTR_OFF, 0), 0x10000001,
     "WPTR_OFF = 0x10000001: field time-slot offset (bits 15:0) does not support 1"),
    (lreg(0, WPTR_BASE, 0), 0x10000, "WPTR_BASE = 0x00010000: reserved bits 0x00010000 must be 0"),
    (lreg(0, LCTL, 0), 0x821, "LCTL = 0x00000821: field sslave (bits 3:0) does not support 1"),
    (lreg(0, LCTL, 0), 0x830, "LCTL = 0x00000830: field mslave (bits 4:4) does not support 1"),
    (lreg(0, LCTL, 0), 0xC20, "LCTL = 0x00000C20: field cpad_only (bits 10:10) does not support 1"),
    (lreg(0, MCNT, 0), 0x2000000, "MCNT = 0x02000000: reserved bits 0x02000000 must be 0"),
    (0x50100800, 0x10000, "TRAM entry = 0x00010000: only bits 15:0 exist, the others must be 0"),
    (bram(1, 7), 0x100, "bias RAM entry = 0x00000100: only bits 7:0 exist, the others must be 0"),
    (mram(3, 0), 0x100, "word 0 of a mask RAM entry = 0x00000100: only bits 7:0 exist, the others must be 0"),
])
def test_reserved_bits_and_unsupported_modes_stop_and_name_the_field(address: int, value: int, text: str):
    assert stopped([(address, value)]) == f"{address:08X} {text}"


ORDER = ("out of order: write words 0, 1, 2, 3 of one kernel, then the next;")


@pytest.mark.parametrize("writes, text", [
    ([mram(5, 2, 1)],
     f"word 1 of the kernel in column 2 of processor 5 is {ORDER} words staged in group 0: 0"),
    ([mram(5, 2, 0), mram(5, 2, 2)],
     f"word 2 of the kernel in column 2 of processor 5 is {ORDER} words staged in group 0: 1"),
    ([mram(17, 2, 0), mram(17, 2, 1), mram(17, 3, 2)],
     f"word 2 of the kernel in column 3 of processor 17 is {ORDER} words staged in group 1: 2"),
    ([mram(5, 2, 0), mram(5, 2, 1), mram(5, 2, 2), mram(6, 2, 3)],
     f"word 3 of the kernel in column 2 of processor 6 is {ORDER} words staged in group 0: 3"),
])
def test_kernel_words_out_of_order_stop(writes: list[int], text: str):
    assert stopped([(address, 0) for address in writes]) == f"{writes[-1]:08X} {text}"


def test_each_group_stages_a_kernel_of_its_own():
    with Chip() as chip:
        for word, value in enumerate([0x11, 0xF50004FF, 0x01F21201, 0]):  # example of 4.2
            chip.write32(mram(0, 0, word), value)
            chip.write32(mram(16, 0, word), 0)
        assert [chip.read32(mram(0, 0, word)) for word in range(4)] == [0x11, 0xF50004FF, 0x01F21201, 0]


def test_a_commit_word_other_than_zero_stops():
    writes = [(mram(0, 0, word), 0) for word in range(3)] + [(mram(0, 0, 3), 1)]
    assert stopped(writes) == f"{mram(0, 0, 3):08X} the commit word of a kernel must be 0, not 0x00000001"


@pytest.mark.parametrize("changes, address, text", [
    ({lcnt(1): None}, ctl(1), "group 1 started but LCNT_MAX is not configured"),
    ({lcnt(1): 0}, ctl(1), "LCNT_MAX differs: 1 in group 0, 0 in group 1"),
    ({lcnt(0): 2, lcnt(1): 2}, ctl(0), "group 0 started but layer 2 is not configured"),
    ({lreg(1, r, 1): None for r in range(13)}, ctl(1), "group 1 started but layer 1 is not configured"),
    ({lreg(1, RCNT, 1): 0x104}, lreg(1, RCNT, 1),
     "RCNT of layer 1 differs: 0x00000105 in group 0, 0x00000104 in group 1"),
    ({lreg(1, LCTL, 0): 0x920}, lreg(1, LCTL, 0),
     "LCTL of layer 0 differs: 0x00002BA0 in group 0, 0x00000920 in group 1"),
    ({lreg(g, LCTL, 1): 0x2020 if g == 0 else 0x20 for g in (0, 1)}, lreg(0, LCTL, 1),
     "LCTL of layer 1 = 0x00002020: master (bit 5) and sramlsrc (bit 11) must be 1; other modes are not supported"),
    ({lreg(g, LCTL, 1): 0x2800 if g == 0 else 0x800 for g in (0, 1)}, lreg(0, LCTL, 1),
     "LCTL of layer 1 = 0x00002800: master (bit 5) and sramlsrc (bit 11) must be 1; other modes are not supported"),
    ({lreg(g, PRCNT, 0): 3 for g in (0, 1)}, lreg(0, PRCNT, 0),
     "layer 0 pools windows of 4 rows and 2 columns: PRCNT and PCCNT must be equal, and 1 or 3"),
    ({lreg(g, r, 0): 0 for g in (0, 1) for r in (PRCNT, PCCNT)}, lreg(0, PRCNT, 0),
     "layer 0 pools windows of 1 rows and 1 columns: PRCNT and PCCNT must be equal, and 1 or 3"),
    ({lreg(g, RCNT, 0): 0x203 for g in (0, 1)}, lreg(0, RCNT, 0), "RCNT of layer 0 = 0x00000203 leaves no output row"),
    ({lreg(g, 1, 0): 0x204 for g in (0, 1)}, lreg(0, 1, 0), "CCNT of layer 0 = 0x00000204 leaves no output column"),
    ({lreg(g, TPTR, 0): 7 for g in (0, 1)}, lreg(0, TPTR, 0),
     "TPTR of layer 0 is 7, but must be output columns - 1 = 3"),
    ({lreg(g, MCNT, 1): 0x1501 for g in (0, 1)}, lreg(0, MCNT, 1),
     "MCNT of layer 1 = 0x00001501: 2 masks from column 21; the first column must be a multiple of 4, "
     "the last below 128"),
    ({lreg(g, MCNT, 1): 0x7C07 for g in (0, 1)}, lreg(0, MCNT, 1),
     "MCNT of layer 1 = 0x00007C07: 8 masks from column 124; the first column must be a multiple of 4, "
     "the last below 128"),
    ({lreg(0, LCTL, 1): 0x6B20}, lreg(0, LCTL, 1),
     "cnnsiena of layer 1 is 0x6: it names a group that is not started (started: 0x3)"),
    ({lreg(0, LCTL, 1): 0x3B20}, lreg(0, LCTL, 1),
     "cnnsiena of layer 1 in group 0 is 0x3: only the master (group 0) sums, and other groups"),
    ({lreg(1, LCTL, 1): 0x1B20}, lreg(1, LCTL, 1),
     "cnnsiena of layer 1 in group 1 is 0x1: only the master (group 0) sums, and other groups"),
    ({lreg(1, MCNT, 0): 0x1000010}, lreg(1, MCNT, 0), "groups 0 and 1 both add a bias in layer 0"),
    ({lreg(0, LCTL, 1): 0xB20, lreg(1, MCNT, 1): 0x1001401}, lreg(1, MCNT, 1),
     "group 1 has the bias of layer 1, but is not part of the sum"),
    ({lreg(0, MCNT, 0): 0x1F00010}, lreg(0, MCNT, 0),
     "the bias of layer 0 ends behind the last entry: 17 values from entry 240"),
    ({lreg(0, ENA, 1): 0x00500051}, lreg(0, ENA, 1),
     "ENA of layer 1 in group 0 = 0x00500051: mask and processor enables must be equal"),
    ({lreg(0, LCTL, 0): 0x2BE0, lreg(1, LCTL, 0): 0xBE0}, lreg(0, ENA, 0),
     "layer 0 reads CHW data with processors 0x0003 of group 0: only the first processor of an instance may"),
    ({lreg(g, RPTR_BASE, 0): 4090 for g in (0, 1)}, sram(0, 0),
     "layer 0 reads 16 words from word 4090 of instance 0, which has 4096 words"),
    ({bram(0, 2): None}, bram(0, 2), "layer 0: bias entry 2 of group 0 was never written"),
    ({sram(4, 5): None}, sram(4, 5),
     "layer 0: processor 16 reads data memory at 0x50210014, which was never written"),
    ({mram(16, 2, word): None for word in range(4)}, sram(1, 0x800) + 2,
     "layer 1: processor 6 reads data memory at 0x50116002, which layer 0 computed with column 2 of processor 16, a "
     "kernel that was never written"),
])
def test_a_start_that_is_not_configured_stops(changes: dict[int, int | None], address: int, text: str):
    assert stopped(changed(changes) + START) == f"{address:08X} {text}"


def test_a_lane_that_no_output_channel_was_written_to_stops():
    """Layer 1 reads processor 8 instead of 20; layer 0 has written its lane with a dummy column (4.4)."""
    changes = {lreg(0, ENA, 1): 0x01500150} | {mram(8, 20 + m, word): 0 for m in range(2) for word in range(4)}
    assert stopped(changed(changes) + START) == (
        f"{sram(2, 0x800):08X} layer 1: processor 8 reads data memory at 0x5011A000, which layer 0 computed with "
        "column 4 of processor 0, a kernel that was never written")


def test_a_staged_kernel_stops_the_start():
    text = "group 0 started while a kernel is staged and not committed"
    assert stopped([*SETUP.items(), (mram(9, 9, 0), 0), *START]) == f"{ctl(0):08X} {text}"


@pytest.mark.parametrize("writes, address, text", [
    ([(ctl(1), 0x807 | 2 << 9), (ctl(0), 7)], ctl(1),
     "group 0 was started as master, but the enabled group 1 is not slaved to it: CTL = 0x00000C07"),
    ([(ctl(0), 7)], lreg(0, LCTL, 0),
     "cnnsiena of layer 0 is 0x2: it names a group that is not started (started: 0x1)"),
])
def test_slaves_must_name_the_master(writes: list[Write], address: int, text: str):
    assert stopped([*SETUP.items(), *writes]) == f"{address:08X} {text}"


def test_output_of_a_group_that_is_not_started_is_lost():
    with Chip() as chip:
        write_all(chip, changed({lreg(g, WPTR_BASE, 1): 0x8000 for g in (0, 1)}) + START)
        wait(chip)
        with pytest.raises(ChipFault, match="read of a data memory word of which no byte holds a value"):
            chip.read32(sram(8, 0))


def test_a_group_must_be_stopped_before_the_next_run():
    text = "group 0 was not stopped after the last run: clear bit 0 of CTL of all used groups first"
    with Chip() as chip:
        run(chip, NETWORK)
        with pytest.raises(ChipFault, match=text):
            chip.write32(ctl(0), 0x07)


def test_the_same_program_runs_again_after_stop():
    layer, (height, width) = NETWORK.layers[1], (4, 4)
    with Chip() as chip:
        first = run(chip, NETWORK)
        write_all(chip, [(ctl(g), 0x06) for g in NETWORK.groups])
        assert not chip.irq()
        write_all(chip, START)
        wait(chip)
        assert np.array_equal(read_output(chip, layer, height, width), first)


RUNNING = "while the accelerator runs: read CTL of group 0 until bit 12 is 1 before any other access"


@pytest.mark.parametrize("address", [ctl(1), lcnt(0), lreg(0, 0, 0), mram(0, 0), bram(0, 0), sram(0, 0)], ids=hex)
def test_other_accesses_during_a_run_stop(address: int):
    assert stopped([*SETUP.items(), *START, (address, 0)]) == f"{address:08X} write {RUNNING}"
    with Chip() as chip:
        write_all(chip, [*SETUP.items(), *START])
        with pytest.raises(ChipFault, match=f"read {RUNNING}"):
            chip.read32(address)


def test_completion_shows_on_the_second_poll_and_irq_polls_too():
    with Chip() as chip:
        write_all(chip, [*SETUP.items(), *START])
        assert [chip.irq(), chip.irq(), chip.irq()] == [False, True, True]
        assert chip.read32(ctl(0)) == 0x1007
        chip.read32(sram(0, 0x400))


@pytest.mark.parametrize("address, text", [
    (mram(33, 5, 1), "read of column 5 of processor 33, which was never written"),
    (bram(2, 9), "read of bias entry 9 of group 2, which was never written"),
    (sram(7, 9), "read of a data memory word of which no byte holds a value: written neither by the bus nor by a layer "
                 "with kernels"),
])
def test_reads_of_unwritten_memory_stop(address: int, text: str):
    with Chip() as chip, pytest.raises(ChipFault) as caught:
        chip.read32(address)
    assert (caught.value.address, caught.value.text) == (address, text)


def test_registers_read_back_and_are_zero_after_reset():
    with Chip() as chip:
        assert [chip.read32(lreg(3, ENA, 31)), chip.read32(ctl(2)), chip.read32(lcnt(1))] == [0, 0, 0]
        chip.write32(lreg(3, ENA, 31), 0xFFFF8001)
        chip.write32(ctl(2) + 4, 0x40E)
        chip.write32(lcnt(1), 31)
        chip.write32(0x50100800, 0xFFFF)
        chip.write32(bram(3, 255), 0x80)
        chip.write32(sram(15, 4095), 0x89ABCDEF)
        addresses = [lreg(3, ENA, 31), ctl(2) + 4, lcnt(1), 0x50100800, bram(3, 255), sram(15, 4095)]
        assert chip.read_many(addresses).tolist() == [0xFFFF8001, 0x40E, 31, 0xFFFF, 0x80, 0x89ABCDEF]


def test_the_first_fault_is_final():
    with Chip() as chip:
        with pytest.raises(ChipFault):
            chip.write32(0, 0)
        with pytest.raises(ChipFault) as caught:
            chip.read32(ctl(0))
        assert caught.value.address == 0


def test_write_many_stops_at_the_fault_and_has_written_what_came_before():
    with Chip() as chip, pytest.raises(ChipFault) as caught:
        chip.write_many([lcnt(0), lcnt(1), 0x5010000C, lcnt(2)], [1, 2, 3, 4])
    assert caught.value.address == 0x5010000C


def test_unknown_device_and_unequal_arrays_are_refused():
    with pytest.raises(ChipError, match="no model of device 86"):
        Chip(86)
    with Chip() as chip, pytest.raises(ValueError, match="addresses, but"):
        chip.write_many([lcnt(0)], [1, 2])


def test_a_closed_chip_cannot_be_used():
    chip = Chip()
    chip.close()
    chip.close()
    with pytest.raises(AttributeError):
        chip.read32(ctl(0))
