"""A whole training run: epochs, validation, checkpoints, final test."""

import argparse
import logging
import shlex
import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from rich.console import Console
from torch import nn

import checkpoint
import construction
import figures
import loop
import pipeline
import qat
import resuming
import runlog
import structure
from analysis.layers import layers_of
from board import Board
from construction import Images
from datasets import ImageSet
from distiller import CompressionScheduler, Schedule, read_schedule
from distiller.quantizers import plain
from distiller.scheduler import EMPTY
from errors import UserError
from evaluation import Evaluation, evaluate, gather
from files import check_room, remove_scratch, write_json
from launch import ALONE, Processes
from loop import EpochResult, Trainer
from processes import connected, from_main
from progress import EpochProgress
from qat import Policy
from resuming import BEST, LAST, SUMMARY, Start

log = logging.getLogger(__name__)

SHOWN_IMAGES = 32
"""How many training images TensorBoard is shown."""

@dataclass(frozen=True)
class Best:
    """The best epoch so far, by validation accuracy in percent; of equals the latest."""

    epoch: int
    top1: float


NONE_YET = Best(-1, -1.0)
STATES = 4
"""As large as the weights are two means of Adam and the masks of a schedule."""
MEGABYTE = 2**20


@dataclass(frozen=True)
class Run:
    """Everything that stays the same during a run."""

    options: argparse.Namespace
    directory: Path
    settings: dict[str, Any]
    images: Images
    trainer: Trainer
    policy: Policy | None
    board: Board
    processes: Processes


def train(options: argparse.Namespace, arguments: Sequence[str], processes: Processes) -> None:
    """Do what a command line without --evaluate asks; UserError, before anything is written, when it cannot."""
    schedule = read_schedule(options.compress, options.device.quantizers) if options.compress else None
    policy = qat.read_policy(options.qat_policy) if options.qat_policy else None
    device = construction.compute_device(options, processes)
    with connected(processes, device):
        start = from_main(processes, lambda: resuming.start(options, schedule, policy))
        if start.complete:
            log.info("The run in %s is complete, there is nothing to do", start.directory)
            return
        seed = start.settings["seed"]
        construction.seed_everything(seed, options.deterministic)
        images = construction.load_images(options, seed, device)
        check_shares(images, options.batch_size, processes)
        trainer = build_trainer(options, schedule, images, seed, device, processes)
        best = restore(options, trainer, policy, start)
        directory = from_main(processes, lambda: log_directory(options, start, trainer))
        with open_log(directory, options, processes) as board:
            run = Run(options, directory, start.settings, images, trainer, policy, board, processes)
            begin(run, arguments, schedule, start.epoch)
            finish(run, *train_epochs(run, start.epoch, best))


def log_directory(options: argparse.Namespace, start: Start, trainer: Trainer) -> Path:
    """The directory that the run writes to, a new one unless it goes on in that of an earlier run.

    UserError when there is no room for two checkpoints, a third while it takes the place of another, and some log.
    """
    directory = start.directory or runlog.create(options.out_dir, options.name)
    weights = sum(weight.numel() * weight.element_size() for weight in trainer.model.state_dict().values())
    try:
        check_room(directory, [STATES * weights + MEGABYTE] * 3)
    except UserError:
        if start.directory is None:
            directory.rmdir()
        raise
    return directory


@contextmanager
def open_log(directory: Path, options: argparse.Namespace, processes: Processes) -> Iterator[Board]:
    """Write what is logged, and the curves, to the log directory; of several processes only the main one does."""
    if not processes.is_main:
        yield Board(None)
        return
    with runlog.log_file(directory), Board(None if options.no_tensorboard else directory) as board:
        yield board


def check_shares(images: Images, batch_size: int, processes: Processes) -> None:
    """UserError unless every process has an image of every batch and of the validation."""
    last = len(images.training) % batch_size or batch_size
    for what, count in (("last batch of an epoch", last), ("validation", len(images.validation))):
        if count < processes.count:
            raise UserError(
                f"the {what} has {count} images, which do not suffice for {processes.count} processes; "
                "start fewer, or change --batch-size or --validation-split"
            )


def build_trainer(
    options: argparse.Namespace,
    schedule: Schedule | None,
    images: Images,
    seed: int,
    device: torch.device,
    processes: Processes,
) -> Trainer:
    """Network, optimizer and schedule at their beginning."""
    model = construction.build_model(options, device, batch_norm=options.batch_norm)
    optimizer = construction.build_optimizer(options, model)
    steps = pipeline.batch_count(images.training, options.batch_size)
    scheduler = CompressionScheduler(schedule or EMPTY, model, optimizer, options.epochs, steps)
    augmentation = construction.augmentation(options)
    bfloat16 = construction.use_bfloat16(options, device)
    return Trainer(
        model, optimizer, scheduler, images.training, augmentation, options.batch_size, seed, bfloat16, options.device,
        construction.normalization(options), options.label_smoothing, construction.build_teacher(options, device),
        processes,
    )


