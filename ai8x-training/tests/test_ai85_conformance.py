"""The exact mode computes every layer of the conformance cases of AI85 that training layers can express."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import yaml

import ai85

CASES = Path(__file__).resolve().parents[2] / "ai8x-synthesis" / "tests" / "conformance" / "ai85" / "valid"
SYNONYMS = {"op": ("op", "operation", "operator", "convolution"), "activate": ("activate", "activation")}
ACTIVATIONS = {"relu": "ReLU", "abs": "Abs", "none": None}
ROUNDING = "--avg-pool-rounding"  # the training layers truncate


NOT_IN_THE_FILE = "tier1-no-weight-bits"  # only the description tells the width of the weights


def cases() -> list[str]:
    """Tier-1 cases with the default arithmetic, whose checkpoint says how wide the weights are."""
    names = sorted(folder.name for folder in CASES.glob("tier1-*") if folder.name != NOT_IN_THE_FILE)
    return [name for name in names if ROUNDING not in json.loads((CASES / name / "meta.json").read_text())["options"]]


def value(described: dict[str, Any], key: str, default: str) -> str:
    """A key or one of its synonyms, in lower case."""
    return next((str(described[name]).lower() for name in SYNONYMS[key] if name in described), default)


def build(described: dict[str, Any], tensors: dict[str, torch.Tensor], columns: int) -> ai85.Layer:
    """The training layer that a layer of the description stands for, with the tensors of the checkpoint."""
    op = value(described, "op", "conv2d")
    kind = "Max" if "max_pool" in described else "Avg" if "avg_pool" in described else None
    window, stride = described.get("max_pool", described.get("avg_pool", 1)), described.get("pool_stride", 1)
    if kind is None and stride != 1:
        kind = "Max"  # sub-sampling is the maximum of single pixels
    window, stride = (tuple(size) if isinstance(size, list) else size for size in (window, stride))
    if op in ("none", "passthrough"):
        if columns == 1:
            return ai85.Pool1d(kind or "Max", window, stride, simulate=True)
        return ai85.Pool2d(kind or "Max", window, stride, simulate=True)
    weight, bias = tensors["op.weight"], tensors.get("op.bias")
    common: dict[str, Any] = {"activation": ACTIVATIONS[value(described, "activate", "none")], "simulate": True,
                              "wide": described.get("output_width") == 32, "bias": bias is not None}  # fmt: skip
    if op in ("linear", "fc", "mlp"):
        module = ai85.Linear(weight.shape[1], weight.shape[0], **common)
    else:
        pooling = {"pooling": kind, "pool_size": window, "pool_stride": stride} if kind else {}
        module = (ai85.Conv1d if op == "conv1d" else ai85.Conv2d)(
            weight.shape[1], weight.shape[0], weight.shape[2], padding=described.get("pad", 1),
            dilation=described.get("dilation", 1), **pooling, **common)  # fmt: skip
    state = module.state_dict() | {name: tensors[name].float() for name in tensors}
    module.load_state_dict(state)
    if "output_shift" in described:
        module.output_shift.fill_(described["output_shift"])
    if "quantization" in described:
        module.weight_bits.fill_(described["quantization"])
    return module


def layer_tensors(folder: Path) -> list[dict[str, torch.Tensor]]:
    """The tensors of each weighted layer, by the names within the layer, in the order of the file."""
    state = torch.load(folder / "checkpoint.pth.tar", weights_only=True)["state_dict"]
    prefixes = [name.removesuffix("op.weight") for name in state if name.endswith(".op.weight")]
    return [{name.removeprefix(first): state[name] for name in state if name.startswith(first)} for first in prefixes]


def arranged(data: np.ndarray, described: dict[str, Any], module: ai85.Layer) -> np.ndarray:
    """A layer's input [C, H, W] as it reads it: `in_dim`, and one dimension for a Conv1d."""
    shape = described.get("in_dim", data.shape[1:])
    data = data.reshape(data.shape[0], *(shape if isinstance(shape, list | tuple) else (shape, 1)))
    return data.reshape(data.shape[0], -1) if module.settings.operator in ("Conv1d", "Pool1d") else data


@pytest.mark.parametrize("name", cases())
def test_exact_layers_compute_the_conformance_cases(name):
    folder = CASES / name
    description = yaml.safe_load((folder / "network.yaml").read_text())["layers"]
    expected = np.load(folder / "layers.npz")
    tensors = iter(layer_tensors(folder))
    data = np.load(folder / "sample.npy")
    data = data.reshape(*data.shape, *[1] * (3 - data.ndim))
    for number, described in enumerate(description):
        weighted = value(described, "op", "conv2d") not in ("none", "passthrough")
        module = build(described, next(tensors) if weighted else {}, data.shape[2])
        with torch.no_grad():
            output = module(torch.tensor(arranged(data, described, module)).float()[None])[0].numpy()
        data = expected[f"layer{number}"]
        assert np.array_equal(output.reshape(-1), data.reshape(-1)), f"layer {number}"


def test_most_conformance_cases_are_covered():
    assert len(cases()) >= 55
