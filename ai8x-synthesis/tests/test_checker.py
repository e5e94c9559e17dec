"""The checker: it accepts every legal program, and finds every seeded fault that is not provably harmless."""

from collections import Counter
from dataclasses import replace

import numpy as np
import pytest

from chip import Chip, ChipFault
from conformance_cases import CASES, ROOT, cases, model_of
from izer import pipeline
from izer.ai84.checker import PROGRAM_RULES, check_program
from izer.errors import RuleError
from izer.operations import Check, Program, Write
from izer.targets import TARGETS
from program_faults import FAULTS, operations, with_operations

STYLES = (pipeline.embedded_program, pipeline.rtlsim_program)
FAULTY_CASES = ("avg2s1_signed", "bias_groups", "columns_mixed", "chw3_avg_input", "dummy_over_old_kernels",
                "groups_without_0", "hwc5_two_quads", "odd_start_span", "pingpong_5", "pool4_avg_gaps", "pool4_max_fc",
                "quad_holes")  # fmt: skip
PER_CASE = 3 * len(FAULTS)  # every kind three times, in turn in both styles
POLLS = range(100)  # the chip model finishes a run after fewer


def violations(model: pipeline.Model, program: Program) -> list[str]:
    """What the checker says."""
    found = check_program(model.device, model.network, model.data, program)
    return [f"{violation.rule} {violation.layer}: {violation.given}" for violation in found]


@pytest.mark.parametrize("folder", cases("valid"))
def test_conformance_programs_are_accepted(folder):
    model = model_of(folder)
    for style in STYLES:
        assert violations(model, style(model)) == []


def unload(chip: Chip, program: Program, shape: tuple[int, int, int]) -> np.ndarray:
    """What the generated cnn_unload() does."""
    output = np.zeros(shape, np.int8)
    for step in program.unload:
        pixels = step.row_words * np.arange(step.rows)[:, None] + np.arange(step.columns)
        words = chip.read_many(step.address + 4 * pixels.reshape(-1)).reshape(pixels.shape)
        for n, lane in enumerate(step.lanes):
            output[step.channel + n] = (words >> 8 * lane & 255).astype(np.uint8).view(np.int8)
    return output


def runs_right(model: pipeline.Model, good: Program, program: Program) -> bool:
    """Whether the program, run on the chip model, says that it passed, and unloads and leaves the right output."""
    accesses = [access for section in program.load for access in section.accesses()]
    expected = model.values[-1].output
    try:
        with Chip() as chip:
            chip.write_many([access.address for access in accesses], [access.value for access in accesses])
            return (
                any(chip.read32(p.address) & p.mask == p.value for p in program.wait.accesses() for _ in POLLS)
                and all(chip.read32(c.address) & c.mask == c.value for c in program.check.accesses())
                and np.array_equal(unload(chip, good, expected.shape), expected)
                and np.array_equal(unload(chip, program, expected.shape), expected)
            )
    except (ChipFault, IndexError, ValueError):  # the last two: unloading outside of the buffer
        return False


def behaviour(program: Program) -> tuple:
    """All that a program does, comparable as a whole."""
    return program.trace(), list(program.stop.accesses()), program.unload


def outcome(model: pipeline.Model, good: Program, faulty: Program) -> str:
    """What becomes of a fault."""
    if violations(model, faulty):
        return "reported"
    if behaviour(faulty) == behaviour(good):
        return "identical"
    return "harmless" if runs_right(model, good, faulty) else "missed"


