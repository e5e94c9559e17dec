#!/usr/bin/env python3
"""Train or evaluate a network for the AI84 or AI85 accelerator; `./train.py --help` lists the options."""

import argparse
import sys
from collections.abc import Sequence

import analysis
import analysis_options
import checking
import memory
import options
import processes
import runlog
import testing
import training
from errors import UserError
from interruption import Terminated, behind, terminable
from processes import Processes

INTERRUPTED = 130
TERMINATED = 143
"""What a shell gives for SIGINT and SIGTERM: 128 and the number of the signal."""


def main(arguments: Sequence[str]) -> int:
    """Run one command line; returns the exit status."""
    memory.keep_freed()
    mine = processes.of_environment()
    who = "train.py" if mine.is_main else f"train.py (process {mine.rank})"
    try:
        with terminable():
            chosen = options.parse(arguments)
            runlog.log_to_console(mine)
            run(chosen, arguments, mine)
    except (UserError, OSError) as error:
        print(f"{who}: error: {error}", file=sys.stderr)
        return 1
    except BaseException as error:
        signal = behind(error)
        if signal is None:
            raise
        terminated = isinstance(signal, Terminated)
        word = f"{who}: terminated" if terminated else f"\n{who}: interrupted"
        print(f"{word}; --resume-from continues after the last finished epoch", file=sys.stderr)
        return TERMINATED if terminated else INTERRUPTED
    return 0


def run(chosen: argparse.Namespace, arguments: Sequence[str], mine: Processes) -> None:
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


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
