"""TensorBoard events of a run, with the tags of the first generation."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from torch import Tensor, nn

import figures
from analysis.layers import LayerInfo
from evaluation import Evaluation
from loop import Step


class Board:
    """Writes events into a log directory, or nothing when `directory` is None; use it in a `with` block."""

    def __init__(self, directory: Path | None) -> None:
        self.writer = None
        if directory is not None:
            # Imported here because it takes seconds and --no-tensorboard does without.
            from torch.utils.tensorboard import SummaryWriter

            self.writer = SummaryWriter(str(directory))

    def scalars(self, values: dict[str, float], position: int) -> None:
        """One point of every curve."""
        if self.writer is not None:
            for tag, value in values.items():
                self.writer.add_scalar(tag, value, position)

    def command_line(self, text: str) -> None:
        """The command line, as text."""
        if self.writer is not None:
            self.writer.add_text("Command line", text, 0)

    def graph(self, layers: Sequence[LayerInfo]) -> None:
        """The layers, what each does, and which reads which."""
        if self.writer is not None:
            from analysis.graph import graph_of

            self.writer.file_writer.add_onnx_graph(graph_of(layers))

    def images(self, images: Tensor) -> None:
        """Training images, uint8 [N, C, H, W]; none where they are not grey (C = 1) or colour (C = 3) pictures."""
        if self.writer is not None and images.shape[1] in (1, 3) and images.shape[3] > 1:
            self.writer.add_images("Training/Images", images.cpu(), 0)

    def weights(self, model: nn.Module, epoch: int, histograms: bool) -> None:
        """How many weights are 0, in percent; with `histograms` how they are distributed."""
        weights = {name: value.detach() for name, value in model.named_parameters() if value.ndim > 1}
        values = sum(value.numel() for value in weights.values())
        zeros = {name: value.numel() - int(value.count_nonzero()) for name, value in weights.items()}
        shares = {f"sparsity/weights/{name}": 100 * zeros[name] / weights[name].numel() for name in weights}
        self.scalars(shares | {"sparsity/weights/total": 100 * sum(zeros.values()) / values}, epoch)
        if self.writer is not None and histograms:
            for name, value in weights.items():
                self.writer.add_histogram(name.replace(".", "/"), value.float().cpu(), epoch)

    def training(self, step: Step) -> None:
        """The state of an epoch after a batch."""
        self.scalars(
            {
                "Performance/Training/Overall_Loss": step.loss,
                "Performance/Training/Objective_Loss": step.loss,
                "Performance/Training/Top1": step.top1,
                "Performance/Training/LR": step.learning_rate,
                "Performance/Training/Time": step.seconds / step.number,
            },
            step.epoch * step.count + step.number,
        )

    def validation(self, result: Evaluation, epoch: int) -> None:
        """The validation after an epoch."""
        self.scalars(
            {
                "Performance/Validation/Loss": result.loss,
                "Performance/Validation/Top1": result.top1,
                "Performance/Validation/Top5": result.top5,
            },
            epoch,
        )

    def confusion(self, matrix: Tensor, classes: Sequence[str], epoch: int) -> None:
        """The confusion matrix as an image."""
        if self.writer is not None:
            image: np.ndarray = figures.confusion_image(matrix, classes)
            self.writer.add_image("Validation/ConfusionMatrix", image, epoch, dataformats="HWC")

    def __enter__(self) -> "Board":
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: object) -> None:
        if self.writer is not None:
            self.writer.close()
