"""One-dimensional convolution on the 3x3 engine (AI84 hardware reference 12.6); PyTorch's conv1d is the truth."""

from pathlib import Path

import hypothesis.strategies as st
import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings

import ai84
from chip import Chip
from conformance_checks import run_on_chip
from izer import pipeline, torchfile
from izer.device import AI84
from izer.errors import RuleError
from izer.operations import Write


def conv1d(data: np.ndarray, weight: np.ndarray, pad: int, relu: bool) -> np.ndarray:
    """Kernel 9, stride 3, then the device's rounding; int8 [C, L] to int8 [Cout, L']."""
    tensors = [torch.from_numpy(array.astype(np.float64)) for array in (data, weight)]
    total = torch.nn.functional.conv1d(*tensors, stride=3, padding=pad).numpy().astype(np.int64)
    output = np.clip((total + 64) // 128, -128, 127)
    return np.maximum(output, 0) if relu else output


def build(folder: Path, layers: list[str], weights: list[np.ndarray], data: np.ndarray, output: int) -> pipeline.Model:
    state = {f"conv{n}.conv1d.weight": weight.astype(np.float32) for n, weight in enumerate(weights)}
    torchfile.write(folder / "c.pth.tar", {"arch": "flat", "state_dict": state})
    np.save(folder / "s.npy", data.astype(np.int64))
    text = "".join(f"- {{op: conv1d, {layer}}}\n" for layer in layers)
    (folder / "n.yaml").write_text(f"arch: flat\ndataset: MNIST\noutput_map: {output}\nlayers:\n{text}")
    return pipeline.build_model(pipeline.Request(AI84, folder / "n.yaml", folder / "c.pth.tar", folder / "s.npy"))


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(length=st.integers(1, 30), pads=st.tuples(*[st.sampled_from([0, 3, 6])] * 2), relu=st.booleans(),
       chw=st.booleans(), seed=st.integers(0, 1000))  # fmt: skip
def test_two_layers_equal_conv1d_in_the_reference_and_on_the_chip_model(length, pads, relu, chw, seed, tmp_path):
    length = max(3 * length, 9)
    middle = (length + 2 * pads[0] - 9) // 3 + 1
    if middle % 3 or middle + 2 * pads[1] < 9:
        length, middle = length + 9 - 3 * (middle % 3), middle + 3 - middle % 3
    if middle + 2 * pads[1] < 9:
        length, middle = length + 27, middle + 9
    dice = np.random.default_rng(seed)
    data = dice.integers(-128, 128, (2, length))
    weights = [dice.integers(-60, 60, shape) for shape in ((3, 2, 9), (2, 3, 9))]
    layers = [f"processors: {0x11 if chw else 3}, pad: {pads[0]}, out_offset: 0x2000, data_format: "
              f"{'chw' if chw else 'hwc'}{', activate: ReLU' if relu else ''}",
              f"processors: 0x700, pad: {pads[1]}, out_offset: 0x1000"]  # fmt: skip
    model = build(tmp_path, layers, weights, data, 3)
    first = conv1d(data, weights[0], pads[0], relu)
    second = conv1d(first, weights[1], pads[1], False)
    assert model.values[0].output.reshape(3, -1).tolist() == first.tolist()
    assert model.values[1].output.reshape(2, -1).tolist() == second.tolist()
    program = pipeline.rtlsim_program(model)
    with Chip() as chip:
        run_on_chip(chip, program)
        for check in program.check.accesses():
            assert chip.read32(check.address) & check.mask == check.value


@settings(max_examples=40, deadline=None)
@given(length=st.integers(3, 20), pad=st.sampled_from([0, 3, 6]), relu=st.booleans(), seed=st.integers(0, 1000))
def test_training_layer_in_8_bit_mode_equals_the_same_arithmetic(length, pad, relu, seed):
    dice = np.random.default_rng(seed)
    data, weight = dice.integers(-128, 128, (2, 3 * length)), dice.integers(-60, 60, (4, 2, 9))
    layer = ai84.Conv1d(2, 4, padding=pad, activation="ReLU" if relu else None, simulate=True)
    layer.load_state_dict({"conv1d.weight": torch.from_numpy(weight.astype(np.float32))})
    with torch.no_grad():
        output = layer(torch.from_numpy(data.astype(np.float32))[None])[0]
    assert output.numpy().tolist() == conv1d(data, weight, pad, relu).tolist()


@pytest.mark.parametrize("options", [{"kernel_size": 3}, {"stride": 1}, {"padding": 1}])
def test_training_layer_refuses_what_the_engine_cannot_do(options):
    with pytest.raises(ValueError, match="AI84 rule conv1d: A one-dimensional convolution has kernel 9"):
        ai84.Conv1d(1, 1, **options)


def test_training_layer_refuses_lengths_that_three_does_not_divide():
    with pytest.raises(ValueError, match="Given: length 19"):
        ai84.Conv1d(1, 1)(torch.zeros(1, 1, 19))


def test_registers_are_those_of_12_6(tmp_path):
    """Length 18, padding 6: RCNT = 2 << 8 | 30 // 3 - 1, CCNT = 2, STRIDE = TPTR = 0, PRCNT = PCCNT = 1."""
    model = build(tmp_path, ["processors: 1, pad: 6, out_offset: 0x1000"], [np.ones((1, 1, 9))], np.ones((1, 18)), 1)
    program = pipeline.embedded_program(model)
    values = {op.address: op.value for op in program.section("cnn_configure").operations if isinstance(op, Write)}
    numbers = {0: 0x209, 1: 2, 3: 1, 4: 1, 5: 0, 11: 0}
    assert {number: values[0x50100010 + 0x80 * number] for number in numbers} == numbers
    assert model.values[0].output.shape == (1, 8, 1)  # (18 + 12) / 3 - 2


@pytest.mark.parametrize(
    ("layer", "shape", "length", "given_text"),
    [
        ("pad: 1", (1, 1, 9), 18, "padding 1"),
        ("max_pool: 2, pool_stride: 2", (1, 1, 9), 18, "max pooling"),
        ("pad: 3", (1, 1, 9), 17, "length 17"),
        ("pad: 3", (1, 1, 3, 3), 18, "conv1d with kernels 3x3"),
        ("pad: 3, stride: 1", (1, 1, 9), 18, "conv1d with stride 1"),
        ("pad: 3, kernel_size: 3x3", (1, 1, 9), 18, "conv1d with kernels 9"),
    ],
)
def test_what_the_engine_cannot_do_is_refused(tmp_path, layer, shape, length, given_text):
    with pytest.raises(RuleError) as error:
        build(tmp_path, [f"processors: 1, {layer}, out_offset: 0x1000"], [np.ones(shape)], np.ones((1, length)), 1)
    found = [violation for violation in error.value.violations if violation.rule == "conv1d"]
    assert [violation.given for violation in found] == [given_text]
