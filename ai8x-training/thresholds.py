"""Activation thresholds: the value at which a layer's output saturates, chosen when training with quantization begins.

Nothing keeps a float network from using a small part of the range of its layers' output, a few of the steps of 8 bits.
So what a layer gives is divided by its threshold, and the weights of the next one are multiplied with it. The scores
stay what they were, except where an outlier saturates.
"""

from collections.abc import Iterable
from dataclasses import dataclass

import torch
import torch.distributed as dist
from torch import Tensor, nn

import ai8x
import ai85
import processes
import qat


@dataclass
class Magnitudes:
    """The magnitudes of all values that a layer has given: how many, their sum, that of their squares, the largest."""

    count: int = 0
    total: float = 0.0
    squares: float = 0.0
    largest: float = 0.0

    def add(self, output: Tensor) -> None:
        """Let in the output for another batch."""
        magnitudes = output.abs().double()
        self.count += magnitudes.numel()
        self.total += float(magnitudes.sum())
        self.squares += float(magnitudes.square().sum())
        self.largest = max(self.largest, float(magnitudes.max()))

    def threshold(self, z_score: float) -> float:
        """What to divide by, so that the largest magnitude becomes 127/128, where layers saturate.

        Magnitudes of more than `z_score` standard deviations above the mean do not count. The threshold of a layer that
        gives nothing but zeros is 1.
        """
        mean = self.total / self.count
        deviation = max(0.0, self.squares / self.count - mean**2) ** 0.5
        return min(self.largest, mean + z_score * deviation) / ai8x.Q7.high or 1.0


@torch.no_grad()
def measure(model: nn.Module, batches: Iterable[Tensor]) -> dict[str, Magnitudes]:
    """What every layer gives for some network input, but for those that only pool and those without 8-bit output."""
    layers = qat.layers(model)
    measured = {name: layer for name, layer in layers.items() if layer.op is not None and not layer.settings.wide}
    found = {name: Magnitudes() for name in measured}
    hooks = [
        layer.register_forward_hook(lambda layer, inputs, output, sizes=found[name]: sizes.add(output))
        for name, layer in measured.items()
    ]
    model.eval()
    for batch in batches:
        model(batch)
    for hook in hooks:
        hook.remove()
    return found


@torch.no_grad()
def fold(model: nn.Module, batches: Iterable[Tensor], z_score: float) -> dict[str, float]:
    """Make thresholds part of the weights of a float network, in place, and batch normalization as well.

    Args:
        model: a chain of layers, as `ai85net.Ai85Net` is.
        batches: network input [N, C, H, W] to measure with, the same for all processes.
        z_score: how many standard deviations above their mean magnitude outliers begin.

    Returns:
        The thresholds by layer, above 0; at most 1, because float layers saturate at 127/128.
    """
    qat.fold(model)
    found = {name: sizes.threshold(z_score) for name, sizes in measure(model, batches).items()}
    agreed = processes.reduce(torch.tensor(list(found.values()), dtype=torch.float64), dist.ReduceOp.MAX)
    found = dict(zip(found, agreed.tolist(), strict=True))
    before = 1.0
    for name, layer in qat.layers(model).items():
        if layer.op is not None:
            scale(layer, before, found.get(name, 1.0))
            before = found.get(name, 1.0)
    return found


def scale(layer: ai85.Layer, before: float, after: float) -> None:
    """Change the weights for input that is divided by `before`, and output that is to be divided by `after`."""
    for name, parameter in layer.parameters_of_op().items():
        parameter.mul_(before / after if name == "weight" else 1 / after)
