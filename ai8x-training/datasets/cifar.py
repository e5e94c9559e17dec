"""What CIFAR-10 and CIFAR-100 have in common: where their pictures are looked for, and how they are fetched."""

import logging
import tempfile
from dataclasses import dataclass
from pathlib import Path

import torch

from datasets import pictures, sources
from datasets.images import ImageSet
from errors import UserError
from torchvision_shim import torchvision_datasets

log = logging.getLogger(__name__)

INPUT = (3, 32, 32)


@dataclass(frozen=True)
class Cifar:
    """One of the two.

    Attributes:
        name: what torchvision and the command line call it.
        folder: of pictures, inside the data folder.
        batches: the folder of torchvision's files.
        class_folders: the names of the folders of pictures, by label.
    """

    name: str
    folder: str
    batches: str
    class_folders: tuple[str, ...]

    @property
    def some_classes(self) -> str:
        """The class folders, as a message shows them."""
        names = self.class_folders
        return ", ".join(names if len(names) <= 10 else (*names[:3], "...", names[-1]))


def load(cifar: Cifar, data: Path) -> tuple[ImageSet, ImageSet]:
    """Read it from `data`, pictures in class folders or torchvision's files; else download it into `data`."""
    for path in (data / cifar.folder, data):
        if pictures.has_parts(path) and pictures.class_folders(path) == cifar.class_folders:
            log.info("%s: using the pictures in %s", cifar.name, path)
            return pictures.load(pictures.Folder(path, cifar.class_folders), pictures.Form(*INPUT, resize=False))
    if not (data / cifar.batches).is_dir():
        fetch(cifar, data)
    return read_batches(cifar, data, train=True), read_batches(cifar, data, train=False)


def fetch(cifar: Cifar, data: Path) -> None:
    """Let torchvision download the batches into `data`; UserError when that fails."""
    log.info("%s: downloading it into %s", cifar.name, data / cifar.batches)
    try:
        data.mkdir(parents=True, exist_ok=True)
        with (
            tempfile.TemporaryDirectory(dir=data) as scratch,
            sources.socket_timeout(sources.MIRROR_SECONDS),
        ):
            getattr(torchvision_datasets(), cifar.name)(scratch, download=True)
            (Path(scratch) / cifar.batches).replace(data / cifar.batches)
    except (OSError, RuntimeError) as error:
        raise UserError(
            f"the data set {cifar.name} is nowhere to be had:\n"
            f"  {data / cifar.folder}, {data}: no folders train and test with {cifar.some_classes}\n"
            f"  {data / cifar.batches}: not there\n"
            f"  torchvision's download: {sources.failure(error)}\n"
            f"Put one of them there, or name its folder with --data."
        ) from error


def read_batches(cifar: Cifar, data: Path, train: bool) -> ImageSet:
    """One part from torchvision's files, whose digests torchvision checks; UserError when they are damaged."""
    try:
        stored = getattr(torchvision_datasets(), cifar.name)(data, train=train)
    except RuntimeError as error:
        raise UserError(
            f"{data / cifar.batches}: is damaged or incomplete; delete the folder and fetch it again"
        ) from error
    return ImageSet(torch.from_numpy(stored.data).permute(0, 3, 1, 2).contiguous(), torch.tensor(stored.targets))
