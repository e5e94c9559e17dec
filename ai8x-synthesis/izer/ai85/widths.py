"""The widths of the weights that a network description asks for: its key `quantization`, and nothing else of it."""

from pathlib import Path

import yaml

from ..errors import IzerError
from ..yamlcfg import compose, read_text

WEIGHT_BITS = (1, 2, 4, 8)  # AI85 hardware reference 1.4
OPERATION_KEYS = ("op", "operation", "operator", "convolution")
WITHOUT_WEIGHTS = ("none", "passthrough", "add", "sub", "or", "bitwiseor", "bitwise_or", "xor", "bitwisexor",
                   "bitwise_xor")  # fmt: skip


def read_widths(path: Path) -> tuple[int | None, ...]:
    """Bits of the weights, 1, 2, 4 or 8, of every layer with weights of its own, in the order in which they run.

    None stands for a layer that does not say. Layers that only pool, copy or combine, and layers with the weights of
    another one, have no place in the list, since the checkpoint has no weights for them either. Raises IzerError with
    the line for a file that is no description, and for another width (AI85 hardware reference 13.2).
    """
    layers = _child(compose(read_text(path), str(path))[0], "layers")
    if not isinstance(layers, yaml.SequenceNode):
        raise IzerError(f"{path}: a network description has a list `layers`; this has none.")
    ordered: dict[int, yaml.Node] = {}
    last = -1
    for layer in layers.value:
        if not isinstance(layer, yaml.MappingNode):
            raise IzerError(f"{_place(path, layer)}: a layer is a mapping of keys.")
        last = _sequence(path, layer, last + 1)
        if last in ordered:
            raise IzerError(f"{_place(path, layer)}: two layers have the sequence number {last}; change one.")
        ordered[last] = layer
    return tuple(_width(path, layer) for _, layer in sorted(ordered.items()) if _has_weights(layer))


def _child(node: yaml.Node | None, key: str) -> yaml.Node | None:
    entries = node.value if isinstance(node, yaml.MappingNode) else []
    return next((value for name, value in entries if name.value == key), None)


def _text(node: yaml.Node | None) -> str:
    """A scalar as it is written, in lower case; empty for anything else."""
    return str(node.value).lower() if isinstance(node, yaml.ScalarNode) else ""


def _place(path: Path, node: yaml.Node) -> str:
    return f"{path}:{node.start_mark.line + 1}"


def _sequence(path: Path, layer: yaml.Node, following: int) -> int:
    """The place of a layer in the order of execution; `following` where it does not say."""
    node = _child(layer, "sequence")
    if node is None:
        return following
    if not (_text(node).isascii() and _text(node).isdigit() and len(_text(node)) < 5):
        raise IzerError(f"{_place(path, node)}: `sequence` is an integer from 0; given {_text(node) or 'no number'!r}.")
    return int(_text(node))


def _has_weights(layer: yaml.Node) -> bool:
    operation = next((_text(node) for key in OPERATION_KEYS if (node := _child(layer, key))), "")
    shared = _child(layer, "weight_source") is not None or _text(_child(layer, "bypass")) == "true"
    return operation not in WITHOUT_WEIGHTS and not shared


def _width(path: Path, layer: yaml.Node) -> int | None:
    node = _child(layer, "quantization")
    if node is None:
        return None
    width = {str(bits): bits for bits in WEIGHT_BITS}.get(_text(node))
    if width is None:
        raise IzerError(f"{_place(path, node)}: `quantization` is 1, 2, 4 or 8; given {_text(node) or 'no number'!r}.")
    return width