def restore(options: argparse.Namespace, trainer: Trainer, policy: Policy | None, start: Start) -> Best:
    """Load the weights to start from and, when resuming, the optimizer; returns the best epoch so far.

    A network that had begun to train with quantization is brought to that state before it takes its weights. A
    checkpoint from outside a log directory comes without its best weights: then the best of the coming epochs counts.
    """
    if policy is not None:
        options.device.check_policy(policy, trainer.model)
        if start.epoch > policy.start_epoch:
            trainer.start_qat(policy)
    found = start.found
    source = found or (checkpoint.load(options.exp_load_weights_from) if options.exp_load_weights_from else None)
    if source is not None:
        checkpoint.load_weights(trainer.model, source, options.arch)
    if found is not None:
        resuming.restore_scheduler(found, trainer.scheduler, start.epoch)
    if found is not None and start.epoch > 0:
        resuming.restore_optimizer(found, trainer.optimizer)
        if start.directory is not None:
            return Best(found.extras["best_epoch"], found.extras["best_top1"])
    return NONE_YET


def begin(run: Run, arguments: Sequence[str], schedule: Schedule | None, start: int) -> None:
    """Put into the log directory what explains the run."""
    if not run.processes.is_main:
        return
    runlog.link_latest(run.directory)
    (run.directory / SUMMARY).unlink(missing_ok=True)
    remove_scratch(run.directory)
    for file in (schedule, run.policy):
        if file is not None:
            (run.directory / "configs").mkdir(exist_ok=True)
            shutil.copyfile(file.path, run.directory / "configs" / file.path.name)
    log.info("Log directory: %s", run.directory)
    runlog.log_environment(arguments, run.images.training.images.device)
    run.board.command_line(shlex.join(arguments))
    draw_beginning(run)
    log.info("Seed %d, training in %s", run.trainer.seed, "bfloat16" if run.trainer.bfloat16 else "float32")
    if run.processes.count > 1:
        log.info("Training by %d processes, which share every batch", run.processes.count)
    log_images(run.images)
    if start:
        log.info("Resuming at epoch %d", start)
    if run.policy is not None and run.policy.start_epoch >= run.options.epochs:
        log.warning("%s: quantization would begin in epoch %d, but the run has %d epochs: it will not be trained with",
                    run.policy.path, run.policy.start_epoch, run.options.epochs)  # fmt: skip


def draw_beginning(run: Run) -> None:
    """Show TensorBoard the network and some training images, varied as in training."""
    trainer = run.trainer
    run.board.graph(layers_of(trainer.model, construction.data_set(run.options).input))
    some = trainer.training_set.select(slice(0, SHOWN_IMAGES)).images
    run.board.images(pipeline.augment(some, trainer.augmentation, torch.Generator().manual_seed(0)))


def log_images(images: Images) -> None:
    """Say how many images each part has."""
    sizes = (len(images.training), len(images.validation), len(images.test))
    log.info("Data set sizes: training %d, validation %d, test %d", *sizes)
    if images.validation is images.test:
        log.warning("Validation split is 0: the test set chooses the best epoch, so its final accuracy is optimistic")


def train_epochs(run: Run, start: int, best: Best) -> tuple[Best, list[EpochResult]]:
    """Train from epoch `start` to the end, with a checkpoint after every epoch.

    Where quantization begins, the best epoch so far is forgotten: its network is another one.
    """
    results, console = [], Console(quiet=not run.processes.is_main)
    for epoch in range(start, run.options.epochs):
        if run.policy is not None and epoch == run.policy.start_epoch:
            begin_quantization(run.trainer, run.policy)
            best = NONE_YET
        if run.trainer.scheduler.quantization_begins(epoch):
            best = NONE_YET
        with EpochProgress(epoch, run.options.epochs, run.options.print_freq, console) as progress:
            result = run.trainer.train_epoch(epoch, lambda step, show=progress: report(run, step, show))
        validation = judge(run, run.trainer.model, run.images.validation, run.processes)
        run.trainer.scheduler.on_validation_end(epoch, validation.loss, validation.top1)
        best = Best(epoch, validation.top1) if validation.top1 >= best.top1 else best
        save_epoch(run, epoch, validation.top1, best)
        log_epoch(run, epoch, result, validation, best)
        results.append(result)
    return best, results


def begin_quantization(trainer: Trainer, policy: Policy) -> None:
    """Train with quantization from the next epoch on."""
    log.info("Training with quantization from here on (%s)", policy.path)
    if policy.outlier_removal_z_score is not None:
        found = trainer.set_thresholds(policy.outlier_removal_z_score)
        log.info("Activation thresholds: %s", ", ".join(f"{name} {value:.3f}" for name, value in found.items()))
    trainer.start_qat(policy)


def judge(run: Run, model: nn.Module, image_set: ImageSet, processes: Processes) -> Evaluation:
    """Run `image_set` through a network in float mode; each of the processes takes its share."""
    mine = image_set.select(processes.share(len(image_set)))
    result = evaluate(model, mine, run.options.batch_size, run.trainer.normalize, simulate=False)
    return gather(result, image_set.labels, processes)


