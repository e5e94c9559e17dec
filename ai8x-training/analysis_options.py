"""The options of train.py that look at a network instead of training it."""

import argparse

SUMMARIES = ("model", "compute", "sparsity", "png")


def add_to(group: argparse._ArgumentGroup) -> None:
    """Each of them does its work and stops; what it writes goes into a log directory of its own."""
    only = group.add_mutually_exclusive_group()
    only.add_argument(
        "--summary",
        nargs="+",
        choices=SUMMARIES,
        metavar="KIND",
        help="print the layers (model), their cost (compute), their zeros (sparsity), or draw them (png)",
    )


def chosen(options: argparse.Namespace) -> str:
    """The option that asks for an analysis; empty where there is none."""
    return "--summary" if options.summary else ""


def check_combination(parser: argparse.ArgumentParser, options: argparse.Namespace) -> None:
    """Exit with status 2 for options that do not go with an analysis."""
    if not (name := chosen(options)):
        return
    others = {"--evaluate": options.evaluate, "--check": options.check, "--resume-from": options.resume_from}
    for other, given in others.items():
        if given:
            parser.error(f"{name} and {other} exclude each other")
