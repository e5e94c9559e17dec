"""One epoch of training."""

import math
import os
import time
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

import pipeline
import processes
from datasets import ImageSet
from devices import Device
from distillation import Teacher
from distiller import CompressionScheduler
from errors import UserError
from launch import Processes
from qat import Policy

MEASURED_IMAGES = 2000
"""At most so many training images tell the activation thresholds."""
EXPLODED = 10
"""Training has diverged with so many times the loss of guessing, unless so many more percent are right."""


@dataclass(frozen=True)
class Step:
    """How far an epoch is: after batch `number` of `count`; loss and top1 are means since the start of the epoch."""

    epoch: int
    number: int
    count: int
    loss: float
    top1: float
    learning_rate: float
    images: int
    seconds: float


@dataclass(frozen=True)
class EpochResult:
    """A finished epoch: mean loss, accuracy in percent, images seen, wall and processor time in seconds.

    Processor time is that of this process, the rest is about all processes.
    """

    loss: float
    top1: float
    images: int
    seconds: float
    cpu_seconds: float

    @property
    def images_per_second(self) -> float:
        """Training speed."""
        return self.images / self.seconds

    @property
    def busy_cores(self) -> float:
        """How many processor cores were busy, on average."""
        return self.cpu_seconds / self.seconds


@dataclass
class Totals:
    """Sums over the images of an epoch so far."""

    images: int = 0
    loss: float = 0.0
    correct: int = 0

    def add(self, loss: Tensor, scores: Tensor, labels: Tensor) -> float:
        """Count one batch, of which this process has `labels` with the mean `loss`; returns the mean loss of all.

        Of a mixed image the class with the largest area is right.
        """
        right = labels if labels.ndim == 1 else labels.argmax(1)
        mine = [float(len(labels)), float(loss) * len(labels), float((scores.argmax(1) == right).sum())]
        images, total, correct = processes.reduce(torch.tensor(mine, dtype=torch.float64)).tolist()
        self.images += int(images)
        self.loss += total
        self.correct += int(correct)
        return total / images

    def check(self, epoch: int, classes: int) -> None:
        """UserError when an epoch's loss has exploded: far above that of guessing, which is about as often right.

        A loss alone is no proof: the scores of quantized training may be large, and the right ones the largest.
        """
        guessing = math.log(classes)
        if self.mean_loss > EXPLODED * guessing and self.top1 < 100 / classes + EXPLODED:
            raise UserError(
                f"the mean loss of epoch {epoch} is {self.mean_loss:.1f}, more than {EXPLODED} times that of guessing "
                f"({guessing:.2f}), and {self.top1:.1f} % are right: training has diverged; lower the learning rate, "
                "then resume or start again"
            )

    @property
    def mean_loss(self) -> float:
        """Mean loss per image."""
        return self.loss / self.images

    @property
    def top1(self) -> float:
        """Accuracy in percent."""
        return 100 * self.correct / self.images


@dataclass(frozen=True)
class Trainer:
    """What an epoch needs and what stays the same between epochs; see `train_epoch`."""

    model: nn.Module
    optimizer: torch.optim.Optimizer
    scheduler: CompressionScheduler
    training_set: ImageSet
    augmentation: pipeline.Augmentation
    batch_size: int
    seed: int
    bfloat16: bool
    device: Device
    normalize: pipeline.Normalize
    label_smoothing: float
    teacher: Teacher | None
    processes: Processes

    def train_epoch(self, epoch: int, report: Callable[[Step], None]) -> EpochResult:
        """Train for one epoch; `report` is called after every batch.

        Raises:
            UserError: training has diverged: the loss is no longer a number, or has exploded.
        """
        self.scheduler.on_epoch_begin(epoch)
        self.model.train()
        totals, start, cpu_start = Totals(), time.perf_counter(), cpu_seconds()
        batches = pipeline.training_batches(
            self.training_set, self.augmentation, self.batch_size, self.seed, epoch, self.processes
        )
        count = pipeline.batch_count(self.training_set, self.batch_size)
        for number, (images, labels) in enumerate(batches, 1):
            learning_rate = self.optimizer.param_groups[0]["lr"]
            loss, scores = self.train_batch(images, labels, epoch, number - 1)
            batch_loss = totals.add(loss, scores, labels)
            if not math.isfinite(batch_loss):
                raise UserError(
                    f"the loss is {batch_loss} in epoch {epoch}, batch {number}: training has diverged; "
                    f"lower the learning rate (it was {learning_rate:g}), then resume or start again"
                )
            report(
                Step(
                    epoch,
                    number,
                    count,
                    totals.mean_loss,
                    totals.top1,
                    learning_rate,
                    totals.images,
                    time.perf_counter() - start,
                )
            )
        totals.check(epoch, scores.shape[1])
        self.scheduler.on_epoch_end(epoch)
        return EpochResult(
            totals.mean_loss, totals.top1, totals.images, time.perf_counter() - start, cpu_seconds() - cpu_start
        )

    def set_thresholds(self, z_score: float) -> dict[str, float]:
        """Make activation thresholds part of the weights before quantization begins; see `thresholds.py`."""
        images = self.training_set.images
        some = images[:: math.ceil(len(images) / MEASURED_IMAGES)]  # from all over, in case that they are sorted
        batches = (pipeline.to_input(batch, self.normalize) for batch in some.split(self.batch_size))
        return self.device.fold_thresholds(self.model, batches, z_score)

    def start_qat(self, policy: Policy) -> None:
        """Train with quantization from now on; the optimizer starts anew on the parameters that are left."""
        self.device.start_qat(self.model, policy)
        self.optimizer.param_groups[0]["params"] = list(self.model.parameters())
        self.optimizer.state.clear()

    def train_batch(self, images: Tensor, labels: Tensor, epoch: int, number: int) -> tuple[Tensor, Tensor]:
        """One optimizer step, after which the weights are moved back to where device and schedule need them.

        Args:
            images, labels: this process's share of the batch, as `pipeline.training_batches` gives it.
            number: of the batch in its epoch, from 0.

        Returns:
            Loss and scores [N, classes] of this process's share.
        """
        self.scheduler.on_minibatch_begin(epoch, number)
        with self.autocast():
            scores = self.model(pipeline.to_input(images, self.normalize)) * self.device.score_factor(self.model)
            taught = self.teacher.scores(images) if self.teacher else None
        loss = F.cross_entropy(scores.float(), labels, label_smoothing=self.label_smoothing)
        if self.teacher is not None and taught is not None:
            loss = self.teacher.loss(scores, taught, loss)
        loss = self.scheduler.before_backward_pass(epoch, loss)
        self.optimizer.zero_grad()
        loss.backward()
        processes.average_gradients(list(self.model.parameters()), len(labels))
        self.scheduler.before_parameter_optimization(epoch)
        self.optimizer.step()
        self.device.after_step(self.model)
        self.scheduler.on_minibatch_end(epoch, number)
        return loss.detach(), scores.detach()

    def autocast(self) -> AbstractContextManager[object]:
        """bfloat16 arithmetic for the network, where it is on."""
        device = self.training_set.images.device.type
        return torch.autocast(device, torch.bfloat16) if self.bfloat16 else nullcontext()


def cpu_seconds() -> float:
    """Processor time that this process has used."""
    times = os.times()
    return times.user + times.system


def fast_bfloat16(device: torch.device) -> bool:
    """Whether `device` is a processor with bfloat16 instructions, which double the speed of training."""
    capabilities = torch.cpu.get_capabilities()
    return device.type == "cpu" and any(capabilities.get(name) for name in ("avx512_bf16", "amx_bf16"))
