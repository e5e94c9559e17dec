"""Finds out what a network does instead of training it: one file for each analysis."""

import argparse
from collections.abc import Sequence

from analysis import summary

__all__ = ["run"]


def run(options: argparse.Namespace, arguments: Sequence[str]) -> None:
    """Do the analysis that the options ask for; UserError, before anything is written, when that is not possible."""
    summary.summarize(options, arguments)
