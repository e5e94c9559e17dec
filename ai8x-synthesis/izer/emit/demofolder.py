"""What the folders of demos for the accelerator and for CMSIS-NN have in common."""

import io
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ..network import Network
from ..sampledata import Sample
from .ctext import decimals

RUNTIME = Path(__file__).resolve().parents[2] / "Device"


@dataclass(frozen=True)
class Names:
    """Names of the generated files."""

    source: str
    weights: str
    sample: str


@dataclass(frozen=True)
class Ending:
    """What a demo does with the output of the last layer.

    Without classification layer it may unload it, and with `softmax` compute the softmax of the output itself;
    `fractional` chooses the softmax with seven fractional bits in the exponent (8.3).
    """

    unload: bool = False
    softmax: bool = False
    fractional: bool = False

    @property
    def softmax_function(self) -> str:
        """The routine of Device/ that computes the softmax."""
        return "arm_softmax_q8p7_q15_frac" if self.fractional else "arm_softmax_q8p7_q15"


PLAIN = Ending()  # nothing but the classification layer, if there is one


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


def fc_defines(weight: NDArray[np.int8], bias: NDArray[np.int8] | None) -> dict[str, str]:
    """Weights int8 [R, N] and biases of the classification layer; zeros where there is no bias: one is always read."""
    return {"FC_WEIGHTS": decimals(interleave(weight)),
            "FC_BIAS": decimals(np.zeros(len(weight), np.int8) if bias is None else bias)}  # fmt: skip


def answer_defines(scores: NDArray[np.int16] | None, label: int | None) -> dict[str, str]:
    """The known answer of the classification layer, int16 [R], and the true class, where there are such."""
    defines = {} if scores is None else {"SAMPLE_SCORES": decimals(scores)}
    return defines if label is None else defines | {"SAMPLE_LABEL": str(label)}


def manifest(
    kind: str, device: str, title: str, network: Network, sample: Sample, classes: tuple[str, ...],
    about: Mapping[str, object],
) -> str:
    """What cnn-run.py has to know about a program; `about` is what it has to know about this kind of program."""
    content = {
        "kind": kind,
        "device": device,
        "program": title,
        "dataset": network.dataset,
        "input": list(network.input_shape),
        **about,
        "classes": list(classes) or None,
        "label": sample.label,
        "fc": network.fc is not None,
        "outputs": 0 if network.fc is None else len(network.fc.weight),
    }
    return json.dumps(content, indent=2) + "\n"


def define_file(title: str, command: str, defines: Mapping[str, str]) -> str:
    """A header of defines by name."""
    lines = [f"// {title}", f"// Created by: {command}", ""]
    for name, text in defines.items():
        lines += [f"#define {name} {text}", ""]
    return "\n".join(lines)


def runtime_files(pattern: str = "*") -> dict[str, bytes]:
    """The files of Device/ that match a pattern, by the name that they have in a demo; without one, in no folder."""
    paths = sorted(path for path in RUNTIME.glob(pattern) if path.is_file())
    return {path.relative_to(RUNTIME).as_posix(): path.read_bytes() for path in paths}


def npy(array: NDArray[np.int8]) -> bytes:
    """The content of a NumPy file."""
    stream = io.BytesIO()
    np.save(stream, array)
    return stream.getvalue()
