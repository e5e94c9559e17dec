"""Training by several processes, which torchrun starts: whose share is what, and how they bring together what each has.

Every process has the whole network and computes with its share of every batch.
"""

import importlib
import re
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, TypeVar

import torch
import torch.distributed as dist
from torch import Tensor, nn

from errors import UserError
from launch import Processes

T = TypeVar("T")


@contextmanager
def connected(processes: Processes, device: torch.device) -> Iterator[None]:
    """Let the functions below reach the other processes inside the `with` block; `device` is the one to compute on."""
    if processes.count == 1:
        yield
        return
    if device.type == "cuda":
        torch.cuda.set_device(device)
    # Optimizers import this. Imported later, it would keep the group as the default of its arguments, and threads that
    # wait for messages would outlive the group and sometimes abort the process at its end.
    importlib.import_module("torch._dynamo")
    with reporting_losses():
        dist.init_process_group("cpu:gloo,cuda:nccl" if device.type == "cuda" else "gloo")
    try:
        yield
    finally:
        dist.destroy_process_group()


@contextmanager
def reporting_losses() -> Iterator[None]:
    """Make a UserError of what PyTorch raises when another process is gone."""
    try:
        yield
    except RuntimeError as error:
        reason = re.sub(r"^\[.*?\] ", "", str(error).strip().splitlines()[0])  # gloo begins with a line of its source
        raise UserError(
            f"another process of this run has ended or cannot be reached ({reason}); "
            "--resume-from continues after the last finished epoch"
        ) from error


def from_main(processes: Processes, make: Callable[[], T]) -> T:
    """What `make` gives in process 0, in all processes."""
    made: list[Any] = [make() if processes.is_main else None]
    if processes.count > 1:
        with reporting_losses():
            dist.broadcast_object_list(made, src=0, device=torch.device("cpu"))
    result: T = made[0]
    return result


def reduce(tensor: Tensor, operation: dist.ReduceOp.RedOpType = dist.ReduceOp.SUM) -> Tensor:
    """`tensor` with the sum (or maximum) over all processes in its place."""
    if dist.is_initialized():
        with reporting_losses():
            dist.all_reduce(tensor, operation)
    return tensor


def average_gradients(parameters: Sequence[nn.Parameter], images: int) -> None:
    """Make each gradient, a mean over the `images` of this process, the mean over the images of all.

    One message holds all of them, since the networks are small. PyTorch's DistributedDataParallel is no help: it does
    not allow that a network changes its parameters, as ours do when quantization begins.
    """
    if not dist.is_initialized():
        return
    gradients = [parameter.grad for parameter in parameters if parameter.grad is not None]
    flat = torch.cat([gradient.flatten() for gradient in gradients] + [gradients[0].new_ones(1)])
    reduce(flat.mul_(images))
    mean = (flat[:-1] / flat[-1]).split([gradient.numel() for gradient in gradients])
    for gradient, part in zip(gradients, mean, strict=True):
        gradient.copy_(part.view(gradient.shape))
