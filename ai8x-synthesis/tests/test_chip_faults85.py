"""Every mistake that software can make at the registers of AI85 stops the model with a message that names it."""

from dataclasses import replace

import numpy as np
import pytest

from chip import Chip, ChipError, ChipFault
from chip_layers85 import Layer, control_writes, evaluate, read_output, setup_writes, start_writes
from chip_layers85 import columns as mask_columns
from chip_tools85 import (
    AON_CTL,
    CCNT,
    CLOCK,
    ENA,
    ENABLE,
    FMAX,
    IFRM,
    LCTL,
    LCTL2,
    MCNT,
    ONED,
    PACKED,
    POST,
    RCNT,
    ROUND,
    RPTR_BASE,
    SLAVE,
    STREAM1,
    STREAM2,
    TPTR,
    WPTR_BASE,
    WPTR_TOFFS,
    Write,
    bram,
    column_words,
    ctl,
    lcnt,
    lreg,
    mram,
    packed_address,
    sram,
    wait,
    write_all,
)

RNG = np.random.default_rng(85)
DATA = RNG.integers(-128, 128, (3, 4, 4))
LAYER = Layer(RNG.integers(-128, 128, (3, 3, 3, 3)), [0, 1, 16], [4, 5, 6], bias=RNG.integers(-128, 128, 3), pad=1,
              shift=-4, bias_group=1, first_bias=7)  # fmt: skip


def plain(writes: list[Write]) -> list[Write]:
    """The same without packed loading (CTL bit 20)."""
    return [(a, v & ~PACKED) if (a - ctl(0)) % 0x400000 == 0 else (a, v) for a, v in writes]


def program(layer: Layer) -> dict[int, int]:
    """Everything before the start, with plain loading of weights."""
    weights = [(mram(*key, n), word) for key, content in mask_columns(layer, DATA).items()
               for n, word in enumerate(column_words(content))]  # fmt: skip
    return dict([(AON_CTL, 0), *plain(control_writes(layer.groups)), *weights, *setup_writes(layer, DATA)])


SETUP = program(LAYER)
START = plain(start_writes(LAYER.groups))


def changed(changes: dict[int, int | None]) -> list[Write]:
    """The working program with some of its values changed, or left out (None)."""
    return [(address, value) for address, value in (SETUP | changes).items() if value is not None]


def both(number: int, value: int) -> dict[int, int]:
    """A register of layer 0 in both groups."""
    return {lreg(g, number, 0): value for g in LAYER.groups}


def stopped(writes: list[Write]) -> str:
    """The message that stops the program, with the address in front."""
    with Chip(85) as chip, pytest.raises(ChipFault) as caught:
        write_all(chip, writes)
    return f"{caught.value.address:08X} {caught.value.text}"


def run_changed(chip: Chip, changes: dict[int, int | None]) -> None:
    write_all(chip, changed(changes) + START)
    wait(chip)


def test_the_unchanged_program_works():
    with Chip(85) as chip:
        run_changed(chip, {})
        assert np.array_equal(read_output(chip, LAYER, 4, 4), evaluate(LAYER, DATA))


@pytest.mark.parametrize("address", [
    0, 0x40005800, 0x50000018, 0x50001004, 0x500FFFFC, lreg(0, STREAM1, 8), lreg(1, FMAX, 31), lreg(0, IFRM, 1),
    lreg(3, 21, 0), 0x50101004, bram(0, 512), 0x50110000 + 4 * 3072, mram(0, 768), 0x501C0000, sram(3, 8192),
    0x510FFFFC, 0x51100000, 0xFFFFFFFC], ids=hex)  # fmt: skip
def test_an_address_that_does_not_exist_stops_reads_and_writes(address: int):
    assert stopped([(address, 0)]) == f"{address:08X} address does not exist on the AI85"
    with Chip(85) as chip, pytest.raises(ChipFault, match="does not exist on the AI85"):
        chip.read32(address)


