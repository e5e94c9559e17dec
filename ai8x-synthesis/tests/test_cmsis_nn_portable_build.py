"""The Makefile of a CMSIS-NN program: with the portable functions, with CMSIS as Arm delivers it, and for the PC."""

import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest
from elftools.elf.elffile import ELFFile

from chip import Chip
from chip.elf import read_firmware
from chip.errors import FirmwareError
from chip.mcu import Mcu
from cmsis_tree import write_cmsis
from convolution_tools import CALLS, INCLUDE, PORTABLE, Convolution, Pair, convolve, expected
from device_c_tools import ARM_MAIN, HOST_MAIN, ArmRuntime, HostRuntime, harness
from firmware_tools import DEVICE, copy_runtime, run_make

VERSIONS = ["5.6", "5.9"]
PROGRAM = """
#include "tornadocnn.h"
#include "arm_nnfunctions.h"
int main(void)
{
    q7_t data[2] = {-5, 5};
    arm_relu_q7(data, 2);
    cnn_timer_start();
    printf("%d %d %d\\n", data[0], data[1], cnn_timer_stop() < 1000000);
    return 3;
}
"""


def demo(folder: Path, program: str) -> Path:
    """A folder as generated for CMSIS-NN."""
    folder.mkdir()
    copy_runtime(folder)
    shutil.copytree(DEVICE / PORTABLE, folder / PORTABLE)
    (folder / "main.c").write_text(program)
    return folder


def made(folder: Path, *arguments: str) -> list[str]:
    """The lines of a make that succeeds."""
    result = run_make(folder, *arguments)
    assert result.returncode == 0, result.stdout + result.stderr
    return result.stdout.splitlines()


def refused(folder: Path, *arguments: str) -> str:
    """The message of a make that fails; it must have built nothing."""
    result = run_make(folder, *arguments)
    assert result.returncode and not (folder / "build").exists()
    return result.stderr


def sanitizer(folder: Path) -> list[str]:
    """The option for make, where the compiler has sanitizers."""
    return ["SANITIZE=1"] if run_make(folder, "host", "SANITIZE=1").returncode == 0 else []


def convolutions() -> list[tuple[str, Convolution]]:
    """For each function: its channels, and sizes that are square only where they must be."""
    rng = np.random.default_rng(0)
    cases = []
    for function, channels, outputs in (("basic", 3, 5), ("fast", 8, 6), ("basic_nonsquare", 5, 3),
                                        ("fast_nonsquare", 4, 2)):
        width, pad = (9, Pair(1, 2)) if function.endswith("nonsquare") else (6, Pair(1, 1))
        cases.append((function, Convolution(
            rng.integers(-128, 128, (6, width, channels)), rng.integers(-128, 128, (outputs, 3, 3, channels)),
            rng.integers(-128, 128, outputs), pad, Pair(1, 1))))
    return cases


def test_without_arms_sources_the_portable_functions_are_compiled(tmp_path: Path):
    lines = made(demo(tmp_path / "demo", PROGRAM))
    assert f"compile {PORTABLE}/arm_relu_q7.c" in lines and lines[-1] == "link build/firmware.elf"


@pytest.mark.parametrize("version", VERSIONS)
def test_a_program_with_arms_sources_computes_the_formula_on_the_microcontroller(tmp_path: Path, version: str):
    folder, cmsis = demo(tmp_path / "demo", harness(INCLUDE, CALLS) + ARM_MAIN), write_cmsis(tmp_path, version)
    lines = made(folder, f"CMSIS_NN={cmsis}")
    assert f"compile {cmsis}/CMSIS/NN/Source/ActivationFunctions/arm_relu_q7.c" in lines
    assert not any(f"compile {PORTABLE}" in line for line in lines)
    with Chip() as chip:
        mcu = Mcu(folder / "build" / "firmware.elf", chip)
        assert mcu.run().status == 0
        for function, conv in convolutions():
            assert np.array_equal(convolve(ArmRuntime(mcu, list(CALLS)), function, conv), expected(conv))


@pytest.mark.parametrize("version", VERSIONS)
def test_a_program_with_arms_sources_computes_the_formula_on_the_pc(tmp_path: Path, version: str):
    folder, cmsis = demo(tmp_path / "demo", harness(INCLUDE, CALLS) + HOST_MAIN), write_cmsis(tmp_path, version)
    made(folder, "host", f"CMSIS_NN={cmsis}", *sanitizer(folder))
    for function, conv in convolutions():
        host = HostRuntime(folder / "build" / "host", list(CALLS), False)
        assert np.array_equal(convolve(host, function, conv), expected(conv))


def test_copying_a_word_in_arms_sources_is_no_call(tmp_path: Path):
    folder = demo(tmp_path / "demo", PROGRAM)
    made(folder, f"CMSIS_NN={write_cmsis(tmp_path, '5.9')}")
    with (folder / "build/arm/arm_q7_to_q15_no_shift.o").open("rb") as stream:
        symbols = {symbol.name for symbol in ELFFile(stream).get_section_by_name(".symtab").iter_symbols()}
    assert "arm_q7_to_q15_no_shift" in symbols
    assert not {"memcpy", "__aeabi_memcpy", "__aeabi_memcpy4"} & symbols


