"""The options of train.py that look at a network instead of training it."""

import argparse

from converters import positive, positive_number

SUMMARIES = ("model", "compute", "sparsity", "png", "samples")
WITH_INTEGERS = ("--summary", "--sense", "--activation-stats")
"""The analyses of quantized networks, with -8, too."""
NEED_WEIGHTS = ("--sense", "--activation-stats")


def add_to(group: argparse._ArgumentGroup) -> None:
    """Each of them does its work and stops; what it writes goes into a log directory of its own."""
    only = group.add_mutually_exclusive_group()
    only.add_argument(
        "--summary",
        nargs="+",
        choices=SUMMARIES,
        metavar="KIND",
        help="print the layers (model), their cost (compute), their zeros (sparsity), or draw them (png); or draw "
        "some of the training images (samples)",
    )
    only.add_argument(
        "--sense",
        choices=("element", "filter", "channel"),
        help="remove the smallest elements, filters or input channels of one layer after the other, and evaluate what "
        "is left on the validation images: table and picture",
    )
    only.add_argument(
        "--activation-stats",
        "--act-stats",
        nargs="?",
        const="valid",
        choices=("train", "valid", "test"),
        metavar="PHASE",
        help="statistics and histograms of what each layer gives for the train, valid or test images [valid]",
    )
    only.add_argument(
        "--lr-range-test",
        action="store_true",
        help="train some steps with a growing learning rate, and draw the loss: what --lr suits",
    )
    group.add_argument(
        "--sense-range",
        nargs=3,
        type=float,
        default=(0.0, 0.95, 0.05),
        metavar=("FROM", "TO", "STEP"),
        help="with --sense: the shares that are removed, without TO [0 0.95 0.05]",
    )
    group.add_argument(
        "--lr-range",
        nargs=2,
        type=positive_number,
        default=(1e-5, 10.0),
        metavar=("FROM", "TO"),
        help="with --lr-range-test: the first and the last learning rate [1e-5 10]",
    )
    group.add_argument(
        "--lr-steps", type=positive, default=200, metavar="N", help="with --lr-range-test: the number of steps [200]"
    )


def chosen(options: argparse.Namespace) -> str:
    """The option that asks for an analysis; empty where there is none."""
    given = {
        "--summary": options.summary,
        "--sense": options.sense,
        "--activation-stats": options.activation_stats,
        "--lr-range-test": options.lr_range_test,
    }
    return next((name for name, value in given.items() if value), "")


def check_combination(parser: argparse.ArgumentParser, options: argparse.Namespace) -> None:
    """Exit with status 2 for options that do not go with an analysis."""
    start, end, step = options.sense_range
    if not (0 <= start < end <= 1 and step > 0):
        parser.error("--sense-range needs 0 <= FROM < TO <= 1 and STEP > 0")
    if options.lr_range[0] >= options.lr_range[1]:
        parser.error("--lr-range needs FROM < TO")
    if not (name := chosen(options)):
        return
    others = {"--evaluate": options.evaluate, "--check": options.check, "--resume-from": options.resume_from}
    for other, given in others.items():
        if given:
            parser.error(f"{name} and {other} exclude each other")
    if name in NEED_WEIGHTS and options.exp_load_weights_from is None:
        parser.error(f"{name} needs --exp-load-weights-from FILE")
