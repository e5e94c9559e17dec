"""What the comparisons of random networks have in common, whatever their device."""

import tempfile
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from random import Random
from typing import Generic, TypeVar

import torch

from izer.pipeline import Model

Drawn = TypeVar("Drawn")


class Difference(Exception):
    """A network that is not the same everywhere; the text has all that is needed to make it again."""


@dataclass(frozen=True)
class Tried:
    """How many networks were compared, how many of them compiled, and how many of each kind."""

    networks: int
    compiled: int
    kinds: Counter[str]

    def __add__(self, other: "Tried") -> "Tried":
        return Tried(self.networks + other.networks, self.compiled + other.compiled, self.kinds + other.kinds)


@dataclass(frozen=True)
class Comparison(Generic[Drawn]):
    """What is done with a random network; the procedures raise an exception where something differs.

    `build` makes the model of the network, whose files it writes to a folder. `compare_firmware` compiles it there,
    where `compilable` says that it is not too large. `kinds` names what is special about it, `remake` says how its
    files are made again.
    """

    draw: Callable[[Random], Drawn]
    build: Callable[[Drawn, Path], Model]
    compare: Callable[[Drawn, Model], None]
    compilable: Callable[[Model], bool]
    compare_firmware: Callable[[Model, Path], None]
    kinds: Callable[[Drawn, Model], Iterator[str]]
    remake: Callable[[Drawn, int], str]


def run(comparison: Comparison[Drawn], seeds: range) -> Tried:
    """Compare one network per seed, and compile the last small one of them. Raises Difference."""
    torch.set_num_threads(1)
    counted: Counter[str] = Counter()
    to_compile = None
    for seed in seeds:
        network = comparison.draw(Random(seed))
        try:
            with tempfile.TemporaryDirectory() as folder:
                model = comparison.build(network, Path(folder))
                comparison.compare(network, model)
        except Exception as error:
            raise Difference(_describe(comparison, network, seed, error)) from error
        counted.update(comparison.kinds(network, model))
        if comparison.compilable(model):
            to_compile = (seed, network, model)
    if to_compile:
        _compile(comparison, *to_compile)
    return Tried(len(seeds), int(to_compile is not None), counted)


def _compile(comparison: Comparison[Drawn], seed: int, network: Drawn, model: Model) -> None:
    try:
        with tempfile.TemporaryDirectory() as folder:
            comparison.compare_firmware(model, Path(folder))
    except Exception as error:
        raise Difference(_describe(comparison, network, seed, error)) from error


def _describe(comparison: Comparison[Drawn], network: Drawn, seed: int, error: Exception) -> str:
    return f"seed {seed}: {type(error).__name__}: {error}\n{comparison.remake(network, seed)}"
