"""Reads a Distiller YAML schedule into frozen data; complaints name file, line and key, and come all together."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml
from pydantic import ValidationError
from pydantic_core import ErrorDetails

import yamlfile
from distiller.learning_rates import LR_SCHEDULERS
from distiller.place import Keys, Place
from distiller.pruners import PRUNERS, PruningArguments
from distiller.quantizers import QUANTIZERS, Quantizer
from distiller.regularizers import REGULARIZERS, RegularizationArguments
from distiller.settings import Settings
from errors import UserError
from yamlfile import YamlReader

ARGUMENTS: Mapping[str, type[Settings]] = {
    "lr_scheduler": Settings,
    "pruner": PruningArguments,
    "regularizer": RegularizationArguments,
    "quantizer": Settings,
}
"""The kinds of components, and what a policy can give to one as `args`; the file defines them in the plural."""
Entries = Mapping[str, tuple[yaml.Node, yaml.Node]]
"""The node of each key of a mapping, and that of its value."""
PYDANTIC = re.compile("Input|List|Value error,| after validation, not 0")
"""What is left out of pydantic's messages."""
PERIOD = ("starting_epoch", "ending_epoch", "frequency")
EXTENSIONS = "extensions (thinning among them) are not supported; remove them to train without"


@dataclass(frozen=True)
class Component:
    """An instance that the file defines: its name, its kind (`pruner`, say), and what it was given."""

    name: str
    kind: str
    settings: Settings
    place: Place = field(compare=False)

    def error(self, keys: Keys, message: str) -> UserError:
        """The error for one of its keys."""
        return self.place.error(keys, f"{type(self.settings).__name__} {self.name!r}: {message}")

    def mention(self, parameter: str, message: str) -> UserError:
        """The error for a parameter of the network, where the component names it."""
        return self.error(self.place.search(parameter), message)


@dataclass(frozen=True)
class Policy:
    """In which epochs (ascending, counted from 0) a component is active, and with which arguments."""

    component: Component
    epochs: range | tuple[int, ...]
    arguments: Settings


@dataclass(frozen=True)
class Schedule:
    """One YAML file: its policies in file order, each with the component that it is about."""

    path: Path
    text: str
    policies: tuple[Policy, ...]


