#!/usr/bin/env python3
"""Images per second that ai84net5 learns on Fashion-MNIST: the first generation's kind of loop against train.py's.

The first generation's kind: every image is a PIL image that Python shifts, mirrors and makes a tensor of, in the
worker processes of a DataLoader; float32; batch, channel, row, column order. Both kinds train in turn, each round both,
with the same network, images, optimizer and batch size. Time counts from the end of an epoch's first batch, because
starting the workers takes long and an epoch has more batches than this takes. Where other programs want the processor
too, images per second of processor time (of all threads and workers, from the first batch on) say more.
"""

import argparse
import os
import statistics
import sys
import time
import warnings
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "ai8x-training"))

import torch
import torch.nn.functional as F
from PIL import Image
from tabulate import tabulate
from torch import Tensor, nn
from torch.utils.data import DataLoader, Dataset

import ai84net
import construction
import devices
import loop
import memory
import options
import torchvision_shim
import training
from datasets import ImageSet
from launch import ALONE

FORMATS = ("", *(".0f", ".0f", ".2f") * 2)
COMMAND = ("--model", "ai84net5", "--dataset", "FashionMNIST", "--validation-split", "0", "--seed", "1", "--cpu")


class PilImages(Dataset[tuple[Tensor, int]]):
    """Fashion-MNIST as torchvision gives it: one PIL image at a time, varied by its transforms."""

    def __init__(self, images: ImageSet) -> None:
        transforms = torchvision_shim.torchvision_transforms()
        self.arrays, self.labels = images.images[:, 0].numpy(), images.labels.tolist()
        self.transform = transforms.Compose(
            [transforms.RandomCrop(28, padding=4), transforms.RandomHorizontalFlip(), transforms.ToTensor()]
        )

    def __len__(self) -> int:
        return len(self.labels)

    def __getitem__(self, index: int) -> tuple[Tensor, int]:
        return self.transform(Image.fromarray(self.arrays[index], mode="L")) - 0.5, self.labels[index]


class FirstKind:
    """The first generation's kind of loop."""

    def __init__(self, images: ImageSet, batch_size: int, workers: int) -> None:
        torch.manual_seed(1)
        self.model: nn.Module = ai84net.ai84net5(num_channels=1)
        self.optimizer = torch.optim.SGD(self.model.parameters(), lr=0.1, momentum=0.9, weight_decay=1e-4)
        self.batches = DataLoader(PilImages(images), batch_size, shuffle=True, num_workers=workers)

    def images_per_second(self) -> float:
        """The speed of an epoch."""
        count, start = 0, None
        self.model.train()
        for data, labels in self.batches:
            loss = F.cross_entropy(self.model(data), labels)
            self.optimizer.zero_grad()
            loss.backward()
            self.optimizer.step()
            devices.AI84.after_step(self.model)
            loss.item()
            if start is None:
                start = time.perf_counter()
            else:
                count += len(labels)
        return count / (time.perf_counter() - start)


class OurKind:
    """The loop of train.py."""

    def __init__(self, images: ImageSet, batch_size: int) -> None:
        chosen = options.parse([*COMMAND, "--batch-size", str(batch_size)])
        self.trainer = training.build_trainer(
            chosen, None, construction.Images(images, images, images), 1, torch.device("cpu"), ALONE
        )
        self.epoch = 0

    def images_per_second(self) -> float:
        """The speed of an epoch."""
        steps: list[loop.Step] = []
        self.trainer.train_epoch(self.epoch, steps.append)
        self.epoch += 1
        return (steps[-1].images - steps[0].images) / (steps[-1].seconds - steps[0].seconds)


def processor_seconds() -> float:
    """Processor time of this process and of the workers that have ended."""
    return sum(os.times()[:4])


def speeds(kind: FirstKind | OurKind, images: int) -> tuple[float, float]:
    """Images per second, and per second of processor time, of an epoch of so many images."""
    start = processor_seconds()
    per_second = kind.images_per_second()
    return per_second, images / (processor_seconds() - start)


def main() -> None:
    """Print a table of the rounds, and the medians."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter,
                                     epilog="example: nice -n -5 benchmarks/training.py --rounds 7")  # fmt: skip
    parser.add_argument("--data", type=Path, default=Path("data"), help="folder of the data sets (default: data)")
    parser.add_argument("--rounds", type=int, default=5, help="how often each kind trains (default: 5)")
    parser.add_argument("--batches", type=int, default=41, help="batches in an epoch (default: 41)")
    parser.add_argument("--batch-size", type=int, default=256, help="images in a batch (default: 256)")
    parser.add_argument("--workers", type=int, default=4, help="processes of the DataLoader (default: 4, as then)")
    given = parser.parse_args()
    memory.keep_freed()  # as train.py does; the first kind profits too, since both are in one process
    warnings.filterwarnings("ignore", "This DataLoader will create")  # more workers than cores, as then
    chosen = options.parse([*COMMAND, "--data", str(given.data)])
    images = construction.load_images(chosen, 1, torch.device("cpu")).training
    if len(images) < given.batches * given.batch_size or given.batches < 2:
        parser.error(f"give at least 2 batches, and at most the {len(images)} images that there are")
    images = images.select(slice(0, given.batches * given.batch_size))
    first, ours = FirstKind(images, given.batch_size, given.workers), OurKind(images, given.batch_size)
    rows: list[tuple[object, ...]] = []
    for number in range(1, given.rounds + 1):
        pairs = zip(speeds(first, len(images)), speeds(ours, len(images)), strict=True)
        rows.append((number, *(value for then, now in pairs for value in (then, now, now / then))))
    rows.append(("median", *(statistics.median(column) for column in list(zip(*rows, strict=True))[1:])))
    columns = ("first kind", "train.py", "ratio")
    print(tabulate(rows, ("round", *columns, *(f"{name} (processor time)" for name in columns)), floatfmt=FORMATS))
    precision = "bfloat16" if ours.trainer.bfloat16 else "float32"
    print(f"images per second; {torch.get_num_threads()} threads; first kind: float32, {given.workers} workers; "
          f"train.py: {precision}")  # fmt: skip


if __name__ == "__main__":
    main()
