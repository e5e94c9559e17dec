"""The emulated MAX78000: interrupt entry and return, sleep, power, reset and clock of the accelerator."""

import json
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

import chip.mcu
from chip import Chip, EmulationFault
from chip.board import MAX78000
from chip.mcu import Mcu
from chip.power import CLOCK_DISABLE, CLOCK_DIVIDER, ISOLATION, POWER, RESET, WEIGHT_POWER, Power
from chip.sdk import built
from chip_tools85 import CASES
from izer.emit import max78000
from izer.emit.max78000 import Choices
from max78000_tools import demo_of, write_files

CASE = CASES / "tier1-wide32"
SOURCE = r"""
#include <stdint.h>
#include <stdio.h>
#include "mxc_device.h"
#include "mxc_sys.h"
#include "gcr_regs.h"
#include "gcfr_regs.h"
#include "nvic_table.h"
#include "cnn.h"
#include "sampledata.h"

const uint32_t input_0[] = SAMPLE_INPUT_0;
enum { @NAMES@ };
const int what = RUN; // the tests change it in flash
uint32_t seen, times;

static void copy_words(uint32_t address, const volatile uint32_t *from, uint32_t count)
{
    for (volatile uint32_t *to = (volatile uint32_t *)address; count > 0; count--)
        *to++ = *from++;
}

static void power(void)
{
    cnn_enable(MXC_S_GCR_PCLKDIV_CNNCLKSEL_PCLK, MXC_S_GCR_PCLKDIV_CNNCLKDIV_DIV1);
}

static void load(void)
{
    cnn_init();
    cnn_load_weights();
    cnn_load_bias();
    cnn_configure();
    copy_words(0x50400000, input_0, sizeof input_0 / sizeof *input_0);
}

static void prepare(void)
{
    power();
    load();
}

void do_nothing(void)
{
    if (++times == 1)
        printf("handler\n");
}

void destroy(void) // all registers that the processor saves, and the flags
{
    CNN_ISR();
    __asm__ volatile("mov r0, #0\n\tmov r1, #0\n\tmov r2, #0\n\tmov r3, #0\n\tmov r12, #0\n\tcmp r0, #0\n\t"
                     "vmov s0, r0\n\tvmov s1, r0\n\tvmov s15, r0\n\tvmsr fpscr, r0"
                     : : : "r0", "r1", "r2", "r3", "r12", "s0", "s1", "s15", "cc", "memory");
}

// Whether r0 to r3, r12, flags or stack pointer do not survive an interrupt in a busy loop, on an unaligned stack.
__attribute__((naked)) uint32_t spin(volatile uint32_t *time)
{
    __asm__ volatile("push {r4, r5, r6, lr}\n\tsub sp, #4\n\t"
                     "mov r4, r0\n\tmov r5, sp\n\t"
                     "mov r0, #10\n\tmov r1, #11\n\tmov r2, #12\n\tmov r3, #13\n\tmov r12, #14\n\t"
                     "1: adds r6, r6, #0\n\tldr r6, [r4]\n\tcmp r6, #0\n\tbeq 1b\n\t"
                     "cmp r0, #10\n\tittt eq\n\tcmpeq r1, #11\n\tcmpeq r2, #12\n\tcmpeq r3, #13\n\t"
                     "it eq\n\tcmpeq r12, #14\n\tit eq\n\tcmpeq r5, sp\n\t"
                     "ite eq\n\tmoveq r0, #0\n\tmovne r0, #1\n\tadd sp, #4\n\tpop {r4, r5, r6, pc}");
}

// Whether s0, s1, s15 or the flags of the floating-point unit do not survive it.
__attribute__((naked)) uint32_t spin_with_floats(volatile uint32_t *time)
{
    __asm__ volatile("vmov.f32 s0, #2.0\n\tvmov.f32 s1, #3.0\n\tvmov.f32 s15, #1.0\n\t"
                     "vcmp.f32 s0, s0\n\t" // sets Z and C
                     "1: ldr r1, [r0]\n\tcmp r1, #0\n\tbeq 1b\n\t"
                     "vmrs r1, fpscr\n\tlsr r1, r1, #28\n\tsub r1, r1, #6\n\t"
                     "vmov.f32 s2, #2.0\n\tvmov r2, s0\n\tvmov r3, s2\n\teor r2, r2, r3\n\torr r1, r1, r2\n\t"
                     "vmov.f32 s2, #3.0\n\tvmov r2, s1\n\tvmov r3, s2\n\teor r2, r2, r3\n\torr r1, r1, r2\n\t"
                     "vmov.f32 s2, #1.0\n\tvmov r2, s15\n\tvmov r3, s2\n\teor r2, r2, r3\n\torr r0, r1, r2\n\t"
                     "bx lr");
}

static void store(uint32_t address, uint32_t value)
{
    *(volatile uint32_t *)address = value;
}

int main(void)
{
    int now = *(const volatile int *)&what;

    switch (now) {
    case RUN: case SLOW:
        prepare();
        if (now == SLOW)
            MXC_GCR->pclkdiv = 3u << 14;
        cnn_start();
        while (cnn_time == 0)
            __WFI();
        seen = cnn_time;
        break;
    case SPIN:
        prepare();
        MXC_NVIC_SetVector(CNN_IRQn, destroy);
        cnn_start();
        return (int)spin(&cnn_time);
    case FLOATS:
        prepare();
        MXC_NVIC_SetVector(CNN_IRQn, destroy);
        cnn_start();
        return (int)spin_with_floats(&cnn_time);
    case MASKED:
        prepare();
        __disable_irq();
        cnn_start();
        __WFI(); // ends, but without the handler
        seen = cnn_time;
        __enable_irq();
        __ISB();
        return seen == 0 && cnn_time != 0 ? 0 : 1;
    case DISABLED:
        prepare();
        NVIC_DisableIRQ(CNN_IRQn);
        cnn_start();
        __WFI();
        break;
    case NOT_STARTED:
        prepare();
        __WFI();
        break;
    case NOT_CLEARED:
        prepare();
        MXC_NVIC_SetVector(CNN_IRQn, do_nothing);
        cnn_start();
        __WFI();
        break;
    case POLLED: // the interrupt stays disabled
        prepare();
        NVIC_DisableIRQ(CNN_IRQn);
        cnn_start();
        while (!(*(volatile uint32_t *)0x50100000 & 1u << 12)) {}
        break;
    case NO_POWER:
        MXC_SYS_ClockEnable(MXC_SYS_PERIPH_CLOCK_CNN);
        cnn_init();
        break;
    case NO_CLOCK:
        power();
        MXC_SYS_ClockDisable(MXC_SYS_PERIPH_CLOCK_CNN);
        cnn_init();
        break;
    case IN_RESET:
        power();
        MXC_GCFR->reg3 = 0xf;
        cnn_init();
        break;
    case ISOLATED:
        power();
        MXC_GCFR->reg2 |= 1;
        cnn_init();
        break;
    case UNUSED_QUADRANT:
        power();
        store(0x50D00000, 0x100008);
        break;
    case NO_WEIGHT_POWER:
        power();
        cnn_init();
        MXC_GCFR->reg1 = 0;
        cnn_load_weights();
        break;
    case POWER_WITHOUT_RESET: MXC_GCFR->reg1 = 1; MXC_GCFR->reg0 = 1; break;
    case POWER_BEFORE_WEIGHTS: MXC_GCFR->reg3 = 0xf; MXC_GCFR->reg0 = 1; break;
    case BAD_DIVIDER: MXC_GCR->pclkdiv = 7u << 14; break;
    case OTHER_REGISTER: store(0x40000004, 1); break;
    case BYTE_OF_POWER: *(volatile uint8_t *)0x40005800 = 1; break;
    case FORGOTTEN:
        prepare();
        cnn_disable();
        power();
        cnn_init();
        seen = *(volatile uint32_t *)0x50180000;
        break;
    case BYTE: power(); *(volatile uint8_t *)0x50400000 = 1; break;
    case HALFWORD: power(); *(volatile uint16_t *)0x50400000 = 1; break;
    case READ_BYTE: power(); (void)*(volatile uint8_t *)0x50100000; break;
    case TWICE:
        for (int n = 0; n < 2; n++) {
            prepare();
            cnn_start();
            while (cnn_time == 0)
                __WFI();
            seen += *(volatile uint32_t *)0x50100000 & 0x1001;
            cnn_disable();
        }
        return seen == 0 ? 0 : 1;
    }
    return 0;
}
"""
NAMES = list(dict.fromkeys(re.findall(r"case ([A-Z_]+):", SOURCE)))
PLAIN = ["-O1 -fno-sanitize=all", "-O2"]


