"""Random legal networks whose maps and offsets are thrown away, placed automatically and run on the chip model."""

from dataclasses import dataclass
from pathlib import Path
from random import Random

import numpy as np
import yaml

import differential
import differential85
from chip import Chip
from izer import pipeline
from izer.auto.completion import Verdict
from izer.device import DEVICES
from izer.errors import RuleError
from random_networks import EVERYTHING, random_network
from random_networks85 import random_network as random_network85

PLACED_KEYS = ("processors", "output_processors", "out_offset", "in_offset", "data_format", "bias_group")


@dataclass(frozen=True)
class Outcome:
    """What became of a network: how it was placed, or the rules that refused it."""

    verdict: Verdict | None
    refused_by: tuple[str, ...] = ()


def without_places(text: str) -> str:
    """A network description without everything that says where something is."""
    content = yaml.safe_load(text)
    content.pop("output_map", None)
    for layer in content["layers"]:
        for key in PLACED_KEYS:
            layer.pop(key, None)
    return yaml.safe_dump(content, sort_keys=False)


def place(device: int, seed: int, folder: Path, seconds: float) -> Outcome:
    """Place network number `seed`, check it, and run it on the chip model: AssertionError unless it is right."""
    dice = Random(seed)
    network = random_network(dice, EVERYTHING) if device == 84 else random_network85(dice)
    network.write(folder)
    path = folder / "net.yaml"
    path.write_text(without_places(path.read_text()))
    rounding = {} if device == 84 else {"average_rounding": network.rounding}
    request = pipeline.Request(
        DEVICES[device], path, folder / "c.pth.tar", folder / "sample.npy", auto=seconds,
        fc_layer=device == 84 and network.classes > 0,
        options=pipeline.program.Options(**rounding),
    )  # fmt: skip
    try:
        model = pipeline.build_model(request)
    except RuleError as error:
        return Outcome(None, tuple(sorted({violation.rule for violation in error.violations})))
    run(device, model)
    return Outcome(model.verdict)


def run(device: int, model: pipeline.Model) -> None:
    """Run the program of a model on the chip model."""
    program, answer = pipeline.embedded_program(model), model.values[-1].output
    if device == 84:
        differential.compare_on_chip(program, answer)
    else:
        with Chip(85) as chip:
            differential85.run_program(chip, program, np.asarray(answer))
