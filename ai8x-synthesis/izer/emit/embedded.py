"""A program as C source for the microcontroller, in a folder that builds on its own."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ..device import Device
from ..network import Network
from ..operations import Copy, CopyBytes, CopyKernels, Fill, Operation, Program, Verify, Write
from ..sampledata import InputArray, Sample
from .ctext import environment, hex_bytes, hex_words, network_summary
from .demofolder import Ending, Names, answer_defines, define_file, fc_defines, manifest, npy, runtime_files


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
    ending: Ending

    @property
    def unload(self) -> bool:
        """Whether the program reads the output of the last layer."""
        return self.ending.unload or self.ending.softmax or self.network.fc is not None


def emit(demo: Demo, names: Names) -> dict[str, bytes]:
    """All files of a demo folder by name: program, headers, run-time sources, and what cnn-run.py needs to know."""
    headers = environment()
    texts = {
        names.source: headers.get_template("main.c.j2").render(demo=demo, names=names, **_blocks(demo)),
        names.weights: define_file(f"Weights of {demo.title}", demo.command, _weight_defines(demo)),
        names.sample: define_file(f"Sample input and known answer of {demo.title}", demo.command,
                                  _sample_defines(demo)),
        "cnn-run.json": _manifest(demo),
    }
    files = {name: text.encode() for name, text in texts.items()}
    return files | {"sample.npy": npy(demo.sample.data.astype(np.int8))} | runtime_files()


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
    return defines if demo.network.fc is None else defines | fc_defines(demo.network.fc.weight, demo.network.fc.bias)


def _sample_defines(demo: Demo) -> dict[str, str]:
    inputs = _array_defines(demo.program.section("load_input").operations)
    return inputs | answer_defines(demo.scores, demo.sample.label)


def _manifest(demo: Demo) -> str:
    """What cnn-run.py has to know about the program; the emulated chip knows none of it."""
    inputs = [{"symbol": a.symbol, "channel": a.channel, "lanes": list(a.lanes)} for a in demo.inputs]
    about = {"data_format": demo.network.data_format, "inputs": inputs}
    return manifest("embedded", demo.device.name, demo.title, demo.network, demo.sample, demo.classes, about)
