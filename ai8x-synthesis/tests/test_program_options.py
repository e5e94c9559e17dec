"""Options of cnn-gen.py that change what the program does: read back, clear, compare less, unload."""

import dataclasses
import json
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import compare
from chip import Chip
from chip.demo import build
from chip.mcu import Mcu
from conformance_cases import CASES, ROOT, request_of
from izer import pipeline
from izer.emit.demofolder import Ending, Names
from izer.errors import IzerError
from izer.operations import Program, Verify
from izer.program import LOAD_SECTIONS, Options

NAMES = Names("main.c", "weights.h", "sampledata.h")
READ_BACK = Options(verify=frozenset(LOAD_SECTIONS[:-1]))
ALL = Options(ready_sel=1, init_tram=True, zero_unused=True, verify=frozenset(LOAD_SECTIONS[:-1]))
CASE = CASES / "valid" / "bias_groups"  # kernels, biases and data in all groups
SMALL = CASES / "valid" / "bias_rounding"  # one layer with bias


def model_with(options: Options, folder: Path = CASE, **more: object) -> pipeline.Model:
    known = json.loads((folder / "meta.json").read_text())["options"]
    return pipeline.build_model(request_of(folder, "network.yaml", {**known, **more, "options": options}))


def play(program: Program) -> list[tuple[int, int, int]]:
    """Run a program on the chip model; returns the reads that did not find what they expect, except of the wait."""
    wrong = []
    with Chip() as chip:
        for section in (*program.load, program.wait, program.check):
            for access in section.accesses():
                if access.kind == "W":
                    chip.write32(access.address, access.value)
                    continue
                word = chip.read32(access.address)
                while section is program.wait and word & access.mask != access.value:
                    word = chip.read32(access.address)
                if word & access.mask != access.value:
                    wrong.append((access.address, access.value, word))
    return wrong


@pytest.mark.parametrize("options", [READ_BACK, ALL])
@pytest.mark.parametrize("case", ["bias_groups", "chw1_odd_pixels", "dummy_over_old_kernels", "layers_32"])
def test_programs_with_options_still_compute_the_known_answer(options, case):
    model = model_with(options, CASES / "valid" / case)
    for program in (pipeline.embedded_program(model), pipeline.rtlsim_program(model)):
        assert play(program) == []


def test_every_store_before_the_start_is_read_back():
    """The words that are compared are, in order, those that were written; a kernel is compared after its commit."""
    for program in (pipeline.embedded_program(model_with(READ_BACK)), pipeline.rtlsim_program(model_with(READ_BACK))):
        before = [access for section in program.load[:-1] for access in section.accesses()]
        written = [(a.address, a.value) for a in before if a.kind == "W"]
        assert [(a.address, a.value) for a in before if a.kind == "P" and a.mask == 0xFFFFFFFF] == written
        assert all(access.kind == "W" for access in program.section("cnn_start").accesses())


def test_rtl_style_reads_back_after_every_store():
    """At most a kernel's four words are written before they are compared (4.2)."""
    load = pipeline.rtlsim_program(model_with(READ_BACK)).load[:-1]
    kinds = "".join(access.kind for section in load for access in section.accesses())
    assert re.fullmatch(r"(WP|WWWWPPPP)+", kinds)


def test_kernels_alone_can_be_read_back():
    program = pipeline.embedded_program(model_with(Options(verify=frozenset({"load_kernels"}))))
    assert [section.name for section in program.load if section.verified] == ["load_kernels"]


def test_tram_and_unused_layers_are_cleared():
    """256 TRAM entries of 16 processors per used group (7.5); registers of the layers above the last but 2 (3.9)."""
    model = model_with(Options(init_tram=True, zero_unused=True))
    program = pipeline.embedded_program(model)
    zeros = {a.address for section in program.load for a in section.accesses() if a.kind == "W" and a.value == 0}
    layers = len(model.network.layers)
    for group in range(4):
        base = 0x50100000 + 0x100000 * group
        assert zeros >= {base + 0x800 + 4 * n for n in range(16 * 256)}
        assert zeros >= {base + 0x10 + 0x80 * number + 4 * layer
                         for number in (0, 1, *range(3, 13)) for layer in range(layers, 32)}  # fmt: skip
        assert not any(base + 0x10 + 0x80 * 2 <= address < base + 0x10 + 0x80 * 3 for address in zeros)
    init = [a.address for a in program.section("cnn_init").accesses()]
    assert init.index(0x50100800) < init.index(0x50100000)  # the TRAM of a group before its CTL


