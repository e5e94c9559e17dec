"""One random network in every implementation: whatever differs is raised as AssertionError, IzerError or ChipError."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

import ai84
from chip import Chip
from chip.demo import build as build_demo
from chip.demo import read_probabilities, read_scores
from chip.mcu import Mcu
from conformance_checks import run_on_chip
from fuzzing import Comparison, Tried, run
from izer import pipeline, reference
from izer.device import AI84
from izer.emit.demofolder import Names
from izer.memory import quads
from izer.network import Layer
from izer.operations import Program, Unload
from izer.placement import set_bits
from network_files import EXTREMES, DrawnNetwork
from random_networks import EVERYTHING, Space, random_network

NAMES = Names("main.c", "weights.h", "sampledata.h")
MAX_CHECKS = 1000  # in a program to compile: every check is a statement in C


def build(network: DrawnNetwork, folder: Path) -> pipeline.Model:
    """The model of a network whose files are written to the folder. Raises RuleError: it should be legal."""
    network.write(folder)
    return pipeline.build_model(pipeline.Request(
        AI84, folder / "net.yaml", folder / "c.pth.tar", folder / "sample.npy", fc_layer=network.classes > 0,
        input_offset=network.input_offset,
    ))  # fmt: skip


def unload(chip: Chip, steps: tuple[Unload, ...], shape: tuple[int, int, int]) -> NDArray[np.int8]:
    """What the generated cnn_unload() does."""
    output = np.zeros(shape, np.int8)
    for step in steps:
        pixels = step.row_words * np.arange(step.rows)[:, None] + np.arange(step.columns)
        words = chip.read_many((step.address + 4 * pixels).reshape(-1)).reshape(pixels.shape)
        for n, lane in enumerate(step.lanes):
            output[step.channel + n] = (words >> 8 * lane & 255).astype(np.uint8).view(np.int8)
    return output


def compare_on_chip(program: Program, expected: NDArray[np.int8]) -> None:
    """Every check of the program holds on the chip model, and unloading gives the reference's output."""
    with Chip() as chip:
        run_on_chip(chip, program)
        checks = list(program.check.accesses())
        masks = np.array([check.mask for check in checks], np.uint32)
        found = chip.read_many([check.address for check in checks]) & masks
        np.testing.assert_array_equal(found, [check.value for check in checks], "checks on the chip model")
        np.testing.assert_array_equal(unload(chip, program.unload, expected.shape), expected, "unloaded output")


def training_layer(layer: Layer) -> torch.nn.Module:
    """The layer as training computes it in 8-bit mode."""
    activation = "ReLU" if layer.relu else None
    if layer.op == "conv1d":
        module = ai84.Conv1d(layer.in_channels, layer.out_channels, padding=layer.pad, bias=layer.bias is not None,
                             activation=activation, simulate=True)  # fmt: skip
    else:
        module = ai84.Conv2d(
            layer.in_channels, layer.out_channels, 3, pooling={"max": "Max", "avg": "Avg"}.get(layer.pool),
            pool_size=layer.pool_size or 2, pool_stride=layer.pool_stride if layer.pool else 2, padding=layer.pad,
            bias=layer.bias is not None, activation=activation, simulate=True,
        )  # fmt: skip
    weight = layer.weight.reshape(*layer.weight.shape[:2], 9) if layer.op == "conv1d" else layer.weight
    return _loaded(module, {f"{layer.op}.weight": weight, f"{layer.op}.bias": layer.bias})


def _loaded(module: torch.nn.Module, state: dict[str, NDArray[np.int8] | None]) -> torch.nn.Module:
    module.load_state_dict({k: torch.from_numpy(v.astype(np.float32)) for k, v in state.items() if v is not None})
    return module


def run_training_layers(model: pipeline.Model) -> list[NDArray[np.float32]]:
    """The outputs [C, H, W] of all layers in 8-bit mode, each from those before."""
    outputs = {-1: torch.from_numpy(model.data.astype(np.float32))}
    for layer in model.network.layers:
        data = torch.cat([outputs[source].flatten(1) for source in layer.sources])
        flat = layer.op == "conv1d"
        shaped = data[None] if flat else data.reshape(1, layer.in_channels, layer.height, layer.width)
        with torch.no_grad():
            output = training_layer(layer)(shaped)[0]
        outputs[layer.index] = output[:, :, None] if flat else output
    return [outputs[n].numpy() for n in range(len(model.network.layers))]


def compare_with_training(model: pipeline.Model) -> None:
    """Every layer, and the classification layer, in 8-bit mode gives the reference's integers."""
    outputs = run_training_layers(model)
    for n, (output, values) in enumerate(zip(outputs, model.values, strict=True)):
        np.testing.assert_array_equal(output, values.output, f"training layer {n}")
    fc = model.network.fc
    if fc is not None:
        state = {"linear.weight": fc.weight, "linear.bias": fc.bias}
        module = ai84.SoftwareLinear(fc.weight.shape[1], len(fc.weight), fc.bias is not None, simulate=True)
        with torch.no_grad():
            scores = _loaded(module, state)(torch.from_numpy(outputs[-1]).reshape(1, -1))[0]
        np.testing.assert_array_equal(scores.numpy(), model.scores, "training classification layer")


