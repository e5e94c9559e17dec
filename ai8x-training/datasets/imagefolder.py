"""A user's own pictures: train/<class>/* and test/<class>/* in the folder of --data."""

from pathlib import Path

from datasets import pictures
from datasets.images import DataSet
from errors import UserError

NAME = "ImageFolder"


def describe(data: Path, side: int | None) -> DataSet:
    """The data set in the folder `data`: classes from the folders' names, in alphabetical order.

    Args:
        data: the folder with train and test.
        side: pictures are resized to `side` x `side` pixels; None: all have the size of the first one.

    Raises:
        UserError: when the folders are not there, or the first picture cannot be read.
    """
    if not pictures.has_parts(data):
        raise UserError(f"{data}: --dataset {NAME} needs train/CLASS/* and test/CLASS/* in the folder of --data")
    classes = pictures.class_folders(data)
    form = pictures.form_of(pictures.list_pictures(data / "train" / classes[0])[0], side)
    shape = (form.channels, form.height, form.width)
    # Mirroring is off: letters, digits and arrows change their meaning. Shifts are as large as CIFAR-10's, relatively.
    padding = min(form.height, form.width) // 8
    return DataSet(
        NAME,
        shape,
        classes,
        lambda path: pictures.load(pictures.Folder(path, classes), form),
        horizontal_flip=False,
        crop_padding=padding,
    )
