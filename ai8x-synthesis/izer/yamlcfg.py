"""YAML network description to a typed description with line numbers (grammar: AI84 hardware reference 11)."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import yaml

from .errors import IzerError, RuleError, Violation

MAX_FILE_BYTES = 1 << 20  # a description has a few lines per layer; anything larger is not one
MASK64 = (1 << 64) - 1
NETWORK_INPUT = -1  # in `in_sequences`: the network input


@dataclass(frozen=True)
class Dataset:
    """What the `dataset` key selects: the shape [C, H, W] of the network input and the names of the classes."""

    shape: tuple[int, int, int]
    classes: tuple[str, ...]


SUPPORTED_DATASETS: Mapping[str, Dataset] = {
    "mnist": Dataset((1, 28, 28), tuple("0123456789")),
    "fashionmnist": Dataset(
        (1, 28, 28),
        ("top", "trouser", "pullover", "dress", "coat", "sandal", "shirt", "sneaker", "bag", "boot"),
    ),
    "cifar-10": Dataset(
        (3, 32, 32), ("plane", "car", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck")
    ),
    "speechcom": Dataset((1, 64, 64), ("up", "down", "left", "right", "stop", "go", "other")),
}


@dataclass(frozen=True)
class LayerDescription:
    """One layer as written; None stands for a key that is absent. `lines` maps keys to lines of the file.

    `in_sequences` are indices of layers in processing order, and NETWORK_INPUT.
    """

    line: int
    processors: int
    sequence: int | None = None
    output_processors: int | None = None
    out_offset: int = 0
    pad: int | None = None
    max_pool: int = 0
    avg_pool: int = 0
    pool_stride: int = 1
    activate: str | None = None
    data_format: str | None = None
    quantization: int = 8
    op: str = "conv2d"
    kernel_size: str | int | None = None
    stride: int | None = None
    in_offset: int | None = None
    in_channels: int | None = None
    in_dim: tuple[int, int] | None = None
    out_channels: int | None = None
    in_sequences: tuple[int, ...] | None = None
    lines: Mapping[str, int] = field(default_factory=dict)

    def line_of(self, key: str) -> int:
        """Line of a key, or of the layer where the key is absent."""
        return self.lines.get(key, self.line)


@dataclass(frozen=True)
class Description:
    """A whole file: layers in processing order."""

    path: str
    arch: str
    dataset: str
    layers: tuple[LayerDescription, ...]
    output_map: int | None = None
    weights: str | None = None
    bias: str | None = None
    lines: Mapping[str, int] = field(default_factory=dict)

    def sources(self, index: int) -> tuple[int, ...]:
        """The layers whose outputs, one after the other, are a layer's input: by default the layer before."""
        given = self.layers[index].in_sequences
        return (index - 1,) if given is None else given

    def reader(self, index: int) -> int | None:
        """The first later layer that reads a layer's output; None if there is none."""
        later = range(index + 1, len(self.layers))
        return next((n for n in later if index in self.sources(n)), None)


# A parser takes the YAML value and returns the checked value, or raises ValueError with what the key must be.
Parser = Callable[[Any], Any]


def _integer(value: Any) -> int:
    if isinstance(value, bool) or not isinstance(value, int):
        raise ValueError("an integer")
    return value


def _map64(value: Any) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or not 0 < value <= MASK64:
        raise ValueError("a 64-bit integer (a bit map) with at least one bit set")
    return value


def _sequence(value: Any) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value <= 31:
        raise ValueError("an integer from 0 to 31")
    return value


def _text(value: Any) -> str:
    if not isinstance(value, str) or not value:
        raise ValueError("a text")
    return value


def _positive(value: Any) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or value < 1:
        raise ValueError("an integer from 1")
    return value


