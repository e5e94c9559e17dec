"""Random legal networks through every implementation: what the tests and `make fuzz` share."""

from collections import Counter
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import torch
from hypothesis import HealthCheck, Phase, assume, given, seed, settings

import ai84
from chip import Chip
from chip.demo import build as build_demo
from chip.mcu import Mcu
from conformance_checks import run_on_chip
from izer import pipeline
from izer.device import AI84
from izer.emit.demofolder import Names
from izer.errors import RuleError
from izer.network import Layer
from izer.operations import Unload
from random_networks import RandomNetwork, random_networks

NAMES = Names("main.c", "weights.h", "sampledata.h")
COMPILED = 100  # one network of so many runs as compiled firmware too


def build(network: RandomNetwork, folder: Path, fc: bool = False) -> pipeline.Model:
    """The model; networks that only lack mask RAM or bias RAM are drawn again."""
    network.write(folder)
    request = pipeline.Request(AI84, folder / "net.yaml", folder / "c.pth.tar", folder / "sample.npy", fc_layer=fc,
                               input_offset=network.input_offset)  # fmt: skip
    try:
        return pipeline.build_model(request)
    except RuleError as error:
        assume({violation.rule for violation in error.violations} != {"mask-ram"})
        raise


def unload(chip: Chip, steps: tuple[Unload, ...], shape: tuple[int, int, int]) -> np.ndarray:
    """What the generated cnn_unload() does."""
    output = np.zeros(shape, np.int8)
    for step in steps:
        for y in range(step.rows):
            for x in range(step.columns):
                word = chip.read32(step.address + 4 * (y * step.row_words + x))
                for n, lane in enumerate(step.lanes):
                    output[step.channel + n, y, x] = np.uint8(word >> 8 * lane & 255).view(np.int8)
    return output


def training_layer(layer: Layer) -> torch.nn.Module:
    """The layer of ai84.py, in 8-bit mode."""
    common = {"padding": layer.pad, "bias": layer.bias is not None, "activation": "ReLU" if layer.relu else None,
              "simulate": True}  # fmt: skip
    if layer.op == "conv1d":
        return ai84.Conv1d(layer.in_channels, layer.out_channels, **common)
    pooling = {"max": "Max", "avg": "Avg"}.get(layer.pool)
    size, stride = (layer.pool_size, layer.pool_stride) if layer.pool else (2, 2)
    return ai84.Conv2d(layer.in_channels, layer.out_channels, 3, pooling=pooling, pool_size=size, pool_stride=stride,
                       **common)  # fmt: skip


def run_training_layers(model: pipeline.Model) -> list[np.ndarray]:
    """The outputs [C, H, W] of the layers of ai84.py."""
    data = torch.from_numpy(model.data.astype(np.float32))[None]
    outputs = []
    for layer in model.network.layers:
        module = training_layer(layer)
        flat = layer.op == "conv1d"
        shape = (1, layer.in_channels, *((-1,) if flat else (layer.height, layer.width)))
        weight = layer.weight.reshape(*layer.weight.shape[:2], *((9,) if flat else (3, 3)))
        state = {f"{layer.op}.weight": weight, f"{layer.op}.bias": layer.bias}
        module.load_state_dict({k: torch.from_numpy(v.astype(np.float32)) for k, v in state.items() if v is not None})
        with torch.no_grad():
            data = module(data.reshape(shape)).reshape(1, layer.out_channels, layer.out_height, layer.out_width)
        outputs.append(data[0].numpy())
    return outputs


def compare(network: RandomNetwork, folder: Path) -> None:
    """Reference, chip model (fed by both styles of program, checked and unloaded) and training layers are equal."""
    model = build(network, folder)
    expected = model.values[-1].output
    for program in (pipeline.embedded_program(model), pipeline.rtlsim_program(model)):
        with Chip() as chip:
            run_on_chip(chip, program)
            for check in program.check.accesses():
                assert chip.read32(check.address) & check.mask == check.value
            np.testing.assert_array_equal(unload(chip, program.unload, expected.shape), expected)
    for output, values in zip(run_training_layers(model), model.values, strict=True):
        np.testing.assert_array_equal(output, values.output)


def compare_firmware(network: RandomNetwork, folder: Path) -> None:
    """Compiled firmware finds its known answers: the last layer's output and the scores of a classification layer."""
    model = build(network, folder, fc=True)
    demo = folder / "demo"
    for name, content in pipeline.embedded_files(model, "random", "test", NAMES).items():
        (demo / name).parent.mkdir(parents=True, exist_ok=True)
        (demo / name).write_bytes(content)
    with Chip() as chip:
        result = Mcu(build_demo(demo, lambda _: None), chip).run()
    assert (result.status, result.console.splitlines()[-1]) == (0, "*** PASS ***")


def features(network: RandomNetwork) -> list[str]:
    """What to count of a network."""
    count = len(network.layers)
    found = [network.kind, network.data_format, f"{1 << (count.bit_length() - 1)}+ layers"]
    found += ["conv1d"] * any(layer.op == "conv1d" for layer in network.layers)
    found += ["4x4 pooling"] * (network.layers[-1].pool[1] == 4)
    found += ["bias"] * any(layer.bias for layer in network.layers)
    return found


def fuzz(number: int, examples: int) -> Counter[str]:
    """Compare as many networks as are asked for, and every COMPILED-th as firmware; the same number draws the same.

    Returns counts of features. The notes of an AssertionError show the smallest network that differs.
    """
    counts: Counter[str] = Counter()

    @seed(number)
    @settings(max_examples=examples, deadline=None, database=None, suppress_health_check=list(HealthCheck),
              phases=[Phase.generate, Phase.shrink], print_blob=True)  # fmt: skip
    @given(network=random_networks())
    def run(network: RandomNetwork) -> None:
        with TemporaryDirectory() as folder:
            compare(network, Path(folder))
            if counts["networks"] % COMPILED == 0:
                compare_firmware(network, Path(folder))
                counts["compiled"] += 1
        counts.update(["networks", *features(network)])

    run()
    return counts
