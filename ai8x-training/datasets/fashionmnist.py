"""Fashion-MNIST: 60,000 + 10,000 images of clothes, 28 x 28 pixels, 10 classes."""

from dataclasses import replace
from pathlib import Path

from datasets import idx, sources
from datasets.images import DataSet, ImageSet

INPUT = (1, 28, 28)
CLASSES = ("top", "trouser", "pullover", "dress", "coat", "sandal", "shirt", "sneaker", "bag", "boot")
DEBIAN_FOLDER = Path("/usr/share/datasets/fashion-mnist")


def load(data: Path) -> tuple[ImageSet, ImageSet]:
    """Read Fashion-MNIST from `data`, else from the Debian package's folder, else fetch it into `data`."""
    target = data / "FashionMNIST" / "raw"
    folder = sources.locate(
        "FashionMNIST",
        [target, data, DEBIAN_FOLDER],
        target,
        {
            "torchvision's mirrors": sources.fetch_from_mirrors("FashionMNIST"),
            "the Debian package dataset-fashion-mnist": sources.fetch_from_debian(
                "dataset-fashion-mnist", str(DEBIAN_FOLDER.relative_to("/"))
            ),
        },
    )
    return idx.read_set(folder, "train", INPUT, len(CLASSES)), idx.read_set(folder, "test", INPUT, len(CLASSES))


dataset = DataSet("FashionMNIST", INPUT, CLASSES, load, horizontal_flip=True, crop_padding=1)
folded = replace(dataset, name="FashionMNIST_folded", input=(5, 16, 16), fold=2, frame=2, constant=True)
"""The same images as 16 x 16 pixels of 2 x 2 channels behind a constant one: four idle input processors work too."""
