"""Labelled images in memory, the form in which every data set reaches training."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor

from errors import UserError


@dataclass(frozen=True)
class ImageSet:
    """Images as uint8 [N, C, H, W] with values 0..255, and their labels as int64 [N]."""

    images: Tensor
    labels: Tensor

    def __post_init__(self) -> None:
        if self.images.dtype != torch.uint8 or self.images.ndim != 4:
            raise UserError(
                "a data set must give images as uint8 values 0..255 of shape [N, C, H, W]: the 8-bit input is made "
                f"from them; given {self.images.dtype} of shape {tuple(self.images.shape)}"
            )
        if self.labels.shape != (len(self.images),):
            raise UserError(
                f"a data set must give one label per image; given {len(self.images)} images and "
                f"labels of shape {tuple(self.labels.shape)}"
            )

    def __len__(self) -> int:
        return len(self.images)

    def select(self, indices: Tensor | slice) -> "ImageSet":
        """The images and labels at `indices`, in that order."""
        return ImageSet(self.images[indices], self.labels[indices])

    def to(self, device: torch.device) -> "ImageSet":
        """The same on another compute device."""
        return ImageSet(self.images.to(device), self.labels.to(device))


Loader = Callable[[Path], tuple[ImageSet, ImageSet]]
"""A function from the data folder to (training set, test set); raises UserError."""


@dataclass(frozen=True)
class DataSet:
    """A data set that `train.py --dataset` can choose.

    Attributes:
        name: what the command line calls it.
        input: shape (C, H, W) of what a network reads, see `arrange`.
        classes: the name of each class, by label.
        load: reads (training set, test set), looking in the folder it is given first.
        horizontal_flip: whether a mirrored image keeps its label, so that training may mirror images.
        crop_padding: how many pixels training may shift an image by, at most.
        unit: the value that stands for 1.0, 255 of pictures or 256 of sound.
        described: what the key `dataset` of a network description calls it, where that is not `name`.
        fold: side of the squares of pixels that become channels; 1 for images as they are.
        frame: pixels of black around an image.
        constant: whether channel 0 is 255 everywhere, which is what AI84 needs for biases (`ai84.BatchNorm`).
    """

    name: str
    input: tuple[int, int, int]
    classes: tuple[str, ...]
    load: Loader
    horizontal_flip: bool
    crop_padding: int
    unit: int = 255
    described: str = ""
    fold: int = 1
    frame: int = 0
    constant: bool = False

    def arrange(self, images: Tensor) -> Tensor:
        """What a network reads of uint8 images [N, C, H, W], with the same values.

        Each square of pixels of the framed image, row by row, is the channels of one pixel, behind the constant channel
        where there is one: [N, constant + C * fold**2, (H + 2 * frame) / fold, (W + 2 * frame) / fold].
        """
        folded = F.pixel_unshuffle(F.pad(images, (self.frame,) * 4), self.fold)
        return torch.cat((torch.full_like(folded[:, :1], 255), folded), 1) if self.constant else folded

    @property
    def zero(self) -> int:
        """The value that stands for nothing: black, or a signal of 0."""
        return 0 if self.unit == 255 else self.unit // 2

    @property
    def sample_stem(self) -> str:
        """The name, without ending, under which the generator looks for a sample of this data set."""
        return f"sample_{(self.described or self.name).lower()}"
