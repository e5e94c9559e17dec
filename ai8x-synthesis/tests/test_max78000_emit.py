"""The files for MAX78000, against the formats and the MNIST example of the AI85 hardware reference; and the softmax."""

import re
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from chip_tools85 import CASES
from izer.emit import max78000
from izer.emit.max78000 import Choices, answer_blocks
from izer.errors import IzerError
from izer.operations import Check, CopyPacked, Section
from max78000_tools import demo_of, firmware

WIDE = CASES / "tier1-wide32"
NARROW = CASES / "tier1-quant4"
MNIST = [-77992, 93377, 45484, 29850, -36248, -130974, -272399, 416616, -148783, 25073]  # 17.5
KERNEL = [51, 17, 4, 41, -10, -22, 44, -12, -9]  # 5.1

# Every name of the vendor's SDK, or of Arm's CMSIS, that the sources use.
SDK_HEADERS = {"mxc_device.h", "mxc_sys.h", "nvic_table.h", "gcfr_regs.h", "gcr_regs.h", "gpio.h", "led.h", "tmr.h",
               "icc.h", "mxc_delay.h"}  # fmt: skip
SDK_NAMES = {
    "CNN_IRQn", "LED_Off", "LED_On", "MXC_DELAY_SEC", "MXC_Delay", "MXC_F_GCR_PCLKDIV_CNNCLKDIV",
    "MXC_F_GCR_PCLKDIV_CNNCLKSEL", "MXC_GCFR", "MXC_GCR", "MXC_GPIO2", "MXC_GPIO_Config", "MXC_GPIO_FUNC_OUT",
    "MXC_GPIO_OutClr", "MXC_GPIO_OutSet", "MXC_GPIO_PAD_NONE", "MXC_GPIO_PIN_5", "MXC_ICC0", "MXC_ICC_Enable",
    "MXC_NVIC_SetVector", "MXC_SYS_CLOCK_IPO", "MXC_SYS_ClockDisable", "MXC_SYS_ClockEnable", "MXC_SYS_Clock_Select",
    "MXC_SYS_PERIPH_CLOCK_CNN", "MXC_S_GCR_PCLKDIV_CNNCLKDIV_DIV1", "MXC_S_GCR_PCLKDIV_CNNCLKSEL_PCLK", "MXC_TMR0",
    "MXC_TMR_SW_Start", "MXC_TMR_SW_Stop", "NVIC_EnableIRQ", "SCB", "SCB_SCR_SLEEPDEEP_Msk", "SystemCoreClockUpdate",
    "__ISB", "__WFI", "__disable_irq", "__enable_irq", "mxc_gpio_cfg_t", "mxc_gpio_regs_t", "SCR", "pclkdiv", "reg0",
    "reg1", "reg2", "reg3", "port", "mask", "func", "pad",
}  # fmt: skip

TYPES = r"u?int\w*|void|q15_t|q31_t|unsigned|char|mxc_gpio_cfg_t"
LANGUAGE = {
    "char", "const", "continue", "define", "else", "endif", "extern", "for", "if", "ifndef", "int", "int16_t",
    "int32_t", "names", "printf", "q15_t", "q31_t", "return", "sizeof", "static", "struct", "typedef", "u", "uint16_t",
    "uint32_t", "uint8_t", "uintptr_t", "unsigned", "void", "volatile", "while",
}  # fmt: skip


def sources(demo: max78000.Demo) -> dict[str, str]:
    """The C sources and headers without comments and strings."""
    files = {name: content.decode() for name, content in max78000.emit(demo).items() if name.endswith((".c", ".h"))}
    return {name: re.sub(r'//.*|"[^"\n]*\\n[^"\n]*"', "", text) for name, text in files.items()}


