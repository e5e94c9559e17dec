"""Interrupts a run of train.py at random moments and resumes it until it is complete.

    interrupted_runs.py INTERRUPTIONS ...options of train.py...

Every attempt is a process of its own that begins with train.py's modules loaded, so it takes a second and not four.
Prints one line for every attempt: the signal, the exit status, and the epochs that were finished then.
"""

import os
import random
import signal
import sys
import time
import traceback
from collections.abc import Sequence
from itertools import cycle
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import torch
import torch._dynamo  # every optimizer imports it, which takes seconds

import checkpoint
import commands  # train.py imports it when it is called
import launch
import train

SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGKILL)
OUT = "interrupted"

run = commands.run


def answering(arguments: Sequence[str], mine: launch.Processes) -> None:
    """What train.py runs, with signals let through."""
    signal.pthread_sigmask(signal.SIG_UNBLOCK, SIGNALS)
    try:
        run(arguments, mine)
    finally:
        signal.pthread_sigmask(signal.SIG_BLOCK, SIGNALS)


def attempt(arguments: list[str]) -> int:
    """Start train.py; returns the number of the process.

    Signals wait until train.py is there to answer them: what a fork does afterwards drops a KeyboardInterrupt.
    """
    sys.stdout.flush()
    pid = os.fork()
    if pid == 0:
        commands.run = answering
        signal.signal(signal.SIGINT, signal.default_int_handler)  # where these tests run it may be ignored
        status = 99
        try:
            with open(os.devnull, "w") as nothing:
                sys.stdout = nothing
                status = train.main(arguments)
        except BaseException:
            traceback.print_exc()
        finally:
            os._exit(status)
    return pid


def finished(folder: Path) -> int:
    """How many epochs the newest run has finished."""
    found = [checkpoint.load(path).epoch + 1 for path in sorted(folder.glob("2*/checkpoint.pth.tar"))]
    return found[-1] if found else 0


def main(interruptions: int, arguments: list[str]) -> None:
    """Run once to see how long it takes, then again with interruptions, which spread over that time."""
    torch.set_num_threads(1)
    signal.pthread_sigmask(signal.SIG_BLOCK, SIGNALS)
    start = time.monotonic()
    os.waitpid(attempt([*arguments, "-o", "whole"]), 0)
    longest = 2 * (time.monotonic() - start) / interruptions
    arguments = [*arguments, "-o", OUT, "--resume-from", "auto"]
    for _, number in zip(range(interruptions), cycle(SIGNALS), strict=False):
        pid = attempt(arguments)
        time.sleep(random.uniform(0, longest))
        os.kill(pid, number)
        status = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
        print(number.name, status, finished(Path(OUT)))
    print("none", os.waitstatus_to_exitcode(os.waitpid(attempt(arguments), 0)[1]), finished(Path(OUT)))


if __name__ == "__main__":
    main(int(sys.argv[1]), sys.argv[2:])
