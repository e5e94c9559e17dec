"""Pictures in folders, one folder per class: `train/<class>/*` and `test/<class>/*`, read once and then cached."""

import hashlib
import logging
import zipfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from PIL import Image, ImageOps
from rich.console import Console
from rich.progress import track

from datasets.images import ImageSet
from errors import UserError
from files import replacing

log = logging.getLogger(__name__)

PARTS = ("train", "test")
SUFFIXES = (".bmp", ".jpeg", ".jpg", ".png", ".webp")
GREY_MODES = ("1", "L", "LA")
COLOUR_MODES = ("CMYK", "P", "RGB", "RGBA", "YCbCr")
CACHE = "pictures-{channels}x{height}x{width}.npz"


@dataclass(frozen=True)
class Form:
    """What pictures become: arrays of shape [channels, height, width]; with `resize` those of other sizes too."""

    channels: int
    height: int
    width: int
    resize: bool


@dataclass(frozen=True)
class Folder:
    """A folder of pictures: `classes` are the names of its class folders, in the order of the labels."""

    path: Path
    classes: tuple[str, ...]


def has_parts(path: Path) -> bool:
    """Whether `path` has the folders train and test."""
    return all((path / part).is_dir() for part in PARTS)


def class_folders(path: Path) -> tuple[str, ...]:
    """The names of the class folders in `path`/train, sorted; UserError where there is none or test has others."""
    train, test = ({entry.name for entry in visible(path / part) if entry.is_dir()} for part in PARTS)
    if not train or test - train:
        raise UserError(
            f"{path}: train/ must have a folder for every class, and test/ no others; "
            f"train/ has {', '.join(sorted(train)) or 'none'}, test/ has {', '.join(sorted(test)) or 'none'}"
        )
    return tuple(sorted(train))


def visible(path: Path) -> list[Path]:
    """What is in the folder `path`, without hidden entries; UserError when it cannot be read."""
    try:
        return [entry for entry in path.iterdir() if not entry.name.startswith(".")]
    except OSError as error:
        raise UserError(f"{path}: cannot be read ({error.strerror}); it must be a folder of pictures") from error


def list_pictures(folder: Path) -> list[Path]:
    """The pictures in one class folder, sorted by name; other files are left alone. UserError where there is none."""
    found = sorted(path for path in visible(folder) if path.suffix.lower() in SUFFIXES)
    if not found:
        raise UserError(f"{folder}: holds no pictures ({', '.join(SUFFIXES)}); add some, or delete the folder")
    return found


def is_grey(picture: Image.Image) -> bool:
    """Whether the picture has no colours."""
    return picture.mode in GREY_MODES


def form_of(path: Path, side: int | None) -> Form:
    """The form of all pictures, from the one at `path`, or `side` x `side` pixels where that is given."""
    picture = decode(path)
    channels = 1 if is_grey(picture) else 3
    return Form(channels, side or picture.height, side or picture.width, resize=side is not None)


def decode(path: Path) -> Image.Image:
    """The picture at `path`, turned as its camera says; UserError when it cannot be read or is not of 8 bits."""
    try:
        with Image.open(path) as file:
            picture = ImageOps.exif_transpose(file)
            picture.load()
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError) as error:
        raise UserError(f"{path}: cannot be read as a picture ({error}); replace or delete it") from error
    if picture.mode not in GREY_MODES + COLOUR_MODES:
        raise UserError(
            f"{path}: a picture must have 8 bits per channel, grey or colour; this one is of Pillow's mode "
            f"{picture.mode}; convert or delete it"
        )
    return picture


def read_picture(path: Path, form: Form) -> np.ndarray:
    """One picture as uint8 [channels, height, width]; UserError when it does not have that form."""
    picture = decode(path)
    if form.channels == 1 and not is_grey(picture):
        raise UserError(
            f"{path}: the first picture is grey, so all must be; this one has colours; convert or delete it"
        )
    if picture.size != (form.width, form.height):
        if not form.resize:
            raise UserError(
                f"{path}: all pictures must have one size, that of the first: {form.width} x {form.height} pixels; "
                f"this one has {picture.width} x {picture.height}; --dataset ImageFolder --image-size N resizes all"
            )
        picture = picture.convert("RGB").resize((form.width, form.height), Image.Resampling.BILINEAR)
    pixels = np.asarray(picture.convert("L" if form.channels == 1 else "RGB"))
    return pixels.reshape(form.height, form.width, form.channels).transpose(2, 0, 1)


def load(folder: Folder, form: Form) -> tuple[ImageSet, ImageSet]:
    """(training set, test set) of a folder, from its cache where that is current; UserError for a bad picture."""
    listed = {part: list_part(folder, part) for part in PARTS}
    key = fingerprint(folder, form, [path for part in PARTS for path, _ in listed[part]])
    cache = folder.path / CACHE.format(channels=form.channels, height=form.height, width=form.width)
    arrays = read_cache(cache, key)
    if arrays is None:
        arrays = read_all(listed, form)
        write_cache(cache, key, arrays)
    train, test = (
        ImageSet(torch.from_numpy(arrays[f"{part}_images"]), torch.from_numpy(arrays[f"{part}_labels"]))
        for part in PARTS
    )
    return train, test


def list_part(folder: Folder, part: str) -> list[tuple[Path, int]]:
    """Every picture of 'train' or 'test' with its label, class by class."""
    return [
        (path, label)
        for label, name in enumerate(folder.classes)
        if (folder.path / part / name).is_dir()
        for path in list_pictures(folder.path / part / name)
    ]


def read_all(listed: dict[str, list[tuple[Path, int]]], form: Form) -> dict[str, np.ndarray]:
    """All pictures and labels, as arrays by the names that the cache uses."""
    arrays = {}
    console = Console()
    for part, pictures in listed.items():
        log.info("Reading %d pictures for %s", len(pictures), part)
        images = np.empty((len(pictures), form.channels, form.height, form.width), np.uint8)
        bar = track(pictures, f"reading {part}", console=console, disable=not console.is_terminal, transient=True)
        for position, (path, _) in enumerate(bar):
            images[position] = read_picture(path, form)
        arrays[f"{part}_images"] = images
        arrays[f"{part}_labels"] = np.array([label for _, label in pictures], np.int64)
    return arrays


def fingerprint(folder: Folder, form: Form, paths: Sequence[Path]) -> str:
    """A digest of the form, and of every picture's place (its class), size and time of change, in order."""
    digest = hashlib.sha256(repr(form).encode())
    for path in paths:
        stat = path.stat()
        digest.update(f"{path.relative_to(folder.path)}\0{stat.st_size}\0{stat.st_mtime_ns}\0".encode())
    return digest.hexdigest()


def read_cache(cache: Path, key: str) -> dict[str, np.ndarray] | None:
    """The arrays of a cache that was written with the same `key`; None when there is none, or it is damaged."""
    try:
        with np.load(cache, allow_pickle=False) as stored:
            if stored["key"].item() != key:
                return None
            log.info("Using %s", cache)
            return {name: stored[name] for name in stored.files if name != "key"}
    except (OSError, KeyError, ValueError, EOFError, zipfile.BadZipFile):
        return None


def write_cache(cache: Path, key: str, arrays: dict[str, np.ndarray]) -> None:
    """Store the arrays beside the pictures; a folder that cannot be written is read again the next time."""
    try:
        with replacing(cache) as scratch, scratch.open("wb") as file:
            np.savez(file, allow_pickle=False, key=np.array(key), **arrays)
    except OSError as error:
        log.warning("%s: cannot be written (%s); the pictures will be read again next time", cache, error.strerror)