@pytest.mark.parametrize("address", [
    ctl(0), ctl(3) + 4, lcnt(2), ctl(1) + 12, lreg(0, RCNT, 0), lreg(3, LCTL2, 31), lreg(0, STREAM1, 7),
    lreg(3, FMAX, 7), lreg(2, IFRM, 0), 0x50110000, 0x50110000 + 4 * 3071, mram(0, 0), mram(63, 767), bram(0, 0),
    bram(3, 511), sram(0, 0), sram(15, 8191), AON_CTL], ids=hex)  # fmt: skip
def test_the_ends_of_every_address_range_exist(address: int):
    with Chip(85) as chip:
        chip.write32(address, 0)


@pytest.mark.parametrize("address, name", [
    (0x50000000, "FIFO block"), (0x50000014, "FIFO block"), (0x400C0410, "fast FIFO"), (0x50101000, "MLAT"),
    (0x50D01000, "MLAT")])  # fmt: skip
def test_an_address_that_the_model_leaves_out_stops(address: int, name: str):
    assert stopped([(address, 0)]) == f"{address:08X} not modelled: {name}"


@pytest.mark.parametrize("address, value, text", [
    (ctl(0), 0x10, "CTL = 0x00000010: field calcmax (bits 4:4) does not support 1"),
    (ctl(0), 0x100, "CTL = 0x00000100: not modelled: oneshot (bits 8:8) = 1"),
    (ctl(0), 0x1000, "CTL = 0x00001000: not modelled: cnn_irq (bits 12:12) = 1"),
    (ctl(1), 0x4008, "CTL = 0x00004008: not modelled: strm_ena (bits 14:14) = 1"),
    (ctl(1), 0x8008, "CTL = 0x00008008: not modelled: fifo_ena (bits 15:15) = 1"),
    (ctl(0), 0x50000, "CTL = 0x00050000: not modelled: mlat_ld (bits 16:16) = 1"),
    (ctl(0), 0x80000000, "CTL = 0x80000000: not modelled: qupac (bits 31:31) = 1"),
    (ctl(2) + 4, 0x800000, "SRAM = 0x00800000: reserved bits 0x00800000 must be 0"),
    (ctl(2) + 4, 0x10000, "SRAM = 0x00010000: field sleep and power down (bits 22:14) does not support 4"),
    (lcnt(0), 32, "LCNT_MAX = 0x00000020: reserved bits 0x00000020 must be 0"),
    (ctl(0) + 12, 1, "TEST = 0x00000001: not modelled: self-test and zeroise (bits 28:0) = 1"),
    (AON_CTL, 4, "AON_CTL = 0x00000004: reserved bits 0x00000004 must be 0"),
    (lreg(0, RCNT, 0), 0x30005, "RCNT = 0x00030005: field pad (bits 17:16) does not support 3"),
    (lreg(0, RCNT, 0), 0x400, "RCNT = 0x00000400: reserved bits 0x00000400 must be 0"),
    (lreg(0, ONED, 3), 0x90, "ONED = 0x00000090: field oned_sad (bits 7:4) does not support 9"),
    (lreg(0, ONED, 3), 0xA00, "ONED = 0x00000A00: field oned_width (bits 11:8) does not support 10"),
    (lreg(0, ONED, 3), 0x46000, "ONED = 0x00046000: not modelled: ewise_ena (bits 13:13) = 1"),
    (lreg(0, WPTR_BASE, 0), 0x20000, "WPTR_BASE = 0x00020000: reserved bits 0x00020000 must be 0"),
    (lreg(0, LCTL, 0), 0x821, "LCTL = 0x00000821: field sslave (bits 3:0) does not support 1"),
    (lreg(0, LCTL, 0), 0xC20, "LCTL = 0x00000C20: field cpad_only (bits 10:10) does not support 1"),
    (lreg(0, TPTR, 0), 0x1000, "TPTR = 0x00001000: reserved bits 0x00001000 must be 0"),
    (lreg(0, POST, 0), 0x10000000, "POST = 0x10000000: not modelled: deconv_ena (bits 28:28) = 1"),
    (lreg(0, STREAM1, 0), 1, "STREAM1 = 0x00000001: not modelled: isval (bits 13:0) = 1"),
    (lreg(0, STREAM2, 7), 0x20000, "STREAM2 = 0x00020000: not modelled: dsval2 (bits 27:16) = 2"),
    (lreg(0, LCTL2, 0), 0x20000, "LCTL2 = 0x00020000: reserved bits 0x00020000 must be 0"),
    (bram(1, 7), 0x100, "bias RAM entry = 0x00000100: only bits 7:0 exist, the others must be 0"),
    (mram(3, 0), 0x100, "word 0 of a mask RAM entry = 0x00000100: only bits 7:0 exist, the others must be 0"),
    (0x50110000, 0x10000, "TRAM entry = 0x00010000: only bits 15:0 exist, the others must be 0"),
])  # fmt: skip
def test_reserved_bits_and_modes_that_are_not_modelled_stop_and_name_the_field(address: int, value: int, text: str):
    assert stopped([(address, value)]) == f"{address:08X} {text}"


