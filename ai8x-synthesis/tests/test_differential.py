"""Random legal networks: reference, chip model, 8-bit training layers and compiled firmware give equal integers."""

import os

import numpy as np
import torch
from hypothesis import HealthCheck, assume, event, given, settings

import ai84
from chip import Chip
from chip.demo import build as build_demo
from chip.mcu import Mcu
from conformance_checks import run_on_chip
from izer import pipeline, reference
from izer.device import AI84
from izer.emit.demofolder import Names
from izer.errors import RuleError
from izer.operations import Unload
from random_networks import RandomNetwork, random_networks

EXAMPLES = int(os.environ.get("FUZZ", "300"))  # make fuzz N=10000 sets it
CHECKS = [HealthCheck.function_scoped_fixture, HealthCheck.too_slow]
SETTINGS = settings(max_examples=EXAMPLES, deadline=None, suppress_health_check=CHECKS)
NAMES = Names("main.c", "weights.h", "sampledata.h")


def build(network: RandomNetwork, folder) -> pipeline.Model:
    """The model; networks that only lack mask RAM or bias RAM are drawn again."""
    network.write(folder)
    request = pipeline.Request(AI84, folder / "net.yaml", folder / "c.pth.tar", folder / "sample.npy",
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


def run_training_layers(model: pipeline.Model) -> list[np.ndarray]:
    """The outputs of ai84.Conv2d(simulate=True), layer by layer."""
    data = torch.from_numpy(model.data.astype(np.float32))[None]
    outputs = []
    for layer in model.network.layers:
        module = ai84.Conv2d(
            layer.in_channels, layer.out_channels, 3, pooling={"max": "Max", "avg": "Avg"}.get(layer.pool),
            pool_size=layer.pool_size or 2, pool_stride=layer.pool_stride if layer.pool else 2, padding=layer.pad,
            bias=layer.bias is not None, activation="ReLU" if layer.relu else None, simulate=True,
        )  # fmt: skip
        state = {"conv2d.weight": layer.weight, "conv2d.bias": layer.bias}
        module.load_state_dict({k: torch.from_numpy(v.astype(np.float32)) for k, v in state.items() if v is not None})
        with torch.no_grad():
            data = module(data)
        outputs.append(data[0].numpy())
    return outputs


@SETTINGS
@given(network=random_networks())
def test_reference_chip_model_and_training_layers_are_equal(network, tmp_path):
    """Both program styles on the chip model: every check holds, and unloading gives the reference's output."""
    model = build(network, tmp_path)
    event(f"{len(network.layers)} layers")
    expected = model.values[-1].output
    for program in (pipeline.embedded_program(model), pipeline.rtlsim_program(model)):
        with Chip() as chip:
            run_on_chip(chip, program)
            for check in program.check.accesses():
                assert chip.read32(check.address) & check.mask == check.value
            np.testing.assert_array_equal(unload(chip, program.unload, expected.shape), expected)
    for output, values in zip(run_training_layers(model), model.values, strict=True):
        np.testing.assert_array_equal(output, values.output)


@settings(max_examples=max(5, EXAMPLES // 100), deadline=None, suppress_health_check=CHECKS)
@given(network=random_networks())
def test_compiled_firmware_finds_its_known_answer(network, tmp_path_factory):
    folder = tmp_path_factory.mktemp("firmware")
    for name, content in pipeline.embedded_files(build(network, folder), "random", "test", NAMES).items():
        (folder / name).write_bytes(content)
    with Chip() as chip:
        result = Mcu(build_demo(folder, lambda _: None), chip).run()
    assert (result.status, result.console.splitlines()[-1]) == (0, "*** PASS ***")


@settings(max_examples=60, deadline=None)
@given(network=random_networks())
def test_reference_equals_sums_written_out(network, tmp_path_factory):
    """One layer, in plain integers: windows, taps, rounding (AI84 hardware reference 1.4)."""
    model = build(network, tmp_path_factory.mktemp("net"))
    layer = model.network.layers[0]
    kind, size, step = layer.pool, layer.pool_size, layer.pool_stride
    image = model.data.astype(int).tolist()
    if kind:
        rows, columns = range(0, layer.height - size + 1, step), range(0, layer.width - size + 1, step)
        windows = [[[[plane[y + i][x + j] for i in range(size) for j in range(size)] for x in columns] for y in rows]
                   for plane in image]  # fmt: skip
        combine = max if kind == "max" else lambda window: int(sum(window) / size**2)
        image = [[[combine(window) for window in row] for row in plane] for plane in windows]
    pad = layer.pad
    output = reference.run_layer(layer, model.data).output
    for o in range(0, layer.out_channels, 3):
        for y in range(layer.out_height):
            for x in range(layer.out_width):
                total = 0 if layer.bias is None else int(layer.bias[o])
                for c, plane in enumerate(image):
                    for i in range(3):
                        for j in range(3):
                            v, h = y + i - pad, x + j - pad
                            if 0 <= v < len(plane) and 0 <= h < len(plane[0]):
                                total += int(layer.weight[o, c, i, j]) * plane[v][h]
                value = min(max((total + 64) // 128, -128), 127)
                assert output[o, y, x] == (max(value, 0) if layer.relu else value)