@pytest.mark.parametrize("ready", range(4))
def test_wait_states_are_in_every_write_of_ctl(ready):
    """Bits 2:1 (3.1); unused groups stay 0 (7.3)."""
    program = pipeline.embedded_program(model_with(Options(ready_sel=ready)))
    ctl = [a.value for section in (*program.load, program.stop) for a in section.accesses()
           if a.address in range(0x50100000, 0x50500000, 0x100000)]  # fmt: skip
    assert len(ctl) == 12  # four groups are stopped, started and, for another run, stopped
    assert {value >> 1 & 3 for value in ctl} == {ready}
    assert play(program) == []


def test_options_leave_the_bus_state_of_the_case():
    """Zeros and reads change nothing in what compare.py looks at."""
    program = pipeline.embedded_program(model_with(Options(init_tram=True, zero_unused=True)))
    operations = [compare.Op(*access, n) for n, access in enumerate(program.trace())]
    assert compare.compare(compare.read_case(CASE), operations) == []


def test_only_the_first_words_are_checked():
    whole = pipeline.embedded_program(model_with(Options())).check.operations
    assert pipeline.embedded_program(model_with(Options(max_checks=3))).check.operations == whole[:3]


def test_bias_can_be_left_out():
    """The layer computes what it computes with a bias of zeros."""
    model = model_with(Options(), no_bias=frozenset({0}))
    layer = model.network.layers[0]
    with_zeros = dataclasses.replace(layer, bias=np.zeros(layer.out_channels, np.int8))
    biased = model_with(Options()).network.layers[0]
    assert biased.bias is not None and layer.bias is None
    assert np.array_equal(model.values[0].output, pipeline.reference.run_layer(with_zeros, model.data).output)
    assert not np.array_equal(model.values[0].output, pipeline.reference.run_layer(biased, model.data).output)
    assert play(pipeline.embedded_program(model)) == []
    with pytest.raises(IzerError, match="--no-bias 9: the last layer is"):
        model_with(Options(), no_bias=frozenset({9}))


class ForgetfulChip(Chip):
    """Reads back one address with its lowest bit flipped."""

    def __init__(self, address: int) -> None:
        super().__init__()
        self.address = address

    def read32(self, address: int) -> int:
        return super().read32(address) ^ (address == self.address)


def firmware(folder: Path, options: Options) -> tuple[Path, Program]:
    """A compiled demo, and its program."""
    model = model_with(options, SMALL)
    folder.mkdir()
    for name, content in pipeline.embedded_files(model, "demo", "test", NAMES).items():
        (folder / name).write_bytes(content)
    return build(folder, lambda _: None), pipeline.embedded_program(model)


def test_firmware_that_reads_back_passes_and_notices_a_word_of_every_kind(tmp_path):
    """Registers, TRAM, kernels with the commit word, biases, unused layers and input."""
    elf, program = firmware(tmp_path / "demo", ALL)
    with Chip() as chip:
        result = Mcu(elf, chip).run()
        assert (result.status, "*** PASS ***" in result.console) == (0, True)
    for section in program.load[:-1]:
        last = list(section.operations)[-1]
        assert isinstance(last, Verify)
        addresses = [access.address for access in last.accesses()]
        for address in {addresses[0], addresses[-1], next(section.accesses()).address}:
            with ForgetfulChip(address) as chip:
                result = Mcu(elf, chip).run()
                assert result.status == 1, f"{section.name}, 0x{address:08x}"
                assert "*** FAIL *** loading" in result.console


def test_firmware_reads_new_input_back_too(tmp_path):
    elf, program = firmware(tmp_path / "demo", READ_BACK)
    (first, *_) = program.section("load_input").accesses()
    with ForgetfulChip(0) as chip:
        mcu = Mcu(elf, chip)
        assert mcu.run().status == 0
        assert mcu.call("cnn_restart") == 1
        mcu.call("cnn_wait")
        chip.address = first.address
        assert mcu.call("cnn_restart") == 0


