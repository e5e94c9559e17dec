"""Writes data sets in IDX format for the tests."""

import struct
from pathlib import Path

import numpy as np


def write_idx(folder: Path, images: dict[str, np.ndarray], labels: dict[str, np.ndarray]) -> None:
    """Write uint8 images [N, H, W] and labels [N] of the parts 'train' and 't10k' as IDX files."""
    folder.mkdir(parents=True, exist_ok=True)
    for part, array in images.items():
        header = struct.pack(">4I", 0x803, *array.shape)
        (folder / f"{part}-images-idx3-ubyte").write_bytes(header + array.tobytes())
        header = struct.pack(">2I", 0x801, len(array))
        (folder / f"{part}-labels-idx1-ubyte").write_bytes(header + labels[part].tobytes())
