"""From images in memory to batches: split, shuffling, augmentation and normalisation, on whole batches."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from datasets import DataSet, ImageSet
from launch import Processes

Normalize = Callable[[Tensor], Tensor]
"""Makes network input of uint8 images; `devices.Device.input` gives it."""

SPLIT_STREAM = 2**32 - 1
"""Takes the place of the epoch in the seed of the validation split, so that no epoch shares its random numbers."""


@dataclass(frozen=True)
class Augmentation:
    """How training images are varied.

    Attributes:
        crop_padding: images are shifted by up to so many pixels; one-dimensional data only along their length.
        horizontal_flip: every other image is mirrored.
        erased: side in pixels of an empty square at a random place, part of which may lie outside; 0 for none.
        zero: the value of what is shifted in, and of the square.
        mixed: the share of the images that get a rectangle of another one, see `cutmix`.
        classes: how many there are.
    """

    crop_padding: int
    horizontal_flip: bool
    erased: int = 0
    zero: int = 0
    mixed: float = 0.0
    classes: int = 0

    @classmethod
    def of(cls, dataset: DataSet, erased: int, mixed: float) -> "Augmentation":
        """The augmentation that a data set asks for, squares of `erased` pixels, and a share of `mixed` images."""
        flip = dataset.horizontal_flip
        return cls(dataset.crop_padding, flip, erased, dataset.zero, mixed, len(dataset.classes))


def generator(seed: int, epoch: int) -> torch.Generator:
    """Random numbers that depend only on the run's seed and the epoch, so that a resumed run draws the same ones."""
    state = np.random.SeedSequence([seed, epoch]).generate_state(1, np.uint64)
    return torch.Generator().manual_seed(int(state[0] >> np.uint64(1)))


def split(training_set: ImageSet, fraction: float, seed: int) -> tuple[ImageSet, ImageSet]:
    """Divide at random into (training, validation) parts; validation gets floor(`fraction` * N) images."""
    order = torch.randperm(len(training_set), generator=generator(seed, SPLIT_STREAM))
    count = int(fraction * len(training_set))
    return training_set.select(order[count:]), training_set.select(order[:count])


def augment(
    images: Tensor, augmentation: Augmentation, random: torch.Generator, share: slice = slice(None)
) -> Tensor:
    """Vary every image of a batch [N, C, H, W] on its own. Type and size stay.

    Args:
        share: the images to give. Random numbers are drawn for all, so that no image depends on who else is given.
    """
    count, channels, height, width = images.shape
    pad = augmentation.crop_padding
    across = pad if width > 1 else 0
    offsets = torch.randint(2 * pad + 1, (2, count, 1), generator=random)
    mirrored = torch.rand((count, 1), generator=random) < (0.5 if augmentation.horizontal_flip else 0.0)
    columns = torch.arange(width)
    rows = offsets[0, share] + torch.arange(height)
    columns = offsets[1, share].clamp(max=2 * across) + torch.where(mirrored[share], columns.flip(0), columns)
    index = (rows[:, :, None] * (width + 2 * across) + columns[:, None, :]).flatten(1)[:, None, :].to(images.device)
    padded = F.pad(images[share], (across, across, pad, pad), value=augmentation.zero).flatten(2)
    moved = padded.gather(2, index.expand(-1, channels, -1)).unflatten(2, (height, width))
    if augmentation.erased:
        squares = draw_squares((count, height, width), augmentation.erased, random)
        moved = moved.masked_fill(squares[share, None].to(images.device), augmentation.zero)
    return moved


def draw_squares(shape: tuple[int, int, int], side: int, random: torch.Generator) -> Tensor:
    """For each of N images, [N, H, W], where a square of `side` pixels lies; its middle is a pixel of the image."""
    rows, columns = (draw_part(length, torch.full((shape[0], 1), side), random) for length in shape[1:])
    return rows[:, :, None] & columns[:, None, :]


def draw_part(length: int, sizes: Tensor, random: torch.Generator) -> Tensor:
    """For each of N rows of `length` pixels, [N, length], where a part of `sizes` [N, 1] lies around one of them."""
    first = torch.randint(length, sizes.shape, generator=random) - torch.div(sizes, 2, rounding_mode="floor")
    distance = torch.arange(length) - first
    return (distance >= 0) & (distance < sizes)


def cutmix(
    images: Tensor, labels: Tensor, augmentation: Augmentation, random: torch.Generator
) -> tuple[Tensor, Tensor]:
    """Paste a rectangle of another image of the batch into some images (CutMix: Yun et al., 2019).

    Args:
        images: [N, C, H, W]; the rectangle has their proportions, a random size, and one of the pixels as its middle.
        labels: int64 [N].

    Returns:
        The images, and float32 [N, classes]: the part of the image's area that shows each class.
    """
    count, _, height, width = images.shape
    partner = torch.randperm(count, generator=random)
    chosen = torch.rand((count, 1), generator=random) < augmentation.mixed
    side = torch.rand((count, 1), generator=random).sqrt()  # so that all areas are equally likely
    rows, columns = (draw_part(length, (side * length).round().clamp(min=1), random) for length in (height, width))
    pasted = (rows[:, :, None] & (chosen & columns)[:, None, :]).to(images.device)
    area = pasted.flatten(1).float().mean(1, keepdim=True)
    partner = partner.to(images.device)
    shown = F.one_hot(labels, augmentation.classes).float()
    return torch.where(pasted[:, None], images[partner], images), shown.lerp(shown[partner], area)


def training_batches(
    training_set: ImageSet,
    augmentation: Augmentation,
    batch_size: int,
    seed: int,
    epoch: int,
    processes: Processes,
) -> Iterator[tuple[Tensor, Tensor]]:
    """This process's share of one epoch of (uint8 images, labels), shuffled and augmented.

    `batch_size` is that of all processes; the last batch may be smaller. Labels are int64 [N], those of mixed images
    float32 [N, classes].
    """
    random = generator(seed, epoch)
    for indices in torch.randperm(len(training_set), generator=random).split(batch_size):
        batch = training_set.select(indices.to(training_set.images.device))
        share = processes.share(len(batch))
        if augmentation.mixed:  # with images that may be another process's
            images, labels = cutmix(augment(batch.images, augmentation, random), batch.labels, augmentation, random)
            yield images[share], labels[share]
        else:
            yield augment(batch.images, augmentation, random, share), batch.labels[share]


def batch_count(image_set: ImageSet, batch_size: int) -> int:
    """Number of batches in a pass over `image_set`, the smaller last one included."""
    return -(-len(image_set) // batch_size)


def ordered_batches(image_set: ImageSet, batch_size: int, normalize: Normalize) -> Iterator[tuple[Tensor, Tensor]]:
    """All of (input, labels) in data-set order and unchanged."""
    for start in range(0, len(image_set), batch_size):
        batch = image_set.select(slice(start, start + batch_size))
        yield to_input(batch.images, normalize), batch.labels


def to_input(images: Tensor, normalize: Normalize) -> Tensor:
    """Network input from uint8 images, in the channels-last memory layout that convolutions run fastest on."""
    return normalize(images).contiguous(memory_format=torch.channels_last)
