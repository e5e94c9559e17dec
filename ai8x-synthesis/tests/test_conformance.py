"""The conformance cases: expected words and integers were computed elsewhere (tests/conformance/README.md)."""

import json
import re
from pathlib import Path

import numpy as np
import pytest

import compare
from conformance_cases import cases, model_of, request_of
from izer import listing, pipeline, reference
from izer.emit import rtlsim
from izer.errors import RuleError
from izer.operations import Program

STORE = re.compile(r"^  \*\(\(volatile uint32_t \*\) 0x(\w+)\) = 0x(\w+);", re.MULTILINE)
POLL = re.compile(r"while \(\(\*\(\(volatile uint32_t \*\) 0x(\w+)\) & 0x(\w+)\) != 0x(\w+)\)")
CHECK = re.compile(r"if \(\(\*\(\(volatile uint32_t \*\) 0x(\w+)\)(?: & 0x(\w+))?\) != 0x(\w+)\) return 0;")


def differences(folder: Path, program: Program) -> list[str]:
    ops = [compare.Op(a.kind, a.address, a.mask, a.value, n) for n, a in enumerate(program.trace())]
    return compare.compare(compare.read_case(folder), ops)


@pytest.mark.parametrize("folder", cases("valid"))
def test_embedded_program_equals_case(folder):
    assert differences(folder, pipeline.embedded_program(model_of(folder))) == []


@pytest.mark.parametrize("folder", cases("valid"))
def test_text_of_rtl_test_equals_case(folder):
    """Reads the stores, the poll and the checks back from the C text."""
    source = pipeline.rtlsim_files(model_of(folder), "t", "c", "test.c", "run_test.sv", 4)["test.c"].decode()
    ops = [("W", int(a, 16), 0xFFFFFFFF, int(v, 16)) for a, v in STORE.findall(source)]
    ops += [("P", int(a, 16), int(m, 16), int(v, 16)) for a, m, v in POLL.findall(source)]
    ops += [("P", int(a, 16), int(m or "ffffffff", 16), int(v, 16)) for a, m, v in CHECK.findall(source)]
    trace = [compare.Op(*op, n) for n, op in enumerate(ops)]
    assert compare.compare(compare.read_case(folder), trace) == []


@pytest.mark.parametrize("folder", cases("valid"))
def test_every_layer_of_the_reference_equals_case(folder):
    model = model_of(folder)
    with np.load(folder / "layers.npz") as layers:
        assert sorted(layers) == sorted(f"layer{n}" for n in range(len(model.values)))
        for n, value in enumerate(model.values):
            np.testing.assert_array_equal(value.output, layers[f"layer{n}"])
    np.testing.assert_array_equal(model.values[-1].output, np.load(folder / "output.npy"))


@pytest.mark.parametrize("folder", cases("valid", "fc.json"))
def test_classification_and_softmax_equal_case(folder):
    expected = json.loads((folder / "fc.json").read_text())
    scores = model_of(folder).scores
    assert scores.tolist() == expected["q8_7"]
    assert reference.softmax(scores).tolist() == expected["softmax_q15"]


@pytest.mark.parametrize("folder", cases("valid"))
def test_operation_counts_test_name_and_kernel_columns_equal_case(folder):
    meta = json.loads((folder / "meta.json").read_text())
    model = model_of(folder)
    total = listing.total_operations(model.network)
    assert {name: getattr(total, name) for name in meta["operations"]} == meta["operations"]
    full = "x" + meta["test_name_tail"]
    expected = full if len(full) <= rtlsim.MAX_NAME else full[: rtlsim.MAX_NAME - 33]
    assert rtlsim.test_name("x", model.network, "")[: len(expected)] == expected
    columns = json.loads((folder / "kernelmap.json").read_text())
    assert [(p.kernel_column, p.kernel_count) for p in model.placement.layers] == [
        (column["first_column"], column["count"]) for column in columns
    ]


@pytest.mark.parametrize("folder", cases("invalid"))
def test_invalid_description_is_refused_by_its_rule(folder):
    expected = json.loads((folder / "rule.json").read_text())
    with pytest.raises(RuleError) as error:
        pipeline.build_model(request_of(folder, "network.yaml", expected["options"]))
    found = {violation.rule: violation for violation in error.value.violations}
    assert expected["rule"] in found
    assert found[expected["rule"]].layer == expected["layer"]


@pytest.mark.parametrize("folder", cases("invalid", "repaired.yaml"))
def test_repaired_description_is_accepted(folder):
    expected = json.loads((folder / "rule.json").read_text())
    pipeline.build_model(request_of(folder, "repaired.yaml", expected["repaired_options"]))