@pytest.mark.parametrize("changes, address, text", [
    ({lcnt(1): 1}, ctl(1), "LCNT_MAX differs: 0 in group 0, 1 in group 1"),
    ({lcnt(0): 1, lcnt(1): 1}, ctl(0), "group 0 started but layer 1 is not configured"),
    ({lreg(1, RCNT, 0): 0x10004}, lreg(1, RCNT, 0),
     "RCNT of layer 0 differs: 0x00010005 in group 0, 0x00010004 in group 1"),
    ({lreg(1, WPTR_BASE, 0): 0x2000}, lreg(1, WPTR_BASE, 0), "WPTR_BASE of layer 0 differs between groups 0 and 1"),
    ({AON_CTL: 0x200}, ctl(1), "group 1 started, but AON_CTL = 0x00000200 leaves its mask RAM without power"),
    (both(LCTL, 0x900), lreg(0, LCTL, 0),
     "LCTL of layer 0 = 0x00000900: not modelled: master (bit 5) or sramlsrc (bit 11) = 0"),
    (both(LCTL, 0x120), lreg(0, LCTL, 0),
     "LCTL of layer 0 = 0x00000120: not modelled: master (bit 5) or sramlsrc (bit 11) = 0"),
    (both(LCTL, 0x10B20), lreg(0, LCTL, 0),
     "LCTL of layer 0 = 0x00010B20: only one of ReLU (bit 9), wide output (bit 16) and Abs (POST bit 26) is possible"),
    (both(POST, 0x3000000), lreg(0, POST, 0),
     "POST of layer 0 = 0x03000000: bits 25:24 must be 3 in a layer without kernels, and 0 in others"),
    (both(POST, 0x40000), lreg(0, POST, 0),
     "POST of layer 0 = 0x00040000: flatten_ena (bit 27) and xpmp_cnt (bits 21:18) need 1x1 kernels and one pixel, and "
     "xpmp_cnt needs flatten_ena"),
    (both(POST, 0x8040000), lreg(0, POST, 0),
     "POST of layer 0 = 0x08040000: flatten_ena (bit 27) and xpmp_cnt (bits 21:18) need 1x1 kernels and one pixel, and "
     "xpmp_cnt needs flatten_ena"),
    (both(LCTL2, 0x1001) | {lreg(0, LCTL, 0): 0x2960, lreg(1, LCTL, 0): 0x960}, lreg(0, LCTL2, 0),
     "LCTL2 of layer 0 = 0x00001001: not modelled: CHW data (LCTL bit 6) with several passes"),
    (both(ONED, 0x1000), lreg(0, ONED, 0),
     "ONED of layer 0 = 0x00001000: oned_width must be 1 to 9 in a layer with one dimension, else 0 or 1"),
    (both(ONED, 0x200), lreg(0, ONED, 0),
     "ONED of layer 0 = 0x00000200: oned_width must be 1 to 9 in a layer with one dimension, else 0 or 1"),
    (both(ONED, 0x1300) | both(CCNT, 3), lreg(0, CCNT, 0),
     "CCNT of layer 0 = 0x00000003: a layer with one dimension has one column"),
    (both(ONED, 1), lreg(0, ONED, 0), "ONED of layer 0 = 0x00000001: tscnt_max must be 0 in a layer with kernels"),
    (both(ONED, 0x100), lreg(0, RCNT, 0),
     "RCNT of layer 0 = 0x00010005: the padding must be smaller than the kernel"),
    (both(RCNT, 0x10001), lreg(0, RCNT, 0), "RCNT of layer 0 = 0x00010001 leaves no output row"),
    (both(CCNT, 1), lreg(0, CCNT, 0), "CCNT of layer 0 = 0x00000001 leaves no output column"),
    (both(TPTR, 2), lreg(0, TPTR, 0), "TPTR of layer 0 is 0x00000002, but must be 0x00000003"),
    (both(MCNT, 0x40014), lreg(0, MCNT, 0),
     "MCNT of layer 0 = 0x00040014: masks must start at bit 0 of a byte of the first kernel (oned_sad in ONED) and end "
     "at a weight"),
    (both(MCNT, 0x80000), lreg(0, MCNT, 0),
     "MCNT of layer 0 = 0x00080000: masks must start at bit 0 of a byte of the first kernel (oned_sad in ONED) and end "
     "at a weight"),
    (both(MCNT, 0x11), lreg(0, MCNT, 0),
     "MCNT of layer 0 = 0x00000011: masks must start at bit 0 of a byte of the first kernel (oned_sad in ONED) and end "
     "at a weight"),
    (both(LCTL2, 0x1001), lreg(0, MCNT, 0),
     "MCNT of layer 0 = 0x00000010: the number of masks is not a multiple of the passes"),
    (both(MCNT, 0x17F81800), lreg(0, MCNT, 0), "MCNT of layer 0 = 0x17F81800: the kernels end behind the last column"),
    (both(LCTL2, 0x1100), lreg(0, LCTL2, 0),
     "LCTL2 of layer 0 = 0x00001100: xpch_max is not a multiple of the bits of a weight"),
    ({lreg(0, LCTL, 0): 0x6920}, lreg(0, LCTL, 0),
     "cnnsiena of layer 0 is 0x6: it names a group that is not started (started: 0x3)"),
    ({lreg(1, LCTL, 0): 0x1920}, lreg(1, LCTL, 0),
     "cnnsiena of layer 0 in group 1 is 0x1: only the master (group 0) sums, and other groups"),
    ({lreg(0, POST, 0): 0x29000}, lreg(1, POST, 0), "groups 0 and 1 both add a bias in layer 0"),
    ({lreg(0, LCTL, 0): 0x920}, lreg(1, POST, 0), "group 1 has the bias of layer 0, but is not part of the sum"),
    ({lreg(0, ENA, 0): 0x10003}, lreg(0, ENA, 0),
     "ENA of layer 0 in group 0 = 0x00010003: mask and processor enables must be equal"),
    ({lreg(0, LCTL, 0): 0x2960, lreg(1, LCTL, 0): 0x960}, lreg(0, ENA, 0),
     "layer 0 reads CHW data with processors 0x0003 of group 0: only one processor of an instance may"),
    (both(RPTR_BASE, 8180), sram(0, 0), "layer 0 reads 16 words from word 8180 of instance 0, which has 8192 words"),
    (both(WPTR_BASE, 0x3FF8), sram(1, 8184),
     "layer 0 writes 16 words from word 8184 of instance 1, which has 8192 words"),
])  # fmt: skip
def test_a_start_that_is_not_configured_stops(changes: dict[int, int], address: int, text: str):
    assert stopped(changed(changes) + START) == f"{address:08X} {text}"


