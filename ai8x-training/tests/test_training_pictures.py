"""Pictures in folders and CIFAR-10: forms, classes, cache, and one clear message for each way to be wrong."""

import json
import os
import pickle
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import datasets
import train
from datasets import DataSet, cifar10, cifar100, pictures
from errors import UserError
from torchvision_shim import torchvision_datasets

RANDOM = np.random.default_rng(3)


def save(path: Path, pixels: np.ndarray, **options: object) -> None:
    """Write pixels [H, W] or [H, W, 3] as a picture of the format that the suffix names."""
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels).save(path, **options)


def random_pixels(*shape: int) -> np.ndarray:
    return RANDOM.integers(0, 256, shape, dtype=np.uint8)


@pytest.fixture
def colours(tmp_path: Path) -> dict[str, np.ndarray]:
    """Pictures of 4 x 6 pixels without loss in tmp_path: their pixels [H, W, 3] by place."""
    names = ("train/tree/b.png", "train/tree/a.bmp", "train/house/x.png", "test/house/y.png", "test/tree/z.png")
    made = {name: random_pixels(4, 6, 3) for name in names}
    for name, pixels in made.items():
        save(tmp_path / name, pixels)
    return made


def open_folder(folder: Path, side: int | None = None) -> DataSet:
    return datasets.find("ImageFolder", folder, side)


def complaint(folder: Path, side: int | None = None) -> str:
    with pytest.raises(UserError) as caught:
        open_folder(folder, side).load(folder)
    return str(caught.value)


def test_pictures_are_read_by_class_and_name_with_every_pixel(tmp_path, colours):
    record = open_folder(tmp_path)
    assert (record.input, record.classes) == ((3, 4, 6), ("house", "tree"))
    training, test = record.load(tmp_path)
    expected = [colours[f"train/{name}"].transpose(2, 0, 1) for name in ("house/x.png", "tree/a.bmp", "tree/b.png")]
    assert np.array_equal(training.images.numpy(), expected)
    assert training.labels.tolist() == [0, 1, 1]
    assert np.array_equal(test.images[1].numpy(), colours["test/tree/z.png"].transpose(2, 0, 1))
    assert test.labels.tolist() == [0, 1]


def test_grey_pictures_have_one_channel(tmp_path):
    pixels = random_pixels(5, 5)
    save(tmp_path / "train" / "a" / "1.png", pixels)
    save(tmp_path / "test" / "a" / "1.png", pixels)
    record = open_folder(tmp_path)
    assert record.input == (1, 5, 5)
    assert np.array_equal(record.load(tmp_path)[1].images.numpy(), pixels[None, None])


def test_image_size_resizes_every_picture(tmp_path):
    save(tmp_path / "train" / "a" / "1.png", np.full((9, 30, 3), 77, np.uint8))
    save(tmp_path / "test" / "a" / "1.png", np.full((40, 10, 3), 78, np.uint8))
    record = open_folder(tmp_path, side=8)
    training, test = record.load(tmp_path)
    assert record.input == (3, 8, 8)
    assert np.array_equal(training.images.numpy(), np.full((1, 3, 8, 8), 77))  # an even picture stays even
    assert np.array_equal(test.images.numpy(), np.full((1, 3, 8, 8), 78))


def test_camera_orientation_is_respected(tmp_path):
    """Exif orientation 6: the camera was turned, the picture is to be shown a quarter turn clockwise."""
    pixels, exif = random_pixels(4, 6, 3), Image.Exif()
    exif[0x0112] = 6
    for part in pictures.PARTS:
        save(tmp_path / part / "a" / "1.png", pixels, exif=exif)
    assert open_folder(tmp_path).input == (3, 6, 4)
    turned = np.rot90(pixels, -1).transpose(2, 0, 1)
    assert np.array_equal(open_folder(tmp_path).load(tmp_path)[0].images[0].numpy(), turned)


def test_hidden_files_and_other_files_are_left_alone(tmp_path, colours):
    (tmp_path / "train" / "tree" / "notes.txt").write_text("no picture")
    (tmp_path / "train" / "tree" / ".thumb.png").write_text("no picture")
    (tmp_path / "train" / ".folder").mkdir()
    (tmp_path / "train" / "README").write_text("no class")
    assert len(open_folder(tmp_path).load(tmp_path)[0]) == 3


def test_second_reading_takes_the_cache(tmp_path, colours, monkeypatch):
    record = open_folder(tmp_path)
    first = record.load(tmp_path)
    assert (tmp_path / "pictures-3x4x6.npz").is_file()
    monkeypatch.setattr(pictures, "read_all", lambda *arguments: pytest.fail("pictures were read again"))
    second = record.load(tmp_path)
    for one, two in zip(first, second, strict=True):
        assert np.array_equal(one.images, two.images)
        assert np.array_equal(one.labels, two.labels)


