"""A completed description as YAML, to read and to edit: what was written stays as it was, the rest is added."""

from typing import Any

import yaml

from ..network import Layer, Network
from ..placement import LayerPlace, Placement
from ..yamlcfg import Description, LayerDescription, compose

MAPS = ("processors", "output_processors", "output_map")
OFFSETS = ("out_offset", "in_offset")


def yaml_text(description: Description, network: Network, placement: Placement, heading: list[str]) -> bytes:
    """A completed description as a file; `heading` becomes its first lines, which are comments."""
    root, construct = compose(description.text, description.path)
    written = construct(root) if root is not None else {}
    by_line = {int(node.start_mark.line) + 1: construct(node) for node in _layer_nodes(root)}
    lines = [*(f"# {line}" for line in heading), "", f"arch: {_plain(written['arch'])}",
             f"dataset: {_plain(written['dataset'])}"]  # fmt: skip
    lines += [f"{key}: {_value(key, value)}" for key, value in written.items()
              if key not in ("arch", "dataset", "layers")]  # fmt: skip
    lines += ["", "layers:"]
    places = dict(enumerate(placement.layers))
    for number, layer in enumerate(description.layers):
        keys = dict(by_line[layer.line])
        if number in places:
            keys |= _added(layer, keys)
            lines.append(f"# {_comment(network.layers[number], places[number])}")
        text = [f"{key}: {_value(key, value)}" for key, value in keys.items()]
        lines += [f"- {text[0]}", *(f"  {line}" for line in text[1:])]
    return ("\n".join(lines) + "\n").encode()


def _layer_nodes(root: yaml.Node | None) -> list[yaml.Node]:
    assert isinstance(root, yaml.MappingNode)
    return next(list(value.value) for key, value in root.value if key.value == "layers")


def _added(layer: LayerDescription, written: dict[str, Any]) -> dict[str, Any]:
    """The keys of a layer that were not written."""
    values = {"data_format": layer.data_format and layer.data_format.upper(), "processors": layer.processors,
              "output_processors": layer.output_processors, "in_offset": layer.in_offset,
              "out_offset": layer.out_offset}  # fmt: skip
    return {key: value for key, value in values.items() if key not in written and value is not None}


def _comment(layer: Layer, place: LayerPlace) -> str:
    """What a layer is, and what follows from its maps."""
    shape = (f"{layer.in_channels}x{layer.height}x{layer.width} -> "
             f"{layer.out_channels}x{layer.out_height}x{layer.out_width}")  # fmt: skip
    last = place.kernel_column + max(place.columns, default=-1)
    columns = f"; weights in columns {place.kernel_column} to {last}" if place.columns else ""
    bias = f"; biases {place.bias.entry} to {place.bias.entry + place.bias.count - 1} of group {place.bias.group}" if (
        place.bias) else ""  # fmt: skip
    return f"Layer {layer.index}: {shape}{columns}{bias}"


def _value(key: str, value: Any) -> str:
    if isinstance(value, int) and not isinstance(value, bool) and key in (*MAPS, *OFFSETS):
        return f"0x{value:016x}" if key in MAPS else f"0x{value:04x}"
    return _plain(value)


def _plain(value: Any) -> str:
    """A value in one line of YAML."""
    return str(yaml.safe_dump(value, default_flow_style=True, width=1000)).removesuffix("\n").removesuffix("\n...")
