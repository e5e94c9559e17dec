"""Finds out what a network does instead of training it: one file for each analysis."""

import argparse
from collections.abc import Sequence

import analysis_options
from analysis.activations import report_activations
from analysis.ratetest import find_learning_rate
from analysis.sensitivity import measure_sensitivity
from analysis.summary import summarize

__all__ = ["run"]

ANALYSES = {
    "--summary": summarize,
    "--sense": measure_sensitivity,
    "--activation-stats": report_activations,
    "--lr-range-test": find_learning_rate,
}


def run(options: argparse.Namespace, arguments: Sequence[str]) -> None:
    """Do the analysis that the options ask for; UserError, before anything is written, when that is not possible."""
    ANALYSES[analysis_options.chosen(options)](options, arguments)
