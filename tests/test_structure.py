"""What training stores about a network is enough for cnn-gen.py --auto: the program computes what the network does."""

import inspect
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

import ai84net
import ai85net
import checkpoint
import structure
from chip import Chip
from izer import pipeline
from izer.device import DEVICES

ROOT = Path(__file__).resolve().parents[1]
SHAPES = {"ai84net5": (1, 28), "ai84net5chw": (3, 32), "ai84net7": (1, 64), "ai84netsmall": (1, 28),
          "ai84netextrasmall": (1, 28), "ai85net5": (3, 32), "ai85net80wide": (1, 28),
          "ai85netextrasmall": (1, 28)}  # fmt: skip
UNPROVEN = ("ai85cifarnet",)
"""Whether fewer columns would do is open: the solver may order the layers of a processor as the device does not."""
NETWORKS = [(84, name) for name in ai84net.models] + [(85, name) for name in ai85net.models]


def built(device: int, name: str, **settings: bool) -> torch.nn.Module:
    """A network of the project for an input of the size that it is for."""
    constructor = {84: ai84net, 85: ai85net}[device].models[name]
    if name in SHAPES:
        channels, side = SHAPES[name]
        settings |= {"num_channels": channels, "dimensions": (side, side)}
    return constructor(**settings)


def quantized(device: int, name: str, folder: Path) -> Path:
    """A checkpoint of random weights, as training writes it and ai84ize.py quantizes it."""
    torch.manual_seed(1)
    model = built(device, name)
    source, target = folder / "float.pth.tar", folder / "quantized.pth.tar"
    checkpoint.save(source, model, name, 0, None, {}, {}, structure.describe(model, name, "Mine"))
    command = [sys.executable, ROOT / "ai8x-synthesis" / "ai84ize.py", source, target, "--device", str(device)]
    done = subprocess.run([*command, *(["--scale", "1.0"] if device == 84 else [])], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return target


@pytest.mark.parametrize(("device", "name"), NETWORKS)
def test_a_checkpoint_alone_becomes_a_program_that_computes_what_the_network_computes(device, name, tmp_path):
    path = quantized(device, name, tmp_path)
    model = built(device, name, simulate=True)
    checkpoint.load_weights(model, checkpoint.load(path), name)
    shape = (SHAPES[name][0], SHAPES[name][1], SHAPES[name][1]) if name in SHAPES else input_of(name)
    sample = np.random.default_rng(2).integers(-128, 128, shape)
    np.save(tmp_path / "sample.npy", sample)
    with torch.no_grad():
        scores = model(torch.tensor(sample).float()[None])[0].numpy().astype(np.int64)
    request = pipeline.Request(DEVICES[device], None, path, tmp_path / "sample.npy", fc_layer=device == 84, auto=5)
    generated = pipeline.build_model(request)
    answer = generated.scores if device == 84 else generated.values[-1].output.ravel()
    assert np.array_equal(answer, scores)
    assert generated.verdict.proven == (name not in UNPROVEN)
    program = pipeline.embedded_program(generated)
    with Chip(device) as chip:
        for access in program.trace():
            assert_access(chip, access)


def input_of(name: str) -> tuple[int, int, int]:
    """The input that a network's constructor assumes."""
    models = ai84net.models if name in ai84net.models else ai85net.models
    parameters = inspect.signature(models[name]).parameters
    return parameters["num_channels"].default, *parameters["dimensions"].default


def assert_access(chip: Chip, access) -> None:
    """Do an access; what is read must be as the program wants it."""
    if access.kind == "W":
        chip.write32(access.address, access.value)
    elif access.kind == "B":
        chip.write8(access.address, access.value)
    else:
        found = [chip.read32(access.address) & access.mask for _ in range(3 if access.mask == 0x1000 else 1)]
        assert access.value in found
