"""Reads YAML files so that every complaint names the file and the line."""

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import yaml

from errors import UserError

Result = TypeVar("Result")


class Loader(yaml.SafeLoader):
    """YAML whose numbers may be written 1e-3, which YAML 1.1 would read as text."""


Loader.add_implicit_resolver(
    "tag:yaml.org,2002:float", re.compile(r"^[-+]?[0-9]+(\.[0-9]*)?[eE][-+]?[0-9]+$"), list("-+0123456789")
)


class YamlReader:
    """Turns the YAML nodes of one file into plain values."""

    def __init__(self, path: Path, text: str) -> None:
        self.path = path
        self.loader = Loader(text)

    def error(self, node: yaml.Node, message: str) -> UserError:
        """The error for something at `node`."""
        return UserError(f"{self.path}:{node.start_mark.line + 1}: {message}")

    def value(self, node: yaml.Node) -> Any:
        """The plain Python value of `node`."""
        return self.loader.construct_object(node, deep=True)

    def mapping(self, node: yaml.Node, what: str) -> dict[str, tuple[yaml.Node, yaml.Node]]:
        """The (key node, value node) of each key of a mapping; refuses anything else, and keys given twice."""
        if not isinstance(node, yaml.MappingNode):
            raise self.error(node, f"{what} must be a mapping of names to values")
        entries: dict[str, tuple[yaml.Node, yaml.Node]] = {}
        for key, value in node.value:
            name = str(self.value(key))
            if name in entries:
                raise self.error(key, f"{name!r} is given twice in {what}")
            entries[name] = (key, value)
        return entries


def read(path: Path, what: str, interpret: Callable[[str], Result]) -> Result:
    """What `interpret` makes of the file's text; UserError when `what` (the schedule, say) cannot be read."""
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(f"{path}: {what} cannot be read ({error})") from error
    try:
        return interpret(text)
    except yaml.MarkedYAMLError as error:
        line = error.problem_mark.line + 1 if error.problem_mark else 1
        raise UserError(f"{path}:{line}: not valid YAML: {error.problem}") from error
