"""The checker for AI85: it accepts every legal program, and finds every seeded fault that is not provably harmless."""

from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from functools import partial

import numpy as np
import pytest

from chip import Chip, ChipFault
from conformance_cases import CASES85, ROOT, cases, model85_of
from izer import pipeline
from izer.ai85.checker import PROGRAM_CHECKS, check_program
from izer.device import AI85
from izer.errors import RuleError
from izer.operations import Check, Program, Write
from izer.program import LOAD_SECTIONS, Options
from izer.targets import TARGETS
from izer.verify import read_back, split_copies
from program_faults import operations, with_operations
from program_faults85 import FAULTS85

NETWORKS = sorted((ROOT / "networks" / "ai85").glob("*.yaml"))
FAULTY_CASES = ("bias-groups", "conv1d-chw", "conv1d-k5-k7", "dedup", "dilated-long", "flatten-multipass",
                "flatten-quant", "in-dim", "mlp", "multipass-both", "multipass-conv1d", "multipass-out",
                "multipass-quant", "passthrough-avg-slots", "passthrough-plain", "pool-avg-rounding", "proc-gaps",
                "quant-mixed", "unaligned-out", "wide32", "wide32-multipass")  # fmt: skip
PER_CASE = 3 * len(FAULTS85)  # every kind three times
POLLS = range(100)  # the chip model finishes a run after fewer


def violations(model: pipeline.Model, program: Program) -> list[str]:
    """What the checker says."""
    found = check_program(model.device, model.network, model.data, program)
    return [f"{violation.rule} {violation.layer}: {violation.given}" for violation in found]


def read_back_everywhere(program: Program) -> Program:
    """The program in which every store but those of the start is one of its own, and read back."""
    return read_back(split_copies(program), frozenset(LOAD_SECTIONS[:-1]))


@pytest.mark.parametrize("folder", cases("valid", below=CASES85, name="tier1-*"))
def test_conformance_programs_are_accepted(folder):
    model = model85_of(folder)
    for program in (pipeline.embedded_program(model), pipeline.rtlsim_program(model)):
        assert violations(model, program) == []
        assert violations(model, read_back_everywhere(program)) == []


@pytest.mark.parametrize("file", [pytest.param(path, id=path.stem) for path in NETWORKS])
@pytest.mark.parametrize("options", [Options(AI85.ready_sel), Options(3, init_tram=True, average_rounding=True)])
def test_programs_of_networks_are_accepted(file, options):
    model = pipeline.build_model(pipeline.Request(AI85, file, None, seed=1, options=options))
    assert violations(model, pipeline.embedded_program(model)) == []


def load(chip: Chip, program: Program) -> None:
    """Every store of the load sections."""
    for access in (access for section in program.load for access in section.accesses() if access.kind != "P"):
        (chip.write8 if access.kind == "B" else chip.write32)(access.address, access.value)


def unload(chip: Chip, program: Program, output: np.ndarray) -> np.ndarray:
    """What the generated cnn_unload() does."""
    found = np.zeros_like(output)
    for step in program.unload:
        pixels = step.row_words * np.arange(step.rows)[:, None] + step.pixel_words * np.arange(step.columns)
        for n, lane in enumerate(step.lanes):
            words = chip.read_many((step.address + 4 * (pixels + lane * step.wide)).reshape(-1)).reshape(pixels.shape)
            found[step.channel + n] = words.view(np.int32) if step.wide else (words >> 8 * lane).astype(np.int8)
    return found


