#!/usr/bin/env python3
"""Compare random legal networks in all implementations, on all cores."""

import argparse
import os
import sys
import time
from collections import Counter
from concurrent.futures import ProcessPoolExecutor, as_completed
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT / "ai8x-synthesis"), str(ROOT / "ai8x-training"), str(Path(__file__).parent / "conformance")]

from differential import fuzz  # noqa: E402  (the paths of the two products come first)

CHUNK = 100  # networks


def sizes(total: int) -> list[int]:
    """How many networks each chunk draws."""
    return [CHUNK] * (total // CHUNK) + [total % CHUNK] * (total % CHUNK > 0)


def main() -> int:
    """Run the chunks; the exit status is 1 as soon as two implementations differ."""
    parser = argparse.ArgumentParser(description=__doc__, epilog="example: make fuzz N=10000")
    parser.add_argument("networks", type=int, help="how many")
    parser.add_argument("--first", type=int, default=0, metavar="N", help="number of the first chunk (default: 0)")
    options = parser.parse_args()
    counts: Counter[str] = Counter()
    started = time.monotonic()
    with ProcessPoolExecutor(os.cpu_count()) as pool:
        numbers = {pool.submit(fuzz, options.first + n, size): options.first + n
                   for n, size in enumerate(sizes(options.networks))}  # fmt: skip
        for done in as_completed(numbers):
            if done.exception():
                pool.shutdown(cancel_futures=True, wait=False)
                print(f"chunk {numbers[done]}: {done.exception()}", file=sys.stderr)
                for note in getattr(done.exception(), "__notes__", ()):
                    print(note, file=sys.stderr)
                print(f"Again: run_fuzz.py {CHUNK} --first {numbers[done]}", file=sys.stderr)
                return 1
            counts += done.result()
            print(f"{counts['networks']:,} networks, {time.monotonic() - started:.0f} s", flush=True)
    listed = ", ".join(f"{count:,} {name}" for name, count in sorted(counts.items()) if name != "networks")
    print(f"{counts['networks']:,} networks in {time.monotonic() - started:.0f} s ({listed}): no difference")
    return 0


if __name__ == "__main__":
    sys.exit(main())
