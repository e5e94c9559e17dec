"""Reading quantized checkpoints of AI85: what is read computes the integers of the conformance cases."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from numpy.lib.stride_tricks import sliding_window_view

from izer import torchfile
from izer.ai85.checkpoint import named_weights, read_checkpoint
from izer.ai85.widths import read_widths
from izer.checkpoint import LayerWeights
from izer.errors import IzerError, RuleError

CASES = Path(__file__).resolve().parent / "conformance" / "ai85"
WEIGHTLESS = ("none", "passthrough")


def operation(described: dict[str, Any]) -> str:
    """The operation of a layer, under any of its names."""
    keys = ("op", "operation", "operator", "convolution")
    return next((str(described[key]).lower() for key in keys if key in described), "conv2d")


def computable() -> list[Any]:
    """Layers of tier-1 cases whose answer follows from the weights with a plain convolution or matrix product."""
    found = []
    for folder in sorted((CASES / "valid").glob("tier1-*")):
        layers = yaml.safe_load((folder / "network.yaml").read_text())["layers"]
        weighted = [n for n, described in enumerate(layers) if operation(described) not in WEIGHTLESS]
        plain = [n for n in weighted if not layers[n].keys() & {"max_pool", "avg_pool", "pool_stride"}]
        found += [pytest.param(folder, n, weighted.index(n), id=f"{folder.name}-{n}") for n in plain]
    return found


def input_of(folder: Path, number: int, described: dict[str, Any], weights: LayerWeights) -> np.ndarray:
    """A layer's input int64 [C, H, W]; all of it is one pixel for a matrix product, one column for a Conv1d."""
    data = np.load(folder / "layers.npz")[f"layer{number - 1}"] if number else np.load(folder / "sample.npy")
    data = data.astype(np.int64)
    if weights.op == "linear":
        return data.reshape(-1, 1, 1)
    size = described.get("in_dim", data.shape[1:])
    size = tuple(size) if isinstance(size, list | tuple) else (size,)
    data = data.reshape(data.shape[0], *size)
    return data.reshape(data.shape[0], -1, 1) if weights.op == "conv1d" else data


def accumulated(data: np.ndarray, weights: LayerWeights, described: dict[str, Any]) -> np.ndarray:
    """Sums of products and 128 * bias, [K, H, W] (AI85 hardware reference 1.4)."""
    kernel = weights.weight.astype(np.int64)
    kernel = kernel.reshape(*kernel.shape, *[1] * (4 - kernel.ndim))
    pad = 0 if weights.op == "linear" else described.get("pad", 1)
    dilation = described.get("dilation", 1)
    columns = 0 if weights.op == "conv1d" else pad
    data = np.pad(data, ((0, 0), (pad, pad), (columns, columns)))
    windows = sliding_window_view(data, ((kernel.shape[2] - 1) * dilation + 1, kernel.shape[3]), axis=(1, 2))
    total = np.einsum("chwij,kcij->khw", windows[..., ::dilation, :], kernel)
    return total if weights.bias is None else total + 128 * weights.bias.astype(np.int64)[:, None, None]


def output(total: np.ndarray, weights: LayerWeights, described: dict[str, Any]) -> np.ndarray:
    """Shift, round, clip and activate (AI85 hardware reference 1.4)."""
    if described.get("output_width") == 32:
        return total
    shift = described.get("output_shift", weights.output_shift) + 8 - weights.weight_bits
    scaled = ((total << shift) + 64) >> 7 if shift >= 0 else (total + (64 << -shift)) >> (7 - shift)
    result = np.clip(scaled, -128, 127)
    activation = str(described.get("activate", described.get("activation"))).lower()
    return np.maximum(result, 0) if activation == "relu" else (
        np.minimum(abs(result), 127) if activation == "abs" else result)  # fmt: skip


@pytest.mark.parametrize(("folder", "number", "index"), computable())
def test_what_is_read_computes_the_answers_of_the_conformance_cases(folder, number, index):
    described = yaml.safe_load((folder / "network.yaml").read_text())["layers"][number]
    weights = read_checkpoint(folder / "checkpoint.pth.tar", read_widths(folder / "network.yaml")).convolutions[index]
    data = input_of(folder, number, described, weights)
    result = output(accumulated(data, weights, described), weights, described)
    assert np.array_equal(result.ravel(), np.load(folder / "layers.npz")[f"layer{number}"].ravel())


