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


def pooling_text(layer: Layer) -> str:
    """Kind, window and stride of a layer's pooling; empty without."""
    if not layer.pool:
        return "" if layer.pool_stride == 1 else f"every {layer.pool_stride}th pixel, "
    return f"{layer.pool} pool {layer.window[0]}x{layer.window[1]} stride {layer.pool_stride}, "


def kernel_text(layer: Layer) -> str:
    """Operation and kernel of a layer, with weights of fewer than 8 bits."""
    if not layer.convolves:
        return "pass-through"
    bits = "" if layer.weight_bits == 8 else f" of {layer.weight_bits} bits"
    if layer.op == "linear":
        return f"{'flatten, ' if layer.flatten else ''}linear{bits}"
    if layer.op == "conv2d":
        return f"conv2d {layer.kernel[0]}x{layer.kernel[1]}{bits}"
    if layer.kernel == (3, 3):
        return "conv1d 9 stride 3"  # the only one of AI84 (AI84 hardware reference 12.6)
    return f"conv1d {layer.kernel[0]}{f' dilation {layer.dilation}' if layer.dilation > 1 else ''}{bits}"


def layer_summary(layer: Layer, data_format: str) -> str:
    """One line on a layer: shapes, pooling, padding, activation."""
    parts = [
        f"Layer {layer.index}: {layer.in_channels}x{layer.height}x{layer.width} ({data_format} data), "
        f"{pooling_text(layer)}{kernel_text(layer)} pad {layer.pad}",
        "bias" if layer.bias is not None else "",
        {"relu": "ReLU", "abs": "Abs"}.get(layer.activation, ""),
        f"{layer.out_channels}x{layer.out_height}x{layer.out_width} {'32-bit ' if layer.wide else ''}output",
    ]
    return ", ".join(part for part in parts if part)


def network_summary(network: Network) -> list[str]:
    """One line per layer, and one on the classification layer if there is one."""
    lines = [layer_summary(layer, "HWC" if layer.index else network.data_format.upper()) for layer in network.layers]
    if network.fc is not None:
        rows, columns = network.fc.weight.shape
        lines.append(f"Classification layer in software: {columns} inputs, {rows} outputs")
    return lines
