"""The network that an analysis looks at, and the images that it is shown."""

import argparse
import logging

import torch
from torch import nn

import checkpoint
import construction
import pipeline
from checkpoint import Checkpoint
from datasets import ImageSet
from errors import UserError
from evaluation import Evaluation, evaluate

log = logging.getLogger(__name__)

PHASES = ("train", "valid", "test")


def load_network(options: argparse.Namespace, device: torch.device) -> nn.Module:
    """The network of --model, with the weights of --exp-load-weights-from where they are given, ready to evaluate."""
    model = construction.build_model(options, device)
    if options.exp_load_weights_from is not None:
        found = checkpoint.load(options.exp_load_weights_from)
        checkpoint.require_quantized(found, options.simulate)
        checkpoint.load_weights(model, found, options.arch)
    return model.eval()


def load_phase(options: argparse.Namespace, phase: str, device: torch.device) -> ImageSet:
    """The images of `phase`, one of PHASES, without augmentation.

    Validation images are those that the weights' training did not see: the checkpoint knows its seed and split.
    """
    training, test = construction.data_set(options).load(options.data)
    if phase == "test":
        return test.to(device)
    seed, fraction = how_split(options, checkpoint.load(options.exp_load_weights_from))
    if phase == "valid" and int(fraction * len(training)) == 0:
        raise UserError("there are no validation images: --validation-split was 0; with --activation-stats, name test")
    return pipeline.split(training, fraction, seed)[PHASES.index(phase)].to(device)


def how_split(options: argparse.Namespace, found: Checkpoint) -> tuple[int, float]:
    """Seed and fraction with which the training of `found` chose its validation images, else those of the options."""
    if "run" in found.extras:
        return int(found.extras["run"]["seed"]), float(found.extras["run"]["validation_split"])
    log.warning("%s: does not say which images its training saw, so the validation images may be among them; "
                "--seed and --validation-split choose them", found.path)  # fmt: skip
    return options.seed or 0, options.validation_split


def evaluation_of(options: argparse.Namespace, model: nn.Module, images: ImageSet) -> Evaluation:
    """Run all of `images` through the model."""
    return evaluate(model, images, options.batch_size, construction.normalization(options), options.simulate)