@pytest.mark.parametrize("below", ["", "CMSIS", "CMSIS/NN", "CMSIS/NN/"])
def test_the_folder_may_be_given_at_any_level(tmp_path: Path, below: str):
    folder, cmsis = demo(tmp_path / "demo", PROGRAM), write_cmsis(tmp_path, "5.9")
    path = cmsis.relative_to(tmp_path).as_posix()
    assert any("compile /" in line for line in made(folder, "host", f"CMSIS_NN=../{path}/{below}"))


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("headers", [("tornadocnn.h", "arm_nnfunctions.h"), ("arm_nnfunctions.h", "tornadocnn.h")])
def test_the_headers_agree_in_either_order(tmp_path: Path, version: str, headers: tuple[str, str]):
    includes = "".join(f'#include "{header}"\n' for header in headers)
    folder = demo(tmp_path / "demo", includes + PROGRAM)
    for arguments in ([], ["host"]):
        made(folder, *arguments)
        made(folder, *arguments, f"CMSIS_NN={write_cmsis(tmp_path, version)}")


def test_the_program_for_the_pc_prints_and_ends_with_the_status_of_main(tmp_path: Path):
    folder = demo(tmp_path / "demo", PROGRAM)
    made(folder, "host", *sanitizer(folder))
    result = subprocess.run([folder / "build" / "host"], capture_output=True, text=True)
    assert (result.returncode, result.stdout) == (3, "0 5 1\n")


def test_sanitizers_stop_the_program_for_the_pc(tmp_path: Path):
    folder = demo(tmp_path / "demo", PROGRAM.replace("arm_relu_q7(data, 2)", "arm_relu_q7(data, 3)"))
    if not sanitizer(folder):
        pytest.skip("this compiler has no sanitizers")
    result = subprocess.run([folder / "build" / "host"], capture_output=True, text=True)
    assert result.returncode not in (0, 3) and "stack-buffer-overflow" in result.stderr


def test_another_library_or_option_compiles_everything_again_and_nothing_else_does(tmp_path: Path):
    folder, cmsis = demo(tmp_path / "demo", PROGRAM), write_cmsis(tmp_path, "5.6")
    made(folder)
    assert made(folder) == []
    assert "link build/firmware.elf" in made(folder, f"CMSIS_NN={cmsis}")
    assert made(folder, f"CMSIS_NN={cmsis}") == []
    assert "compile main.c" in made(folder)
    assert "compile main.c" in made(folder, "OPTIMIZE=-O1")


def test_functions_that_nothing_calls_are_not_in_the_program(tmp_path: Path):
    folder = demo(tmp_path / "demo", PROGRAM)
    made(folder)
    firmware = read_firmware(folder / "build" / "firmware.elf")
    assert firmware.function("arm_relu_q7").size > 0
    for name in ("arm_softmax_q8p7_q15", "arm_maxpool_q7_HWC_nonsquare", "arm_convolve_HWC_q7_basic"):
        with pytest.raises(FirmwareError, match=f"no function {name}"):
            firmware.function(name)


def test_a_folder_without_cmsis_is_refused(tmp_path: Path):
    folder = demo(tmp_path / "demo", PROGRAM)
    assert refused(folder, f"CMSIS_NN={tmp_path}").endswith(
        f"*** CMSIS_NN={tmp_path} must be the folder of CMSIS 5.6 to 5.9, which holds "
        "CMSIS/NN/Include/arm_nnfunctions.h; it does not. Give another folder, or leave CMSIS_NN out to use "
        "cmsis_nn_portable/.  Stop.\n")


def test_cmsis_without_a_function_is_refused(tmp_path: Path):
    folder, cmsis = demo(tmp_path / "demo", PROGRAM), write_cmsis(tmp_path, "5.6")
    (cmsis / "CMSIS/NN/Source/ConvolutionFunctions/arm_convolve_HWC_q7_fast_nonsquare.c").unlink()
    message = refused(folder, f"CMSIS_NN={cmsis}")
    assert f"{cmsis}/CMSIS/NN/Source must hold arm_convolve_HWC_q7_fast_nonsquare.c, as CMSIS 5.6" in message


def test_a_path_with_blanks_is_refused(tmp_path: Path):
    folder = demo(tmp_path / "demo", PROGRAM)
    assert "CMSIS_NN=/my cmsis must be a path without blanks" in refused(folder, "CMSIS_NN=/my cmsis")


def test_programs_for_the_accelerator_do_not_build_for_the_pc(tmp_path: Path):
    copy_runtime(tmp_path)
    (tmp_path / "main.c").write_text("int main(void) { return 0; }\n")
    assert "make host is for programs that run on CMSIS-NN; this one needs the accelerator" in refused(tmp_path, "host")
