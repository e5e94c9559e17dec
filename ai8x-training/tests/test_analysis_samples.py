"""train.py --summary samples: which samples are drawn, and how."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from PIL import Image

import train
from analysis.samples import COLUMNS, draw
from datasets import REGISTRY, ImageSet
from pipeline import Augmentation

PLAIN = Augmentation(0, False)


def labelled(shape: tuple[int, ...], classes: int, each: int) -> ImageSet:
    """`each` samples of every class, whose values say which sample of which class they are: 10 * class + number."""
    labels = torch.arange(classes).repeat(each)
    values = 10 * labels + torch.arange(each).repeat_interleave(classes)
    return ImageSet(values.to(torch.uint8).view(-1, 1, 1, 1).repeat(1, *shape), labels)


def pictures(figure) -> list[list[int]]:
    """The first value of each picture, by axes; -1 where there is none."""
    return [int(np.asarray(axes.images[0].get_array()).flat[0]) if axes.images else -1 for axes in figure.axes]


def test_rows_have_the_first_samples_of_each_class_and_its_name():
    data_set = replace(REGISTRY["MNIST"], classes=("a", "b", "c"))
    figure = draw(data_set, labelled((1, 4, 4), 3, 8), PLAIN)
    assert pictures(figure) == [10 * label + number for label in range(3) for number in range(COLUMNS)]
    assert [axes.get_ylabel() for axes in figure.axes[::COLUMNS]] == ["a", "b", "c"]


def test_a_class_with_few_samples_leaves_its_row_open():
    figure = draw(replace(REGISTRY["MNIST"], classes=("a", "b")), labelled((1, 4, 4), 2, 2), PLAIN)
    assert pictures(figure) == [0, 1, -1, -1, -1, -1, 10, 11, -1, -1, -1, -1]


def test_the_right_half_is_varied_as_training_varies_it():
    bright = ImageSet(torch.full((6, 1, 4, 4), 200, dtype=torch.uint8), torch.zeros(6, dtype=torch.int64))
    figure = draw(replace(REGISTRY["MNIST"], classes=("a",)), bright, Augmentation(0, False, 3, 128))
    changed = [128 in np.asarray(axes.images[0].get_array()) for axes in figure.axes]
    assert changed == [False] * 3 + [True] * 3


def test_many_classes_have_one_sample_each():
    data_set = replace(REGISTRY["CIFAR100"], classes=tuple(f"class {number}" for number in range(26)))
    figure = draw(data_set, labelled((3, 4, 4), 26, 2), PLAIN)
    assert [axes.get_title() for axes in figure.axes[:26]] == list(data_set.classes)
    assert pictures(figure) == [(10 * label) % 256 for label in range(26)] + [-1] * 4


@pytest.mark.parametrize(("channels", "curves", "images"), [(1, 1, 0), (6, 6, 0), (7, 0, 1)])
def test_signals_are_curves_and_many_channels_a_picture(channels, curves, images):
    data_set = replace(REGISTRY["KWS_20"], classes=("a",))
    axes = draw(data_set, labelled((channels, 20, 1), 1, 6), PLAIN).axes[0]
    assert (len(axes.lines), len(axes.images)) == (curves, images)


def test_the_picture_is_in_the_log_directory(tiny_data, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    network = ["--model", "ai84netextrasmall", "--dataset", "FashionMNIST"]
    assert train.main([*network, "--data", str(tiny_data), "--summary", "samples"]) == 0
    (path,) = (tmp_path / "logs").glob("*/samples.png")
    assert Image.open(path).size[0] > 300


def test_missing_data_is_said_before_anything_is_written(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert train.main(["--device", "85", "--model", "ai85kws20net", "--dataset", "KWS_20", "--summary", "samples"]) == 1
    assert "there is no testing_list.txt" in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []
