"""train.py --check: an untrained network is checked without data."""

import subprocess
import sys
from pathlib import Path

import pytest

TRAINING = Path(__file__).resolve().parents[1]


def check(model: str, folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, TRAINING / "train.py", "--check", "--model", model, "--dataset", "FashionMNIST",
               "--data", folder / "nowhere", *arguments]  # fmt: skip
    return subprocess.run(command, capture_output=True, text=True, check=False, cwd=folder)


# layers and parameters of the reference's table of networks
@pytest.mark.parametrize(
    ("model", "rows", "parameters"),
    [("ai84net5", 5, 71158), ("ai84netsmall", 4, 6106), ("ai84netextrasmall", 4, 2514)],
)
def test_a_network_that_fits_is_printed_layer_by_layer(tmp_path, model, rows, parameters):
    done = check(model, tmp_path)
    assert (done.returncode, done.stderr) == (0, "")
    assert len(done.stdout.splitlines()) == rows + 4
    assert f"{parameters} parameters; all rules of AI84 for layers hold" in done.stdout
    assert "1x28x28" in done.stdout
    assert list(tmp_path.iterdir()) == []


def test_the_shapes_of_ai84net5_are_those_of_the_reference(tmp_path):
    outputs = [line.split()[-2] for line in check("ai84net5", tmp_path).stdout.splitlines()[2:6]]
    assert outputs == ["60x28x28", "60x16x16", "56x8x8", "12x4x4"]
