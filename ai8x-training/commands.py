"""What train.py can do, and which of it a command line asks for."""

import argparse
from collections.abc import Sequence

import analysis
import analysis_options
import checking
import options
import runlog
import testing
import training
from errors import UserError
from launch import Processes


def run(arguments: Sequence[str], mine: Processes) -> None:
    """Do what a command line says; UserError when that cannot be done."""
    chosen = options.parse(arguments)
    runlog.log_to_console(mine)
    perform(chosen, arguments, mine)


def perform(chosen: argparse.Namespace, arguments: Sequence[str], mine: Processes) -> None:
    """Do what the options ask for."""
    if not (chosen.check or chosen.evaluate or analysis_options.chosen(chosen)):
        training.train(chosen, arguments, mine)
    elif mine.count > 1:
        raise UserError("only training can be shared by several processes; start this without torchrun")
    elif chosen.check:
        checking.check(chosen)
    elif chosen.evaluate:
        testing.test(chosen)
    else:
        analysis.run(chosen, arguments)
