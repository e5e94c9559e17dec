"""Networks of AI85 from a few keys, for tests."""

import json
from pathlib import Path

import numpy as np

from izer import pipeline, torchfile
from izer.device import AI85

ALL = (1 << 64) - 1
PLAIN = {"out_offset": 0x2000}
THROUGH = {"op": "passthrough", **PLAIN}
POOL2 = {"pool_stride": 2}
CONV3 = {"pad": 0, **PLAIN}

Layers = list[dict[str, object]]


def model(folder: Path, shape: tuple[int, ...], layers: Layers, weights: dict[str, np.ndarray] | None = None):
    """A network with random weights, or with those that are given."""
    text = "arch: net\ndataset: none\nlayers:\n" + "".join(f"- {json.dumps(layer)}\n" for layer in layers)
    (folder / "network.yaml").write_text(text)
    np.save(folder / "sample.npy", np.zeros(shape, np.int64))
    checkpoint = None
    if weights is not None:
        checkpoint = folder / "checkpoint.pth.tar"
        torchfile.write(checkpoint, {"epoch": 0, "arch": "net", "state_dict": weights, "extras": {}})
    return pipeline.build_model(pipeline.Request(
        AI85, folder / "network.yaml", checkpoint, folder / "sample.npy", seed=1 if weights is None else None,
    ))


def conv(kernel: str, inputs: int, outputs: int, out_channels: int, **more: object) -> Layers:
    return [{"processors": inputs, "output_processors": outputs, "out_channels": out_channels, "kernel_size": kernel,
             **CONV3, **more}]  # fmt: skip


def conv1d(kernel: int, inputs: int, outputs: int, **more: object) -> Layers:
    return [{"processors": inputs, "output_processors": outputs, "op": "conv1d", "kernel_size": kernel, **CONV3,
             **more}]  # fmt: skip


def through(inputs: int, outputs: int, **more: object) -> Layers:
    return [{"processors": inputs, "output_processors": outputs, **THROUGH, **more}]
