"""Pieces of C text that the emitters share."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import jinja2
import numpy as np
from numpy.typing import NDArray

from ..network import Layer, Network


def environment() -> jinja2.Environment:
    """The templates of this package; a name that is missing in a template is an error."""
    return jinja2.Environment(
        loader=jinja2.FileSystemLoader(Path(__file__).parent / "templates"),
        undefined=jinja2.StrictUndefined, trim_blocks=True, lstrip_blocks=True, keep_trailing_newline=True,
        autoescape=False,
    )  # fmt: skip


def _initialiser(values: Sequence[str], per_line: int) -> str:
    lines = [", ".join(values[n : n + per_line]) for n in range(0, len(values), per_line)]
    return "{ \\\n  " + ", \\\n  ".join(lines) + " \\\n}"


def hex_words(words: NDArray[np.uint32]) -> str:
    """A brace-enclosed initialiser of 32-bit words, 8 to a line, as the text of a define."""
    return _initialiser([f"0x{word:08x}" for word in words.reshape(-1).tolist()], 8)


def hex_bytes(words: NDArray[np.uint32]) -> str:
    """A brace-enclosed initialiser of bytes (words below 256), 16 to a line, as the text of a define."""
    return _initialiser([f"0x{value:02x}" for value in words.reshape(-1).tolist()], 16)


def decimals(values: NDArray[Any]) -> str:
    """A brace-enclosed initialiser of decimal numbers, 16 to a line, as the text of a define."""
    return _initialiser([str(value) for value in values.reshape(-1).tolist()], 16)


def layer_summary(layer: Layer, data_format: str) -> str:
    """One line on a layer: shapes, pooling, padding, activation."""
    window = f"{layer.pool_size}x{layer.pool_size}"
    pooling = f"{layer.pool} pool {window} stride {layer.pool_stride}, " if layer.pool else ""
    kernel = "conv1d 9 stride 3" if layer.op == "conv1d" else "conv2d 3x3"
    bias = "" if layer.bias is None else ", bias"
    return (
        f"Layer {layer.index}: {layer.in_channels}x{layer.height}x{layer.width} ({data_format} data), {pooling}"
        f"{kernel} pad {layer.pad}{bias}{', ReLU' if layer.relu else ''}, "
        f"{layer.out_channels}x{layer.out_height}x{layer.out_width} output"
    )


def network_summary(network: Network) -> list[str]:
    """One line per layer, and one on the classification layer if there is one."""
    lines = [layer_summary(layer, "HWC" if layer.index else network.data_format.upper()) for layer in network.layers]
    if network.fc is not None:
        rows, columns = network.fc.weight.shape
        lines.append(f"Classification layer in software: {columns} inputs, {rows} outputs")
    return lines
