"""The emulated microcontroller: console, exit, calls, symbols, time, and how it stops programs that go wrong."""

import re
from pathlib import Path

import numpy as np
import pytest

from chip import Chip, EmulationFault, FirmwareError
from chip.mcu import Mcu, count_instructions
from chip_tools import Layer, Network, setup, start
from firmware_tools import build_firmware

SOURCE = r"""
#include "tornadocnn.h"

enum { PASS, EXIT_7, HANG, READ_NOWHERE, WRITE_NOWHERE, WRITE_FLASH, BAD_REGISTER, BYTE, HALFWORD, UNALIGNED, UNDEFINED,
       JUMP, JUMP_TO_RAM, SVC, CORE, UNINITIALISED, PRINT, FLOAT };

const int what = PASS; // the tests change it in flash
const uint32_t data_memory = 0x50110000; // not constant for the compiler: it would rename store8
int initialised = 0x12345678;
int zeroed[3];
uint8_t buffer[8];

__attribute__((noinline)) static void hang(void)
{
    for (;;)
        __asm__ volatile("");
}

__attribute__((noinline)) static void touch32(uint32_t address)
{
    (void)*(volatile uint32_t *)address;
}

__attribute__((noinline)) static void store32(uint32_t address)
{
    *(volatile uint32_t *)address = 1; // store32
}

__attribute__((noinline)) static void store8(uint32_t address)
{
    *(volatile uint8_t *)address = 1;
}

__attribute__((noinline)) static void store16(uint32_t address)
{
    *(volatile uint16_t *)address = 1;
}

__attribute__((noinline)) static void jump(uint32_t address)
{
    ((void (*)(void))address)();
    __asm__ volatile("");
}

__attribute__((noinline)) static void undefined(void)
{
    __asm__ volatile("udf #1");
}

int add(int a, int b, int c, int d)
{
    return a + 2 * b + 3 * c + 4 * d;
}

void leave(void)
{
    platform_exit(3);
}

/* Register accesses inside an IT block, then an unconditional addition in another block, with the flags unequal. */
uint32_t conditional_reads(uint32_t address)
{
    uint32_t value = 0;

    __asm__ volatile("cmp %1, %1\n\t"
                     "ittt eq\n\t"
                     "ldreq %0, [%1]\n\t"
                     "ldreq %0, [%1]\n\t"
                     "addeq %0, #1\n\t"
                     "b 1f\n\t"
                     "1: cmp %1, #0\n\t"
                     "add %0, #100\n\t"
                     : "+&r"(value) : "r"(address) : "cc", "memory");
    return value;
}

uint32_t elapsed(uint32_t loops)
{
    cnn_timer_start();
    for (volatile uint32_t i = 0; i < loops; i++) {}
    return cnn_timer_stop();
}

uint32_t run_chip(void)
{
    cnn_timer_start();
    *(volatile uint32_t *)0x50100000 = 7;
    while (!(*(volatile uint32_t *)0x50100000 & 0x1000)) {}
    return cnn_timer_stop();
}

static int float_result(volatile float x)
{
    return (int)(x * 2.5f);
}

static void print_all(void)
{
    printf("[%d|%5d|%-5d|%05d|%3d]", -3, 42, -42, -42, 12345);
    printf("[%u|%x|%08x|%x%%]", 4000000000u, 255u, 0xabcu, 1u);
    printf("[%s|%5s|%-5s|%c]\n", "str", "ab", "cd", 'e');
    printf("[%d|%d]", (-2147483647 - 1), printf("%6d%%", 1));
}

int main(void)
{
    switch (*(const volatile int *)&what) {
    case EXIT_7: return 7;
    case HANG: hang(); break;
    case READ_NOWHERE: touch32(0x30000010); break;
    case WRITE_NOWHERE: store32(0); break;
    case WRITE_FLASH: store32(0x10000100); break;
    case BAD_REGISTER: store32(0x5010000C); break;
    case BYTE: store8(*(const volatile uint32_t *)&data_memory); break;
    case HALFWORD: store16(*(const volatile uint32_t *)&data_memory); break;
    case UNALIGNED: store32(0x50110002); break;
    case UNDEFINED: undefined(); break;
    case JUMP: jump(0x00000401); break;
    case JUMP_TO_RAM: jump(0x20000001); break;
    case SVC: __asm__ volatile("svc #0"); break;
    case CORE: touch32(0xE000E100); break;
    case UNINITIALISED: touch32(0x50110000); break;
    case PRINT: print_all(); break;
    case FLOAT: return float_result(4.0f);
    default: printf("initialised %x zeroed %d\n", (unsigned)initialised, zeroed[0] + zeroed[1] + zeroed[2]);
    }
    return 0;
}

# 100 "other.h"
int included(int x)
{ return 3 * x; }
"""
CASES = re.search(r"enum \{(.*?)\}", SOURCE, re.S).group(1).replace("\n", "").replace(" ", "").split(",")


