"""Files in IDX format: a big-endian header (magic, dimensions) followed by bytes, plain or gzipped."""

import gzip
import struct
import zlib
from pathlib import Path

import numpy as np
import torch

from datasets.images import ImageSet
from errors import UserError

FILES = {
    "train": ("train-images-idx3-ubyte", "train-labels-idx1-ubyte"),
    "test": ("t10k-images-idx3-ubyte", "t10k-labels-idx1-ubyte"),
}
UNSIGNED_BYTE = 0x08


def find(folder: Path, name: str) -> Path | None:
    """The file `name` in `folder`, plain or with .gz; None when neither is there."""
    return next((path for path in (folder / name, folder / f"{name}.gz") if path.is_file()), None)


def complete(folder: Path) -> bool:
    """Whether all four files of a data set are in `folder`."""
    return all(find(folder, name) for names in FILES.values() for name in names)


def damaged(path: Path, what: str) -> UserError:
    """The error for a file that is not what it should be."""
    return UserError(f"{path}: {what}; delete the file and fetch it again")


def read_bytes(path: Path) -> bytes:
    """The content of `path`, unpacked when it ends in .gz."""
    try:
        return gzip.decompress(path.read_bytes()) if path.suffix == ".gz" else path.read_bytes()
    except (OSError, EOFError, zlib.error) as error:
        raise damaged(path, f"cannot be read ({error})") from error


def read_array(path: Path, dimensions: int) -> np.ndarray:
    """A uint8 array with that many `dimensions` from an IDX file; UserError when header or size is wrong."""
    content = read_bytes(path)
    header = 4 + 4 * dimensions
    magic = UNSIGNED_BYTE << 8 | dimensions
    if len(content) < header or struct.unpack(">I", content[:4])[0] != magic:
        raise damaged(
            path,
            f"is no IDX file of unsigned bytes in {dimensions} dimension(s): it must begin with {magic:#010x}, "
            f"it begins with 0x{content[:4].hex()}",
        )
    shape = struct.unpack(f">{dimensions}I", content[4:header])
    expected = int(np.prod(shape, dtype=np.int64))
    if len(content) - header != expected:
        raise damaged(
            path,
            f"holds {len(content) - header} bytes of data, its header announces {expected} "
            f"({' x '.join(map(str, shape))})",
        )
    return np.frombuffer(content, np.uint8, offset=header).reshape(shape)


def read_set(folder: Path, part: str, input_shape: tuple[int, int, int], classes: int) -> ImageSet:
    """The 'train' or 'test' part in `folder`, checked against the shape of one image and the number of classes."""
    image_path, label_path = (find(folder, name) or folder / name for name in FILES[part])
    images, labels = read_array(image_path, 3), read_array(label_path, 1)
    if images.shape[1:] != input_shape[1:]:
        raise damaged(image_path, f"holds images of {images.shape[1:]} pixels, {input_shape[1:]} are expected")
    if len(images) != len(labels):
        raise damaged(label_path, f"holds {len(labels)} labels for {len(images)} images")
    if len(labels) and labels.max() >= classes:
        raise damaged(
            label_path, f"holds the label {labels.max()}, the labels of {classes} classes end at {classes - 1}"
        )
    return ImageSet(torch.from_numpy(images.copy()).unsqueeze(1), torch.from_numpy(labels.astype(np.int64)))
