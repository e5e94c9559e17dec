"""YAML network description to a typed description with line numbers; the keys of each device are in grammars.py."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import yaml

from .errors import IzerError, RuleError, Violation
from .grammars import AI84_KEYS, Grammar
from .yamlvalues import NETWORK_INPUT, Parser

MAX_FILE_BYTES = 1 << 20  # a description has a few lines per layer; anything larger is not one


@dataclass(frozen=True)
class Dataset:
    """What the `dataset` key selects: the shape [C, H, W] of the network input and the names of the classes."""

    shape: tuple[int, int, int]
    classes: tuple[str, ...]


CLOTHES = ("top", "trouser", "pullover", "dress", "coat", "sandal", "shirt", "sneaker", "bag", "boot")
THINGS = ("plane", "car", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck")

SUPPORTED_DATASETS: Mapping[str, Dataset] = {
    "mnist": Dataset((1, 28, 28), tuple("0123456789")),
    "fashionmnist": Dataset((1, 28, 28), CLOTHES),
    "fashionmnist_folded": Dataset((5, 16, 16), CLOTHES),
    "cifar-10": Dataset((3, 32, 32), THINGS),
    "cifar-10_constant": Dataset((4, 32, 32), THINGS),
    "kws_20": Dataset(
        (128, 128, 1),
        ("up", "down", "left", "right", "stop", "go", "yes", "no", "on", "off", "one", "two", "three", "four", "five",
         "six", "seven", "eight", "nine", "zero", "unknown"),
    ),
    "waves": Dataset((1, 512, 1), ("noise", "sine", "square", "triangle", "sawtooth")),
    "speechcom": Dataset((1, 64, 64), ("up", "down", "left", "right", "stop", "go", "other")),
}


WITHOUT_WEIGHTS = ("none", "add", "sub", "or", "xor")  # operations


@dataclass(frozen=True)
class LayerDescription:
    """One layer as written; None stands for a key that is absent. `lines` maps keys to lines of the file.

    `in_sequences` are indices of layers in processing order, and NETWORK_INPUT. `later` has the keys that a rule
    refuses because no program is generated for them yet. The keys from `name` on are AI85's.
    """

    line: int
    processors: int
    sequence: int | None = None
    output_processors: int | None = None
    out_offset: int = 0
    pad: int | None = None
    max_pool: tuple[int, int] | None = None
    avg_pool: tuple[int, int] | None = None
    pool_stride: tuple[int, int] = (1, 1)
    activate: str | None = None
    data_format: str | None = None
    quantization: int | None = None
    op: str = "conv2d"
    kernel_size: str | int | None = None
    stride: tuple[int, int] | None = None
    in_offset: int | None = None
    in_channels: int | None = None
    in_dim: tuple[int, int] | None = None
    out_channels: int | None = None
    in_sequences: tuple[int, ...] | None = None
    name: str | None = None
    output_shift: int | None = None
    output_width: int = 8
    flatten: bool = False
    dilation: tuple[int, int] = (1, 1)
    bias_group: tuple[int, ...] | None = None
    eltwise: str | None = None
    operands: int | None = None
    pool_first: bool = True
    later: Mapping[str, Any] = field(default_factory=dict)
    lines: Mapping[str, int] = field(default_factory=dict)

    @property
    def has_weights(self) -> bool:
        """Whether the layer convolves with weights of its own; the others only pool, copy or combine."""
        return self.op not in WITHOUT_WEIGHTS

    def line_of(self, key: str) -> int:
        """Line of a key, or of the layer where the key is absent."""
        return self.lines.get(key, self.line)


@dataclass(frozen=True)
class Description:
    """A whole file: layers in processing order. `text` is what was read."""

    path: str
    arch: str
    dataset: str
    layers: tuple[LayerDescription, ...]
    output_map: int | None = None
    weights: str | None = None
    bias: str | None = None
    lines: Mapping[str, int] = field(default_factory=dict)
    text: bytes = b""

    def sources(self, index: int) -> tuple[int, ...]:
        """The layers whose outputs, one after the other, are a layer's input: by default the layer before."""
        given = self.layers[index].in_sequences
        return (index - 1,) if given is None else given

    def reader(self, index: int) -> int | None:
        """The first later layer that reads a layer's output; None if there is none."""
        later = range(index + 1, len(self.layers))
        return next((n for n in later if index in self.sources(n)), None)


def read_description(path: Path, grammar: Grammar = AI84_KEYS, maps: bool = True) -> Description:
    """Read a YAML network description; otherwise as `parse_description`. Raises IzerError too if there is no file."""
    return parse_description(read_text(path), str(path), grammar, maps)