@pytest.fixture(scope="module", params=PLAIN, ids=["O1", "O2"])
def elf(request, tmp_path_factory):
    """A program with this main(); its cnn.c is a generated one, with a timer."""
    files = max78000.emit(demo_of(CASE, Choices(timer=0)))
    files["main.c"] = SOURCE.replace("@NAMES@", ", ".join(NAMES)).encode()
    folder = write_files(tmp_path_factory.mktemp("emulation") / "demo", files)
    with built(folder, lambda _: None, request.param) as path:
        yield path


@contextmanager
def prepared(elf: Path, what: str) -> Iterator[Mcu]:
    """The microcontroller with the program that will do something."""
    with Chip(85) as chip:
        mcu = Mcu(elf, chip, MAX78000)
        mcu.write_symbol("what", NAMES.index(what).to_bytes(4, "little"))
        yield mcu


@pytest.mark.parametrize("what", ["RUN", "SPIN", "FLOATS", "MASKED", "POLLED", "TWICE"])
def test_a_program_survives_the_interrupt_and_goes_on(elf, what):
    """Status 0: registers, flags, stack and floating-point registers are as before, in every way to wait."""
    with prepared(elf, what) as mcu:
        assert mcu.run().status == 0


def test_the_time_of_a_run_grows_with_the_divider_of_the_clock(elf):
    """PCLK has 50 MHz, a half of the core's; divided by 16 (code 3) a run of the same clocks takes 16 times as long."""
    times = []
    for what in ("RUN", "SLOW"):
        with prepared(elf, what) as mcu:
            clocks = mcu.run().cycles
            times.append(int.from_bytes(mcu.read_symbol("seen"), "little"))
    assert clocks == json.loads((CASE / "latency.json").read_text())["total"]
    for factor, time in zip((1, 16), times, strict=True):
        instructions = time - clocks * factor / 50  # microseconds; what the program itself executes meanwhile
        assert 0 < instructions < 3


