"""One random network for AI85 in every implementation: whatever differs is raised as an exception."""

from collections.abc import Iterator
from dataclasses import replace
from itertools import groupby
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

import ai85
from allocation85 import bits, place_columns
from arithmetic85 import output
from chip import Chip
from chip.board import MAX78000
from chip.mcu import Mcu
from chip.sdk import built
from fuzzing import Comparison, Tried, run
from izer import pipeline
from izer.device import AI85
from izer.emit.max78000 import Choices
from izer.operations import Access, Program, Unload
from izer.program import LOAD_SECTIONS, Options
from kinds85 import kinds, readable
from network_files85 import DrawnLayer85, DrawnNetwork85, passes, per_pass
from random_networks85 import random_network

SUMS = 4  # outputs of a layer that are computed in plain integers
SLOW = 1 << 15  # products, in plain integers
MAX_BYTES = 100_000  # of weights, input and output in a program to compile
ACTIVATIONS = {"": None, "relu": "ReLU", "abs": "Abs"}


def request(network: DrawnNetwork85, folder: Path) -> pipeline.Request:
    """What to generate from the files of a network."""
    verify = frozenset(LOAD_SECTIONS[:-1] if network.style == "verify" else ())
    return pipeline.Request(
        AI85, folder / "net.yaml", folder / "c.pth.tar", folder / "sample.npy", deduplicate=network.deduplicate,
        options=Options(AI85.ready_sel, verify=verify, average_rounding=network.rounding),
    )  # fmt: skip


def build(network: DrawnNetwork85, folder: Path) -> pipeline.Model:
    """The model of a network whose files are written to the folder. Raises RuleError: it should be legal."""
    network.write(folder)
    return pipeline.build_model(request(network, folder))


def generated(network: DrawnNetwork85, model: pipeline.Model) -> Program:
    """The program in the style of the network."""
    return (pipeline.rtlsim_program if network.style == "rtl" else pipeline.embedded_program)(model)


def inputs_of(network: DrawnNetwork85, model: pipeline.Model, layer: DrawnLayer85) -> NDArray[np.int64]:
    """What a layer reads, [C, H, W], of the answers of the layers before."""
    parts = [model.data if n < 0 else model.values[n].output for n in layer.sources]
    return np.concatenate(parts).astype(np.int64).reshape(layer.channels, *layer.shape.dims)


def compare_with_sums(network: DrawnNetwork85, model: pipeline.Model) -> None:
    """The shapes of all layers, and some of their outputs in plain integers."""
    dice = np.random.default_rng(network.seed)
    for n, (layer, values) in enumerate(zip(network.layers, model.values, strict=True)):
        shape = (layer.out_channels, *layer.shape.out)
        assert values.output.shape == shape, f"layer {n}: {values.output.shape}, not {shape}"
        data = inputs_of(network, model, layer)
        image, count = data.tolist(), SUMS if data.size < SLOW else 1
        for at in zip(*(dice.integers(0, size, count).tolist() for size in shape), strict=True):
            expected, found = output(layer, image, at, network.rounding), int(values.output[at])
            assert found == expected, f"layer {n}, channel, row and column {at}: {found} is not {expected}"


def compare_placement(network: DrawnNetwork85, model: pipeline.Model) -> None:
    """The first columns of all layers, and the columns that they write, are those of the hardware reference 5.7."""
    found = [(place.kernel_column, place.columns) if layer.weighted else None
             for layer, place in zip(network.layers, model.placement.layers, strict=True)]  # fmt: skip
    expected = [place and (place.start, place.written) for place in place_columns(network)]
    assert found == expected, f"columns {found} are not {expected}"


def bus(chip: Chip, accesses: Iterator[Access]) -> None:
    """Write, and compare what is read back."""
    for kind, together in groupby(accesses, lambda access: access.kind):
        listed = list(together)
        addresses = [access.address for access in listed]
        if kind == "B":
            for access in listed:
                chip.write8(access.address, access.value)
        elif kind == "W":
            chip.write_many(addresses, [access.value for access in listed])
        else:
            masks = np.array([access.mask for access in listed], np.uint32)
            values = np.array([access.value for access in listed], np.uint32)
            np.testing.assert_array_equal(chip.read_many(addresses) & masks, values & masks, "what is read back")


