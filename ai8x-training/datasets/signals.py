"""A user's own one-dimensional data, of sensors say: signals.npz in the folder of --data.

Its arrays are train_data and test_data, [N, C, L] or [N, L], train_labels and test_labels, [N], and classes, names.
"""

import zipfile
from pathlib import Path

import numpy as np
import torch

from datasets.images import DataSet, ImageSet
from errors import UserError

NAME = "Signals"
FILE = "signals.npz"
PARTS = ("train", "test")
SHIFT = 16
"""Training shifts signals by up to this part of their length."""


def describe(data: Path) -> DataSet:
    """The data set in `data`/signals.npz; UserError when it is not there or cannot be read."""
    path = data / FILE
    channels, length = shape_of(path)
    classes = class_names(path)
    return DataSet(
        NAME,
        (channels, length, 1),
        classes,
        lambda folder: load(folder / FILE, (channels, length), len(classes)),
        horizontal_flip=False,
        crop_padding=length // SHIFT,
        unit=256,
    )


def wrong(path: Path, what: str) -> UserError:
    """The error for a file that is not as it must be."""
    return UserError(f"{path}: {what}; docs/datasets.md says what --dataset {NAME} needs")


def read(path: Path, key: str) -> np.ndarray:
    """One array of the file; UserError when it is not there."""
    try:
        with np.load(path, allow_pickle=False) as stored:
            return np.asarray(stored[key])
    except FileNotFoundError as error:
        raise wrong(path, "is not there") from error
    except KeyError as error:
        raise wrong(path, f"has no array {key}") from error
    except (OSError, ValueError, EOFError, zipfile.BadZipFile) as error:
        raise wrong(path, f"its array {key} cannot be read ({error})") from error


def shape_of(path: Path) -> tuple[int, int]:
    """Channels and length of the signals, without reading them."""
    read(path, "train_labels")  # says what is wrong with the file, if anything is
    try:
        with zipfile.ZipFile(path) as file, file.open("train_data.npy") as member:
            reader = {1: np.lib.format.read_array_header_1_0, 2: np.lib.format.read_array_header_2_0}
            shape, _, _ = reader[np.lib.format.read_magic(member)[0]](member)
    except (KeyError, ValueError, zipfile.BadZipFile) as error:
        raise wrong(path, "has no array train_data that can be read") from error
    if len(shape) not in (2, 3) or 0 in shape:
        raise wrong(path, f"train_data must have the shape [N, C, L] or [N, L]; given {list(shape)}")
    return (shape[1], shape[2]) if len(shape) == 3 else (1, shape[1])


def class_names(path: Path) -> tuple[str, ...]:
    """The names in `classes`; UserError unless there are at least two, all different."""
    names = tuple(map(str, read(path, "classes").ravel()))
    if len(set(names)) != len(names) or len(names) < 2:
        raise wrong(path, f"classes must name two or more classes, each once; given {', '.join(names) or 'none'}")
    return names


def load(path: Path, shape: tuple[int, int], classes: int) -> tuple[ImageSet, ImageSet]:
    """(training set, test set) with the signals as uint8 [N, C, L, 1]; UserError when they do not fit each other."""
    training, test = (read_part(path, part, shape, classes) for part in PARTS)
    return training, test


def read_part(path: Path, part: str, shape: tuple[int, int], classes: int) -> ImageSet:
    """The 'train' or 'test' part, checked against (channels, length) and the number of classes."""
    data, labels = read(path, f"{part}_data"), read(path, f"{part}_labels")
    if data.ndim == 2:
        data = data[:, None]
    if data.shape[1:] != shape:
        raise wrong(path, f"{part}_data must have signals of shape {list(shape)}; given {list(data.shape[1:])}")
    if labels.shape != data.shape[:1] or labels.dtype.kind not in "iu":
        raise wrong(path, f"{part}_labels must be {len(data)} whole numbers, one for each signal; given "
                          f"{labels.dtype} of shape {list(labels.shape)}")  # fmt: skip
    if len(labels) and not 0 <= labels.min() <= labels.max() < classes:
        raise wrong(path, f"{part}_labels must be from 0 to {classes - 1}; given {labels.min()} to {labels.max()}")
    codes = torch.from_numpy(to_codes(path, f"{part}_data", data))
    return ImageSet(codes[..., None], torch.from_numpy(labels.astype(np.int64)))


def to_codes(path: Path, key: str, data: np.ndarray) -> np.ndarray:
    """uint8 values in which 128 stands for 0: bytes as they are, int8 and int16 by their size, floats from -1 to 1.

    As in the recipe for speech, 1.0 is 256 and becomes 255 (AI85's input is this minus 128).
    """
    if data.dtype == np.uint8:
        return np.ascontiguousarray(data)
    if data.dtype in (np.int8, np.int16):
        data = data / (1.0 + np.iinfo(data.dtype).max)
    if data.dtype.kind != "f":
        raise wrong(path, f"{key} must be uint8, int8, int16 or floats; given {data.dtype}")
    low, high = (float(data.min()), float(data.max())) if data.size else (0.0, 0.0)
    if not -1 <= low <= high <= 1:
        raise wrong(path, f"{key} must be from -1 to 1; given {low:g} to {high:g}. Divide all signals by the "
                          "largest magnitude of the training signals, and clip those for the test")  # fmt: skip
    return np.clip(np.rint((data.astype(np.float64) + 1) * 128), 0, 255).astype(np.uint8)
