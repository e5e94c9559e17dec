#!/usr/bin/env python3
"""Compare random legal networks in all implementations: the integer reference, the training layers in 8-bit mode, the
chip model with both styles of program, and, for one in a hundred, compiled firmware on the emulated microcontroller.

Network number N is always the same. The exit status is 1 if one differs; its number and its description are printed.
"""

import argparse
import multiprocessing
import os
import sys
import time
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from pathlib import Path

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[1]
sys.path[:0] = [str(ROOT / "ai8x-training"), str(HERE.parent), str(HERE), str(HERE / "conformance")]

from rich.console import Console  # noqa: E402
from rich.progress import Progress  # noqa: E402
from tabulate import tabulate  # noqa: E402

import differential  # noqa: E402
import differential85  # noqa: E402
from fuzzing import Difference, Tried  # noqa: E402

RUN_SEEDS = {84: differential.run_seeds, 85: differential85.run_seeds}  # by device

CHUNK = 100  # networks that one process compares in a row; one of them is compiled
LINES = 20  # of progress, where the output is not a terminal


def positive(text: str) -> int:
    """A number of networks from the command line."""
    if (number := int(text)) < 1:
        raise argparse.ArgumentTypeError("at least 1")
    return number


def chunks_of(first: int, networks: int) -> list[range]:
    """The seeds from the first one on, in whole chunks and what is left."""
    stop = first + networks
    return [range(begun, min(begun + CHUNK, stop)) for begun in range(first, stop, CHUNK)]


def run_all(device: int, chunks: list[range]) -> Iterator[Tried]:
    """All chunks on all cores, in order. Raises Difference for the first that has one; the rest is not begun."""
    context = multiprocessing.get_context("forkserver")  # threads of the parent are not copied
    with ProcessPoolExecutor(min(os.cpu_count() or 1, len(chunks)), context) as pool:
        try:
            yield from pool.map(RUN_SEEDS[device], chunks)
        except BaseException:
            pool.shutdown(cancel_futures=True)
            raise


def with_progress(chunks: Iterator[Tried], networks: int) -> Tried:
    """The sum of all chunks; shows how far it is."""
    total = Tried(0, 0, Counter())
    shown, begin = 0, time.monotonic()
    with Progress(disable=not Console().is_terminal) as bar:
        task = bar.add_task("networks", total=networks)
        for tried in chunks:
            total += tried
            bar.update(task, completed=total.networks)
            if bar.disable and total.networks * LINES // networks > shown:
                shown = total.networks * LINES // networks
                print(f"{total.networks} of {networks} networks after {time.monotonic() - begin:.0f} s", flush=True)
    return total


def main() -> int:
    """Run the program; returns the exit status."""
    parser = argparse.ArgumentParser(description=__doc__, epilog="example: make fuzz DEVICE=85 N=1000")
    parser.add_argument("networks", type=positive, nargs="?", default=10000, help="how many (default: 10000)")
    parser.add_argument("--device", type=int, choices=RUN_SEEDS, default=84, help="84 for AI84 (default), 85 for AI85")
    parser.add_argument("--first", type=int, default=0, metavar="SEED", help="seed of the first network (default: 0)")
    options = parser.parse_args()
    try:
        chunks = chunks_of(options.first, options.networks)
        total = with_progress(run_all(options.device, chunks), options.networks)
    except Difference as found:
        print(f"A network differs:\n{found}", file=sys.stderr)
        return 1
    except BrokenProcessPool:
        print("A process ended without an answer; the memory may be too small.", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("Stopped.", file=sys.stderr)
        return 130
    print(tabulate([(kind, count) for kind, count in sorted(total.kinds.items())], ("kind", "networks")))
    print(f"\n{total.networks} networks ran, {total.compiled} of them compiled as firmware: no difference")
    return 0


if __name__ == "__main__":
    sys.exit(main())
