#!/usr/bin/env python3
"""Train or evaluate a network for the AI84 or AI85 accelerator; `./train.py --help` lists the options."""

import sys
from collections.abc import Sequence

import analysis
import analysis_options
import checking
import options
import runlog
import testing
import training
from errors import UserError


def main(arguments: Sequence[str]) -> int:
    """Run one command line; returns the exit status."""
    chosen = options.parse(arguments)
    runlog.log_to_console()
    try:
        if chosen.check:
            checking.check(chosen)
        elif chosen.evaluate:
            testing.test(chosen)
        elif analysis_options.chosen(chosen):
            analysis.run(chosen, arguments)
        else:
            training.train(chosen, arguments)
    except (UserError, OSError) as error:
        print(f"train.py: error: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print(
            "\ntrain.py: interrupted; --resume-from continues after the last finished epoch",
            file=sys.stderr,
        )
        return 130
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
