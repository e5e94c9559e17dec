"""Builds what a run needs from its options: compute device, data, network, optimizer."""

import argparse
import secrets
from dataclasses import dataclass

import torch
from torch import nn

import checkpoint
import datasets
import devices
import loop
import pipeline
from checkpoint import Checkpoint
from datasets import DataSet, ImageSet
from devices import Device
from distillation import Teacher
from errors import UserError
from launch import ALONE, Processes


@dataclass(frozen=True)
class Images:
    """The three parts of a data set; `validation` is the test set when nothing was split off."""

    training: ImageSet
    validation: ImageSet
    test: ImageSet


def compute_device(options: argparse.Namespace, processes: Processes = ALONE) -> torch.device:
    """CUDA where there is one and --cpu is not given, else the CPU; UserError with more processes than GPUs."""
    if options.cpu or not torch.cuda.is_available():
        return torch.device("cpu")
    if processes.local_count > torch.cuda.device_count():
        raise UserError(
            f"every process needs a GPU: there are {processes.local_count} processes on this machine and "
            f"{torch.cuda.device_count()} GPUs; start fewer, or give --cpu"
        )
    return torch.device("cuda", processes.local_rank)


def choose_seed(given: int | None) -> int:
    """The given seed, else a random one."""
    return secrets.randbelow(2**31) if given is None else given


def seed_everything(seed: int, deterministic: bool) -> None:
    """Seed the initial weights; with `deterministic`, use only algorithms that repeat their results."""
    torch.manual_seed(seed)
    torch.use_deterministic_algorithms(deterministic, warn_only=True)
    torch.backends.cudnn.benchmark = not deterministic


def data_set(options: argparse.Namespace) -> DataSet:
    """The data set of --dataset; UserError when --data does not hold what it needs."""
    return datasets.find(options.dataset, options.data, options.image_size)


def augmentation(options: argparse.Namespace) -> pipeline.Augmentation:
    """How training varies the images of the data set."""
    if options.no_augmentation:
        return pipeline.Augmentation(0, False)
    return pipeline.Augmentation.of(data_set(options), options.erase, options.cutmix)


def normalization(options: argparse.Namespace) -> pipeline.Normalize:
    """What makes the network's input of the data set's values, in float or (`-8`) exact mode."""
    return device_input(data_set(options), options.device, options.simulate)


def device_input(dataset: DataSet, device: Device, simulate: bool) -> pipeline.Normalize:
    """What makes a network's input of the data set's values for `device`."""
    normalize = device.input(dataset.unit, simulate)
    return lambda images: normalize(dataset.arrange(images))


def load_images(options: argparse.Namespace, seed: int, device: torch.device) -> Images:
    """Read the data set and split the validation images off the training set."""
    training, test = data_set(options).load(options.data)
    if not len(training) or not len(test):
        raise UserError(
            f"the data set {options.dataset} is empty: {len(training)} training and {len(test)} test images"
        )
    training, validation = pipeline.split(training, options.validation_split, seed)
    test = test.to(device)
    return Images(training.to(device), validation.to(device) if len(validation) else test, test)


def build_model(options: argparse.Namespace, device: torch.device, *, batch_norm: bool = False) -> nn.Module:
    """The network for the data set's images, in float or (`-8`) exact mode; UserError when it does not fit the device.

    Args:
        batch_norm: whether it normalizes, as only a network in training does. Without, the convolutions of a run with
            --batch-norm have just what takes over: on AI85 a bias.
    """
    bias = options.use_bias or (options.batch_norm and options.device.batch_norm_leaves_bias)
    extra = {"batch_norm": True} if batch_norm else {}
    model = network(data_set(options), options.device, options.arch, bias=bias, simulate=options.simulate, **extra)
    return model.to(device, memory_format=torch.channels_last)


def network(dataset: DataSet, device: Device, arch: str, **settings: bool) -> nn.Module:
    """The network `arch` for the data set's images with the given settings; UserError when it does not fit."""
    channels, height, width = dataset.input
    try:
        return device.models[arch](
            num_classes=len(dataset.classes), num_channels=channels, dimensions=(height, width), **settings
        )
    except ValueError as error:
        raise UserError(f"{arch} for {dataset.name}: {error}") from error


def build_teacher(options: argparse.Namespace, device: torch.device) -> Teacher | None:
    """The network of --kd-teacher with its weights; None without. UserError when they do not fit each other."""
    if options.kd_teacher is None:
        return None
    found = checkpoint.load(options.kd_resume)
    checkpoint.require_quantized(found, simulate=False)
    kind, dataset = devices.of_model(options.kd_teacher), teachers_data_set(options, found)
    bias = any(name.endswith(".bias") and not name.startswith("fc.") for name in found.weights)
    model = network(dataset, kind, options.kd_teacher, bias=bias, simulate=False)
    checkpoint.load_weights(model, found, options.kd_teacher)
    model = model.to(device, memory_format=torch.channels_last).eval().requires_grad_(False)
    normalize = device_input(dataset, kind, simulate=False)
    return Teacher(model, normalize, options.kd_temp, options.kd_distill_wt, options.kd_student_wt)


def teachers_data_set(options: argparse.Namespace, teacher: Checkpoint) -> DataSet:
    """The data set that the teacher was trained on: that of the run, or the same images in another arrangement.

    UserError when its images are others. A checkpoint that does not name its data set is taken for one of the run's.
    """
    ours, name = data_set(options), teacher.extras.get("run", {}).get("dataset", options.dataset)
    if name == options.dataset:
        return ours
    theirs = datasets.REGISTRY.get(name)
    if theirs is None or theirs.load is not ours.load:
        raise UserError(
            f"{teacher.path}: was trained on {name}; a teacher must know the images of the run, {options.dataset}"
        )
    return theirs


def build_optimizer(options: argparse.Namespace, model: nn.Module) -> torch.optim.Optimizer:
    """SGD with momentum, Adam, or Adam with decoupled weight decay."""
    if options.optimizer == "SGD":
        return torch.optim.SGD(
            model.parameters(), lr=options.lr, momentum=options.momentum, weight_decay=options.weight_decay
        )
    kind = torch.optim.AdamW if options.optimizer == "AdamW" else torch.optim.Adam
    return kind(model.parameters(), lr=options.lr, weight_decay=options.weight_decay)


def use_bfloat16(options: argparse.Namespace, device: torch.device) -> bool:
    """Whether training computes in bfloat16."""
    return options.precision == "bfloat16" or (options.precision == "auto" and loop.fast_bfloat16(device))