@pytest.mark.parametrize("name", FAULTY_CASES)
def test_random_faults_are_reported_or_harmless(name):
    """A fault that is not reported must neither be a fault of the chip nor change a byte of the output."""
    model = model_of(CASES / "valid" / name)
    programs = [style(model) for style in STYLES]
    outcomes = {}
    for n in range(PER_CASE):
        kind, random = FAULTS[n % len(FAULTS)], np.random.default_rng([n, *name.encode()])
        good = programs[n // len(FAULTS) % 2]
        outcomes[f"{kind.__name__} {n}"] = outcome(model, good, kind(good, random))
    print(Counter(outcomes.values()), [key for key, value in outcomes.items() if value == "harmless"])
    assert [key for key, value in outcomes.items() if value == "missed"] == []


def edited(program: Program, section: str, index: int, **fields) -> Program:
    """The program with fields of one operation set; `index` counts in the section."""
    found = operations(program, section)
    found[index] = replace(found[index], **fields)
    return with_operations(program, section, found)


def register(program: Program, name: str, layer: int, value: int) -> Program:
    """The program with a layer register of group 0 set."""
    places = [n for n, operation in enumerate(operations(program, "cnn_configure"))
              if operation.why.startswith(f"group 0, layer {layer}, {name}:")]  # fmt: skip
    return edited(program, "cnn_configure", places[0], value=value)


@pytest.fixture(scope="module")
def pingpong():
    return model_of(CASES / "valid" / "pingpong_5")


@pytest.fixture(scope="module")
def program(pingpong):
    return pipeline.rtlsim_program(pingpong)


def test_shifted_read_pointer(pingpong, program):
    """4 channels of 8x8 pixels from one word further on."""
    assert violations(pingpong, register(program, "RPTR_BASE", 1, 0x801)) == [
        "program-read 1: 256 wrong bytes, the first for input channel 0, row 0, column 0, processor 0: lane 0 of word "
        "2049 of instance 0 holds output channel 0 of layer 0, row 0, column 1"]  # fmt: skip


def test_output_over_input(pingpong, program):
    assert violations(pingpong, register(program, "WPTR_BASE", 0, 0)) == [
        "program-read 1: 256 wrong bytes, the first for input channel 0, row 0, column 0, processor 0: lane 0 of word "
        "2048 of instance 0 holds nothing",
        "program-overlap 0: 64 words, the first is word 0 of instance 0"]  # fmt: skip


def test_output_that_leaves_its_instance(pingpong, program):
    found = violations(pingpong, register(program, "WPTR_BASE", 0, 0xFC1))
    assert found[-1] == "program-capacity 0: read pointer 0x0, write pointer 0xfc1"
    assert not any("capacity" in text for text in violations(pingpong, register(program, "WPTR_BASE", 0, 0xFC0)))


def test_dropped_enable_bit(pingpong, program):
    assert violations(pingpong, register(program, "ENA", 0, 0x30003)) == [
        "program-enables 0: 2 enabled for 3 input channels"]  # fmt: skip


def test_register_that_does_not_fit_the_shapes(pingpong, program):
    """Layer 0 has ReLU (0x200)."""
    assert violations(pingpong, register(program, "LCTL", 0, 0x920)) == [
        "program-registers 0: LCTL of group 0 is 0x00000920, 0x00000b20 must be written"]  # fmt: skip


def test_exchanged_kernels(pingpong, program):
    copy = operations(program, "load_kernels")[0]
    assert violations(pingpong, edited(program, "load_kernels", 0, words=copy.words[[1, 0, 2, 3]])) == [
        "program-kernels 0: 2 wrong, the first for input channel 0, output channel 0: processor 0, column 0"]


def test_kernel_out_of_step(pingpong, program):
    copy = operations(program, "load_kernels")[0]
    found = violations(pingpong, edited(program, "load_kernels", 0, address=copy.address + 4))
    assert found[0] == "program-kernel-order None: out of order: write to 0x50104804 and 15 more"


def test_layers_that_share_a_column(pingpong, program):
    """Layer 1 has its kernels from column 4 on; columns 0 to 3 of processors 0 to 2 are those of layer 0."""
    first = operations(program, "load_kernels")
    moved = [replace(copy, address=copy.address - 0x40) if "layer 1" in copy.why else copy for copy in first]
    shared = register(with_operations(program, "load_kernels", moved), "MCNT", 1, 4)
    assert violations(pingpong, shared)[-1] == (
        "program-kernels 1: 12 wrong, the first for input channel 0, output channel 0: processor 0, column 0, which is "
        "layer 0's")  # fmt: skip


def test_moved_input(pingpong, program):
    copy = operations(program, "load_input")[0]
    pixels = pingpong.data.reshape(3, 64)
    wrong = 3 + np.count_nonzero(pixels[:, 1:] != pixels[:, :-1])
    assert violations(pingpong, edited(program, "load_input", 0, address=copy.address + 4)) == [
        f"program-input 0: {wrong} wrong bytes, the first for input channel 0, row 0, column 0, processor 0: lane 0 of "
        "word 0 of instance 0 holds nothing"]  # fmt: skip


def test_missing_and_misplaced_checks(pingpong, program):
    first, *others = program.check.operations
    fewer = replace(program, check=replace(program.check, operations=tuple(others)))
    missing = "program-check-all 4: 3 are not, the first is output channel 0 of layer 4, row 0, column 0"
    assert violations(pingpong, fewer) == [missing]
    away = replace(first, address=first.address + 0x4000)
    moved = replace(program, check=replace(program.check, operations=(away, *others)))
    assert violations(pingpong, moved) == [
        f"program-checks 4: 1 wrong checks, the first is 0x{away.address:08x} & 0x00ffffff == 0x{away.value:08x}",
        missing]  # fmt: skip


def test_checks_that_ignore_the_displacement_of_4x4_pooling():
    """Row 0 of the output begins two words after out_offset; the two words before it hold nothing to compare."""
    model = model_of(CASES / "valid" / "pool4_max_fc")
    good = pipeline.rtlsim_program(model)
    shifted = tuple(replace(check, address=check.address - 8) for check in good.check.operations)
    found = violations(model, replace(good, check=replace(good.check, operations=shifted)))
    assert [text.split()[0] for text in found] == ["program-checks", "program-check-all"]


def test_wait_for_another_group(pingpong, program):
    (poll,) = program.wait.operations
    other = replace(program, wait=replace(program.wait, operations=(replace(poll, address=0x50200000),)))
    assert violations(pingpong, other) == ["program-wait None: waiting as 0x50200000 & 0x1000 == 0x1000"]


def test_unload_of_the_wrong_lanes(pingpong, program):
    (step,) = program.unload
    found = violations(pingpong, replace(program, unload=(replace(step, row_words=9),)))
    assert found == [f"program-unload 4: channel 0 from 0x{step.address:08x}"]
    twice = replace(program, unload=(step, replace(step, lanes=(0,), channel=3)))
    assert "program-unload 4: 3 channels from the bytes of processors [0, 1, 2, 0]" in violations(pingpong, twice)


def test_writes_that_are_too_many(pingpong, program):
    start, kernel = operations(program, "cnn_start"), operations(program, "load_kernels")
    late = with_operations(program, "cnn_start", [*start, Write(0x50110000, 0, "")])
    assert "program-late None: access to 0x50110000" in violations(pingpong, late)
    nowhere = with_operations(program, "load_kernels", [*kernel, Write(0x50100110, 0, "")])  # register 2
    assert violations(pingpong, nowhere) == ["program-address None: access to 0x50100110"]
    again = edited(program, "cnn_configure", 1, address=operations(program, "cnn_configure")[0].address, value=1)
    assert "program-once None: first value lost at 0x50100010" in violations(pingpong, again)
    other = with_operations(program, "load_kernels", [*kernel, Write(0x50100030, 1, "")])  # RCNT of layer 8
    assert violations(pingpong, other) == ["program-unused-layers None: RCNT of group 0, layer 8"]


def test_read_back_of_another_value(pingpong, program):
    wrong = Check(0x50100010, 0xFFFFFFFF, 0x108, "")
    configured = [*operations(program, "cnn_configure"), wrong]
    assert violations(pingpong, with_operations(program, "cnn_configure", configured)) == [
        "program-read-back None: other value at 0x50100010"]  # fmt: skip
    right = [*configured[:-1], replace(wrong, value=0x109)]
    assert violations(pingpong, with_operations(program, "cnn_configure", right)) == []


def test_global_registers_and_start():
    """Four groups in which group 0 has no processor of some layers."""
    model = model_of(CASES / "valid" / "groups_without_0")
    good = pipeline.rtlsim_program(model)
    first, *others = operations(good, "cnn_start")[::-1]
    order = ", ".join(f"group {write.address - 0x50100000 >> 20} with 0x{write.value:03x}"
                      for write in (first, *others))  # fmt: skip
    assert f"program-start None: started in the order {order}" in violations(
        model, with_operations(good, "cnn_start", [first, *others]))  # fmt: skip
    fewer = with_operations(good, "cnn_start", operations(good, "cnn_start")[1:])
    assert any(text.startswith("program-groups None: group 1 is not started") for text in violations(model, fewer))
    places = [n for n, write in enumerate(operations(good, "cnn_init")) if write.why == "LCNT_MAX: layers - 1"]
    longer = edited(good, "cnn_init", places[0], value=len(model.network.layers))
    assert violations(model, longer) == [
        f"program-groups None: group 0 has SRAM control 0x40e, LCNT_MAX {len(model.network.layers)}"]


def test_bias_in_the_wrong_entry():
    model = model_of(CASES / "valid" / "bias_rounding")
    good = pipeline.rtlsim_program(model)
    layer = next(layer.index for layer in model.network.layers if layer.bias is not None)
    copy = operations(good, "load_bias")[0]
    wrong = copy.words.copy()
    wrong[0] ^= 1
    entry, group = divmod(copy.address - 0x5010C800, 0x100000)[::-1]
    assert violations(model, edited(good, "load_bias", 0, words=wrong)) == [
        f"program-bias {layer}: output channel 0: entry {entry} of group {group}"]  # fmt: skip
    wide = copy.words.copy()
    wide[0] |= 0x100
    assert "program-width None: a bias" in violations(model, edited(good, "load_bias", 0, words=wide))


def test_wrong_program_is_not_emitted(pingpong, program, monkeypatch):
    """The pipeline refuses it, with the place in the description."""
    wrong = replace(TARGETS[84], lower=lambda *_: register(program, "TPTR", 1, 6))
    monkeypatch.setitem(TARGETS, 84, wrong)
    with pytest.raises(RuleError) as refused:
        pipeline.rtlsim_program(pingpong)
    path = CASES / "valid" / "pingpong_5" / "network.yaml"
    line = pingpong.network.layers[1].line
    assert str(refused.value) == (
        f"{path}:{line}, layer 1: rule program-registers: All registers of a layer are written in every started group, "
        "with the values that its shapes and its maps require. Given: TPTR of group 0 is 0x00000006, 0x00000005 must "
        "be written. The network is legal, but the program made for it is wrong: a defect of the generator.")


def test_the_page_lists_every_check():
    page = (ROOT.parent / "docs" / "generate.md").read_text(encoding="utf-8")
    rows = [line for line in page.splitlines() if line.startswith("| `program-")]
    assert rows == [f"| `{rule.id}` | {rule.text} | {rule.sections} |" for rule in PROGRAM_RULES]
