"""Trains a small network for a few steps with a schedule, as loop.py does, but with batches of random numbers."""

from collections.abc import Callable, Iterator
from pathlib import Path

import torch
from torch import nn

from distiller import CompressionScheduler, read_schedule
from range_linear_ai84 import QUANTIZERS


class Small(nn.Module):
    """A convolution [6, 2, 3, 3], a rectifier and a linear layer [3, 24], both with bias."""

    def __init__(self) -> None:
        super().__init__()
        self.conv, self.relu, self.fc = nn.Conv2d(2, 6, 3), nn.ReLU(), nn.Linear(24, 3)

    def forward(self, data: torch.Tensor) -> torch.Tensor:
        return self.fc(self.relu(self.conv(data)).flatten(1))


class Run:
    """A network in training.

    Attributes:
        losses: of all batches so far, with what regularizers add.
    """

    def __init__(self, schedule: str | Path, folder: Path, model: nn.Module | None = None, epochs: int = 10,
                 shape: tuple[int, ...] = (2, 4, 4), lr: float = 0.1, momentum: float = 0.9) -> None:  # fmt: skip
        torch.manual_seed(1)
        path = schedule if isinstance(schedule, Path) else folder / "schedule.yaml"
        if not isinstance(schedule, Path):
            path.write_text(schedule, encoding="utf-8")
        self.model, self.shape = model or Small(), shape
        self.optimizer = torch.optim.SGD(self.model.parameters(), lr=lr, momentum=momentum)
        self.scheduler = CompressionScheduler(read_schedule(path, QUANTIZERS), self.model, self.optimizer, epochs, 2)
        self.losses: list[float] = []

    def epoch(self, epoch: int, before_step: Callable[[], None] = lambda: None) -> None:
        """Two steps and a validation; `before_step` is called when the gradients are known."""
        scheduler, random = self.scheduler, torch.Generator().manual_seed(epoch)
        scheduler.on_epoch_begin(epoch)
        self.model.train()
        for number in range(2):
            data = torch.rand((8, *self.shape), generator=random) - 0.5
            scheduler.on_minibatch_begin(epoch, number)
            scores = self.model(data)
            loss = nn.functional.cross_entropy(scores, torch.randint(scores.shape[1], (8,), generator=random))
            loss = scheduler.before_backward_pass(epoch, loss)
            self.losses.append(float(loss.detach()))
            self.optimizer.zero_grad()
            loss.backward()
            before_step()
            scheduler.before_parameter_optimization(epoch)
            self.optimizer.step()
            scheduler.on_minibatch_end(epoch, number)
        scheduler.on_epoch_end(epoch)
        scheduler.on_validation_end(epoch, 1.0, 50.0)

    def epochs(self, count: int) -> Iterator[int]:
        """Train epoch after epoch; gives the number of each when it is over."""
        for epoch in range(count):
            self.epoch(epoch)
            yield epoch

    def weight(self, name: str) -> torch.Tensor:
        """A parameter as it is now."""
        return self.model.get_parameter(name).detach().clone()

    def zeros(self, name: str) -> int:
        """How many elements of a parameter are 0."""
        return int((self.weight(name) == 0).sum())