def change(tmp_path: Path) -> None:
    """Other pixels in a file of the same size; the time is set because two writes may fall into one clock tick."""
    save(tmp_path / "train/tree/a.bmp", np.zeros((4, 6, 3), np.uint8))
    os.utime(tmp_path / "train/tree/a.bmp", ns=(1, 1))


def add(tmp_path: Path) -> None:
    save(tmp_path / "train/tree/c.png", random_pixels(4, 6, 3))


def rename(tmp_path: Path) -> None:
    """The order of the files stays, the class of one changes."""
    (tmp_path / "train/tree/a.bmp").rename(tmp_path / "train/house/z.bmp")


def damage(tmp_path: Path) -> None:
    cache = tmp_path / "pictures-3x4x6.npz"
    cache.write_bytes(cache.read_bytes()[:-40])


@pytest.mark.parametrize("event", [change, add, rename, damage])
def test_stale_or_damaged_cache_is_not_used(tmp_path, colours, event):
    open_folder(tmp_path).load(tmp_path)
    event(tmp_path)
    changed = open_folder(tmp_path).load(tmp_path)
    (tmp_path / "pictures-3x4x6.npz").unlink()
    fresh = open_folder(tmp_path).load(tmp_path)
    assert np.array_equal(changed[0].images, fresh[0].images)
    assert changed[0].labels.tolist() == fresh[0].labels.tolist()


def test_other_order_of_classes_is_not_taken_from_the_cache(tmp_path, colours):
    form = pictures.Form(3, 4, 6, resize=False)
    for classes, labels in ((("house", "tree"), [0, 1, 1]), (("tree", "house"), [0, 0, 1])):
        assert pictures.load(pictures.Folder(tmp_path, classes), form)[0].labels.tolist() == labels


def test_folder_that_cannot_be_written_is_read_without_cache(tmp_path, colours, monkeypatch, caplog):
    def refuse(path):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(pictures, "replacing", refuse)
    assert len(open_folder(tmp_path).load(tmp_path)[0]) == 3
    assert "cannot be written (Permission denied); the pictures will be read again next time" in caplog.text


def test_broken_picture_is_named(tmp_path, colours):
    (tmp_path / "test/tree/z.png").write_bytes((tmp_path / "test/tree/z.png").read_bytes()[:60])
    text = complaint(tmp_path)
    assert text.startswith(f"{tmp_path / 'test/tree/z.png'}: cannot be read as a picture (")
    assert text.endswith("; replace or delete it")
    assert not (tmp_path / "pictures-3x4x6.npz").exists()


def test_picture_of_another_size_is_named(tmp_path, colours):
    save(tmp_path / "train/tree/c.png", random_pixels(6, 4, 3))
    assert complaint(tmp_path) == (
        f"{tmp_path / 'train/tree/c.png'}: all pictures must have one size, that of the first: 6 x 4 pixels; "
        "this one has 4 x 6; --dataset ImageFolder --image-size N resizes all"
    )


def test_colours_among_grey_pictures_are_named(tmp_path):
    save(tmp_path / "train/a/1.png", random_pixels(4, 4))
    save(tmp_path / "test/a/1.png", random_pixels(4, 4, 3))
    assert complaint(tmp_path) == (
        f"{tmp_path / 'test/a/1.png'}: the first picture is grey, so all must be; this one has colours; "
        "convert or delete it"
    )


def test_sixteen_bits_are_refused(tmp_path):
    save(tmp_path / "train/a/1.png", np.full((4, 4), 40000, np.uint16))
    (tmp_path / "test").mkdir()
    assert complaint(tmp_path) == (
        f"{tmp_path / 'train/a/1.png'}: a picture must have 8 bits per channel, grey or colour; this one is of "
        "Pillow's mode I;16; convert or delete it"
    )


def test_folder_without_parts_classes_or_pictures_is_refused(tmp_path):
    assert complaint(tmp_path) == (
        f"{tmp_path}: --dataset ImageFolder needs train/CLASS/* and test/CLASS/* in the folder of --data"
    )
    (tmp_path / "train").mkdir()
    (tmp_path / "test" / "b").mkdir(parents=True)
    assert complaint(tmp_path) == (
        f"{tmp_path}: train/ must have a folder for every class, and test/ no others; "
        "train/ has none, test/ has b"
    )
    (tmp_path / "train" / "b").mkdir()
    assert complaint(tmp_path) == (
        f"{tmp_path / 'train/b'}: holds no pictures (.bmp, .jpeg, .jpg, .png, .webp); add some, or delete the folder"
    )


