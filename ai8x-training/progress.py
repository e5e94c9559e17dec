"""Shows how an epoch proceeds: a live bar on a terminal, lines elsewhere."""

import logging
from types import TracebackType

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from loop import Step

log = logging.getLogger(__name__)
log.setLevel(logging.DEBUG)  # lines that a live bar replaces on the terminal still go to the log file


def line(step: Step) -> str:
    """The line that the first generation's tools print for a batch."""
    values = {
        "Overall Loss": step.loss,
        "Objective Loss": step.loss,
        "Top1": step.top1,
        "LR": step.learning_rate,
        "Time": step.seconds / step.number,
    }
    width = len(str(step.count))
    return f"Epoch: [{step.epoch}][{step.number:{width + 1}d}/{step.count:{width + 1}d}]    " + "    ".join(
        f"{name} {value:.6f}" for name, value in values.items()
    )


class EpochProgress:
    """Takes the steps of one epoch; use it in a `with` block.

    On a terminal the bar is live and lines go to the log file only; elsewhere every `print_freq`-th line is printed.
    """

    def __init__(self, epoch: int, epochs: int, print_freq: int, console: Console) -> None:
        self.print_freq = print_freq
        self.level = logging.DEBUG if console.is_terminal else logging.INFO
        self.bar = Progress(
            TextColumn("epoch {task.fields[epoch]}"),
            BarColumn(),
            MofNCompleteColumn(),
            TimeRemainingColumn(),
            TextColumn(
                "loss {task.fields[loss]:.3f}  top1 {task.fields[top1]:.2f} %  {task.fields[speed]:.0f} images/s"
            ),
            console=console,
            disable=not console.is_terminal,
            transient=True,
        )
        self.task = self.bar.add_task("", epoch=f"{epoch + 1}/{epochs}", loss=0.0, top1=0.0, speed=0.0)

    def __enter__(self) -> "EpochProgress":
        self.bar.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.bar.stop()

    def report(self, step: Step) -> None:
        """Show one step."""
        self.bar.update(
            self.task,
            total=step.count,
            completed=step.number,
            loss=step.loss,
            top1=step.top1,
            speed=step.images / step.seconds,
        )
        if step.number % self.print_freq == 0 or step.number == step.count:
            log.log(self.level, line(step))