PASS_THROUGH = {
    RCNT: 3, CCNT: 3, ONED: 0x100, WPTR_BASE: 0x800, WPTR_TOFFS: 0x2000, LCTL: 0x920, ENA: 3, POST: 0x3000000,
}  # fmt: skip


@pytest.mark.parametrize("changes, number, text", [
    ({POST: 0x1000000}, POST, "bits 25:24 must be 3 in a layer without kernels, and 0 in others"),
    ({POST: 0x3022000}, POST, "a layer without kernels has no bias, scale, activation or wide output"),
    ({LCTL: 0xB20}, POST, "a layer without kernels has no bias, scale, activation or wide output"),
    ({ONED: 0x1100}, ONED, "a layer without kernels has oned_width 1 and oned_iena 0"),
    ({ONED: 0}, ONED, "a layer without kernels has oned_width 1 and oned_iena 0"),
    ({ONED: 0x101}, ONED, "tscnt_max must be the time slots of four processors that a group needs, less one"),
    ({ENA: 0x1F}, ONED, "tscnt_max must be the time slots of four processors that a group needs, less one"),
    ({MCNT: 8}, MCNT, "must be 8 * (passes - 1) in a layer without kernels"),
    ({LCTL2: 1}, MCNT, "must be 8 * (passes - 1) in a layer without kernels"),
])  # fmt: skip
def test_a_layer_without_kernels_that_is_not_configured_stops(changes: dict[int, int], number: int, text: str):
    values = PASS_THROUGH | changes
    writes = [(lreg(0, r, 0), value) for r, value in values.items()]
    data = [(sram(i, n), 0) for i in range(2) for n in range(64)]
    message = stopped([*plain(control_writes([0])), *writes, *data, *plain(start_writes([0]))])
    names = {POST: "POST", ONED: "ONED", MCNT: "MCNT"}
    shown = values.get(number, 0)
    assert message == f"{lreg(0, number, 0):08X} {names[number]} of layer 0 = 0x{shown:08X}: {text}"