def report(run: Run, step: loop.Step, progress: EpochProgress) -> None:
    """Show a batch, and every so often draw it."""
    progress.report(step)
    if step.number % run.options.print_freq == 0 or step.number == step.count:
        run.board.training(step)


def save_epoch(run: Run, epoch: int, top1: float, best: Best) -> None:
    """Write the checkpoints; the best one first, so that a run killed in between repeats the epoch and writes both.

    The best one holds the network as it is to be quantized, the last one as it is to be trained further.
    """
    if not run.processes.is_main:
        return
    trainer, arch = run.trainer, run.options.arch
    extras = {"current_top1": top1, "best_top1": best.top1, "best_epoch": best.epoch, "run": run.settings}
    dataset = construction.data_set(run.options)
    network = structure.describe(trainer.model, arch, dataset.described or dataset.name)
    if best.epoch == epoch:
        exported = trainer.device.exported(plain(trainer.model, rounded=True))
        state = trainer.scheduler.state_dict(exported)
        checkpoint.save(run.directory / BEST, exported, arch, epoch, None, state, extras, network)
    last = plain(trainer.model, rounded=False)
    state = trainer.scheduler.state_dict(last)
    checkpoint.save(run.directory / LAST, last, arch, epoch, trainer.optimizer, state, extras, network)


def log_epoch(run: Run, epoch: int, result: EpochResult, validation: Evaluation, best: Best) -> None:
    """Report an epoch that is over."""
    log.info(
        "--- epoch %d: %.1f s, %.0f images/s, %.2f cores busy; training loss %.4f, Top1 %.2f",
        epoch,
        result.seconds,
        result.images_per_second,
        result.busy_cores,
        result.loss,
        result.top1,
    )
    log_scores(validation)
    nonzero = sum(int(parameter.count_nonzero()) for parameter in run.trainer.model.parameters())
    log.info("==> Best [Top1: %.3f   Params: %d on epoch: %d]", best.top1, nonzero, best.epoch)
    run.board.validation(validation, epoch)
    run.board.weights(run.trainer.model, epoch, run.options.param_hist)


def log_scores(result: Evaluation) -> None:
    """The line that the first generation's tools print for an evaluation."""
    log.info("==> Top1: %.3f    Top5: %.3f    Loss: %.3f", result.top1, result.top5, result.loss)


def finish(run: Run, best: Best, results: list[EpochResult]) -> None:
    """Test the best weights and write the summary, which the main process does alone."""
    if not run.processes.is_main:
        return
    path = run.directory / BEST
    model = construction.build_model(run.options, run.images.test.images.device)
    checkpoint.load_weights(model, checkpoint.load(path), run.options.arch)
    run.trainer.scheduler.quantize_like(model, best.epoch)
    if run.policy is not None and best.epoch >= run.policy.start_epoch:
        run.options.device.start_qat(model, run.policy)
    test = judge(run, model, run.images.test, ALONE)
    log.info("--- test of the best weights (epoch %d)", best.epoch)
    log_scores(test)
    if run.options.per_class:
        classes = construction.data_set(run.options).classes
        log.info("==> Classes:\n%s", figures.per_class_text(test.confusion, classes))
    if run.options.confusion:
        save_confusion(run, test, best.epoch)
    write_json(run.directory / SUMMARY, summary(run, best, results, test))
    log.info("Best weights: %s", path)


def save_confusion(run: Run, test: Evaluation, epoch: int) -> None:
    """Log, draw and store the confusion matrix."""
    classes = construction.data_set(run.options).classes
    log.info("==> Confusion:\n%s", figures.confusion_text(test.confusion, classes))
    figures.save_confusion(test.confusion, classes, run.directory / "confusion.png")
    run.board.confusion(test.confusion, classes, epoch)


def summary(run: Run, best: Best, results: list[EpochResult], test: Evaluation) -> dict[str, Any]:
    """The content of summary.json; speed is that of the epochs trained by this process."""
    return {
        "arch": run.options.arch,
        "dataset": run.options.dataset,
        "epochs": run.options.epochs,
        "seed": run.trainer.seed,
        "best_epoch": best.epoch,
        "best_top1": best.top1,
        "test_top1": test.top1,
        "test_correct": test.correct,
        "test_images": len(test.labels),
        "test_loss": test.loss,
        "test_class_top1": test.class_top1(construction.data_set(run.options).classes),
        "best": str(run.directory / BEST),
        "checkpoint": str(run.directory / LAST),
    } | speed(results)


def speed(results: list[EpochResult]) -> dict[str, Any]:
    """How fast the given epochs were; a resumed run that only had the test left to do trained none."""
    seconds = sum(result.seconds for result in results)
    return {
        "epochs_trained_now": len(results),
        "training_seconds": seconds,
        "images_per_second": sum(result.images for result in results) / seconds if results else None,
        "busy_cores": sum(result.cpu_seconds for result in results) / seconds if results else None,
    }
