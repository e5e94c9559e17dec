"""Split, shuffling and augmentation: right, and dependent on nothing but seed and epoch."""

from functools import partial

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

import ai8x
import pipeline
from datasets import ImageSet
from launch import ALONE
from pipeline import Augmentation

HALF_SCALE = partial(ai8x.normalize_float, unit=255)


def numbered(count: int, channels: int = 1, height: int = 4, width: int = 4) -> ImageSet:
    """Images that are told apart by their label, which is also their first pixel."""
    images = torch.randint(256, (count, channels, height, width), dtype=torch.uint8)
    images[:, 0, 0, 0] = torch.arange(count) % 256
    return ImageSet(images, torch.arange(count))


def slow_augment(images: np.ndarray, padding: int, flip: bool, zero: int, random: torch.Generator) -> np.ndarray:
    """Crop and flip one image after the other, with the random numbers drawn in the same order as the product does.

    One-dimensional data stays in its one column.
    """
    count, _, height, width = images.shape
    tops, lefts = torch.randint(2 * padding + 1, (2, count, 1), generator=random).squeeze(2).tolist()
    chances = torch.rand((count, 1), generator=random).flatten().tolist()
    result = []
    for image, top, left, chance in zip(images, tops, lefts, chances, strict=True):
        canvas = np.full((image.shape[0], height + 2 * padding, width + 2 * padding), zero, np.uint8)
        left = padding if width == 1 else left
        canvas[:, padding : padding + height, padding : padding + width] = image
        crop = canvas[:, top : top + height, left : left + width]
        result.append(crop[:, :, ::-1] if flip and chance < 0.5 else crop)
    return np.stack(result)


@settings(max_examples=40, deadline=None)
@given(
    seed=st.integers(0, 2**31),
    count=st.integers(1, 9),
    channels=st.sampled_from([1, 3]),
    height=st.integers(1, 9),
    width=st.integers(1, 9),
    padding=st.integers(0, 4),
    flip=st.booleans(),
    zero=st.sampled_from([0, 128]),
)
def test_batch_augmentation_equals_a_loop_over_images(seed, count, channels, height, width, padding, flip, zero):
    images = torch.randint(
        256, (count, channels, height, width), dtype=torch.uint8, generator=torch.Generator().manual_seed(seed)
    )
    result = pipeline.augment(images, Augmentation(padding, flip, zero=zero), pipeline.generator(seed, 3))
    expected = slow_augment(images.numpy(), padding, flip, zero, pipeline.generator(seed, 3))
    assert result.dtype == torch.uint8
    assert np.array_equal(result.numpy(), expected)


def test_all_shifts_and_both_mirrorings_occur():
    image = torch.zeros(1, 1, 3, 3, dtype=torch.uint8)
    image[0, 0, 1, 0] = 9
    results = pipeline.augment(image.expand(2000, -1, -1, -1), Augmentation(1, True), pipeline.generator(0, 0))
    places = {tuple(place[1:].tolist()) for place in results.squeeze(1).nonzero()}
    assert places == {(row, column) for row in range(3) for column in range(3)}


