"""Batch normalization over the whole batch where several processes have parts of it.

PyTorch's SyncBatchNorm does the same, but on CUDA only.
"""

from typing import Any

import torch
import torch.distributed as dist
import torch.nn.functional as F
from torch import Tensor, nn

import processes


class _Sum(torch.autograd.Function):
    """The sum over all processes. Each one's result depends on it, so gradients are summed as well."""

    @staticmethod
    def forward(ctx: Any, values: Tensor) -> Tensor:
        return processes.reduce(values.clone())

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> Tensor:
        return processes.reduce(gradients[0].clone(memory_format=torch.contiguous_format))


class _WholeBatch(nn.modules.batchnorm._BatchNorm):
    """What both classes below have in common.

    Args:
        gain: what the result is multiplied with; as part of its factors, which takes no pass over the memory.
    """

    def __init__(self, channels: int, eps: float = 1e-5, momentum: float = 0.1, gain: float = 1.0) -> None:
        super().__init__(channels, eps, momentum)
        self.gain = gain

    def forward(self, data: Tensor) -> Tensor:
        """[N, C, ...] to the same shape; N may differ between processes."""
        self._check_input_dim(data)
        if self.training and dist.is_initialized():
            return self.over_all_processes(data)
        if self.training:
            self.num_batches_tracked.add_(1)
        weight, bias = self.weight * self.gain, self.bias * self.gain
        return F.batch_norm(
            data, self.running_mean, self.running_var, weight, bias, self.training, self.momentum, self.eps
        )

    def over_all_processes(self, data: Tensor) -> Tensor:
        """Batch normalization in training, with the statistics of all processes' images."""
        others, shape = [0, *range(2, data.ndim)], (1, -1, *[1] * (data.ndim - 2))
        values = data if data.dtype == torch.float64 else data.float()
        count = processes.reduce(values.new_tensor([values.numel() // values.shape[1]]))
        mean = _Sum.apply(values.sum(others)) / count
        centered = values - mean.view(shape)
        variance = _Sum.apply(centered.square().sum(others)) / count
        self.remember(mean.detach(), variance.detach() * count / (count - 1))
        scale = self.weight / torch.sqrt(variance + self.eps)
        return ((centered * scale.view(shape) + self.bias.view(shape)) * self.gain).to(data.dtype)

    @torch.no_grad()
    def remember(self, mean: Tensor, variance: Tensor) -> None:
        """Move the running statistics towards those of a batch."""
        self.num_batches_tracked.add_(1)
        self.running_mean.lerp_(mean, self.momentum)
        self.running_var.lerp_(variance, self.momentum)


class BatchNorm1d(_WholeBatch, nn.BatchNorm1d):
    """nn.BatchNorm1d over the batch of all processes."""


class BatchNorm2d(_WholeBatch, nn.BatchNorm2d):
    """nn.BatchNorm2d over the batch of all processes."""