def test_the_sources_use_no_other_names_of_the_sdk_than_those_listed():
    """Names that the sources neither define nor have from C itself."""
    files = sources(demo_of(WIDE, Choices(softmax=True, timer=0, boost=(2, 5)), verify=True))
    headers = {name for text in files.values() for name in re.findall(r'#include "([\w.]+)"', text)}
    assert headers - set(files) == SDK_HEADERS
    text = re.sub(r'#include .*|"[^"\n]*"', "", "\n".join(files.values()))
    used = set(re.findall(r"\b[A-Za-z_]\w*\b", text))
    defined = set(re.findall(r"#define (\w+)(?:\((\w+)\))?", text))
    declared = set(re.findall(rf"\b(?:{TYPES}) \**(?:const )?\*?(\w+)", text))
    own = declared.union(*defined) | LANGUAGE
    assert used - own == SDK_NAMES - own
    assert not any(name in text for name in ("tornadocnn", "platform_exit", "cnn_timer"))


def test_the_answer_is_in_the_documented_blocks():
    """MNIST's: channels 0-3 at 0x50401000, 4-7 at 0x50409000, 8-9 at 0x50411000 (17.5)."""
    addresses = [0x50401000 + 0x8000 * (n // 4) + 4 * (n % 4) for n in range(10)]
    checks = tuple(Check(a, 0xFFFFFFFF, v & 0xFFFFFFFF, "") for a, v in zip(addresses, MNIST, strict=True))
    words = [value & 0xFFFFFFFF for value in MNIST]
    assert list(answer_blocks(Section("cnn_check", "", checks))) == [
        (0x50401000, 0xFFFFFFFF, 4, *words[:4]), (0x50409000, 0xFFFFFFFF, 4, *words[4:8]),
        (0x50411000, 0xFFFFFFFF, 2, *words[8:]),
    ]  # fmt: skip


def test_blocks_are_sorted_by_mask_then_address_and_split_at_gaps():
    """9.4."""
    reads = [(0x1008, 0xFF), (0x1000, 0xFFFF), (0x1000, 0xFF), (0x1010, 0xFF), (0x1004, 0xFF)]
    checks = tuple(Check(address, mask, address & 0xFF, "") for address, mask in reads)
    assert list(answer_blocks(Section("cnn_check", "", checks))) == [
        (0x1000, 0xFF, 3, 0, 4, 8), (0x1010, 0xFF, 1, 0x10), (0x1000, 0xFFFF, 1, 0),
    ]  # fmt: skip


def numbers(files: dict[str, bytes], name: str, array: str) -> list[int]:
    """The numbers of a brace-enclosed define."""
    body = re.search(rf"#define {array} \{{(.*?)\n\}}", files[name].decode(), re.S)
    assert body is not None
    return [int(number, 16) for number in re.findall(r"0x[0-9a-f]+", body[1])]


def test_weights_are_a_list_of_runs_that_ends_with_0():
    """The headers of MNIST's first two runs: 0x50180000 with 0x87 words, 0x50180200 with 41 words (5.8)."""
    kernel = np.array([KERNEL], np.int8).view(np.uint8)
    runs = (CopyPacked("kernels", 0x50180000, kernel.repeat(60, 0), ""),
            CopyPacked("kernels", 0x50180800, kernel.repeat(18, 0), ""))  # fmt: skip
    demo = demo_of(WIDE)
    load = tuple(replace(section, operations=runs) if section.name == "load_kernels" else section
                 for section in demo.program.load)  # fmt: skip
    files = max78000.emit(replace(demo, program=replace(demo.program, load=load)))
    words = numbers(files, "weights.h", "KERNELS")
    assert words[:3] == [0x50180000, 0x87, 0x33110429]
    assert words[2 + 0x87 :][:3] == [0x50180200, 41, 0x33110429]
    assert words[2 + 0x87 + 2 + 41 :] == [0]


def test_arrays_have_the_documented_names_and_eight_words_or_sixteen_bytes_a_line():
    files = max78000.emit(demo_of(NARROW))
    assert {"cnn.c", "cnn.h", "main.c", "weights.h", "sampledata.h", "sampleoutput.h", "softmax.c"} <= set(files)
    assert numbers(files, "sampledata.h", "SAMPLE_INPUT_0")[0] == 0x322BFEDE
    sample = np.load(NARROW / "sample.npy")[:, 0, 0]
    assert [value & 0xFF for value in sample.tolist()] == [0xDE, 0xFE, 0x2B, 0x32]  # lane 0 is in bits 7 to 0
    for name, width in (("KERNELS", 8), ("BIAS_0", 16)):
        body = re.search(rf"#define {name} \{{ \\\n(.*?)\n\}}", files["weights.h"].decode(), re.S)
        lines = body[1].split("\n")
        assert {line.count("0x") for line in lines[:-1]} <= {width}
        assert all(line.endswith(" \\") for line in lines)


def test_the_same_demo_gives_the_same_bytes():
    assert max78000.emit(demo_of(NARROW)) == max78000.emit(demo_of(NARROW))


def test_a_softmax_of_8_bit_outputs_is_refused():
    with pytest.raises(IzerError, match=r"tier1-quant4: --softmax needs a 32-bit output.*output_width: 32"):
        max78000.emit(demo_of(NARROW, Choices(softmax=True)))


def softmax(values: list[int]) -> list[int]:
    """The formula of 9.5 in unlimited integers."""
    base = max(values) - (16 << 14)
    reciprocal = 2**32 // sum(1 << ((8192 + x - base) >> 14) for x in values if x > base)
    return [min(32767, reciprocal >> (17 + ((8191 + base - x) >> 14))) if x > base else 0 for x in values]


@pytest.fixture(scope="module")
def program(tmp_path_factory):
    """A program with 80 32-bit outputs, after its run."""
    folder = tmp_path_factory.mktemp("softmax") / "demo"
    with firmware(folder, max78000.emit(demo_of(WIDE, Choices(softmax=True)))) as (mcu, _):
        assert mcu.run().status == 0
        yield mcu


def computed(mcu, values: list[int], shift: int | None = None) -> list[int]:
    """The softmax that the program computes."""
    data, result = (mcu.firmware.object(name).address for name in ("ml_data", "ml_softmax"))
    mcu.write_symbol("ml_data", np.array(values + [0] * (80 - len(values)), "<i4").tobytes())
    if shift is None:
        mcu.call("softmax_q17p14_q15", data, len(values), result)
    else:
        mcu.call("softmax_shift_q17p14_q15", data, len(values), shift, result)
    return np.frombuffer(mcu.read_symbol("ml_softmax"), "<i2")[: len(values)].tolist()


def test_the_softmax_of_mnist_is_32767_for_class_7_and_0_elsewhere(program):
    """17.5."""
    assert computed(program, MNIST) == [0] * 7 + [32767] + [0, 0]


@settings(max_examples=100, deadline=None)
@example([5])
@example([0, 0])
@example([-(2**27)] * 80)
@given(st.lists(st.integers(-(2**28), 2**28), min_size=1, max_size=80)
       | st.lists(st.integers(-300000, 300000), min_size=1, max_size=80))  # fmt: skip
def test_the_softmax_is_that_of_the_formula(program, values):
    assert computed(program, values) == softmax(values)


@settings(max_examples=50, deadline=None)
@given(st.lists(st.integers(-(2**20), 2**20), min_size=1, max_size=80), st.sampled_from([4, 6, 7]))
def test_outputs_of_narrower_weights_are_shifted_first(program, values, shift):
    assert computed(program, values, shift) == softmax([value << shift for value in values])


@pytest.mark.parametrize(("bits", "call"), [(8, "softmax_q17p14_q15(ml_data, CNN_NUM_OUTPUTS, ml_softmax)"),
                                            (2, "softmax_shift_q17p14_q15(ml_data, CNN_NUM_OUTPUTS, 6, ml_softmax)")])
def test_the_softmax_layer_shifts_by_what_the_weights_lack(bits, call):
    """8 - q bits (1.4, 9.5)."""
    demo = replace(demo_of(WIDE, Choices(softmax=True)), weight_bits=bits)
    assert call in max78000.emit(demo)["main.c"].decode()
