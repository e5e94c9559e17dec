"""The devices with the procedures in which they differ; everything else about them is in device.py."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .ai84 import checker as checker84
from .ai84 import checkpoint as checkpoint84
from .ai84 import kernels as kernels84
from .ai84 import latency as latency84
from .ai84 import layers as layers84
from .ai84 import placement as placement84
from .ai84 import program as program84
from .ai84 import registers as registers84
from .ai84 import testweights as testweights84
from .ai84.layer_rules import LAYER_RULES as LAYER_RULES84
from .ai84.placement_rules import PLACEMENT_RULES as PLACEMENT_RULES84
from .ai85 import checker as checker85
from .ai85 import checkpoint as checkpoint85
from .ai85 import latency as latency85
from .ai85 import layers as layers85
from .ai85 import placement as placement85
from .ai85 import program as program85
from .ai85 import registers as registers85
from .ai85 import testweights as testweights85
from .ai85 import weights as weights85
from .ai85.description_rules import DESCRIPTION_RULES
from .ai85.layer_rules import LAYER_RULES as LAYER_RULES85
from .ai85.placement_rules import PLACEMENT_RULES as PLACEMENT_RULES85
from .checkpoint import Checkpoint
from .device import AI84, AI85, Device
from .emit.rtlsim import POWER_UP84, power_up85
from .errors import Violation
from .grammars import AI84_KEYS, AI85_KEYS, Grammar
from .latency import Clocks
from .network import Layer, LayerBuilder, Network
from .operations import CopyKernels, CopyPacked, Program, Section, Unload
from .placement import Choices, LayerPlace, Placement
from .program_rules import ProgramRule
from .reference import LayerValues
from .registers import RegisterValue
from .rules import Described, Rule, Subject
from .shared_rules import SHARED_RULES
from .yamlcfg import Description

Shape = tuple[int, int, int]  # channels, rows, columns of the network input

# The sections of the AI85 hardware reference that the shared rules come from.
SECTIONS85 = {
    "arch": "10.2", "layer-count": "10.2", "channels-chain": "4.1", "channels-given": "4.1", "unread": "4.1",
    "in-sizes": "10.3", "in-dim": "4.1", "layers-max": "1.2", "size": "10.3", "data-format": "10.3",
    "bias-count": "10.4", "sample": "10.2", "map-chain": "10.4", "in-offset": "10.3", "chw-instance": "7.2",
    "group0": "4.4", "overlap": "10.4",
}  # fmt: skip
SHARED85 = [replace(rule, sections=SECTIONS85[rule.id]) for rule in SHARED_RULES]


@dataclass(frozen=True)
class Target:
    """A device with what it does in its own way.

    `test_weights` says whether there are networks with `arch: test`. `builder` gets whether averages are rounded;
    `kernels` are the operations that load the weights, `kernel_stores` those of a test for RTL simulation, whose
    `power_up` depends on the used groups. Demos are for the vendor's SDK, or stand alone; `block_level` says whether
    there are tests of the accelerator alone.
    """

    device: Device
    grammar: Grammar
    sdk: bool
    block_level: bool
    description_rules: list[Rule[Described]]
    rules: list[Rule[Subject]]
    read_checkpoint: Callable[[Path, Description], Checkpoint]
    untrained: Callable[[Description, Shape], Checkpoint]
    random_weights: Callable[[Description, Shape, int], Checkpoint]
    test_weights: bool
    builder: Callable[[bool], LayerBuilder]
    place: Callable[[Device, Description, Network, Choices], Placement]
    registers: Callable[[Device, Network, Placement], Iterator[RegisterValue]]
    kernels: Callable[[Device, Network, Placement], Iterator[CopyKernels] | Iterator[CopyPacked]]
    kernel_stores: Callable[[Device, Network, Placement], Iterator[CopyKernels] | Iterator[CopyPacked]]
    power_up: Callable[[tuple[int, ...]], tuple[str, ...]]
    lower: Callable[..., Program]
    clocks: Callable[[Device, Network, Placement], tuple[Clocks, ...]]
    layer_checks: Callable[[Device, Network, Placement, Iterable[LayerValues]], tuple[Section, ...]]
    unloads: Callable[[Device, Layer, LayerPlace], Iterator[Unload]]
    program_rules: Sequence[ProgramRule[Any]]
    verify: Callable[[Device, Network, NDArray[np.int8], Program], list[Violation]]


def _checkpoint84(path: Path, description: Description) -> Checkpoint:
    return checkpoint84.read_checkpoint(path)


def _checkpoint85(path: Path, description: Description) -> Checkpoint:
    return checkpoint85.read_checkpoint(path, [each.quantization for each in description.layers if each.has_weights])


TARGETS = {
    AI84.number: Target(
        AI84, AI84_KEYS, False, True, [], SHARED_RULES + LAYER_RULES84 + PLACEMENT_RULES84, _checkpoint84,
        lambda description, _: testweights84.untrained(description),
        lambda description, _, seed: testweights84.random_weights(description, seed), True,
        lambda rounding: layers84.build_layer,
        placement84.place_network, registers84.layer_registers, kernels84.kernel_arrays, kernels84.kernel_stores,
        lambda groups: POWER_UP84, program84.lower, latency84.layer_clocks,
        program84.layer_checks, program84.unloads, checker84.PROGRAM_RULES,
        checker84.check_program),
    AI85.number: Target(
        AI85, AI85_KEYS, True, False, DESCRIPTION_RULES, SHARED85 + LAYER_RULES85 + PLACEMENT_RULES85, _checkpoint85,
        testweights85.untrained, testweights85.random_weights, False,
        lambda rounding: partial(layers85.build_layer, average_rounding=rounding),
        placement85.place_network, registers85.layer_registers, weights85.kernel_copies, weights85.kernel_copies,
        power_up85, program85.lower, latency85.layer_clocks,
        program85.layer_checks, program85.unloads, checker85.PROGRAM_CHECKS,
        checker85.check_program),
}  # fmt: skip