@pytest.fixture(scope="module")
def elf(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build_firmware(tmp_path_factory.mktemp("mcu"), SOURCE)


@pytest.fixture
def mcu(elf: Path):
    with Chip() as chip:
        yield Mcu(elf, chip)


def choose(mcu: Mcu, case: str) -> Mcu:
    mcu.write_symbol("what", CASES.index(case).to_bytes(4, "little"))
    return mcu


def line_of(text: str) -> int:
    return SOURCE[:SOURCE.index(text)].count("\n") + 1


def test_a_program_prints_and_passes(mcu: Mcu):
    result = mcu.run()
    assert (result.status, result.console) == (0, "initialised 12345678 zeroed 0\n")
    assert 100 < result.instructions < 10000
    assert result.cycles == 0


def test_the_exit_status_is_that_of_main(mcu: Mcu):
    assert choose(mcu, "EXIT_7").run().status == 7


def test_the_floating_point_unit_works(mcu: Mcu):
    assert choose(mcu, "FLOAT").run().status == 10


def test_printf_conversions_widths_and_padding(mcu: Mcu):
    assert choose(mcu, "PRINT").run().console == (
        "[-3|   42|-42  |-0042|12345][4000000000|ff|00000abc|1%][str|   ab|cd   |e]\n     1%[-2147483648|7]")


@pytest.mark.parametrize("case, address, function, text", [
    ("READ_NOWHERE", 0x30000010, "touch32", "read of unmapped memory at 0x30000010"),
    ("WRITE_NOWHERE", 0, "store32", "write to unmapped memory at 0x00000000"),
    ("WRITE_FLASH", 0x10000100, "store32", "write to read-only memory at 0x10000100"),
    ("BAD_REGISTER", 0x5010000C, "store32",
     "accelerator fault at address 0x5010000C: address does not exist on the AI84"),
    ("BYTE", 0x50110000, "store8", "8-bit access to the accelerator at 0x50110000: only 32 bits are possible"),
    ("HALFWORD", 0x50110000, "store16", "16-bit access to the accelerator at 0x50110000: only 32 bits are possible"),
    ("UNALIGNED", 0x50110002, "store32",
     "accelerator fault at address 0x50110002: access is not aligned to 32 bits"),
    ("UNINITIALISED", 0x50110000, "touch32",
     "accelerator fault at address 0x50110000: read of a data memory word of which no byte holds a value: written "
     "neither by the bus nor by a layer with kernels"),
    ("JUMP", 0x400, "jump", "jump to unmapped memory at 0x00000400"),
    ("JUMP_TO_RAM", 0x20000000, "jump", "jump to memory that holds no code at 0x20000000"),
    ("CORE", 0xE000E100, "touch32",
     "access to the processor register at 0xE000E100; the emulator has DWT_CTRL 0xE0001000, "
     "DWT_CYCCNT 0xE0001004, CPACR 0xE000ED88, DEMCR 0xE000EDFC"),
])
def test_a_bad_access_stops_with_address_pc_and_function(mcu: Mcu, case: str, address: int, function: str, text: str):
    with pytest.raises(EmulationFault) as caught:
        choose(mcu, case).run()
    fault = caught.value
    assert (fault.text, fault.address) == (text, address)
    symbol = mcu.firmware.function(function)
    assert symbol.address <= fault.pc < symbol.address + symbol.size
    offset = fault.pc - symbol.address
    assert re.fullmatch(rf"{function}\+0x{offset:x}, main\.c:\d+", fault.place)
    assert str(fault) == f"firmware stopped: {text} (pc 0x{fault.pc:08X} in {fault.place})"


def test_the_program_counter_is_exactly_the_store(mcu: Mcu):
    """The instruction at the reported pc is a Thumb STR (immediate), and its line is that of the store."""
    with pytest.raises(EmulationFault) as caught:
        choose(mcu, "BAD_REGISTER").run()
    symbol = mcu.firmware.function("store32")
    code = dict(mcu.firmware.segments)[0x10000000]
    halfword = int.from_bytes(code[caught.value.pc - 0x10000000:][:2], "little")
    assert halfword >> 11 == 0b01100
    assert caught.value.place == f"store32+0x{caught.value.pc - symbol.address:x}, main.c:{line_of('// store32')}"


def test_an_undefined_instruction_stops(mcu: Mcu):
    text = r"firmware stopped: undefined instruction \(pc 0x\w+ in undefined\+0x\w, main\.c:"
    with pytest.raises(EmulationFault, match=text):
        choose(mcu, "UNDEFINED").run()


def test_another_exception_stops(mcu: Mcu):
    with pytest.raises(EmulationFault, match=r"firmware stopped: processor exception 2 \(pc 0x\w+ in main\+"):
        choose(mcu, "SVC").run()


def test_a_program_that_hangs_is_stopped_at_the_limit(mcu: Mcu):
    text = r"still running after 100000 instructions \(pc 0x\w+ in hang\+0x\d, main\.c:"
    with pytest.raises(EmulationFault, match=text):
        choose(mcu, "HANG").run(limit=100_000)
    assert 100_000 < mcu.instructions < 100_100


def test_a_function_can_be_called_with_arguments(mcu: Mcu):
    mcu.run()
    assert mcu.call("add", 1, 10, 100, 1000) == 4321
    assert mcu.call("add", -1, 0, 0, 0) == 0xFFFFFFFF
    with pytest.raises(ValueError, match="at most 4 arguments"):
        mcu.call("add", 1, 2, 3, 4, 5)


def test_instructions_after_a_conditional_register_access_are_unconditional(mcu: Mcu):
    mcu.run()
    assert mcu.call("conditional_reads", 0x50100000) == 0 + 1 + 100  # CTL is 0 after reset


def test_a_called_function_must_not_exit(mcu: Mcu):
    mcu.run()
    with pytest.raises(EmulationFault, match=r"exited with status 3 inside leave\(\)"):
        mcu.call("leave")


def test_a_call_has_a_limit_of_its_own(mcu: Mcu):
    mcu.run()
    assert mcu.call("elapsed", 1, limit=1000) == 0
    with pytest.raises(EmulationFault, match="still running after 1000 instructions"):
        mcu.call("elapsed", 10_000, limit=1000)


def test_symbols_can_be_read_and_written(mcu: Mcu):
    mcu.run()
    assert mcu.read_symbol("initialised") == bytes.fromhex("78563412")
    mcu.write_symbol("buffer", b"12345678")
    assert mcu.read_symbol("buffer") == b"12345678"
    with pytest.raises(ValueError, match="buffer has 8 bytes, given 3"):
        mcu.write_symbol("buffer", b"123")
    with pytest.raises(FirmwareError, match="no object nothing"):
        mcu.read_symbol("nothing")
    with pytest.raises(FirmwareError, match=r"no function nothing\(\)"):
        mcu.call("nothing")


def test_the_cycle_counter_counts_instructions(mcu: Mcu):
    """100 instructions are a microsecond at 100 MHz."""
    mcu.run()
    before = mcu.instructions
    microseconds = mcu.call("elapsed", 100_000)
    assert abs(microseconds - (mcu.instructions - before) / 100) < 2


def test_the_cycle_counter_includes_two_clocks_per_accelerator_clock(elf: Path):
    layer = Layer(np.ones((60, 1, 3, 3), int), [0], list(range(60)))
    network = Network([layer], np.ones((1, 28, 28), int), [0, 1, 2, 3])
    with Chip() as chip:
        mcu = Mcu(elf, chip)
        mcu.run()
        for address, value in setup(network) + start(network.groups)[:-1]:
            chip.write32(address, value)
        before = mcu.instructions
        microseconds, clocks = mcu.call("run_chip"), 28 * 28 * 60 + 2 * 30 * 3 + 28 * (3 + 3 + 27 * 2 + 2)
        assert chip.cycles() == clocks
        assert 2 * clocks // 100 <= microseconds <= (2 * clocks + mcu.instructions - before) // 100


def test_instructions_are_counted_by_their_lengths():
    """movs, movw (32 bits), nop, bl (32 bits), ldrd (32 bits), bx: Armv7-M encodings."""
    assert count_instructions(bytes.fromhex("0120" "40f20000" "00bf" "00f000f8" "d0e90001" "7047")) == 6


def test_places_name_the_source_file_of_the_line(mcu: Mcu):
    """The C files of the run-time, and a file that is included in another."""
    assert ", platform.c:" in mcu.firmware.place(mcu.firmware.function("printf").address)
    assert mcu.firmware.place(mcu.firmware.function("included").address) == "included+0x0, other.h:101"
    assert mcu.firmware.place(0x10000000) == "no known function"


def test_a_file_that_is_no_program_is_refused(tmp_path: Path, elf: Path):
    def message(content: bytes) -> str:
        path = tmp_path / "firmware.elf"
        path.write_bytes(content)
        with Chip() as chip, pytest.raises(FirmwareError) as caught:
            Mcu(path, chip)
        return str(caught.value).removeprefix(f"{path}: ")

    good = elf.read_bytes()
    assert message(b"").startswith("damaged ELF file")
    assert message(b"hello").startswith("damaged ELF file")
    assert message(good[:200]).startswith("damaged ELF file")
    assert message(good[:18] + b"\x3e\0" + good[20:]) == "not a program for a little-endian 32-bit Arm processor"
    with Chip() as chip, pytest.raises(FirmwareError, match="No such file or directory"):
        Mcu(tmp_path / "missing.elf", chip)


@pytest.mark.parametrize("cut", range(1, 20))
def test_a_cut_off_program_is_refused_with_a_message_or_runs(tmp_path: Path, elf: Path, cut: int):
    good = elf.read_bytes()
    path = tmp_path / "firmware.elf"
    path.write_bytes(good[:len(good) * cut // 20])
    with Chip() as chip, pytest.raises(FirmwareError, match=r"firmware\.elf: "):
        Mcu(path, chip)