def compare(model: pipeline.Model) -> None:
    """Both program styles on the chip model and the training layers give the reference's integers."""
    for program in (pipeline.embedded_program(model), pipeline.rtlsim_program(model)):
        compare_on_chip(program, model.values[-1].output)
    compare_with_training(model)


def compare_firmware(model: pipeline.Model, folder: Path) -> None:
    """The compiled program finds its known answer on the emulated microcontroller, and classifies as the reference."""
    for name, content in pipeline.embedded_files(model, "random", "test", NAMES).items():
        (folder / name).write_bytes(content)
    with Chip() as chip:
        mcu = Mcu(build_demo(folder, lambda _: None), chip)
        result = mcu.run()
        assert (result.status, result.console.splitlines()[-1]) == (0, "*** PASS ***"), result.console
        if model.scores is not None:
            np.testing.assert_array_equal(read_scores(mcu), model.scores, "scores in the firmware")
            np.testing.assert_array_equal(read_probabilities(mcu), reference.softmax(model.scores), "softmax")


def compilable(model: pipeline.Model) -> bool:
    """Whether the program is small enough to compile in a few seconds, and for the microcontroller's memory."""
    last = model.network.layers[-1]
    words = len(quads(model.device, model.placement.layers[-1].output_map))
    return last.out_height * last.out_width * words <= MAX_CHECKS


def kinds(network: DrawnNetwork, model: pipeline.Model) -> Iterator[str]:
    """What is special about a network, for the table of what was tried."""
    layers, places = model.network.layers, model.placement.layers
    count, device = len(layers), model.device
    yield "1 layer" if count == 1 else "2-4 layers" if count <= 4 else "5-31 layers" if count < 32 else "32 layers"
    yield f"input {network.data_format.upper()}"
    pixels = network.height * network.width
    maps = [place.processors for place in places] + [place.output_map for place in places]
    ends = [(n.out_offset // 4, n.out_offset // 4 + layer.out_height * (layer.out_width + n.row_gap))
            for layer, n in zip(layers, places, strict=True)]  # fmt: skip
    found = {
        "HWC input of 5 to 64 channels": network.data_format == "hwc" and layers[0].in_channels > 4,
        "input of 64x64 or more": pixels >= 4096,
        "input of one row or column": min(network.height, network.width) == 1,
        "input offset": network.input_offset > 0,
        "64 channels": any(n.bit_count() == device.max_channels for n in maps),
        "map with gaps": any(len(set_bits(n)) != n.bit_length() - set_bits(n)[0] for n in maps),
        "map across groups": any(set_bits(n)[0] // 16 != set_bits(n)[-1] // 16 for n in maps),
        "conv1d": any(layer.op == "conv1d" for layer in layers),
        "conv1d reads conv1d": any(n.op == "conv1d" and layers[s].op == "conv1d" for n in layers for s in n.sources
                                   if s >= 0),
        "padding 2": any(layer.op == "conv2d" and layer.pad == 2 for layer in layers),
        "2x2 pooling, stride 1": any(layer.pool and layer.pool_stride == 1 for layer in layers),
        "2x2 pooling, stride 2": any(layer.pool and layer.pool_stride == 2 for layer in layers),
        "4x4 pooling": layers[-1].pool_size == 4,
        "4x4 pooling, output not 4 wide": layers[-1].pool_size == 4 and layers[-1].out_width != 4,
        "average pooling of signed data": any(n.pool == "avg" and bool((v.input < 0).any())
                                              for n, v in zip(layers, model.values, strict=True)),
        "joined inputs": any(len(layer.sources) > 1 for layer in layers),
        "input read twice": sum(-1 in layer.sources for layer in layers) > 1,
        "other rows and columns (in_dim)": any(layer.in_dim for layer in network.layers),
        "bias": any(layer.bias is not None for layer in layers),
        "weights all -128 or all 127": any(layer.values in EXTREMES for layer in network.layers),
        "data all -128 or all 127": network.sample in EXTREMES,
        "saturated outputs": any(bool((np.abs(v.accumulator + 64) >= 1 << 14).any()) for v in model.values),
        "last word of an instance": any(stop == device.instance_words for _, stop in ends),
        "all 128 mask RAM columns": max(model.placement.columns_used.values()) == device.mask_columns,
        "dummies over older kernels": any(
            old.processors & place.processors and place.kernel_column < old.kernel_column + old.kernel_count
            for n, place in enumerate(places) for old in places[:n]),
        "classification layer": network.classes > 0,
    }  # fmt: skip
    yield from (name for name, holds in found.items() if holds)


def remake(network: DrawnNetwork, seed: int) -> str:
    """How the network's files are made again, and its description."""
    options = f"--input-offset {network.input_offset}{' --fc-layer' if network.classes else ''}"
    return ("Its files are made by "
            f"random_network(Random({seed}), EVERYTHING).write(folder); options: {options}\n{network.yaml}")


def run_seeds(seeds: range, space: Space = EVERYTHING) -> Tried:
    """Compare one network per seed, and compile the last small one of them. Raises Difference."""
    return run(Comparison(lambda dice: random_network(dice, space), build, lambda _, model: compare(model), compilable,
                          compare_firmware, kinds, remake), seeds)  # fmt: skip
