"""Where in a YAML file something stands."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import yaml

from errors import UserError

Keys = tuple[str | int, ...]
"""Keys of mappings and indices of lists, one in the other."""


@dataclass(frozen=True)
class Place:
    """A part of a YAML file; complaints about it, or about something in it, name the line."""

    path: Path
    node: yaml.Node

    def error(self, keys: Keys, message: str) -> UserError:
        """The error for what `keys` lead to, or for the innermost part around it that exists."""
        line, _ = self.locate(keys)
        return UserError(f"{self.path}:{line}: {message}")

    def known(self, keys: Keys) -> Keys:
        """The first of `keys`, as far as the file has them."""
        _, depth = self.locate(keys)
        return keys[:depth]

    def search(self, text: str) -> Keys:
        """The keys that lead to the first key or value that ends with `text`; none when there is no such thing."""
        return next((keys for keys, found in scalars(self.node) if found.endswith(text)), ())

    def locate(self, keys: Keys) -> tuple[int, int]:
        """The line of what `keys` lead to, and how many of them exist."""
        mark, node = self.node, self.node
        for depth, key in enumerate(keys):
            inside = children(node)
            if key not in inside:
                return mark.start_mark.line + 1, depth
            mark, node = inside[key]
        return mark.start_mark.line + 1, len(keys)


def children(node: yaml.Node) -> dict[str | int, tuple[yaml.Node, yaml.Node]]:
    """What is in a mapping or a list: the node that says where it stands, and the node with the value."""
    if isinstance(node, yaml.MappingNode):
        return {name.value: (name, value) for name, value in node.value if isinstance(name, yaml.ScalarNode)}
    if isinstance(node, yaml.SequenceNode):
        return {index: (value, value) for index, value in enumerate(node.value)}
    return {}


def scalars(node: yaml.Node) -> Iterator[tuple[Keys, str]]:
    """All keys and plain values in a node, with the keys that lead there."""
    for key, (_, value) in children(node).items():
        yield (key,), str(key)
        if isinstance(value, yaml.ScalarNode):
            yield (key,), value.value
        for keys, found in scalars(value):
            yield (key, *keys), found