def _square(value: Any) -> int:
    """A size, or two equal ones: pooling is square on AI84 (11.3)."""
    sides = value if isinstance(value, list) else [value]
    if len(sides) > 2 or not sides or any(isinstance(n, bool) or not isinstance(n, int) for n in sides):
        raise ValueError("an integer, or two equal ones")
    if sides[0] != sides[-1]:
        raise ValueError("an integer, or two equal ones: pooling is square")
    return int(sides[0])


def _dimensions(value: Any) -> tuple[int, int]:
    sides = value if isinstance(value, list) else [value, 1]
    if len(sides) != 2 or any(isinstance(n, bool) or not isinstance(n, int) or n < 1 for n in sides):
        raise ValueError("a list of rows and columns, or a length")
    return (sides[0], sides[1])


def _sequences(value: Any) -> tuple[int, ...]:
    """Sequence numbers of layers; _in_order() turns them into indices."""
    listed = [NETWORK_INPUT if n == "input" else n for n in (value if isinstance(value, list) else [value])]
    if not listed or any(isinstance(n, bool) or not isinstance(n, int) or not -1 <= n <= 31 for n in listed):
        raise ValueError("an earlier layer's sequence number, -1 or `input` for the network input, or a list of them")
    return tuple(listed)


def _choice(**names: str | None) -> Parser:
    """Parser for one of several words, in any case; `names` maps words to their meaning."""

    def parse(value: Any) -> str | None:
        if not isinstance(value, str) or value.lower() not in names:
            raise ValueError("one of " + ", ".join(names))
        return names[value.lower()]

    return parse


def _kernel_size(value: Any) -> str | int:
    if isinstance(value, bool) or value not in ("3x3", 9):
        raise ValueError("3x3, or 9 for conv1d")
    return "3x3" if value == "3x3" else 9


def _one_of(*allowed: int) -> Parser:
    def parse(value: Any) -> int:
        if isinstance(value, bool) or value not in allowed:
            raise ValueError(" or ".join(map(str, allowed)))
        return int(value)

    return parse


OPERATION = _choice(conv2d="conv2d", conv1d="conv1d")
GLOBAL_KEYS: Mapping[str, Parser] = {
    "arch": _text,
    "dataset": _text,
    "layers": lambda value: value,
    "output_map": _map64,
    "weights": _text,
    "bias": _text,
}
LAYER_KEYS: Mapping[str, tuple[str, Parser]] = {  # YAML key: field, parser
    "sequence": ("sequence", _sequence),
    "processors": ("processors", _map64),
    "output_processors": ("output_processors", _map64),
    "out_offset": ("out_offset", _integer),
    "pad": ("pad", _integer),
    "max_pool": ("max_pool", _square),
    "avg_pool": ("avg_pool", _square),
    "pool_stride": ("pool_stride", _square),
    "activate": ("activate", _choice(relu="relu", none=None)),
    "activation": ("activate", _choice(relu="relu", none=None)),
    "data_format": ("data_format", _choice(chw="chw", big="chw", hwc="hwc", little="hwc")),
    "quantization": ("quantization", _one_of(8)),
    "op": ("op", OPERATION),
    "operation": ("op", OPERATION),
    "operator": ("op", OPERATION),
    "convolution": ("op", OPERATION),
    "kernel_size": ("kernel_size", _kernel_size),
    "stride": ("stride", _one_of(1, 3)),
    "in_offset": ("in_offset", _integer),
    "in_channels": ("in_channels", _positive),
    "in_dim": ("in_dim", _dimensions),
    "out_channels": ("out_channels", _positive),
    "in_sequences": ("in_sequences", _sequences),
}


def read_description(path: Path) -> Description:
    """Read a YAML network description.

    Raises IzerError where the file cannot be read or is not YAML, RuleError with every unknown or repeated key,
    wrong type, missing key and repeated sequence number.
    """
    root, constructor = compose(path)
    violations: list[Violation] = []
    entries = dict(_entries(root, str(path), None, violations)) if isinstance(root, yaml.MappingNode) else {}
    if not entries:
        raise IzerError(f"{path}: a network description is a mapping with the keys arch, dataset and layers.")
    values = _global_values(entries, str(path), constructor, violations)
    layers = _layers(entries.get("layers"), str(path), constructor, violations)
    if violations:
        raise RuleError(violations)
    lines = {key: _line(node) for key, node in entries.items()}
    return Description(str(path), values["arch"], values["dataset"], layers, values.get("output_map"),
                       values.get("weights"), values.get("bias"), lines)