def runs_right(model: pipeline.Model, good: Program, program: Program) -> bool:
    """Whether the program, run on the chip model, says that it passed, and unloads and leaves the right output."""
    expected = model.values[-1].output
    try:
        with Chip(85) as chip:
            load(chip, program)
            return (
                any(chip.read32(p.address) & p.mask == p.value for p in program.wait.accesses() for _ in POLLS)
                and all(chip.read32(c.address) & c.mask == c.value for c in program.check.accesses())
                and np.array_equal(unload(chip, good, expected), expected)
                and np.array_equal(unload(chip, program, expected), expected)
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
    """A fault that is not reported must neither be a fault of the chip nor change a bit of the output."""
    model = model85_of(CASES85 / "valid" / f"tier1-{name}")
    good = pipeline.embedded_program(model)
    outcomes = {}
    for n in range(PER_CASE):
        kind, random = FAULTS85[n % len(FAULTS85)], np.random.default_rng([n, *name.encode()])
        outcomes[f"{kind.__name__} {n}"] = outcome(model, good, kind(good, random))
    print(Counter(outcomes.values()), [key for key, value in outcomes.items() if value == "harmless"])
    assert [key for key, value in outcomes.items() if value == "missed"] == []


CASE = "bias-fraction"  # layer 0: 3x3, 3 to 5 channels of 4x4 pixels; layer 1: 1x1, 5 to 4 channels; quadrant 0
KERNELS, INPUT, BIAS, SWITCH = "load_kernels", "load_input", "load_bias", "cnn_configure"


def register(number: int, layer: int) -> int:
    """Address of a layer register of quadrant 0 (3.1)."""
    return 0x50100010 + 0x80 * number + 4 * layer


def stored(address: int, change: Callable[[int], int], program: Program) -> Program:
    """The program in which every word that is written there is another one."""

    def edited(operation):
        right = isinstance(operation, Write) and operation.address == address
        return replace(operation, value=change(operation.value)) if right else operation

    load = tuple(replace(section, operations=tuple(map(edited, section.operations))) for section in program.load)
    assert load != program.load
    return replace(program, load=load)


def added(section: str, operation: Write | Check, program: Program) -> Program:
    """The program with one operation more, the last of a section."""
    return with_operations(program, section, [*operations(program, section), operation])


def first_changed(section: str, field: str, at: tuple[int, ...], program: Program) -> Program:
    """The program with the lowest bit of one element inverted in the first array of a section."""
    found = operations(program, section)
    array = getattr(found[0], field).copy()
    array[at] ^= 1
    found[0] = replace(found[0], **{field: array})
    return with_operations(program, section, found)


def without_first(section: str, program: Program) -> Program:
    """The program without the first operation of a section."""
    return with_operations(program, section, operations(program, section)[1:])


def first_check(program: Program, **fields: int) -> Program:
    """The program with another first comparison with the known answer; without one where no fields are given."""
    first, *others = program.check.operations
    kept = [replace(first, **fields), *others] if fields else others
    return replace(program, check=replace(program.check, operations=tuple(kept)))


# Every check's id, a fault, and what is said of it. Registers and addresses are those of chapters 2 and 3.
SEEDED: dict[str, tuple[Callable[[Program], Program], str]] = {
    "program-address": (partial(added, SWITCH, Write(0x5010000C, 0, "TEST")), "None: access to 0x5010000c"),
    "program-packed": (
        lambda program: with_operations(program, KERNELS, [Write(0x50180000, 0, ""), *operations(program, KERNELS)]),
        "None: run at 0x50180000"),
    "program-packed-mode": (partial(stored, 0x50100000, lambda value: value & ~0x100000),
                            "None: run at 0x50180001 and 7 more"),
    "program-late": (partial(added, "cnn_start", Write(0x50108000, 0, "")), "None: access to 0x50108000"),
    "program-once": (partial(added, SWITCH, Write(register(0, 0), 0x10004, "")),
                     "None: first value lost at 0x50100010"),
    "program-width": (partial(added, BIAS, Write(0x50108020, 0x100, "")), "None: a bias"),
    "program-read-back": (partial(added, SWITCH, Check(register(0, 0), 0xFFFFFFFF, 0x10004, "")),
                          "None: other value at 0x50100010"),
    "program-always-on": (partial(stored, 0x50001000, lambda value: 0x100), "None: 0x100"),
    "program-start": (partial(without_first, "cnn_start"), "None: quadrant 0 with 0x100009, where quadrant 0 "
                      "with 0x100808 is due"),
    "program-groups": (partial(stored, 0x50100008, lambda value: 2), "None: quadrant 0 has SRAM 0x40e, LCNT_MAX 2"),
    "program-wait": (
        lambda program: replace(program, stop=replace(program.stop, operations=(Write(0x50100000, 0x8, ""),))),
        "None: stopping with 0x50100000 = 0x8"),
    "program-enables": (partial(stored, register(14, 0), lambda value: 0xF000F),
                        "0: 4 enabled for 3 input channels, 3 are needed"),
    "program-registers": (partial(stored, register(13, 0), lambda value: 4),
                          "0: TPTR of quadrant 0 is 0x00000004, 0x00000003 must be written"),
    "program-unused-layers": (partial(added, SWITCH, Write(register(20, 31), 1, "")),
                              "None: LCTL2 of quadrant 0, layer 31"),
    "program-kernels": (partial(first_changed, KERNELS, "columns", (2, 8)),
                        "0: 1 wrong, the first for output channel 2, pass 0: processor 0"),
    "program-bias": (partial(first_changed, BIAS, "words", (6,)), "1: output channel 1: entry 6 of quadrant 0"),
    "program-input": (partial(first_changed, INPUT, "words", (5,)),
                      "0: 1 wrong bytes, the first for input channel 0, row 1, column 1, processor 0: lane 0 of word 5 "
                      "of instance 0 holds what was loaded before the start"),
    "program-read": (partial(stored, register(10, 1), lambda value: 0x1001),
                     "1: 80 wrong bytes, the first for input channel 0, row 0, column 0, processor 0: lane 0 of word "
                     "4097 of instance 0 holds output channel 0 of layer 0, row 0, column 1"),
    "program-overlap": (partial(stored, register(6, 0), lambda value: 0xF),
                        "0: 1 words, the first is word 15 of instance 0"),
    "program-capacity": (partial(stored, register(6, 0), lambda value: 0x1FF1), "0: read pointer 0x0, write pointers "
                         "0x1ff1, 0x0, 0x0, 0x0"),
    "program-checks": (partial(first_check, mask=0xFFFFFF0F),
                       "1: 1 wrong checks, the first is 0x50400000 & 0xffffff0f == 0x29e51b09"),
    "program-check-all": (first_check, "1: 4 are not, the first is output channel 0 of layer 1, row 0, column 0"),
    "program-unload": (
        lambda program: replace(program, unload=(replace(program.unload[0], lanes=(1, 0, 2, 3)),)),
        "1: 4 of 4 channels, the first from the bytes of processors [1, 0, 2, 3]"),
}  # fmt: skip


@pytest.mark.parametrize("rule", SEEDED)
def test_a_seeded_fault_is_reported_by_its_check(rule):
    model = model85_of(CASES85 / "valid" / f"tier1-{CASE}")
    inject, said = SEEDED[rule]
    assert f"{rule} {said}" in violations(model, inject(pipeline.embedded_program(model)))


def test_every_check_has_a_seeded_fault():
    """That of rounding has a network of its own."""
    assert sorted(rule.id for rule in PROGRAM_CHECKS) == sorted([*SEEDED, "program-rounding"])


def test_averages_that_are_not_rounded_as_the_network_says():
    model = model85_of(CASES85 / "valid" / "tier1-pool-avg-rounding")
    rounding = pipeline.embedded_program(model)
    truncating = stored(0x50100000, lambda value: value & ~0x2000, rounding)
    stop = tuple(replace(write, value=write.value & ~0x2000) for write in rounding.stop.operations)
    truncating = replace(truncating, stop=replace(rounding.stop, operations=stop))
    assert violations(model, truncating) == ["program-rounding 0: bit 13 is 0"]


def test_wrong_program_is_not_emitted(monkeypatch):
    """The pipeline refuses it, with the place in the description."""
    folder = CASES85 / "valid" / f"tier1-{CASE}"
    model = model85_of(folder)
    inject, _ = SEEDED["program-kernels"]
    good = TARGETS[85].lower
    monkeypatch.setitem(TARGETS, 85, replace(TARGETS[85], lower=lambda *parts: inject(good(*parts))))
    with pytest.raises(RuleError) as refused:
        pipeline.embedded_program(model)
    line = model.network.layers[0].line
    assert str(refused.value).startswith(f"{folder / 'network.yaml'}:{line}, layer 0: rule program-kernels: Every ")
    assert str(refused.value).endswith(
        "Given: 1 wrong, the first for output channel 2, pass 0: processor 0. The network is legal, but the program "
        "made for it is wrong: a defect of the generator.")  # fmt: skip