def test_many_layers_are_computable():
    assert len(computable()) >= 100


def readable() -> list[Path]:
    """All cases but those with transposed convolutions, whose weights are [C, K, kh, kw]."""
    return sorted(folder for folder in (CASES / "valid").iterdir() if "convt" not in folder.name)


@pytest.mark.parametrize("folder", readable(), ids=lambda folder: folder.name)
def test_every_case_is_read(folder):
    """All layers, their names, and whole numbers as the file has them; also of tiers 2 and 3."""
    tensors = torchfile.read(folder / "checkpoint.pth.tar")["state_dict"]
    keys = [key for key in tensors if key.endswith(".op.weight")]
    read = read_checkpoint(folder / "checkpoint.pth.tar", read_widths(folder / "network.yaml"))
    assert [layer.name for layer in read.convolutions] == [key.removesuffix(".op.weight") for key in keys]
    assert read.fc is None
    assert read.arch.lower() == yaml.safe_load((folder / "network.yaml").read_text())["arch"].lower()
    for layer, key in zip(read.convolutions, keys, strict=True):
        assert np.array_equal(layer.weight, tensors[key])
        assert layer.output_shift == int(tensors[f"{layer.name}.output_shift"].item())
        assert (layer.bias is None) == (f"{layer.name}.op.bias" not in tensors)


def test_weights_beyond_the_width_of_the_description_are_refused():
    folder = CASES / "invalid" / "weights-out-of-range"
    assert "exceed the 4-bit range" in (folder / "rule.txt").read_text()
    with pytest.raises(RuleError) as error:
        read_checkpoint(folder / "checkpoint.pth.tar", read_widths(folder / "network.yaml"))
    assert [violation.rule for violation in error.value.violations] == ["weights-range"]
    assert "integers from -8 to 7" in str(error.value)
    assert json.loads((folder / "meta.json").read_text())["expect"] == "error"


def f32(*values: float) -> np.ndarray:
    return np.array(values, np.float32)


def read(tensors: dict[str, np.ndarray], described: tuple[int | None, ...] = ()) -> LayerWeights:
    """The only layer of a state dictionary."""
    (layer,) = named_weights("net.pth.tar", "net", tensors, described).convolutions
    return layer


LAYER = {"a.op.weight": f32(-8, 7).reshape(2, 1), "a.op.bias": f32(-1024, 1023), "a.weight_bits": f32(4),
         "a.output_shift": f32(-3)}  # fmt: skip


def test_a_bias_is_divided_by_the_unit_of_the_file_and_rounded_down():
    layer = read(LAYER)
    assert layer.bias.tolist() == [-128, 127]  # 1023 / 8 = 127.9
    assert (layer.weight_bits, layer.output_shift, layer.op) == (4, -3, "linear")
    assert read(LAYER | {"a.op.bias": f32(-1, 1)}).bias.tolist() == [-1, 0]
    assert read(LAYER, (8,)).bias.tolist() == [-128, 127]  # the description changes the width, not the file
    without = {key: value for key, value in LAYER.items() if key != "a.weight_bits"}
    assert read(without).bias.tolist() == [-8, 7]  # 1024 / 128, 1023 / 128


def test_the_width_is_that_of_the_description_then_of_the_file_then_8():
    weights = {"a.op.weight": f32(-1, 0).reshape(2, 1)}
    assert read(weights | {"a.weight_bits": f32(4)}, (2,)).weight_bits == 2
    assert read(weights | {"a.weight_bits": f32(4)}, (None,)).weight_bits == 4
    assert read(weights | {"a.weight_bits": f32(0)}).weight_bits == 8
    assert read(weights).weight_bits == 8


def test_weights_that_are_all_0_take_one_bit_where_no_bias_depends_on_the_width():
    weights = {"a.op.weight": np.zeros((2, 1), np.float32), "a.weight_bits": f32(4)}
    assert read(weights).weight_bits == 1
    assert read(weights, (8,)).weight_bits == 8
    assert read(weights | {"a.op.bias": f32(8, 0)}).weight_bits == 4


