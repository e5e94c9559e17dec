"""Accuracy, loss and confusion of a network on a set of images."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

import pipeline
from datasets import ImageSet
from launch import Processes
from pipeline import Normalize
from processes import reduce


@dataclass(frozen=True)
class Evaluation:
    """What a network did with N images.

    Attributes:
        scores: raw output per image in data-set order, [N, classes]; integers (int32) in exact mode, else float32.
        labels: the true classes, int64 [N].
        unit: the score that stands for 1.0: 1 in float mode.
    """

    scores: Tensor
    labels: Tensor
    unit: int

    @property
    def predictions(self) -> Tensor:
        """The class with the highest score per image (the first one of equals), int64 [N]."""
        return self.scores.argmax(1)

    @property
    def correct(self) -> int:
        """Number of images whose predicted class is the true one."""
        return int((self.predictions == self.labels).sum())

    @property
    def top1(self) -> float:
        """Percentage of images whose predicted class is the true one."""
        return 100 * self.correct / len(self.labels)

    @property
    def top5(self) -> float:
        """Percentage of images whose true class is among the five highest scores (all where there are fewer)."""
        best = self.scores.float().topk(min(5, self.scores.shape[1])).indices
        return 100 * int((best == self.labels[:, None]).any(1).sum()) / len(self.labels)

    @property
    def loss(self) -> float:
        """Mean cross-entropy; integer scores are divided by `unit`, so that it compares with the float network's."""
        return float(F.cross_entropy(self.scores.float() / self.unit, self.labels))

    @property
    def confusion(self) -> Tensor:
        """Counts by true class (row) and predicted class (column), int64 [classes, classes]."""
        classes = self.scores.shape[1]
        return torch.bincount(self.labels * classes + self.predictions, minlength=classes**2).view(classes, classes)

    def class_top1(self, classes: Sequence[str]) -> dict[str, float | None]:
        """Accuracy in percent for the images of each class, by its name; None where there are none."""
        counts = zip(classes, self.confusion.diagonal().tolist(), self.confusion.sum(1).tolist(), strict=True)
        return {name: 100 * right / images if images else None for name, right, images in counts}


@torch.inference_mode()
def evaluate(
    model: nn.Module, image_set: ImageSet, batch_size: int, normalize: Normalize, simulate: bool
) -> Evaluation:
    """Run all images through `model`, which must have been built with the same `simulate`, and takes such input."""
    model.eval()
    batches = pipeline.ordered_batches(image_set, batch_size, normalize)
    scores = torch.cat([model(data).cpu() for data, _ in batches])
    unit = int(model.score_unit) if simulate else 1
    return Evaluation(scores.int() if simulate else scores.float(), image_set.labels.cpu(), unit)


def gather(mine: Evaluation, labels: Tensor, processes: Processes) -> Evaluation:
    """The evaluation of all images, whose true classes are `labels`, from that of each process's share of them."""
    if processes.count == 1:
        return mine
    scores = mine.scores.new_zeros(len(labels), mine.scores.shape[1])
    scores[processes.share(len(labels))] = mine.scores
    return Evaluation(reduce(scores), labels.cpu(), mine.unit)
