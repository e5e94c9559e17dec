"""What --evaluate does: accuracy on the test set, scores and sample files."""

import argparse
import logging
from pathlib import Path
from typing import Any

import numpy as np

import checkpoint
import construction
import figures
import pipeline
from datasets import ImageSet
from errors import UserError
from evaluation import Evaluation, evaluate
from files import replacing, write_json

log = logging.getLogger(__name__)


def test(options: argparse.Namespace) -> None:
    """Evaluate stored weights on the test set; UserError when that is not possible."""
    found = checkpoint.load(options.exp_load_weights_from)
    checkpoint.require_quantized(found, options.simulate)
    device = construction.compute_device(options)
    model = construction.build_model(options, device)
    checkpoint.load_weights(model, found, options.arch)
    _, test_set = construction.data_set(options).load(options.data)
    if options.save_sample is not None:
        save_sample(options, test_set)
    if options.truncate_testset:
        test_set = test_set.select(slice(0, 1))
    normalize = construction.normalization(options)
    result = evaluate(model, test_set.to(device), options.batch_size, normalize, options.simulate)
    report(options, result)


def report(options: argparse.Namespace, result: Evaluation) -> None:
    """Print the result, and write what the options ask for."""
    log.info(
        "Test: %d images, %s", len(result.labels), "exact 8-bit arithmetic" if options.simulate else "float arithmetic"
    )
    log.info("==> Top1: %.3f    Top5: %.3f    Loss: %.3f", result.top1, result.top5, result.loss)
    classes = construction.data_set(options).classes
    if options.per_class:
        log.info("==> Classes:\n%s", figures.per_class_text(result.confusion, classes))
    if options.confusion:
        log.info("==> Confusion:\n%s", figures.confusion_text(result.confusion, classes))
    if options.save_scores is not None:
        save_array(options.save_scores, result.scores.numpy())
    if options.json is not None:
        write_json(options.json, summary(options, result))


def summary(options: argparse.Namespace, result: Evaluation) -> dict[str, Any]:
    """The content of the --json file."""
    return {
        "arch": options.arch,
        "dataset": options.dataset,
        "checkpoint": str(options.exp_load_weights_from),
        "mode": "8-bit" if options.simulate else "float",
        "images": len(result.labels),
        "correct": result.correct,
        "top1": result.top1,
        "top5": result.top5,
        "loss": result.loss,
        "class_top1": result.class_top1(construction.data_set(options).classes),
    }


def save_array(path: Path, array: np.ndarray) -> None:
    """Write an array in numpy's format."""
    with replacing(path) as scratch, scratch.open("wb") as file:
        np.save(file, array, allow_pickle=False)


def save_sample(options: argparse.Namespace, test_set: ImageSet) -> None:
    """Write test image N as sample_<data set>.npy and .json (what it shows).

    The sample is the device's input, int64 [C, H, W], or [C, L] where it has one dimension.
    """
    index = options.save_sample
    if index >= len(test_set):
        raise UserError(
            f"--save-sample {index}: the test set of {options.dataset} has the images 0 to {len(test_set) - 1}"
        )
    chosen = test_set.select(slice(index, index + 1))
    data_set = construction.data_set(options)
    stem = data_set.sample_stem
    label = int(chosen.labels[0])
    name = data_set.classes[label]
    codes = pipeline.to_input(chosen.images, construction.normalization(options))[0].numpy().astype(np.int64, order="C")
    save_array(Path(f"{stem}.npy"), codes[:, :, 0] if codes.shape[2] == 1 else codes)
    write_json(
        Path(f"{stem}.json"),
        {"dataset": options.dataset, "index": index, "label": label, "class": name},
    )
    log.info("Sample: test image %d (%s) in %s.npy", index, name, stem)