@pytest.mark.parametrize(("what", "text"), [
    ("DISABLED", "sleeps (WFI), and nothing will wake it: the accelerator was not started, or its interrupt is not"),
    ("NOT_STARTED", "sleeps (WFI), and nothing will wake it: the accelerator was not started"),
    ("NOT_CLEARED", "still running after 100000 instructions"),
    ("NO_POWER", "the accelerator does not answer at 0x50100000: quadrant 0 has no power (GCFR.REG0 bit 0)"),
    ("NO_CLOCK", "the accelerator does not answer at 0x50001000: its clock is off (GCR.PCLKDIS0 bit 25)"),
    ("IN_RESET", "the accelerator does not answer at 0x50100000: quadrant 0 is held in reset (GCFR.REG3 bit 0)"),
    ("ISOLATED", "the accelerator does not answer at 0x50100000: quadrant 0 is isolated (GCFR.REG2 bit 0)"),
    ("UNUSED_QUADRANT", "the accelerator does not answer at 0x50D00000: quadrant 3 has no power (GCFR.REG0 bit 3)"),
    ("NO_WEIGHT_POWER", "the weight memory of quadrant 0 has no power (GCFR.REG1 bit 0)"),
    ("POWER_WITHOUT_RESET", "GCFR.REG0 switches quadrants on that are not held in reset; write 0xF to GCFR.REG3 first"),
    ("POWER_BEFORE_WEIGHTS", "GCFR.REG0 switches quadrants on whose weight memory has no power; write GCFR.REG1 first"),
    ("BAD_DIVIDER", "GCR.PCLKDIV: the divider in bits 16 to 14 is 0 to 4; written: 7"),
    ("OTHER_REGISTER", "access to the system register at 0x40000004; the emulator has GCFR.REG0 0x40005800, "),
    ("BYTE_OF_POWER", "8-bit access to the system register at 0x40005800: only 32 bits are possible"),
    ("FORGOTTEN", "accelerator fault at address 0x50180000: read of column 0 of processor 0, which"),
    ("BYTE", "accelerator fault at address 0x50400000"),
    ("HALFWORD", "16-bit access to the accelerator at 0x50400000: only 32 bits are possible"),
    ("READ_BYTE", "8-bit access to the accelerator at 0x50100000: only 32 bits are possible"),
])  # fmt: skip
def test_what_hardware_could_not_do_stops_the_program(elf, what, text):
    with prepared(elf, what) as mcu, pytest.raises(EmulationFault) as fault:
        mcu.run(100_000)
    assert text in str(fault.value)
    assert re.search(r"\(pc 0x1000\w{4} in \w+\+0x\w+, \w+\.[ch]:\d+\)$", str(fault.value))


