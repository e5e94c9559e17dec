"""Reads a Distiller YAML schedule into frozen data; every complaint names the file and the line."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

import yamlfile
from errors import UserError
from yamlfile import YamlReader

COMPONENTS_TO_COME = ("pruners", "regularizers", "quantizers", "extensions")
SECTIONS = ("version", "lr_schedulers", "policies")
PERIOD = ("starting_epoch", "ending_epoch", "frequency")


@dataclass(frozen=True)
class Component:
    """An instance that the file defines: the class to build and its constructor arguments."""

    name: str
    class_name: str
    arguments: dict[str, Any]
    line: int


@dataclass(frozen=True)
class Policy:
    """In which epochs (counted from 0) the component `instance_name` is active."""

    instance_name: str
    epochs: range | tuple[int, ...]


@dataclass(frozen=True)
class Schedule:
    """One YAML file: its components by name, and the policies in file order."""

    path: Path
    text: str
    lr_schedulers: dict[str, Component]
    policies: tuple[Policy, ...]

    def error(self, line: int, message: str) -> UserError:
        """The error for something in line `line` of this file."""
        return UserError(f"{self.path}:{line}: {message}")


class Reader(YamlReader):
    """Turns the YAML nodes of one schedule into frozen data."""

    def schedule(self, text: str) -> Schedule:
        """The whole file."""
        root = self.loader.get_single_node()
        sections = self.mapping(root, "the schedule") if root is not None else {}
        for name, (key, _) in sections.items():
            if name in COMPONENTS_TO_COME:
                raise self.error(
                    key, f"{name!r} are not supported yet, they come later; remove this section to train without"
                )
            if name not in SECTIONS:
                raise self.error(key, f"unknown section {name!r}; known are {', '.join(SECTIONS)}")
        components = self.components(sections["lr_schedulers"][1]) if "lr_schedulers" in sections else {}
        policies = self.policies(sections["policies"][1], components) if "policies" in sections else ()
        return Schedule(self.path, text, components, policies)

    def components(self, node: yaml.Node) -> dict[str, Component]:
        """The section `lr_schedulers`."""
        result = {}
        for name, (key, value) in self.mapping(node, "lr_schedulers").items():
            arguments = {key: self.value(node) for key, (_, node) in self.mapping(value, name).items()}
            if "class" not in arguments:
                raise self.error(key, f"{name!r} needs a key 'class', the name of a learning-rate scheduler")
            result[name] = Component(name, str(arguments.pop("class")), arguments, key.start_mark.line + 1)
        return result

    def policies(self, node: yaml.Node, components: dict[str, Component]) -> tuple[Policy, ...]:
        """The section `policies`."""
        if not isinstance(node, yaml.SequenceNode):
            raise self.error(node, "policies must be a list")
        return tuple(self.policy(entry, components) for entry in node.value)

    def policy(self, node: yaml.Node, components: dict[str, Component]) -> Policy:
        """One entry of the section `policies`."""
        entries = self.mapping(node, "a policy")
        for name, (key, _) in entries.items():
            if f"{name}s" in COMPONENTS_TO_COME:
                raise self.error(key, f"{name!r} policies are not supported yet, they come later; remove this policy")
            if name not in ("lr_scheduler", "epochs", *PERIOD):
                raise self.error(
                    key, f"unknown key {name!r} in a policy; known are lr_scheduler, epochs, {', '.join(PERIOD)}"
                )
        if "lr_scheduler" not in entries:
            raise self.error(node, "a policy needs the key 'lr_scheduler'")
        return Policy(self.instance(entries["lr_scheduler"][1], components), self.epochs(node, entries))

    def instance(self, node: yaml.Node, components: dict[str, Component]) -> str:
        """The component that a policy names."""
        entries = self.mapping(node, "lr_scheduler")
        for name, (key, _) in entries.items():
            if name != "instance_name":
                raise self.error(key, f"unknown key {name!r} in lr_scheduler; known is instance_name")
        if "instance_name" not in entries:
            raise self.error(node, "lr_scheduler needs the key 'instance_name'")
        name = str(self.value(entries["instance_name"][1]))
        if name not in components:
            raise self.error(node, f"no lr_scheduler is named {name!r}; defined are {', '.join(components) or 'none'}")
        return name

    def epochs(self, node: yaml.Node, entries: dict[str, tuple[yaml.Node, yaml.Node]]) -> range | tuple[int, ...]:
        """The epochs in which a policy is active: a list, or a period whose end is exclusive."""
        numbers = {name: self.value(value) for name, (_, value) in entries.items() if name != "lr_scheduler"}
        if "epochs" in numbers:
            listed = numbers.pop("epochs")
            if numbers or not isinstance(listed, list) or not all(isinstance(epoch, int) for epoch in listed):
                raise self.error(
                    node, "a policy needs either epochs (a list of integers) or starting_epoch, ending_epoch, frequency"
                )
            return tuple(listed)
        if sorted(numbers) != sorted(PERIOD) or not all(isinstance(number, int) for number in numbers.values()):
            raise self.error(
                node,
                f"a policy needs either epochs or all of {', '.join(PERIOD)}, as integers; given "
                f"{', '.join(numbers) or 'none'}",
            )
        start, end, frequency = (numbers[name] for name in PERIOD)
        if start < 0 or not 0 < frequency <= end - start:
            raise self.error(
                node,
                "a policy needs starting_epoch >= 0 and 0 < frequency <= ending_epoch - starting_epoch; "
                f"given {start}, {end}, {frequency}",
            )
        return range(start, end, frequency)


def read_schedule(path: Path) -> Schedule:
    """Read a schedule file; UserError with file and line for everything in it that is not understood."""
    return yamlfile.read(path, "the schedule", lambda text: Reader(path, text).schedule(text))
