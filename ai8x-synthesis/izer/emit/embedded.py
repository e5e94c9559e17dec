"""A program as C source for the microcontroller, in a folder that builds on its own."""

import io
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ..device import Device
from ..network import Network
from ..operations import Copy, CopyBytes, CopyKernels, Fill, Operation, Program, Verify, Write
from ..sampledata import InputArray, Sample
from .ctext import decimals, environment, hex_bytes, hex_words, network_summary

RUNTIME = Path(__file__).resolve().parents[2] / "Device"


@dataclass(frozen=True)
class Names:
    """Names of the generated files."""

    source: str
    weights: str
    sample: str


@dataclass(frozen=True)
class Demo:
    """Everything that the files of one demo say; `scores` is the classification layer's known answer, int16 [R]."""

    device: Device
    title: str
    command: str
    network: Network
    program: Program
    sample: Sample
    inputs: tuple[InputArray, ...]
    scores: NDArray[np.int16] | None
    classes: tuple[str, ...]
    unload: bool


def interleave(weights: NDArray[np.int8]) -> NDArray[np.int8]:
    """FC weights int8 [R, N] in the x4 order that the optimized routine reads, flat (AI84 hardware reference 8.2).

    Blocks of four rows; in these, blocks of four columns as (row, column) (0,0) (1,0) (0,2) (1,2) (2,0) (3,0) (2,2)
    (3,2) and the same with odd columns; the remaining columns row by row. Remaining rows follow as they are.
    """
    rows, columns = (n // 4 * 4 for n in weights.shape)
    order = [(r + n, c + m) for c in (0, 1) for r in (0, 2) for m in (0, 2) for n in (0, 1)]
    row, column = zip(*order, strict=True)
    packed = []
    for block in (weights[n : n + 4] for n in range(0, rows, 4)):
        packed.append(block[:, :columns].reshape(4, -1, 4)[row, :, column].T.reshape(-1))
        packed.append(block[:, columns:].T.reshape(-1))
    return np.concatenate([*packed, weights[rows:].reshape(-1)])


def emit(demo: Demo, names: Names) -> dict[str, bytes]:
    """All files of a demo folder by name: program, headers, run-time sources, and what cnn-run.py needs to know."""
    headers = environment()
    texts = {
        names.source: headers.get_template("main.c.j2").render(demo=demo, names=names, **_blocks(demo)),
        names.weights: _defines("Weights", demo, _weight_defines(demo)),
        names.sample: _defines("Sample input and known answer", demo, _sample_defines(demo)),
        "cnn-run.json": _manifest(demo),
    }
    files = {name: text.encode() for name, text in texts.items()}
    files["sample.npy"] = _npy(demo.sample.data.astype(np.int8))
    runtime = sorted(path for path in RUNTIME.iterdir() if path.is_file())
    return files | {path.name: path.read_bytes() for path in runtime}


def _blocks(demo: Demo) -> Mapping[str, object]:
    """What the template loops over."""
    sections = {section.name: section for section in demo.program.load}
    operations = [operation for section in demo.program.load for operation in section.operations]
    return {
        "summary": network_summary(demo.network),
        "sections": sections,
        "kernels": _arrays(sections["load_kernels"].operations),
        "biases": _arrays(sections["load_bias"].operations),
        "inputs": _arrays(sections["load_input"].operations),
        "loads": [section for section in demo.program.load if section.operations],
        "statement": _statement,
        "helpers": {_helper(operation) for operation in operations},
        "outputs": demo.network.outputs,
        "fc": demo.network.fc,
    }


def _arrays(operations: Iterable[Operation]) -> list[Copy | CopyKernels]:
    """The operations that copy an array."""
    return [operation for operation in operations if isinstance(operation, Copy | CopyKernels)]


def _helper(operation: Operation) -> str:
    """The C function that does an operation; empty for one that is a statement of its own."""
    match operation:
        case Verify(Fill()):
            return "filled_words"
        case Verify(Copy() | CopyKernels() as written):
            return _helper(written).replace("copy", "same")
        case CopyKernels():
            return "copy_kernels"
        case CopyBytes():
            return "copy_bytes"
        case Copy():
            return "copy_words"
        case Fill():
            return "fill_words"
    return ""


def _statement(operation: Operation) -> str:
    """An operation of a load section as C."""
    match operation:
        case Write(address, value):
            return f"*(volatile uint32_t *) 0x{address:08x} = 0x{value:08x}; // {operation.why}"
        case Verify(Write(address, value)):
            return f"if (*(volatile uint32_t *) 0x{address:08x} != 0x{value:08x}) return CNN_FAIL;"
        case Verify(written):
            return f"if (!{_helper(operation)}({_arguments(written)})) return CNN_FAIL;"
    return f"{_helper(operation)}({_arguments(operation)}); // {operation.why}"


def _arguments(operation: Operation) -> str:
    """Where to, from where or what, and how many."""
    match operation:
        case Copy(name, address) | CopyKernels(name, address):
            return f"0x{address:08x}, {name}, COUNT({name})"
        case Fill(address, value, count):
            return f"0x{address:08x}, 0x{value:08x}, {count}"
    raise TypeError(f"{type(operation).__name__} is no operation of a load section")


def _defines(title: str, demo: Demo, defines: Mapping[str, str]) -> str:
    lines = [f"// {title} of {demo.title}", f"// Created by: {demo.command}", ""]
    for name, text in defines.items():
        lines += [f"#define {name} {text}", ""]
    return "\n".join(lines)


def _array_defines(operations: tuple[object, ...]) -> dict[str, str]:
    """Defines for the arrays that copy operations read."""
    defines = {}
    for operation in operations:
        if isinstance(operation, CopyBytes):
            defines[operation.name.upper()] = hex_bytes(operation.words)
        elif isinstance(operation, Copy | CopyKernels):
            defines[operation.name.upper()] = hex_words(operation.words)
    return defines


def _weight_defines(demo: Demo) -> dict[str, str]:
    defines = _array_defines(demo.program.section("load_kernels").operations)
    defines |= _array_defines(demo.program.section("load_bias").operations)
    if demo.network.fc is not None:
        bias = demo.network.fc.bias
        rows = len(demo.network.fc.weight)
        defines["FC_WEIGHTS"] = decimals(interleave(demo.network.fc.weight))
        # the routine always reads a bias
        defines["FC_BIAS"] = decimals(np.zeros(rows, np.int8) if bias is None else bias)
    return defines


def _sample_defines(demo: Demo) -> dict[str, str]:
    defines = _array_defines(demo.program.section("load_input").operations)
    if demo.scores is not None:
        defines["SAMPLE_SCORES"] = decimals(demo.scores)
    if demo.sample.label is not None:
        defines["SAMPLE_LABEL"] = str(demo.sample.label)
    return defines


def _manifest(demo: Demo) -> str:
    """What cnn-run.py has to know about the program; the emulated chip knows none of it."""
    content = {
        "kind": "embedded",
        "device": demo.device.name,
        "program": demo.title,
        "dataset": demo.network.dataset,
        "input": list(demo.network.input_shape),
        "data_format": demo.network.data_format,
        "inputs": [{"symbol": a.symbol, "channel": a.channel, "lanes": list(a.lanes)} for a in demo.inputs],
        "classes": list(demo.classes) or None,
        "label": demo.sample.label,
        "fc": demo.network.fc is not None,
        "outputs": 0 if demo.scores is None else len(demo.scores),
    }
    return json.dumps(content, indent=2) + "\n"


def _npy(array: NDArray[np.int8]) -> bytes:
    stream = io.BytesIO()
    np.save(stream, array)
    return stream.getvalue()