def compose(path: Path) -> tuple[yaml.Node | None, Callable[[yaml.Node], Any]]:
    """Parse a file to YAML nodes, and a function that turns a node into a Python value."""
    try:
        data = path.read_bytes()
    except OSError as error:
        raise IzerError(f"{path}: cannot read the network description: {error.strerror}.") from None
    if len(data) > MAX_FILE_BYTES:
        raise IzerError(f"{path}: a network description has at most {MAX_FILE_BYTES} bytes; this has {len(data)}.")
    try:
        loader = yaml.SafeLoader(data.decode("utf-8"))
        return loader.get_single_node(), lambda node: loader.construct_object(node, deep=True)
    except UnicodeDecodeError as error:
        raise IzerError(f"{path}: the file is not UTF-8 text (byte {error.start}).") from None
    except yaml.YAMLError as error:
        raise IzerError(f"{path}{_mark(error)}: not valid YAML: {_problem(error)}.") from None
    except RecursionError:
        raise IzerError(f"{path}: not a network description: nested too deeply.") from None


def _mark(error: yaml.YAMLError) -> str:
    mark = getattr(error, "problem_mark", None)
    return f":{mark.line + 1}" if mark else ""


def _problem(error: yaml.YAMLError) -> str:
    return str(getattr(error, "problem", None) or getattr(error, "reason", None) or error).splitlines()[0]


def _line(node: yaml.Node) -> int:
    return int(node.start_mark.line) + 1


def _entries(
    mapping: yaml.MappingNode, path: str, layer: int | None, violations: list[Violation]
) -> Iterator[tuple[str, yaml.Node]]:
    """Keys and value nodes of a mapping; repeated keys are violations."""
    seen: dict[str, int] = {}
    for key_node, value_node in mapping.value:
        key = str(key_node.value)
        if key in seen:
            violations.append(Violation("duplicate-key", "Every key stands once.", f"`{key}` in lines {seen[key]} and "
                                        f"{_line(key_node)}", "Remove one.", layer, f"{path}:{_line(key_node)}"))
        seen.setdefault(key, _line(key_node))
        yield key, value_node


def _parse(
    key: str, parser: Parser, node: yaml.Node, construct: Callable[[yaml.Node], Any],
    layer: int | None, path: str, violations: list[Violation],
) -> Any:
    """Parsed value of a key; None and a violation if it is of the wrong type."""
    try:
        value = construct(node)
    except (yaml.YAMLError, ValueError, RecursionError):
        value = getattr(node, "value", None)
    try:
        return parser(value)
    except ValueError as error:
        given = repr(value) if len(repr(value)) < 60 else repr(value)[:57] + "..."
        violations.append(Violation("type", f"`{key}` is {error}.", given, "", layer, f"{path}:{_line(node)}"))
        return None


def _global_values(
    entries: Mapping[str, yaml.Node], path: str, construct: Callable[[yaml.Node], Any], violations: list[Violation]
) -> dict[str, Any]:
    for key in entries.keys() - GLOBAL_KEYS.keys():
        violations.append(Violation("unknown-key", "Only documented keys are allowed.", f"`{key}`",
                                    f"Allowed: {', '.join(GLOBAL_KEYS)}.", None, f"{path}:{_line(entries[key])}"))
    for key in ("arch", "dataset", "layers"):
        if key not in entries:
            violations.append(Violation("missing-key", f"`{key}` is mandatory.", "nothing", "Add it.", None, path))
    return {key: _parse(key, GLOBAL_KEYS[key], node, construct, None, path, violations)
            for key, node in entries.items() if key in GLOBAL_KEYS and key != "layers"}


