"""A program as C source for the vendor's SDK for MAX78000 (AI85 hardware reference, chapter 8)."""

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ..errors import IzerError
from ..operations import Check, CopyPacked, Program, Section, Unload
from ..sampledata import InputArray
from .cstatements import array_defines, arrays, helper, statement
from .ctext import environment, hex_words
from .demofolder import define_file, npy

SOFTMAX = Path(__file__).parent / "templates" / "max78000" / "softmax.c"


@dataclass(frozen=True)
class Choices:
    """What can be chosen of the program around the network.

    `unload` reads the output, which `softmax` needs; the softmax is that of a 32-bit output. `timer` is the number of
    the timer that measures the run (None: not measured), `boost` the port and pin of a supply that is on during the
    run; without `wfi` the core does not sleep; `forever` repeats the run without end.
    """

    softmax: bool = False
    unload: bool = True
    timer: int | None = None
    boost: tuple[int, int] | None = None
    wfi: bool = True
    forever: bool = False


@dataclass(frozen=True)
class Demo:
    """Everything that the files of one program say.

    `controls` has the address of CTL of every used quadrant, the master first. `sample` is int8 [C, H, W]; `inputs` say
    how it lies in the input arrays: with several passes, the lanes of all words of a pixel one after the other (7.1).
    `output` is the last layer's answer, int8 or int32 [C, H, W]; `weight_bits` are those of the last layer. `classes`
    and `label` may be unknown.
    """

    title: str
    command: str
    dataset: str
    summary: tuple[str, ...]
    program: Program
    controls: Mapping[int, int]
    sample: NDArray[np.int8]
    inputs: tuple[InputArray, ...]
    output: NDArray[np.int8] | NDArray[np.int32]
    weight_bits: int
    classes: tuple[str, ...]
    label: int | None
    choices: Choices = Choices()

    @property
    def outputs(self) -> int:
        """Number of output values."""
        return self.output.size

    @property
    def wide(self) -> bool:
        """Whether the output has 32 bits."""
        return self.output.dtype == np.int32

    @property
    def softmax_shift(self) -> int:
        """A 32-bit output is smaller by this number of bits where weights are narrower than 8 bits (1.4)."""
        return 8 - self.weight_bits

    @property
    def verifies_weights(self) -> bool:
        """Whether the program reads the weights back."""
        return self.program.section("load_kernels").verified


def emit(demo: Demo) -> dict[str, bytes]:
    """All files by name: sources for the SDK, the sample, and what cnn-run.py needs to know.

    Raises IzerError if a softmax of 8-bit outputs is wanted, or one of outputs that are not unloaded.
    """
    if demo.choices.softmax and not demo.choices.unload:
        raise IzerError(f"{demo.title}: --softmax computes with the unloaded output; leave --no-unload out.")
    if demo.choices.softmax and not demo.wide:
        raise IzerError(f"{demo.title}: --softmax needs a 32-bit output, since its input is in Q17.14; give the last "
                        "layer `output_width: 32`, or leave --softmax out.")
    templates = environment()
    texts = {
        name: templates.get_template(f"max78000/{name}.j2").render(demo=demo, statement=statement, lanes=_lanes,
                                                                   **_blocks(demo))
        for name in ("cnn.c", "cnn.h", "main.c")
    }  # fmt: skip
    headers = {"weights.h": _weights(demo), "sampledata.h": _inputs(demo), "sampleoutput.h": _answer(demo)}
    for name, defines in headers.items():
        texts[name] = define_file(f"{name} of {demo.title}", demo.command, defines)
    texts["cnn-run.json"] = _manifest(demo)
    files = {name: text.encode() for name, text in texts.items()}
    return files | {"softmax.c": SOFTMAX.read_bytes(), "sample.npy": npy(demo.sample)}


def _blocks(demo: Demo) -> Mapping[str, object]:
    """What the templates loop over."""
    operations = [operation for section in demo.program.load for operation in section.operations]
    return {
        "biases": arrays(demo.program.section("load_bias").operations),
        "inputs": arrays(demo.program.section("load_input").operations),
        "helpers": {helper(operation) for operation in operations},
        "master": next(iter(demo.controls.values())),
        "quadrants": sum(1 << quadrant for quadrant in demo.controls),
    }


def _lanes(part: Unload) -> int:
    """The used lanes as bits."""
    return sum(1 << lane for lane in part.lanes)


def _weights(demo: Demo) -> dict[str, str]:
    """KERNELS has all runs of columns, each with address code and number of words, and ends with 0 (5.8)."""
    runs = [np.concatenate([np.array([run.code, len(run.words)], np.uint32), run.words])
            for run in demo.program.section("load_kernels").operations if isinstance(run, CopyPacked)]  # fmt: skip
    kernels = np.concatenate([*runs, np.zeros(1, np.uint32)])
    return {"KERNELS": hex_words(kernels)} | array_defines(demo.program.section("load_bias").operations)


def _inputs(demo: Demo) -> dict[str, str]:
    defines = array_defines(demo.program.section("load_input").operations)
    return {f"SAMPLE_{name}": text for name, text in defines.items()}


def _answer(demo: Demo) -> dict[str, str]:
    """SAMPLE_OUTPUT has blocks of consecutive words with the same mask, and ends with 0 (9.4)."""
    words = [word for block in answer_blocks(demo.program.check) for word in block]
    return {"SAMPLE_OUTPUT": hex_words(np.array([*words, 0], np.uint32))}


def answer_blocks(check: Section) -> Iterator[tuple[int, ...]]:
    """Address, mask, number of words and the words, of consecutive words with the same mask, by mask and address."""
    reads = sorted((read for read in check.operations if isinstance(read, Check)),
                   key=lambda read: (read.mask, read.address))  # fmt: skip
    numbered = enumerate(reads)
    for _, group in groupby(numbered, key=lambda pair: (pair[1].mask, pair[1].address - 4 * pair[0])):
        block = [read for _, read in group]
        yield block[0].address, block[0].mask, len(block), *(read.value for read in block)


def _manifest(demo: Demo) -> str:
    """What cnn-run.py has to know about the program; the emulated chip knows none of it."""
    content = {
        "kind": "max78000",
        "device": "AI85",
        "program": demo.title,
        "dataset": demo.dataset,
        "input": list(demo.sample.shape),
        "inputs": [{"symbol": a.symbol, "channel": a.channel, "lanes": list(a.lanes)} for a in demo.inputs],
        "classes": list(demo.classes) or None,
        "label": demo.label,
        "fc": False,
        "outputs": demo.outputs,
        "output_bits": 32 if demo.wide else 8,
        "unload": demo.choices.unload,
        "softmax": demo.choices.softmax,
    }
    return json.dumps(content, indent=2) + "\n"
