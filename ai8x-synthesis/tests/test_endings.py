"""What demos do with their output, and RTL tests that copy arrays in loops."""

import json

import numpy as np
import pytest

from chip import Chip
from chip.demo import build
from chip.mcu import Mcu
from conformance_cases import CASES, request_of
from izer import pipeline, reference
from izer.emit.demofolder import Ending, Names
from izer.emit.rtlsim import Test as RtlTest
from izer.emit.rtlsim import emit
from test_device_c import expected_softmax_frac
from test_program_options import play

NAMES = Names("main.c", "weights.h", "sampledata.h")
CASE = CASES / "valid" / "bias_groups"
WITH_FC = CASES / "valid" / "fashion_chw"


def model_of(folder, **options):
    known = json.loads((folder / "meta.json").read_text())["options"]
    return pipeline.build_model(request_of(folder, "network.yaml", known | options))


def run(folder, files):
    for name, content in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(content)
    with Chip() as chip:
        mcu = Mcu(build(folder, lambda _: None), chip)
        result = mcu.run()
        assert (result.status, result.console.splitlines()[-1]) == (0, "*** PASS ***")
        return mcu, result.console


def q15(mcu):
    return np.frombuffer(mcu.read_symbol("softmax_q15"), "<i2").tolist()


@pytest.mark.parametrize("fractional", [False, True])
def test_the_softmax_of_the_output_itself(tmp_path, fractional):
    model = model_of(CASE)
    outputs = np.load(CASE / "output.npy").reshape(-1)
    mcu, console = run(tmp_path, pipeline.embedded_files(model, "demo", "test", NAMES, Ending(False, True, fractional)))
    expected = reference.softmax(outputs.astype(np.int16)).tolist()
    assert q15(mcu) == (expected_softmax_frac(outputs.tolist()) if fractional else expected)
    percent = (1000 * q15(mcu)[0] + 16384) // 32768
    assert f"Output 0: {outputs[0]:4}  {percent // 10:3}.{percent % 10}%" in console.splitlines()


@pytest.mark.parametrize("fractional", [False, True])
def test_both_softmax_variants_after_the_classification_layer(tmp_path, fractional):
    known = json.loads((WITH_FC / "fc.json").read_text())
    ending = Ending(fractional=fractional)
    mcu, _ = run(tmp_path, pipeline.embedded_files(model_of(WITH_FC), "demo", "test", NAMES, ending))
    assert q15(mcu) == known["softmax_frac_q15" if fractional else "softmax_q15"]


@pytest.mark.parametrize("compact", [{"load_input"}, {"load_kernels"}, {"load_input", "load_kernels"}])
def test_rtl_tests_copy_arrays_in_loops(compact):
    model = model_of(CASE)
    program = pipeline.rtlsim_program(model, "load_kernels" in compact)
    assert play(program) == []
    test = RtlTest("AI84", "t", "test", (), model.network, program, 4, frozenset(compact))
    text = emit(test, "test.c", "run_test.sv")["test.c"].decode()
    for section, loop in (("load_input", "copy_words("), ("load_kernels", "copy_kernels(")):
        for operation in program.section(section).operations:
            statement = f"  {loop}0x{operation.address:08x}, {operation.name}, COUNT({operation.name}));"
            single = f"0x{operation.address:08x}) = "
            assert (statement in text, single in text) == (section in compact, section not in compact)
