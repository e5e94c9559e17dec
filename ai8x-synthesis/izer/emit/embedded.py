"""A program as C source for the microcontroller, in a folder that builds on its own."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ..device import Device
from ..network import Network
from ..operations import Program
from ..sampledata import InputArray, Sample
from .cstatements import array_defines, arrays, helper, statement
from .ctext import environment, network_summary
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
        "kernels": arrays(sections["load_kernels"].operations),
        "biases": arrays(sections["load_bias"].operations),
        "inputs": arrays(sections["load_input"].operations),
        "loads": [section for section in demo.program.load if section.operations],
        "statement": statement,
        "helpers": {helper(operation) for operation in operations},
        "outputs": demo.network.outputs,
        "fc": demo.network.fc,
    }


def _weight_defines(demo: Demo) -> dict[str, str]:
    defines = array_defines(demo.program.section("load_kernels").operations)
    defines |= array_defines(demo.program.section("load_bias").operations)
    return defines if demo.network.fc is None else defines | fc_defines(demo.network.fc.weight, demo.network.fc.bias)


def _sample_defines(demo: Demo) -> dict[str, str]:
    inputs = array_defines(demo.program.section("load_input").operations)
    return inputs | answer_defines(demo.scores, demo.sample.label)


def _manifest(demo: Demo) -> str:
    """What cnn-run.py has to know about the program; the emulated chip knows none of it."""
    inputs = [{"symbol": a.symbol, "channel": a.channel, "lanes": list(a.lanes)} for a in demo.inputs]
    return manifest("embedded", demo.device.name, demo.title, demo.network, demo.sample, demo.classes,
                    {"inputs": inputs})