@pytest.mark.parametrize(
    ("shape", "op"), [((2, 3, 3, 3), "conv2d"), ((2, 3, 1, 1), "conv2d"), ((2, 3, 9), "conv1d"), ((2, 3), "linear")]
)
@pytest.mark.parametrize("key", ["a.op.weight", "a.weight", "a.conv2d.weight", "module.a.op.weight"])
def test_names_and_operations(shape, op, key, tmp_path):
    path = tmp_path / "net.pth.tar"
    torchfile.write(path, {"arch": "net", "state_dict": {key: np.ones(shape, np.float32), "a.weight_bits": f32(2)}})
    (layer,) = read_checkpoint(path).convolutions
    assert (layer.name, layer.op, layer.weight.shape, layer.weight_bits) == ("a", op, shape, 2)


@pytest.mark.parametrize(
    ("change", "described", "rule", "given"),
    [
        ({"a.op.weight": f32(-8, 8).reshape(2, 1)}, (), "weights-range", "a.op.weight from -8 to 8"),
        ({"a.op.weight": f32(-8, 0).reshape(2, 1)}, (2,), "weights-range", "from -2 to 1"),
        ({"a.op.weight": f32(-8, 0.5).reshape(2, 1)}, (), "weights-integer", "a.op.weight with fractions"),
        ({"a.op.weight": f32(np.nan, 0).reshape(2, 1)}, (), "weights-integer", "a.op.weight with fractions"),
        ({"a.op.bias": f32(np.inf, 0)}, (), "weights-integer", "a.op.bias with fractions"),
        ({"a.op.bias": f32(0.5, 0)}, (), "weights-integer", "a.op.bias with fractions"),
        ({"a.op.bias": f32(1024, 0)}, (), "bias-range", "a.op.bias / 8 from 0 to 128"),
        ({"a.op.bias": f32(-1e30, 0)}, (), "bias-range", "a.op.bias / 8 from -"),
        ({"a.op.bias": f32(1, 2, 3)}, (), "tensor-shape", "here [2]. Given: a.op.bias with shape [3]"),
        ({"a.op.weight": np.zeros((0, 1), np.float32)}, (), "tensor-shape", "a.op.weight with shape [0, 1]"),
        ({"a.op.weight": np.zeros((1,) * 5, np.float32)}, (), "tensor-shape", "[1, 1, 1, 1, 1]"),
        ({"a.weight_bits": f32(3)}, (), "weight-bits", "a.weight_bits = 3"),
        ({"a.weight_bits": f32(4, 4)}, (), "weight-bits", "a.weight_bits = a tensor of shape [2]"),
        ({"a.output_shift": f32(0.5)}, (), "shift-integer", "a.output_shift = 0.5"),
        ({"a.output_shift": f32(np.nan)}, (), "shift-integer", "a.output_shift = nan"),
        ({"a.bn.weight": f32(1, 1)}, (), "batch-norm", "separate in a"),
        ({"b.bn.running_mean": f32(1, 1)}, (), "batch-norm", "separate in b"),
    ],
)
def test_one_rule_names_what_is_wrong(change, described, rule, given):
    with pytest.raises(RuleError) as error:
        read(LAYER | change, described)
    assert [violation.rule for violation in error.value.violations] == [rule]
    assert given in str(error.value)
    assert str(error.value).startswith("net.pth.tar: ")


def test_all_violations_are_reported_together():
    second = {key.replace("a.", "b."): value for key, value in LAYER.items()}
    wrong = {"a.weight_bits": f32(5), "b.op.weight": f32(9, 9).reshape(2, 1), "b.op.bias": f32(9e9, 0)}
    with pytest.raises(RuleError) as error:
        named_weights("net.pth.tar", "net", LAYER | second | wrong)
    assert [violation.rule for violation in error.value.violations] == ["weight-bits", "weights-range", "bias-range"]


WITHOUT_NAME = {"arch": 5, "state_dict": {"a.weight": f32(1)}}


@pytest.mark.parametrize("content", [{"state_dict": {}}, {"arch": "net"}, WITHOUT_NAME])
def test_a_file_that_is_no_checkpoint(content, tmp_path):
    torchfile.write(tmp_path / "net.pth.tar", content)
    with pytest.raises(IzerError, match="a checkpoint"):
        read_checkpoint(tmp_path / "net.pth.tar")