def _layers(
    node: yaml.Node | None, path: str, construct: Callable[[yaml.Node], Any], violations: list[Violation]
) -> tuple[LayerDescription, ...]:
    if node is None:
        return ()
    if not isinstance(node, yaml.SequenceNode) or not node.value:
        violations.append(Violation("type", "`layers` is a list with at least one layer.", "something else", "", None,
                                    f"{path}:{_line(node)}"))
        return ()
    listed = [_layer(n, item, path, construct, violations) for n, item in enumerate(node.value)]
    return _in_order([layer for layer in listed if layer], path, violations)


def _layer(
    number: int, node: yaml.Node, path: str, construct: Callable[[yaml.Node], Any], violations: list[Violation]
) -> LayerDescription | None:
    """One layer; None if it has no processors (a violation then)."""
    if not isinstance(node, yaml.MappingNode):
        violations.append(Violation("type", "A layer is a mapping of keys.", "something else", "", number,
                                    f"{path}:{_line(node)}"))
        return None
    values: dict[str, Any] = {}
    lines: dict[str, int] = {}
    written: set[str] = set()
    for key, value_node in _entries(node, path, number, violations):
        if key not in LAYER_KEYS:
            violations.append(Violation("unknown-layer-key", "Only documented keys are allowed in a layer.",
                                        f"`{key}`", f"Allowed: {', '.join(LAYER_KEYS)}.", number,
                                        f"{path}:{_line(value_node)}"))
            continue
        name, parser = LAYER_KEYS[key]
        if name in values and key not in written:
            violations.append(Violation("key-synonyms", "A setting is written once, under one of its names.",
                                        f"`{key}` sets `{name}` again", "Remove one.", number,
                                        f"{path}:{_line(value_node)}"))
        written.add(key)
        values[name] = _parse(key, parser, value_node, construct, number, path, violations)
        lines[name] = _line(value_node)
    if "processors" not in values:
        violations.append(Violation("missing-key", "`processors` is mandatory in every layer.", "nothing",
                                    "Add the map of the processors that handle the input channels.", number,
                                    f"{path}:{_line(node)}"))
    if values.get("processors") is None:
        return None
    return LayerDescription(line=_line(node), lines=lines, **values)


def _in_order(
    layers: list[LayerDescription], path: str, violations: list[Violation]
) -> tuple[LayerDescription, ...]:
    """Processing order: `sequence`, by default one more than the layer before; gaps are contracted (11.2)."""
    ordered: dict[int, LayerDescription] = {}
    position = -1
    for layer in layers:
        position = position + 1 if layer.sequence is None else layer.sequence
        if position in ordered:
            violations.append(Violation("sequence", "Every layer has a sequence number of its own.",
                                        f"{position} in lines {ordered[position].line} and {layer.line}", "",
                                        None, f"{path}:{layer.line}"))
        ordered[position] = layer
    positions = sorted(ordered)
    return tuple(replace(ordered[position], in_sequences=_indices(ordered[position], n, positions, path, violations))
                 for n, position in enumerate(positions))  # fmt: skip


def _indices(
    layer: LayerDescription, index: int, positions: list[int], path: str, violations: list[Violation]
) -> tuple[int, ...] | None:
    """`in_sequences` as indices of layers in processing order."""
    if layer.in_sequences is None:
        return None
    known = {NETWORK_INPUT: NETWORK_INPUT} | {position: n for n, position in enumerate(positions[:index])}
    unknown = [number for number in layer.in_sequences if number not in known]
    if unknown:
        violations.append(Violation("in-sequences", "A layer reads the outputs of layers that run before it.",
                                    f"sequence {unknown[0]}", "Use -1 for the network input.", index,
                                    f"{path}:{layer.line_of('in_sequences')}"))
        return None
    return tuple(known[number] for number in layer.in_sequences)