def test_slaves_must_name_the_master_and_groups_need_their_clock():
    wrong = [(ctl(1), CLOCK | SLAVE | ENABLE | 2 << 9), (ctl(0), CLOCK | ENABLE)]
    assert stopped([*SETUP.items(), *wrong]) == (
        f"{ctl(1):08X} group 0 was started as master, but the enabled group 1 is not slaved to it: CTL = 0x00000C09")
    assert stopped([*SETUP.items(), (ctl(0), ENABLE)]) == (
        f"{ctl(0):08X} group 0 started with CTL = 0x00000001: bits 0x00000008 must be 1")
    unequal = [(ctl(1), CLOCK | SLAVE | ENABLE | ROUND), (ctl(0), CLOCK | ENABLE)]
    assert stopped([*SETUP.items(), *unequal]) == (
        f"{ctl(1):08X} pool_rnd (CTL bit 13) differs between groups 0 and 1")


@pytest.mark.parametrize("missing, text", [
    ([mram(16, 0, n) for n in range(4)], "with column 0 of processor 16, a kernel that was never written"),
    ([bram(1, 7)], "with bias entry 7 of group 1, which was never written"),
    ([sram(4, 5)], "from data memory at 0x50800014, which was never written"),
])  # fmt: skip
def test_a_value_computed_from_unwritten_memory_stops_who_reads_it(missing: list[int], text: str):
    layer = replace(LAYER, weights=LAYER.weights[:1], outputs=[4], bias=LAYER.bias[:1])
    writes = {address: value for address, value in program(layer).items() if address not in missing}
    with Chip(85) as chip:
        write_all(chip, [*writes.items(), *START])
        wait(chip)
        with pytest.raises(ChipFault) as caught:
            chip.read32(sram(1, 0x1000 + 5))
    assert caught.value.text == ("read of a data memory word of which no byte holds a value: byte 0 is one which layer "
                                 f"0 computed {text}")  # fmt: skip


def test_an_unwritten_input_stops_only_the_outputs_that_depend_on_it():
    """The 3x3 window of output pixel (3, 3) does not reach input pixel (0, 0); that of (0, 1) does."""
    expected = evaluate(LAYER, DATA)
    with Chip(85) as chip:
        run_changed(chip, {sram(0, 0): None})
        word = chip.read32(sram(1, 0x1000 + 15))
        assert [word >> 8 * n & 0xFF for n in range(3)] == (expected[:, 3, 3] & 0xFF).tolist()
        with pytest.raises(ChipFault, match="from data memory at 0x50400000, which was never written"):
            chip.read32(sram(1, 0x1000 + 1))