@settings(max_examples=40, deadline=None)
@given(seed=st.integers(0, 2**31), height=st.integers(1, 9), width=st.integers(1, 9), side=st.integers(1, 12))
def test_erased_is_a_square_around_a_pixel_cut_off_at_the_border_in_all_channels(seed, height, width, side):
    images = torch.full((20, 3, height, width), 7, dtype=torch.uint8)
    result = pipeline.augment(images, Augmentation(0, False, side), torch.Generator().manual_seed(seed)).numpy()
    squares = {
        (*range(max(0, top), min(height, top + side)), -1, *range(max(0, left), min(width, left + side)))
        for top in range(-(side // 2), height - side // 2)
        for left in range(-(side // 2), width - side // 2)
    }
    for image in result:
        assert np.array_equal(image, np.broadcast_to(image[:1], image.shape))
        assert set(np.unique(image)) <= {0, 7}
        rows, columns = (np.flatnonzero((image[0] == 0).any(axis)) for axis in (1, 0))
        assert (*rows, -1, *columns) in squares
        assert (image[0] == 0).sum() == len(rows) * len(columns)


def test_erased_squares_lie_everywhere():
    images = torch.full((3000, 1, 4, 5), 7, dtype=torch.uint8)
    erased = pipeline.augment(images, Augmentation(0, False, 1), pipeline.generator(0, 0)) == 0
    assert erased.flatten(1).sum(1).tolist() == [1] * 3000
    assert int(erased.sum(0).min()) > 100


def slow_cutmix(images: np.ndarray, labels: list[int], share: float, classes: int, random: torch.Generator):
    """Paste one rectangle after the other; returns images and the share of each class in the area of each."""
    count, _, height, width = images.shape
    partners = torch.randperm(count, generator=random).tolist()
    chosen = [chance < np.float32(share) for chance in torch.rand((count, 1), generator=random).numpy().ravel()]
    sides = np.sqrt(torch.rand((count, 1), generator=random).numpy().ravel())
    spans = []
    for length in (height, width):
        sizes = [max(1, round(float(side * np.float32(length)))) for side in sides]
        middles = torch.randint(length, (count, 1), generator=random).flatten().tolist()
        spans.append([range(max(0, middle - size // 2), min(length, middle - size // 2 + size))
                      for middle, size in zip(middles, sizes, strict=True)])  # fmt: skip
    result, shown = images.copy(), np.zeros((count, classes))
    for n, (rows, columns) in enumerate(zip(*spans, strict=True)):
        shown[n, labels[n]] += 1
        if chosen[n]:
            for row in rows:
                for column in columns:
                    result[n, :, row, column] = images[partners[n], :, row, column]
            area = len(rows) * len(columns) / (height * width)
            shown[n, labels[n]] -= area
            shown[n, labels[partners[n]]] += area
    return result, shown


@settings(max_examples=40, deadline=None)
@given(
    seed=st.integers(0, 2**31),
    count=st.integers(1, 9),
    height=st.integers(1, 12),
    width=st.sampled_from([1, 5, 12]),
    share=st.sampled_from([0.1, 0.5, 0.9]),
)
def test_cutmix_equals_a_loop_over_images(seed, count, height, width, share):
    random = torch.Generator().manual_seed(seed)
    images = torch.randint(256, (count, 2, height, width), dtype=torch.uint8, generator=random)
    labels = torch.randint(5, (count,), generator=random)
    augmentation = Augmentation(0, False, mixed=share, classes=5)
    mixed, shown = pipeline.cutmix(images, labels, augmentation, pipeline.generator(seed, 2))
    expected, areas = slow_cutmix(images.numpy(), labels.tolist(), share, 5, pipeline.generator(seed, 2))
    assert mixed.dtype == torch.uint8
    assert np.array_equal(mixed.numpy(), expected)
    np.testing.assert_allclose(shown.numpy(), areas, atol=1e-6)


def test_cutmix_mixes_the_wanted_share_of_the_images_with_all_areas():
    images = torch.arange(4000, dtype=torch.uint8)[:, None, None, None].expand(-1, 1, 16, 16)
    augmentation = Augmentation(0, False, mixed=0.25, classes=4)
    labels = torch.arange(4000) % 4
    _, shown = pipeline.cutmix(images, labels, augmentation, pipeline.generator(0, 0))
    kept = shown.gather(1, labels[:, None]).flatten()
    assert torch.equal(shown.sum(1), torch.ones(4000))
    # of the chosen quarter, a quarter meets an image of its own class
    assert int((kept < 1).sum()) == pytest.approx(0.25 * 0.75 * 4000, rel=0.15)
    assert kept.min() < 0.25
    assert kept[kept < 1].max() > 0.95


def epoch_of(images: ImageSet, seed: int, epoch: int) -> list[torch.Tensor]:
    batches = list(pipeline.training_batches(images, Augmentation(2, True, 3), 4, seed, epoch, ALONE))
    return [torch.cat([images for images, _ in batches]), torch.cat([labels for _, labels in batches])]


def test_an_epoch_repeats_with_the_same_seed_and_differs_with_another_seed_or_epoch():
    images = numbered(64)
    data, labels = epoch_of(images, 5, 1)
    again, labels_again = epoch_of(images, 5, 1)
    assert torch.equal(data, again)
    assert torch.equal(labels, labels_again)
    for seed, epoch in ((6, 1), (5, 2)):
        assert not torch.equal(labels, epoch_of(images, seed, epoch)[1])


def test_an_epoch_shows_every_image_once_and_keeps_the_smaller_last_batch():
    batches = list(pipeline.training_batches(numbered(10), Augmentation(0, False), 4, 0, 0, ALONE))
    assert [len(labels) for _, labels in batches] == [4, 4, 2]
    assert sorted(torch.cat([labels for _, labels in batches]).tolist()) == list(range(10))


def test_images_stay_with_their_labels():
    images = numbered(100)
    for batch, labels in pipeline.training_batches(images, Augmentation(0, False), 7, 0, 0, ALONE):
        assert torch.equal(batch, images.images[labels])


def test_test_batches_keep_the_order_and_leave_the_images_alone():
    images = numbered(10)
    batches = list(pipeline.ordered_batches(images, 4, HALF_SCALE))
    assert torch.cat([labels for _, labels in batches]).tolist() == list(range(10))
    assert torch.equal(torch.cat([data for data, _ in batches]), images.images.float() / 255 - 0.5)


@pytest.mark.parametrize("fraction, count", [(0.0, 0), (0.1, 5), (0.5, 29), (0.999, 58)])
def test_split_parts_are_disjoint_and_complete(fraction, count):
    training, validation = pipeline.split(numbered(59), fraction, seed=1)
    assert len(validation) == count
    assert sorted([*training.labels.tolist(), *validation.labels.tolist()]) == list(range(59))


def test_split_depends_on_the_seed_only():
    labels = [pipeline.split(numbered(59), 0.2, seed)[1].labels.tolist() for seed in (1, 1, 2)]
    assert labels[0] == labels[1] != labels[2]
