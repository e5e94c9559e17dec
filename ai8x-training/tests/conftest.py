"""Small data sets in IDX files, train.py as a function; and parallel tests do not fight over the cores."""

import sys
from pathlib import Path

import numpy as np
import pytest
import torch

sys.path.insert(0, str(Path(__file__).resolve().parent))

from idx_files import write_idx

import train

torch.set_num_threads(1)


@pytest.fixture(scope="session")
def tiny_data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with 120 training and 50 test images of 28 x 28, whose class is where they are bright."""
    folder = tmp_path_factory.mktemp("tiny")
    random = np.random.default_rng(7)
    images, labels = {}, {}
    for part, count in (("train", 120), ("t10k", 50)):
        labels[part] = random.integers(0, 10, count, dtype=np.uint8)
        images[part] = random.integers(0, 60, (count, 28, 28), dtype=np.uint8)
        for image, label in zip(images[part], labels[part], strict=True):
            top, left = 14 * (label // 5), 5 * (label % 5)
            image[top : top + 14, left : left + 5] += 180
    write_idx(folder, images, labels)
    return folder


@pytest.fixture
def call(tiny_data, tmp_path, monkeypatch, capsys):
    """Runs train.py in this process, in an empty directory; returns (exit status, standard output, standard error)."""
    monkeypatch.chdir(tmp_path)

    def run(*arguments):
        try:
            status = train.main(["--data", str(tiny_data), *map(str, arguments)])
        except SystemExit as stop:
            status = stop.code
        return status, *capsys.readouterr()

    return run