def train_on(folder: Path, *arguments: str) -> int:
    return train.main(
        ["--model", "ai84netextrasmall", "--dataset", "imagefolder", "--data", str(folder), "--cpu", *arguments]
    )


def test_train_takes_classes_and_size_from_the_folder(tmp_path):
    for part in pictures.PARTS:
        for name, level in (("dark", 20), ("light", 230), ("middle", 128)):
            save(tmp_path / part / name / "1.png", np.full((16, 16), level, np.uint8))
    out = tmp_path / "logs"
    assert train_on(tmp_path, "--epochs", "1", "--seed", "1", "--vs", "0", "--out-dir", str(out), "-b", "3",
                    "--no-tensorboard") == 0  # fmt: skip
    result = tmp_path / "result.json"
    assert train_on(tmp_path, "--evaluate", "--exp-load-weights-from", str(out / "latest" / "best.pth.tar"),
                    "--json", str(result)) == 0  # fmt: skip
    assert json.loads(result.read_text())["images"] == 3


def test_train_says_what_is_missing(tmp_path, capsys):
    assert train_on(tmp_path, "--epochs", "1") == 1
    assert "train.py: error: " in capsys.readouterr().err


def test_image_size_is_for_image_folders_only(capsys):
    with pytest.raises(SystemExit) as caught:
        train.main(["--model", "ai84net5", "--dataset", "MNIST", "--image-size", "32"])
    assert caught.value.code == 2
    assert "--image-size needs --dataset ImageFolder" in capsys.readouterr().err


@pytest.fixture
def no_download(monkeypatch):
    def refuse(*arguments, **options):
        if options.get("download"):
            raise OSError("no network")
        return original(*arguments, **options)

    original = torchvision_datasets().CIFAR10
    monkeypatch.setattr(torchvision_datasets(), "CIFAR10", refuse)


def place_cifar_folders(folder: Path) -> dict[str, np.ndarray]:
    made = {}
    for part in pictures.PARTS:
        for name in ["airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck"]:
            made[f"{part}/{name}"] = random_pixels(32, 32, 3)
            save(folder / part / name / "0000.png", made[f"{part}/{name}"])
    return made


@pytest.mark.parametrize("inside", [".", "cifar10"])
def test_cifar10_is_read_from_class_folders(tmp_path, no_download, inside):
    made = place_cifar_folders(tmp_path / inside)
    training, test = datasets.find("CIFAR10", tmp_path, None).load(tmp_path)
    assert training.labels.tolist() == test.labels.tolist() == list(range(10))
    assert np.array_equal(training.images[1].numpy(), made["train/automobile"].transpose(2, 0, 1))
    assert np.array_equal(test.images[9].numpy(), made["test/truck"].transpose(2, 0, 1))


def test_cifar10_names_its_classes_as_the_synthesis_tool_does():
    from izer.yamlcfg import SUPPORTED_DATASETS

    record = datasets.REGISTRY["CIFAR10"]
    assert (record.input, record.classes) == ((3, 32, 32), SUPPORTED_DATASETS["cifar-10"].classes)
    assert record.classes[:2] == ("plane", "car")


def place_batches(folder: Path) -> dict[str, tuple[np.ndarray, list[int]]]:
    """Files as CIFAR-10's authors distribute them: pickled dictionaries with rows of red, green and blue planes."""
    batches = folder / "cifar-10-batches-py"
    batches.mkdir(parents=True)
    made = {}
    for number, name in enumerate([*(f"data_batch_{n}" for n in range(1, 6)), "test_batch"]):
        made[name] = random_pixels(2, 3072), [number, 9 - number]
        (batches / name).write_bytes(pickle.dumps({"data": made[name][0], "labels": made[name][1]}))
    (batches / "batches.meta").write_bytes(pickle.dumps({"label_names": list(cifar10.CLASS_FOLDERS)}))
    return made


def test_cifar10_is_read_from_torchvisions_files(tmp_path, no_download, monkeypatch):
    made = place_batches(tmp_path)
    monkeypatch.setattr(torchvision_datasets().cifar, "check_integrity", lambda *arguments: True)  # other digests
    training, test = cifar10.load(tmp_path)
    rows = np.concatenate([made[f"data_batch_{n}"][0] for n in range(1, 6)])
    assert np.array_equal(training.images.numpy(), rows.reshape(10, 3, 32, 32))
    assert training.labels.tolist() == [0, 9, 1, 8, 2, 7, 3, 6, 4, 5]
    assert np.array_equal(test.images.numpy(), made["test_batch"][0].reshape(2, 3, 32, 32))
    assert test.labels.tolist() == [5, 4]