def test_every_behaviour_of_the_program_is_tested():
    """None was forgotten in the lists above."""
    tested = re.findall(r'"([A-Z_]+)"', Path(__file__).read_text())
    assert set(NAMES) <= set(tested)


def test_the_clock_divider_and_source_give_the_ratio_to_the_core():
    """Core 100 MHz, PCLK 50 MHz, ISO 60 MHz; codes 0 to 4 are /2, /4, /8, /16, /1 (AI85 hardware reference 3.7)."""
    power = Power()
    for code, divider in {0: 2, 1: 4, 2: 8, 3: 16, 4: 1}.items():
        power.write(CLOCK_DIVIDER, code << 14)
        assert power.core_clocks(300) == 600 * divider
        power.write(CLOCK_DIVIDER, 1 << 17 | code << 14)
        assert power.core_clocks(300) == 500 * divider


def test_only_the_documented_power_up_makes_the_accelerator_answer():
    """The order of the AI85 hardware reference 8.2, for quadrants 0 and 2; everything is lost at its begin and end."""
    power = Power()
    assert power.obstacle(0x50100000)
    steps = ((RESET, 0xF), (WEIGHT_POWER, 5), (POWER, 5), (ISOLATION, 0xA), (RESET, 0), (CLOCK_DISABLE, 0))
    assert [power.write(*step) for step in steps] == [True, False, False, False, False, False]
    dead = [bool(power.obstacle(0x50100000 + 0x400000 * quadrant)) for quadrant in range(4)]
    assert dead == [False, True, False, True]
    assert power.obstacle(0x50001000) == ""
    assert power.write(RESET, 0xF)
    assert power.write(POWER, 0)


@pytest.fixture(scope="module", params=["", "naive"])
def waiting(request, tmp_path_factory):
    """A generated program, and one that looks at cnn_time and sleeps without holding the interrupt back in between."""
    files = max78000.emit(demo_of(CASE))
    if request.param:
        text = files["main.c"].decode()
        naive = re.sub(r"  __disable_irq\(\);\n|    __(en|dis)able_irq\(\);.*\n|  __enable_irq\(\);\n", "", text)
        files["main.c"] = naive.replace("    __WFI();", '    __asm__ volatile("b 1f\\n1: wfi");').encode()
    folder = write_files(tmp_path_factory.mktemp("waiting") / "demo", files)
    with built(folder, lambda _: None) as path:
        yield request.param, path


def test_an_interrupt_between_the_look_at_cnn_time_and_the_sleep_is_not_lost(waiting, monkeypatch):
    """Whenever it comes. The naive loop sleeps for ever if it comes just before the sleep, so the test can fail."""
    naive, path = waiting
    outcomes = set()
    for patience in range(1, 16):
        monkeypatch.setattr(chip.mcu, "PATIENCE", patience)
        with Chip(85) as model:
            try:
                outcomes.add(Mcu(path, model, MAX78000).run().status)
            except EmulationFault as fault:
                outcomes.add(fault.text.split(",")[0])
    assert outcomes == ({0, "sleeps (WFI)"} if naive else {0})