def test_a_layer_without_kernels_passes_on_what_is_unknown():
    second = PASS_THROUGH | {WPTR_BASE: 0x1800, RPTR_BASE: 0x1000, ENA: 0x10}
    writes = [(lreg(g, number, 1), value) for g in LAYER.groups for number, value in second.items()
              if (g, number) != (1, ENA)]  # fmt: skip
    with Chip(85) as chip:
        write_all(chip, [*changed({mram(1, 0, n): None for n in range(4)} | {lcnt(0): 1, lcnt(1): 1}), *writes, *START])
        wait(chip)
        with pytest.raises(ChipFault, match="which layer 0 computed with column 0 of processor 1, a kernel that was"):
            chip.read32(sram(0, 0x1800))


def test_kernel_words_out_of_order_and_staged_kernels_stop():
    assert "is out of order: write words 0, 1, 2, 3 of one kernel" in stopped([(mram(5, 2, 1), 0)])
    staged = [*SETUP.items(), (mram(9, 9, 0), 0), *START]
    assert stopped(staged) == f"{ctl(0):08X} group 0 started while a kernel is staged and not committed"


def test_the_flag_rises_in_all_groups_and_the_handler_clears_it():
    """8.2: the handler clears bits 12 and 0 of CTL in every used quadrant; 18.2: the flag is in all of them."""
    with Chip(85) as chip:
        write_all(chip, [*SETUP.items(), *START])
        assert [chip.irq(), chip.irq()] == [False, True]
        values = [chip.read32(ctl(g)) for g in LAYER.groups]
        assert values == [0x1009, 0x1809]
        chip.write32(ctl(0), values[0] & ~0x1001)
        assert chip.irq()
        chip.write32(ctl(1), values[1] & ~0x1001)
        assert not chip.irq()
        write_all(chip, START)
        wait(chip)
        assert np.array_equal(read_output(chip, LAYER, 4, 4), evaluate(LAYER, DATA))
        assert chip.total_cycles() == 2 * chip.cycles()


def test_a_group_must_be_stopped_before_the_next_run():
    with Chip(85) as chip:
        run_changed(chip, {})
        with pytest.raises(ChipFault, match="group 0 was not stopped after the last run: clear bit 0 of CTL"):
            chip.write32(ctl(0), CLOCK | ENABLE)


@pytest.mark.parametrize("address", [ctl(1), lcnt(0), lreg(0, 0, 0), mram(0, 0), bram(0, 0), sram(0, 0), AON_CTL],
                         ids=hex)  # fmt: skip
def test_other_accesses_during_a_run_stop(address: int):
    running = "while the accelerator runs: read CTL of group 0 until bit 12 is 1 before any other access"
    assert stopped([*SETUP.items(), *START, (address, 0)]) == f"{address:08X} write {running}"
    with Chip(85) as chip:
        write_all(chip, [*SETUP.items(), *START])
        with pytest.raises(ChipFault, match=f"read {running}"):
            chip.read32(address)


def test_an_8_bit_write_during_a_run_stops():
    with Chip(85) as chip:
        write_all(chip, [*SETUP.items(), *START])
        with pytest.raises(ChipFault, match="8-bit write while the accelerator runs"):
            chip.write8(packed_address(0, 0) | 1, 1)


def test_reset_forgets_everything():
    with Chip(85) as chip:
        run_changed(chip, {})
        with pytest.raises(ChipFault):
            chip.write32(0, 0)
        chip.reset()
        assert (chip.read32(ctl(0)), chip.read32(lreg(0, RCNT, 0)), chip.cycles()) == (0, 0, 0)
        with pytest.raises(ChipFault, match="never written"):
            chip.read32(mram(0, 0))


def test_an_unknown_device_is_refused():
    with pytest.raises(ChipError, match=r"no model of device 87 \(known: 84, 85\)"):
        Chip(87)
