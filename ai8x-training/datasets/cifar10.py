"""CIFAR-10: 50,000 + 10,000 colour photographs of 10 kinds of things, 32 x 32 pixels."""

import logging
import tempfile
from dataclasses import replace
from pathlib import Path

import torch

from datasets import pictures, sources
from datasets.images import DataSet, ImageSet
from errors import UserError
from torchvision_shim import torchvision_datasets

log = logging.getLogger(__name__)

INPUT = (3, 32, 32)
CLASSES = ("plane", "car", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck")
CLASS_FOLDERS = ("airplane", "automobile", *CLASSES[2:])
BATCHES = "cifar-10-batches-py"


def load(data: Path) -> tuple[ImageSet, ImageSet]:
    """Read CIFAR-10 from `data`, pictures in class folders or torchvision's files; else download it into `data`."""
    for path in (data / "cifar10", data):
        if pictures.has_parts(path) and pictures.class_folders(path) == CLASS_FOLDERS:
            log.info("CIFAR10: using the pictures in %s", path)
            return pictures.load(pictures.Folder(path, CLASS_FOLDERS), pictures.Form(*INPUT, resize=False))
    if not (data / BATCHES).is_dir():
        fetch(data)
    return read_batches(data, train=True), read_batches(data, train=False)


def fetch(data: Path) -> None:
    """Let torchvision download the batches into `data`; UserError when that fails."""
    log.info("CIFAR10: downloading it into %s", data / BATCHES)
    try:
        data.mkdir(parents=True, exist_ok=True)
        with (
            tempfile.TemporaryDirectory(dir=data) as scratch,
            sources.socket_timeout(sources.MIRROR_SECONDS),
        ):
            torchvision_datasets().CIFAR10(scratch, download=True)
            (Path(scratch) / BATCHES).replace(data / BATCHES)
    except (OSError, RuntimeError) as error:
        raise UserError(
            f"the data set CIFAR10 is nowhere to be had:\n"
            f"  {data / 'cifar10'}, {data}: no folders train and test with {', '.join(CLASS_FOLDERS)}\n"
            f"  {data / BATCHES}: not there\n"
            f"  torchvision's download: {sources.failure(error)}\n"
            f"Put one of them there, or name its folder with --data."
        ) from error


def read_batches(data: Path, train: bool) -> ImageSet:
    """One part from torchvision's files, whose digests torchvision checks; UserError when they are damaged."""
    try:
        stored = torchvision_datasets().CIFAR10(data, train=train)
    except RuntimeError as error:
        raise UserError(f"{data / BATCHES}: is damaged or incomplete; delete the folder and fetch it again") from error
    return ImageSet(torch.from_numpy(stored.data).permute(0, 3, 1, 2).contiguous(), torch.tensor(stored.targets))


dataset = DataSet("CIFAR10", INPUT, CLASSES, load, horizontal_flip=True, crop_padding=4, described="CIFAR-10")
constant = replace(dataset, name="CIFAR10_constant", input=(4, 32, 32), constant=True, described="CIFAR-10_constant")
"""The same images behind a constant channel."""
