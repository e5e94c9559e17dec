"""What a conformance case must show. Every check returns the differences it found, in words; none means equal."""

import json
import re
from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np

import compare
from chip import Chip
from conformance_cases import model_of, request_of
from izer import listing, pipeline, reference
from izer.emit import rtlsim
from izer.errors import IzerError, RuleError
from izer.operations import Access, Program

STORE = re.compile(r"^  \*\(\(volatile uint32_t \*\) 0x(\w+)\) = 0x(\w+);", re.MULTILINE)
POLL = re.compile(r"while \(\(\*\(\(volatile uint32_t \*\) 0x(\w+)\) & 0x(\w+)\) != 0x(\w+)\)")
CHECK = re.compile(r"if \(\(\*\(\(volatile uint32_t \*\) 0x(\w+)\)(?: & 0x(\w+))?\) != 0x(\w+)\) return 0;")

FolderCheck = Callable[[Path], list[str]]


def _compare(folder: Path, accesses: list[Access]) -> list[str]:
    return compare.compare(compare.read_case(folder), [compare.Op(*a, n) for n, a in enumerate(accesses)])


def _unequal(what: str, found: object, expected: object) -> list[str]:
    return [] if found == expected else [f"{what}: expected {expected}, found {found}"]


def embedded_program(folder: Path) -> list[str]:
    """Bus state, start sequence and output checks of the program in the embedded style."""
    return _compare(folder, pipeline.embedded_program(model_of(folder)).trace())


def rtl_text(folder: Path) -> list[str]:
    """The same for the RTL simulation test, read back from its C text."""
    source = pipeline.rtlsim_files(model_of(folder), "t", "c", "test.c", "run_test.sv", 4)["test.c"].decode()
    accesses = [Access("W", int(a, 16), 0xFFFFFFFF, int(v, 16)) for a, v in STORE.findall(source)]
    for address, mask, value in POLL.findall(source) + CHECK.findall(source):
        accesses.append(Access("P", int(address, 16), int(mask or "ffffffff", 16), int(value, 16)))
    return _compare(folder, accesses)


def layers(folder: Path) -> list[str]:
    """Every layer's output, integer for integer, as the reference computes it."""
    values = model_of(folder).values
    with np.load(folder / "layers.npz") as expected:
        names = [f"layer{n}" for n in range(len(values))]
        found = _unequal("layers", sorted(names), sorted(expected))
        found += [f"{name} differs" for name, value in zip(names, values, strict=True)
                  if name in expected and not np.array_equal(value.output, expected[name])]  # fmt: skip
    return found + ([] if np.array_equal(values[-1].output, np.load(folder / "output.npy")) else ["output differs"])


def scores(folder: Path) -> list[str]:
    """The classification layer and softmax."""
    if not (folder / "fc.json").exists():
        return []
    expected = json.loads((folder / "fc.json").read_text())
    found = model_of(folder).scores
    return _unequal("q8_7", found.tolist(), expected["q8_7"]) + _unequal(
        "softmax_q15", reference.softmax(found).tolist(), expected["softmax_q15"]
    )


def counts(folder: Path) -> list[str]:
    """Operation counts, the name of the RTL test, kernel columns."""
    meta = json.loads((folder / "meta.json").read_text())
    model = model_of(folder)
    total = listing.total_operations(model.network)
    full = "x" + meta["test_name_tail"]
    expected = full if len(full) <= rtlsim.MAX_NAME else full[: rtlsim.MAX_NAME - 33]  # a digest follows
    columns = [(c["first_column"], c["count"]) for c in json.loads((folder / "kernelmap.json").read_text())]
    return (
        _unequal("operations", {name: getattr(total, name) for name in meta["operations"]}, meta["operations"])
        + _unequal("test name", rtlsim.test_name("x", model.network, "")[: len(expected)], expected)
        + _unequal("columns", [(p.kernel_column, p.kernel_count) for p in model.placement.layers], columns)
    )


def run_on_chip(chip: Chip, program: Program) -> None:
    """Load and start a program on the chip model, and wait for its end."""
    accesses = [access for section in program.load for access in section.accesses()]
    chip.write_many([access.address for access in accesses], [access.value for access in accesses])
    (poll,) = program.wait.accesses()
    while chip.read32(poll.address) & poll.mask != poll.value:
        pass


def chip_model(folder: Path) -> list[str]:
    """The words that the case expects, read from the chip model after it ran the program."""
    with Chip() as chip, np.load(folder / "checks.npz") as checks:
        run_on_chip(chip, pipeline.embedded_program(model_of(folder)))
        words, expected = chip.read_many(checks["addr"]) & checks["mask"], checks["value"] & checks["mask"]
        return [f"0x{checks['addr'][n]:08x}: 0x{expected[n]:08x} expected, 0x{words[n]:08x} found"
                for n in np.flatnonzero(words != expected)]  # fmt: skip


def refused(folder: Path) -> list[str]:
    """A wrong description is refused, naming the rule and the layer."""
    expected = json.loads((folder / "rule.json").read_text())
    try:
        pipeline.build_model(request_of(folder, "network.yaml", expected["options"]))
    except RuleError as error:
        found = [(violation.rule, violation.layer) for violation in error.violations]
        return [] if (expected["rule"], expected["layer"]) in found else [
            f"expected rule {expected['rule']} in layer {expected['layer']}, found {error}"]  # fmt: skip
    except IzerError as error:
        return [f"expected rule {expected['rule']}, found {error}"]
    return ["accepted"]


def repaired(folder: Path) -> list[str]:
    """Without the one mistake it is accepted."""
    if not (folder / "repaired.yaml").exists():
        return []
    expected = json.loads((folder / "rule.json").read_text())
    try:
        pipeline.build_model(request_of(folder, "repaired.yaml", expected["repaired_options"]))
    except IzerError as error:
        return [f"refused: {error}"]
    return []


VALID: Mapping[str, FolderCheck] = {
    "program": embedded_program, "RTL text": rtl_text, "layers": layers, "scores": scores, "counts": counts,
    "chip model": chip_model,
}  # fmt: skip
INVALID: Mapping[str, FolderCheck] = {"refused": refused, "repaired": repaired}
