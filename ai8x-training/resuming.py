"""Finds the run to continue, and puts a run back to where its checkpoint left it."""

import argparse
import logging
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

import checkpoint
import construction
from checkpoint import Checkpoint
from distiller import CompressionScheduler, Schedule
from errors import UserError
from qat import Policy

log = logging.getLogger(__name__)

LAST = "checkpoint.pth.tar"
BEST = "best.pth.tar"
SUMMARY = "summary.json"
"""Written when a run is complete, and only then."""


@dataclass(frozen=True)
class Start:
    """Where a run begins.

    Attributes:
        found: the checkpoint to continue; None to start anew.
        epoch: the first to train.
        directory: the log directory where an earlier run goes on; None for a new one.
        settings: what decides the numbers of the run, with its seed; a checkpoint carries it as extras.run.
        complete: whether that run has nothing left to do.
    """

    found: Checkpoint | None
    epoch: int
    directory: Path | None
    settings: dict[str, Any]
    complete: bool


def settings(options: argparse.Namespace, schedule: Schedule | None, policy: Policy | None) -> dict[str, Any]:
    """What decides the numbers of a run, as plain values, as far as the options say."""
    weights = options.exp_load_weights_from
    return {
        "arch": options.arch,
        "dataset": options.dataset,
        "device": options.device.name,
        "use_bias": options.use_bias,
        "batch_norm": options.batch_norm,
        "epochs": options.epochs,
        "batch_size": options.batch_size,
        "precision": options.precision,
        "optimizer": options.optimizer,
        "lr": options.lr,
        "momentum": options.momentum,
        "weight_decay": options.weight_decay,
        "seed": options.seed,
        "augmentation": not options.no_augmentation,
        "erase": options.erase,
        "cutmix": options.cutmix or None,  # as in a checkpoint from before there was this option
        "label_smoothing": options.label_smoothing,
        "kd_teacher": options.kd_teacher,
        "kd_weights": checkpoint.sha256(options.kd_resume) if options.kd_resume else None,
        "kd_temp": options.kd_temp,
        "kd_distill_wt": options.kd_distill_wt,
        "kd_student_wt": options.kd_student_wt,
        "validation_split": options.validation_split,
        "schedule": schedule.text if schedule else None,
        "qat_policy": policy.text if policy else None,
        "start_weights": checkpoint.sha256(weights) if weights else None,
    }


def completed(ours: dict[str, Any], found: Checkpoint | None) -> dict[str, Any]:
    """The settings, with a seed and the weights of the beginning, which a run that goes on has from its checkpoint."""
    theirs = found.extras.get("run", {}) if found else {}
    seed = theirs.get("seed") if ours["seed"] is None else ours["seed"]
    return ours | {
        "seed": construction.choose_seed(seed),
        "start_weights": ours["start_weights"] or theirs.get("start_weights"),
    }


def differences(ours: dict[str, Any], theirs: dict[str, Any]) -> list[str]:
    """The settings in which two runs differ; a seed that is None differs from none."""
    return [
        f"{key} is {ours[key]!r}, the checkpoint's was {theirs.get(key)!r}"
        for key in ours
        if ours[key] != theirs.get(key) and not (key == "seed" and ours[key] is None)
    ]


def find_automatically(out_dir: Path, name: str | None, ours: dict[str, Any]) -> Checkpoint | None:
    """The checkpoint of the newest run in `out_dir` that has this name and these settings, finished or not."""
    prefix = f"{name}___" if name else ""
    for path in sorted(out_dir.glob(f"{prefix}[0-9]*/{LAST}"), reverse=True):
        found = checkpoint.load(path)
        if not differences(ours, found.extras.get("run", {})):
            return found
    return None


def choose(options: argparse.Namespace, ours: dict[str, Any]) -> Checkpoint | None:
    """The checkpoint that --resume-from asks for; None to start anew."""
    if options.resume_from is None:
        return None
    if options.resume_from == "auto":
        return find_automatically(options.out_dir, options.name, ours)
    found = checkpoint.load(Path(options.resume_from))
    if "run" in found.extras:
        for difference in differences(completed(ours, found), found.extras["run"]):
            log.warning("resuming with other settings than before: %s", difference)
    return found


def start(options: argparse.Namespace, schedule: Schedule | None, policy: Policy | None) -> Start:
    """Where the run that the options ask for begins; UserError when it was complete, unless --resume-from is auto."""
    ours = settings(options, schedule, policy)
    found = choose(options, ours)
    epoch = 0 if found is None or options.reset_optimizer else found.epoch + 1
    directory = log_directory(found) if found is not None and epoch else None
    complete = epoch >= options.epochs and (directory is None or (directory / SUMMARY).is_file())
    if complete and options.resume_from != "auto":
        raise UserError(f"{options.resume_from}: has {epoch} epochs already; give more than that with --epochs")
    return Start(found, epoch, directory, completed(ours, found), complete)


def restore_scheduler(found: Checkpoint, scheduler: CompressionScheduler, epochs: int) -> None:
    """Put masks and learning rate to where they were after `found` and `epochs` epochs; UserError when that fails."""
    try:
        scheduler.restore(found.compression_sched, epochs)
    except (ValueError, TypeError, AttributeError) as error:
        raise UserError(f"{found.path}: its compression_sched does not fit this run ({error})") from error


def restore_optimizer(found: Checkpoint, optimizer: torch.optim.Optimizer) -> None:
    """Give the optimizer its state after `found`; UserError when it does not fit. Learning rates stay as they are."""
    kind = type(optimizer).__name__
    if found.optimizer_state is None or found.optimizer_type != kind:
        raise UserError(
            f"{found.path}: holds the state of optimizer {found.optimizer_type}; given --optimizer {kind}. "
            "Give the optimizer of the checkpoint, or --reset-optimizer"
        )
    learning_rates = [group["lr"] for group in optimizer.param_groups]
    try:
        optimizer.load_state_dict(found.optimizer_state)
    except (ValueError, KeyError) as error:
        raise UserError(f"{found.path}: the optimizer's state does not fit this network ({error})") from error
    for group, learning_rate in zip(optimizer.param_groups, learning_rates, strict=True):
        group["lr"] = learning_rate


def log_directory(found: Checkpoint) -> Path | None:
    """The log directory that `found` lies in, where the run goes on; None for a checkpoint from somewhere else."""
    directory = found.path.resolve().parent  # not `latest`, which is about to point to it
    return directory if found.path.name == LAST and (directory / BEST).is_file() else None