def parse_description(data: bytes, path: str, grammar: Grammar = AI84_KEYS, maps: bool = True) -> Description:
    """The description in `data` with the keys of a device; without `maps`, `processors` may be missing: then 0.

    Raises IzerError where the data are not YAML, RuleError with every unknown or repeated key, wrong type, missing key
    and repeated sequence number; they name `path`.
    """
    root, constructor = compose(data, path)
    violations: list[Violation] = []
    entries = dict(_entries(root, path, None, violations)) if isinstance(root, yaml.MappingNode) else {}
    if not entries:
        raise IzerError(f"{path}: a network description is a mapping with the keys arch, dataset and layers.")
    values = _global_values(entries, grammar, path, constructor, violations)
    layers = _layers(entries.get("layers"), grammar, path, constructor, maps, violations)
    if violations:
        raise RuleError(violations)
    lines = {key: _line(node) for key, node in entries.items()}
    return Description(path, values["arch"], values["dataset"], layers, values.get("output_map"),
                       values.get("weights"), values.get("bias"), lines, data)


def read_text(path: Path) -> bytes:
    """The content of a network description. Raises IzerError."""
    try:
        return path.read_bytes()
    except OSError as error:
        raise IzerError(f"{path}: cannot read the network description: {error.strerror}.") from None


def compose(data: bytes, path: str) -> tuple[yaml.Node | None, Callable[[yaml.Node], Any]]:
    """Parse a description to YAML nodes, and a function that turns a node into a Python value. Raises IzerError."""
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
    entries: Mapping[str, yaml.Node], grammar: Grammar, path: str, construct: Callable[[yaml.Node], Any],
    violations: list[Violation],
) -> dict[str, Any]:
    for key in entries.keys() - grammar.whole.keys():
        violations.append(Violation("unknown-key", "Only documented keys are allowed.", f"`{key}`",
                                    f"Allowed: {', '.join(grammar.whole)}.", None, f"{path}:{_line(entries[key])}"))
    for key in ("arch", "dataset", "layers"):
        if key not in entries:
            violations.append(Violation("missing-key", f"`{key}` is mandatory.", "nothing", "Add it.", None, path))
    return {key: _parse(key, grammar.whole[key], node, construct, None, path, violations)
            for key, node in entries.items() if key in grammar.whole and key != "layers"}


def _layers(
    node: yaml.Node | None, grammar: Grammar, path: str, construct: Callable[[yaml.Node], Any], maps: bool,
    violations: list[Violation],
) -> tuple[LayerDescription, ...]:
    if node is None:
        return ()
    if not isinstance(node, yaml.SequenceNode) or not node.value:
        violations.append(Violation("type", "`layers` is a list with at least one layer.", "something else", "", None,
                                    f"{path}:{_line(node)}"))
        return ()
    listed = [_layer(n, item, grammar, path, construct, maps, violations) for n, item in enumerate(node.value)]
    return _in_order([layer for layer in listed if layer], path, violations)


def _layer(
    number: int, node: yaml.Node, grammar: Grammar, path: str, construct: Callable[[yaml.Node], Any], maps: bool,
    violations: list[Violation],
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
        if key not in grammar.keys:
            violations.append(Violation("unknown-layer-key", "Only documented keys are allowed in a layer.",
                                        f"`{key}`", f"Allowed: {', '.join(grammar.keys)}.", number,
                                        f"{path}:{_line(value_node)}"))
            continue
        name, parser = grammar.keys[key]
        if name in values and key not in written:
            violations.append(Violation("key-synonyms", "A setting is written once, under one of its names.",
                                        f"`{key}` sets `{name}` again", "Remove one.", number,
                                        f"{path}:{_line(value_node)}"))
        written.add(key)
        values[name] = _parse(key, parser, value_node, construct, number, path, violations)
        lines[name] = _line(value_node)
    if not maps:
        values.setdefault("processors", 0)
    if "processors" not in values:
        violations.append(Violation("missing-key", "`processors` is mandatory in every layer.", "nothing",
                                    "Add the map of the processors that handle the input channels.", number,
                                    f"{path}:{_line(node)}"))
    if values.get("processors") is None:
        return None
    given = {key: values.pop(key) for key in grammar.later if key in values}
    later = {key: value for key, value in given.items() if value != grammar.later[key][1]}
    return LayerDescription(line=_line(node), later=later, lines=lines, **values)


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
    known: dict[int | str, int] = {NETWORK_INPUT: NETWORK_INPUT}
    listed = []
    for n, (position, layer) in enumerate(sorted(ordered.items())):
        listed.append(replace(layer, in_sequences=_indices(layer, n, known, path, violations)))
        if layer.name in (*known, "input", "stop"):
            violations.append(Violation("name", "Every name of a layer is its own, and neither `input` nor `stop`.",
                                        f"`{layer.name}`", "", n, f"{path}:{layer.line_of('name')}"))
        known |= {position: n} if layer.name is None else {position: n, layer.name: n}
    return tuple(listed)


def _indices(
    layer: LayerDescription, index: int, known: Mapping[int | str, int], path: str, violations: list[Violation]
) -> tuple[int, ...] | None:
    """`in_sequences` as indices of layers in processing order; `known` has the layers that run before."""
    if layer.in_sequences is None:
        return None
    unknown = [number for number in layer.in_sequences if number not in known]
    if unknown:
        violations.append(Violation("in-sequences", "A layer reads the outputs of layers that run before it.",
                                    f"sequence {unknown[0]}", "Use -1 for the network input.", index,
                                    f"{path}:{layer.line_of('in_sequences')}"))
        return None
    return tuple(known[number] for number in layer.in_sequences)
