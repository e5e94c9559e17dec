"""Reading the widths of weights from a network description, and what is refused."""

from pathlib import Path

import pytest
import yaml

from izer.ai85.widths import read_widths
from izer.errors import IzerError

VALID = Path(__file__).resolve().parent / "conformance" / "ai85" / "valid"
HEADER = "arch: net\ndataset: none\nlayers:\n"


def described(tmp_path: Path, text: str) -> Path:
    path = tmp_path / "net.yaml"
    path.write_text(text)
    return path


def test_layers_without_weights_of_their_own_have_no_width(tmp_path):
    lines = ["- {op: Conv2d, quantization: 4}", "- {max_pool: 2, op: none}", "- {operation: PassThrough}",
             "- {operator: add, operands: 2}", "- {convolution: BitwiseXor}", "- {op: conv2d, weight_source: 0}",
             "- {op: linear, bypass: true}", "- {eltwise: add, op: conv2d, quantization: 1}", "- {op: linear}",
             "- {processors: 1, quantization: 8}"]  # fmt: skip
    assert read_widths(described(tmp_path, HEADER + "\n".join(lines))) == (4, 1, None, 8)


def test_the_order_is_that_of_execution(tmp_path):
    lines = ["- {quantization: 1, sequence: 2}", "- {quantization: 2, sequence: 0}", "- {quantization: 4}"]
    assert read_widths(described(tmp_path, HEADER + "\n".join(lines))) == (2, 4, 1)


@pytest.mark.parametrize("folder", sorted(VALID.glob("tier1-*")), ids=lambda folder: folder.name)
def test_conformance_cases(folder):
    layers = yaml.safe_load((folder / "network.yaml").read_text())["layers"]
    weighted = [layer for layer in layers if layer.get("op") not in ("none", "passthrough")]
    assert read_widths(folder / "network.yaml") == tuple(layer.get("quantization") for layer in weighted)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("layers:\n- op: conv2d\n  quantization: 3\n", ":3: `quantization` is 1, 2, 4 or 8; given '3'"),
        ("layers:\n- quantization: bin\n", ":2: `quantization` is 1, 2, 4 or 8; given 'bin'"),
        ("layers:\n- quantization: [8]\n", ":2: `quantization` is 1, 2, 4 or 8; given 'no number'"),
        ("layers:\n- sequence: -1\n", ":2: `sequence` is an integer from 0; given '-1'"),
        ("layers:\n- sequence: 1\n- sequence: 1\n", ":3: two layers have the sequence number 1"),
        ("layers:\n- 5\n", ":2: a layer is a mapping of keys"),
        ("layers: 5\n", ": a network description has a list `layers`"),
        ("", ": a network description has a list `layers`"),
        ("- layers\n", ": a network description has a list `layers`"),
        ("layers: [\n", ":2: not valid YAML"),
        ("? [a]\n: 1\n", ": a network description has a list `layers`"),
    ],
)
def test_what_is_wrong_is_told_with_its_line(tmp_path, text, message):
    path = described(tmp_path, text)
    with pytest.raises(IzerError) as error:
        read_widths(path)
    assert str(error.value).startswith(f"{path}{message}")


def test_a_missing_file(tmp_path):
    with pytest.raises(IzerError, match="cannot read the network description"):
        read_widths(tmp_path / "net.yaml")
