"""What the tests of train.py have in common: short runs of the extra small network."""

import os
from pathlib import Path

import train

TRAIN = Path(train.__file__)
NETWORK = ["--model", "ai84netextrasmall", "--dataset", "FashionMNIST"]
SHORT = ["--no-tensorboard", "-b", "16", "--optimizer", "Adam", "--lr", "0.01", "--seed", "3"]


def run_directory(tmp_path: Path) -> Path:
    return tmp_path / "logs" / os.readlink(tmp_path / "logs" / "latest")