class Reader(YamlReader):
    """Turns the YAML nodes of one schedule into frozen data.

    Attributes:
        classes: by kind, what a component's `class` can name.
        problems: what was found wrong so far.
    """

    def __init__(self, path: Path, text: str, quantizers: Mapping[str, type[Quantizer]]) -> None:
        super().__init__(path, text)
        self.classes: dict[str, Mapping[str, type[Settings]]] = {
            "lr_scheduler": LR_SCHEDULERS,
            "pruner": PRUNERS,
            "regularizer": REGULARIZERS,
            "quantizer": {**QUANTIZERS, **quantizers},
        }
        self.problems: list[UserError] = []

    def schedule(self, text: str) -> Schedule:
        """The whole file; UserError with all problems, one a line."""
        root = self.loader.get_single_node()
        policies = self.sections(root) if root is not None else ()
        if self.problems:
            raise UserError("\n".join(map(str, self.problems)))
        return Schedule(self.path, text, policies)

    def sections(self, root: yaml.Node) -> tuple[Policy, ...]:
        """The policies, with the components that the other sections define."""
        sections = self.mapping(root, "the schedule")
        kinds = {f"{kind}s": kind for kind in ARGUMENTS}
        known = ("version", *kinds, "policies")
        for name, (key, _) in sections.items():
            if name not in known:
                unknown = f"unknown section {name!r}; known are {list_of(known)}"
                self.complain(key, EXTENSIONS if name == "extensions" else unknown)
        components = {
            kind: self.components(kind, sections[name][1]) if name in sections else {} for name, kind in kinds.items()
        }
        return self.policies(sections["policies"][1], components) if "policies" in sections else ()

    def complain(self, node: yaml.Node, message: str) -> None:
        """Remember a problem."""
        self.problems.append(self.error(node, message))

    def entries(self, node: yaml.Node, what: str) -> Entries | None:
        """As `mapping`; None when something is wrong with it, which is remembered."""
        try:
            return self.mapping(node, what)
        except UserError as problem:
            self.problems.append(problem)
            return None

    def components(self, kind: str, node: yaml.Node) -> dict[str, Component | None]:
        """One of the sections that define components; None stands for one that is wrong."""
        return {
            name: self.component(kind, name, key, value)
            for name, (key, value) in (self.entries(node, f"{kind}s") or {}).items()
        }

    def component(self, kind: str, name: str, key: yaml.Node, node: yaml.Node) -> Component | None:
        """One component."""
        entries, known = self.entries(node, name), self.classes[kind]
        if entries is None:
            return None
        if "class" not in entries:
            self.complain(key, f"{name!r} needs a key 'class', the name of a {kind}: {list_of(known)}")
            return None
        class_key, class_node = entries["class"]
        class_name = str(self.value(class_node))
        if class_name not in known:
            self.complain(class_key, f"unknown class {class_name!r} of {name!r}; known are {list_of(known)}")
            return None
        settings = self.settings(known[class_name], f"{class_name} {name!r}", node, without(entries, "class"))
        return settings and Component(name, kind, settings, Place(self.path, node))

    def settings(self, model: type[Settings], what: str, node: yaml.Node, entries: Entries) -> Settings | None:
        """What a mapping gives, as `model` describes; None when something in it is wrong."""
        try:
            return model.model_validate({name: self.value(value) for name, (_, value) in entries.items()})
        except ValidationError as error:
            place = Place(self.path, node)
            by_key: dict[Keys, list[ErrorDetails]] = {}
            for detail in error.errors():
                by_key.setdefault(place.known(detail["loc"]) or detail["loc"][:1], []).append(detail)
            for keys, details in by_key.items():
                self.problems.append(place.error(keys, f"{what}: {explain(model, keys, details)}"))
        return None

    def policies(
        self, node: yaml.Node, components: Mapping[str, Mapping[str, Component | None]]
    ) -> tuple[Policy, ...]:
        """The section `policies`."""
        if not isinstance(node, yaml.SequenceNode):
            self.complain(node, "policies must be a list")
            return ()
        policies = [policy for entry in node.value if (policy := self.policy(entry, components))]
        quantizers = [policy for policy in policies if policy.component.kind == "quantizer"]
        for policy in quantizers[1:]:
            self.problems.append(policy.component.error((), "a schedule can have one policy with a quantizer, no more"))
        return tuple(policies)

    def policy(
        self, node: yaml.Node, components: Mapping[str, Mapping[str, Component | None]]
    ) -> Policy | None:
        """One entry of the section `policies`; None when it is wrong."""
        entries = self.entries(node, "a policy")
        if entries is None:
            return None
        for name, (key, _) in entries.items():
            if name == "extension":
                self.complain(key, EXTENSIONS)
            elif name not in (*ARGUMENTS, "epochs", *PERIOD):
                known = list_of((*ARGUMENTS, "epochs", *PERIOD))
                self.complain(key, f"unknown key {name!r} in a policy; known are {known}")
        epochs = self.epochs(node, entries)
        kinds = [name for name in entries if name in ARGUMENTS]
        if len(kinds) != 1:
            self.complain(node, f"a policy needs one of the keys {list_of(ARGUMENTS)}; given {list_of(kinds)}")
            return None
        component, arguments = self.instance(kinds[0], entries[kinds[0]][1], components[kinds[0]])
        return Policy(component, epochs, arguments) if component and arguments and epochs else None

    def instance(
        self, kind: str, node: yaml.Node, components: Mapping[str, Component | None]
    ) -> tuple[Component | None, Settings | None]:
        """The component that a policy names, and its arguments."""
        entries = self.entries(node, kind)
        if entries is None:
            return None, None
        for name, (key, _) in entries.items():
            if name not in ("instance_name", "args"):
                self.complain(key, f"unknown key {name!r} in {kind}; known are instance_name, args")
        if "instance_name" not in entries:
            self.complain(node, f"{kind} needs the key 'instance_name'")
            return None, None
        key, value = entries["instance_name"]
        name = str(self.value(value))
        if name not in components:
            self.complain(key, f"no {kind} is named {name!r}; defined are {list_of(components)}")
            return None, None
        where = entries["args"][1] if "args" in entries else node
        given = self.entries(where, "args") if "args" in entries else {}
        if given is None:
            return None, None
        return components[name], self.settings(ARGUMENTS[kind], f"args of the {kind} {name!r}", where, given)

    def epochs(
        self, node: yaml.Node, entries: Entries
    ) -> range | tuple[int, ...] | None:
        """The epochs in which a policy is active: a list, or a period whose end is exclusive; None when wrong."""
        numbers = {name: self.value(value) for name, (_, value) in entries.items() if name in ("epochs", *PERIOD)}
        if "epochs" in numbers:
            listed = numbers.pop("epochs")
            if not numbers and isinstance(listed, list) and listed and all(map(is_epoch, listed)):
                return tuple(sorted(set(listed)))
            self.complain(entries["epochs"][0], "a policy needs either epochs, a list of integers of at least 0, or "
                          "starting_epoch, ending_epoch and frequency")  # fmt: skip
            return None
        if sorted(numbers) != sorted(PERIOD) or not all(map(is_epoch, numbers.values())):
            given = list_of(f"{name} {value!r}" for name, value in numbers.items())
            self.complain(
                node, f"a policy needs either epochs or all of {list_of(PERIOD)}, integers of at least 0; given {given}"
            )
            return None
        start, end, frequency = (numbers[name] for name in PERIOD)
        if not 0 < frequency <= end - start:
            self.complain(entries["frequency"][0], "a policy needs 0 < frequency <= ending_epoch - starting_epoch; "
                          f"given {frequency}, {end} and {start}")  # fmt: skip
            return None
        return range(start, end, frequency)


def without(entries: Entries, name: str) -> Entries:
    """The other entries of a mapping."""
    return {key: value for key, value in entries.items() if key != name}


def is_epoch(value: Any) -> bool:
    """Whether `value` is an integer of at least 0."""
    return type(value) is int and value >= 0


def list_of(names: Any) -> str:
    """Names for a message."""
    return ", ".join(names) or "none"


def explain(model: type[Settings], keys: Keys, details: list[ErrorDetails]) -> str:
    """What is wrong with the value of a key, in words."""
    name, known = ".".join(map(str, keys)), list_of(model.model_fields)
    if details[0]["type"] == "extra_forbidden":
        return f"unknown key {name!r}" + (f"; known are {known}" if len(keys) == 1 else "")
    if details[0]["type"] == "missing":
        return f"needs the key {'.'.join(map(str, details[0]['loc']))!r}"
    reasons = [PYDANTIC.sub("", detail["msg"]).strip() for detail in details]
    if not keys:
        return reasons[0]
    return f"{name} {' or '.join(dict.fromkeys(reasons))}; given {details[0]['input']!r}"


def read_schedule(path: Path, quantizers: Mapping[str, type[Quantizer]] | None = None) -> Schedule:
    """Read a schedule file.

    Args:
        quantizers: classes that a file can name beside `QUANTIZERS`: those of the device to train for.

    Raises:
        UserError: everything in the file that is not understood, with file and line.
    """
    return yamlfile.read(path, "the schedule", lambda text: Reader(path, text, quantizers or {}).schedule(text))