def test_output_is_unloaded_without_classification_layer(tmp_path):
    model = model_with(Options())
    (tmp_path / "demo").mkdir()
    for name, content in pipeline.embedded_files(model, "demo", "test", NAMES, Ending(unload=True)).items():
        (tmp_path / "demo" / name).write_bytes(content)
    with Chip() as chip:
        mcu = Mcu(build(tmp_path / "demo", lambda _: None), chip)
        assert mcu.run().status == 0
        assert mcu.read_symbol("ml_data") == np.load(CASE / "output.npy").astype(np.int8).tobytes()


def cnn_gen(folder: Path, *options: str, case: Path = CASE) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, str(ROOT / "cnn-gen.py"), "--test-dir", "out", "--prefix", "demo", "--checkpoint-file",
               str(case / "checkpoint.pth.tar"), "--config-file", str(case / "network.yaml"), "--sample-input",
               str(case / "sample.npy"), *options]  # fmt: skip
    return subprocess.run(command, capture_output=True, text=True, check=False, cwd=folder)


def test_rtl_test_with_all_options_passes_and_notices_a_wrong_word(tmp_path):
    options = ("--top-level", "cnn", "--verify-writes", "--zero-unused", "--ready-sel", "0", "--no-bias", "0",
               "--max-checklines", "5", "--autogen", "None")  # fmt: skip
    done = cnn_gen(tmp_path, *options, case=SMALL)
    assert done.returncode == 0, done.stderr
    assert [path.name for path in tmp_path.iterdir()] == ["out"]  # no list of tests
    (test,) = (tmp_path / "out").iterdir()
    source = (test / "test.c").read_text()
    assert len(re.findall("return 0; // row", source)) == 5
    run = [sys.executable, str(ROOT / "cnn-run.py"), str(test)]
    assert subprocess.run(run, capture_output=True, check=False).returncode == 0
    damaged = source.replace("!= 0x0000040e) return 0;", "!= 0x0000040f) return 0;", 1)
    assert damaged != source
    (test / "test.c").write_text(damaged)
    result = subprocess.run(run, capture_output=True, text=True, check=False)
    assert result.returncode == 1
    assert ("First word that differs: 0x50100004 (read back: SRAM control): 0x0000040f expected, 0x0000040e found; "
            "test.c:") in result.stdout  # fmt: skip


def test_overlap_can_be_a_warning(tmp_path):
    done = cnn_gen(tmp_path, "-e", "--no-error-stop", case=CASES / "invalid" / "output_overlaps_input")
    assert done.returncode == 0, done.stderr
    assert done.stderr.startswith("cnn-gen.py: warning: ") and "rule overlap: " in done.stderr
    refused = cnn_gen(tmp_path, "-e", "--no-error-stop", case=CASES / "invalid" / "pad_3")
    assert refused.returncode == 1


def test_debug_prints_the_bus_accesses_and_the_checkpoint(tmp_path):
    done = cnn_gen(tmp_path, "-e", "--debug", "--display-checkpoint")
    assert done.returncode == 0, done.stderr
    printed = re.findall(r"^([WP]) (\w{8})(?: (\w{8}))? (\w{8}) //", done.stdout, re.MULTILINE)
    program = pipeline.embedded_program(model_with(Options()))
    accesses = [*program.trace(), *program.stop.accesses()]
    assert [(kind, int(a, 16), int(mask or "ffffffff", 16), int(v, 16)) for kind, a, mask, v in printed] == accesses
    model = model_with(Options())
    for layer in model.network.layers:
        shape = "x".join(map(str, layer.weight.shape))
        assert f"  {layer.name}.weight: {shape}, {layer.weight.min()} to {layer.weight.max()}\n" in done.stdout


@pytest.mark.parametrize("arguments", [
    ("-e", "--input-split", "2"), ("-e", "--ready-sel", "4"), ("-e", "--max-checklines", "-1"),
    ("-e", "--no-bias", "a"), ("-e", "--verify-writes", "--verify-kernels"),
    ("--verify-writes",), ("--unload", "--top-level", "cnn")])  # fmt: skip
def test_wrong_options_have_status_2(tmp_path, arguments):
    done = cnn_gen(tmp_path, *arguments)
    assert (done.returncode, list(tmp_path.iterdir())) == (2, [])
    assert "Traceback" not in done.stderr