def test_cifar10_with_wrong_digests_is_refused(tmp_path, no_download):
    place_batches(tmp_path)
    with pytest.raises(UserError) as caught:
        cifar10.load(tmp_path)
    batches = tmp_path / "cifar-10-batches-py"
    assert str(caught.value) == f"{batches}: is damaged or incomplete; delete the folder and fetch it again"


def test_cifar10_that_is_nowhere_says_where_it_was_looked_for(tmp_path, no_download):
    with pytest.raises(UserError) as caught:
        cifar10.load(tmp_path / "data")
    data = tmp_path / "data"
    assert str(caught.value).splitlines() == [
        "the data set CIFAR10 is nowhere to be had:",
        f"  {data / 'cifar10'}, {data}: no folders train and test with airplane, automobile, bird, cat, deer, dog, "
        "frog, horse, ship, truck",
        f"  {data / 'cifar-10-batches-py'}: not there",
        "  torchvision's download: no network",
        "Put one of them there, or name its folder with --data.",
    ]
    assert list(data.iterdir()) == []  # nothing half-fetched


def test_cifar10_is_downloaded_in_one_piece(tmp_path, monkeypatch):
    class Fake:
        def __init__(self, root, train=True, download=False):
            assert not (tmp_path / "cifar-10-batches-py").exists() or not download
            if download:
                place_batches(Path(root))
            self.data, self.targets = np.zeros((1, 32, 32, 3), np.uint8), [int(train)]

    monkeypatch.setattr(torchvision_datasets(), "CIFAR10", Fake)
    training, test = cifar10.load(tmp_path)
    assert (training.labels.tolist(), test.labels.tolist()) == ([1], [0])
    assert [path.name for path in tmp_path.iterdir()] == ["cifar-10-batches-py"]


def test_cifar100_is_read_from_torchvisions_files(tmp_path, monkeypatch):
    batches = tmp_path / "cifar-100-python"
    batches.mkdir()
    made = {name: (random_pixels(3, 3072), labels) for name, labels in (("train", [0, 99, 7]), ("test", [5, 4, 98]))}
    for name, (pixels, labels) in made.items():
        (batches / name).write_bytes(pickle.dumps({"data": pixels, "fine_labels": labels, "coarse_labels": [0, 0, 0]}))
    (batches / "meta").write_bytes(pickle.dumps({"fine_label_names": list(cifar100.CLASSES)}))
    monkeypatch.setattr(torchvision_datasets().cifar, "check_integrity", lambda *arguments: True)  # other digests
    training, test = datasets.find("CIFAR100", tmp_path, None).load(tmp_path)
    assert np.array_equal(training.images.numpy(), made["train"][0].reshape(3, 3, 32, 32))
    assert (training.labels.tolist(), test.labels.tolist()) == ([0, 99, 7], [5, 4, 98])


def test_cifar100_that_is_nowhere_says_where_it_was_looked_for(tmp_path, monkeypatch):
    def refuse(*arguments, **options):
        raise OSError("no network")

    monkeypatch.setattr(torchvision_datasets(), "CIFAR100", refuse)
    with pytest.raises(UserError, match=r"train and test with apple, aquarium_fish, baby, ..., worm\n") as caught:
        cifar100.load(tmp_path)
    assert f"{tmp_path / 'cifar-100-python'}: not there" in str(caught.value)


def test_cifar100_has_a_hundred_classes_in_the_order_of_its_labels():
    assert len(set(cifar100.CLASSES)) == 100
    assert list(cifar100.CLASSES) == sorted(cifar100.CLASSES)
    assert [cifar100.CLASSES.index(name) for name in ("apple", "bicycle", "orchid", "pickup_truck", "worm")] == [
        0, 8, 54, 58, 99]  # fmt: skip


def test_cifar100_trains_a_network_of_either_device(tmp_path, monkeypatch):
    for part in pictures.PARTS:
        for name in cifar100.CLASSES:
            save(tmp_path / "cifar100" / part / name / "0.png", random_pixels(32, 32, 3))
    monkeypatch.chdir(tmp_path)
    common = ["--dataset", "CIFAR100", "--data", str(tmp_path), "--epochs", "1", "--no-tensorboard", "--confusion"]
    assert train.main(["--model", "ai84net5", *common]) == 0
    assert train.main(["--device", "85", "--model", "ai85nascifarnet", *common]) == 0
