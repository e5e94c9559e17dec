#!/usr/bin/env python3
"""Train or evaluate a network for the AI84 or AI85 accelerator; `./train.py --help` lists the options."""

import sys
from collections.abc import Sequence

import launch
import memory
from errors import UserError
from interruption import Terminated, behind, terminable

INTERRUPTED = 130
TERMINATED = 143
"""What a shell gives for SIGINT and SIGTERM: 128 and the number of the signal."""


def main(arguments: Sequence[str]) -> int:
    """Run one command line; returns the exit status."""
    memory.keep_freed()
    mine = launch.of_environment()
    who = "train.py" if mine.is_main else f"train.py (process {mine.rank})"
    try:
        with terminable():
            import commands  # with PyTorch, which takes seconds; a signal in that time gets its message too

            commands.run(arguments, mine)
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


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
