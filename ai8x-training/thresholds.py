"""Activation thresholds: the value at which a layer's output saturates, chosen when training with quantization begins.

Nothing keeps a float network from using a small part of the range of its layers' output, a few of the steps of 8 bits.
So what a layer gives is divided by its threshold, and the weights of the next one are multiplied with it. The scores
stay what they were, except where an outlier saturates.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import torch
import torch.distributed as dist
from torch import Tensor, nn

import ai8x
import ai84
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
def measure(
    model: nn.Module, layers: Mapping[str, nn.Module], batches: Iterable[Tensor], first: int = 0
) -> dict[str, Magnitudes]:
    """What some layers of `model` give for network input [N, C, H, W], in their channels from `first` on."""
    found = {name: Magnitudes() for name in layers}
    hooks = [
        layer.register_forward_hook(lambda layer, inputs, output, sizes=found[name]: sizes.add(output[:, first:]))
        for name, layer in layers.items()
    ]
    model.eval()
    for batch in batches:
        model(batch)
    for hook in hooks:
        hook.remove()
    return found


def choose(sizes: Mapping[str, Magnitudes], z_score: float) -> dict[str, float]:
    """The thresholds of the layers; all processes have those of the process with the largest."""
    found = torch.tensor([magnitudes.threshold(z_score) for magnitudes in sizes.values()], dtype=torch.float64)
    return dict(zip(sizes, processes.reduce(found, dist.ReduceOp.MAX).tolist(), strict=True))


@torch.no_grad()
def fold_ai85(model: nn.Module, batches: Iterable[Tensor], z_score: float) -> dict[str, float]:
    """Make thresholds part of the weights of a float network, in place, and batch normalization as well.

    Args:
        model: a chain of layers, as `ai85net.Ai85Net` is.
        batches: network input [N, C, H, W] to measure with, the same for all processes.
        z_score: how many standard deviations above their mean magnitude outliers begin.

    Returns:
        The thresholds by layer, above 0; at most 1, because float layers saturate at 127/128. The last layer, whose
        output has 32 bits, has none.
    """
    qat.fold(model)
    layers = {name: layer for name, layer in qat.layers(model).items() if layer.op is not None}
    narrow = {name: layer for name, layer in layers.items() if not layer.settings.wide}
    found = choose(measure(model, narrow, batches), z_score)
    before = 1.0
    for name, layer in layers.items():
        after = found.get(name, 1.0)
        for kind, parameter in layer.parameters_of_op().items():
            parameter.mul_(before / after if kind == "weight" else 1 / after)
        before = after
    return found


@torch.no_grad()
def fold_ai84(model: nn.Module, batches: Iterable[Tensor], z_score: float) -> dict[str, float]:
    """The same for AI84, an `ai84net.Ai84Net`.

    A channel that makes biases stays constant. AI84 has no scale: a layer's threshold is never so small that its
    weights, which become larger, would saturate.
    """
    convs = {name: layer for name, layer in model.named_children() if isinstance(layer, ai84.Convolution)}
    first = int(any(conv.norm is not None for conv in convs.values()))
    ai84.fold(model)
    found = choose(measure(model, convs, batches, first), z_score)
    before = 1.0
    for name, conv in convs.items():
        data, constant = conv.operator.weight[first:, first:], conv.operator.weight[first:, :first]
        data.mul_(before)
        largest = max(float(part.abs().max()) for part in (data, constant) if part.numel())
        found[name] = before = min(1.0, max(found[name], largest / conv.parameter_ranges[f"{conv.name}.weight"].high))
        for part in (data, constant):
            part.div_(before)
        if conv.operator.bias is not None:
            conv.operator.bias[first:].div_(before)
    scores = model.get_submodule("fc").linear.weight
    scores.view(len(scores), conv.operator.out_channels, -1)[:, first:].mul_(before)
    return found