def unload(chip: Chip, steps: tuple[Unload, ...], like: NDArray[np.int64]) -> NDArray[np.int64]:
    """What the generated cnn_unload() does."""
    found = np.zeros_like(like)
    for step in steps:
        pixels = step.row_words * np.arange(step.rows)[:, None] + step.pixel_words * np.arange(step.columns)
        for n, lane in enumerate(step.lanes):
            at = step.address + 4 * (pixels + (lane if step.wide else 0))
            words = chip.read_many(at.reshape(-1)).reshape(pixels.shape)
            found[step.channel + n] = words.view(np.int32) if step.wide else (words >> 8 * lane).astype(np.int8)
    return found


def byte_addresses(layer: DrawnLayer85) -> NDArray[np.int64]:
    """The address of every output [C, pixel] of a layer (7.7, 9.2)."""
    size, together = 4 if layer.shape.wide else 1, per_pass(layer.out_channels)
    channels = np.arange(layer.out_channels)
    processors = np.array(bits(layer.outputs))[channels % together]
    base = 0x50400000 + processors // 16 * 0x400000 + processors % 16 // 4 * 0x8000
    pixels = np.arange(layer.shape.out[0] * layer.shape.out[1])
    units = pixels * passes(layer.out_channels) + (channels // together)[:, None]
    return (base + size * (processors % 4) + 4 * layer.out_word)[:, None] + 4 * size * units


def compare_memory(chip: Chip, network: DrawnNetwork85, model: pipeline.Model) -> None:
    """The outputs of all layers that can be read in the end are the reference's."""
    for n in readable(network):
        layer, expected = network.layers[n], model.values[n].output
        addresses = byte_addresses(layer)
        words = chip.read_many((addresses & ~3).reshape(-1)).reshape(addresses.shape)
        found = words.view(np.int32) if layer.shape.wide else (words >> 8 * (addresses % 4)).astype(np.int8)
        np.testing.assert_array_equal(found.reshape(expected.shape), expected, f"layer {n} in data memory")


def run_program(chip: Chip, program: Program, expected: NDArray[np.integer]) -> None:
    """What was written reads back, every check holds, and unloading gives the expected output [C, H, W]."""
    for section in program.load:
        bus(chip, section.accesses())
    (poll,) = program.wait.accesses()
    while chip.read32(poll.address) & poll.mask != poll.value:
        pass
    bus(chip, program.check.accesses())
    found = unload(chip, program.unload, expected.astype(np.int64))
    np.testing.assert_array_equal(found, expected, "unloaded output")


def compare_on_chip(network: DrawnNetwork85, model: pipeline.Model) -> None:
    """The program runs on the chip model, and all outputs that are there in the end are the reference's."""
    with Chip(85) as chip:
        run_program(chip, generated(network, model), model.values[-1].output)
        compare_memory(chip, network, model)


def training_layer(layer: DrawnLayer85) -> ai85.Layer:
    """The layer as training computes it in 8-bit mode; one that only leaves pixels out takes maxima of single ones."""
    shape, (kind, window, stride) = layer.shape, layer.shape.pool
    pooling = {"max": "Max", "avg": "Avg"}.get(kind, "Max")
    if not layer.weighted and shape.one_dimensional:
        return ai85.Pool1d(pooling, window[0], stride, simulate=True)
    if not layer.weighted:
        return ai85.Pool2d(pooling, window, stride, simulate=True)
    options = {"bias": bool(layer.bias), "activation": ACTIVATIONS[layer.activation.lower()], "wide": shape.wide,
               "simulate": True}  # fmt: skip
    features = layer.weights.shape[1]
    if shape.flatten or shape.op == "linear":
        return ai85.Linear(features, layer.out_channels, **options)
    if shape.op == "conv1d":
        if kind or stride > 1:
            options |= {"pooling": pooling, "pool_size": window[0], "pool_stride": stride}
        return ai85.Conv1d(features, layer.out_channels, shape.kernel[0], padding=shape.pad, dilation=shape.dilation,
                           **options)  # fmt: skip
    if kind or stride > 1:
        options |= {"pooling": pooling, "pool_size": window, "pool_stride": stride}
    return ai85.Conv2d(features, layer.out_channels, shape.kernel, padding=shape.pad, **options)


def run_training_layer(layer: DrawnLayer85, data: NDArray[np.int64]) -> NDArray[np.float32]:
    """The output [C, H, W] of a layer in 8-bit mode, with the tensors of a checkpoint that says everything."""
    module = training_layer(layer)
    state = module.state_dict()
    if layer.weighted:
        tensors = replace(layer, described=False).tensors("layer")
        named = {key.removeprefix("layer."): torch.from_numpy(value) for key, value in tensors.items()}
        state |= {key: value.reshape(state[key].shape) for key, value in named.items()}
    module.load_state_dict(state)
    if isinstance(module, ai85.Linear) and not layer.shape.flatten:
        data = data.max((1, 2), keepdims=True)  # training pools in a layer of its own
    image = torch.from_numpy(data.astype(np.float32))[None]
    with torch.no_grad():
        found = module(image[..., 0] if layer.shape.one_dimensional else image)
    return found.numpy().reshape(layer.out_channels, *layer.shape.out)


def compare_with_training(network: DrawnNetwork85, model: pipeline.Model) -> None:
    """Every layer in 8-bit mode gives the reference's integers; training knows no rounded averages."""
    for n, (layer, values) in enumerate(zip(network.layers, model.values, strict=True)):
        if network.rounding and layer.shape.pool[0] == "avg" and layer.shape.op != "conv1d":
            continue
        found = run_training_layer(layer, inputs_of(network, model, layer))
        np.testing.assert_array_equal(found, values.output, f"training layer {n}")


def compare(network: DrawnNetwork85, model: pipeline.Model) -> None:
    """The reference, sums in plain integers, the placement, the program on the chip model, and the training layers."""
    compare_with_sums(network, model)
    compare_placement(network, model)
    compare_on_chip(network, model)
    compare_with_training(network, model)


def compare_firmware(model: pipeline.Model, folder: Path) -> None:
    """The compiled program finds its known answer on the emulated MAX78000, and unloads the reference's output."""
    for name, content in pipeline.sdk_files(model, "random", "test", Choices()).items():
        (folder / name).write_bytes(content)
    with built(folder, lambda _: None) as elf, Chip(85) as chip:
        mcu = Mcu(elf, chip, MAX78000)
        result = mcu.run()
        assert "*** PASS ***" in result.console, result.console
        found = np.frombuffer(mcu.read_symbol("ml_data"), "<i4" if model.network.layers[-1].wide else np.int8)
        expected = model.values[-1].output.reshape(-1)
        np.testing.assert_array_equal(found[: expected.size], expected, "output in the firmware")


def compilable(model: pipeline.Model) -> bool:
    """Whether the program is small enough to compile in a few seconds, and for the microcontroller's memory."""
    weights = sum(9 * place.processors.bit_count() * len(place.columns) for place in model.placement.layers)
    return weights + 4 * model.values[-1].output.size + 4 * model.data.size < MAX_BYTES


def remake(network: DrawnNetwork85, seed: int) -> str:
    """How the network's files are made again, and its description."""
    chosen = {" --avg-pool-rounding": network.rounding, " --no-deduplicate-weights": not network.deduplicate}
    options = "".join(option for option, holds in chosen.items() if holds)
    return (f"Its files are made by random_networks85.random_network(Random({seed})).write(folder); style "
            f"{network.style}, options:{options}\n{network.yaml}")


def run_seeds(seeds: range) -> Tried:
    """Compare one network per seed, and compile the last small one of them. Raises Difference."""
    return run(Comparison(random_network, build, compare, compilable, compare_firmware, lambda drawn, _: kinds(drawn),
                          remake), seeds)  # fmt: skip
