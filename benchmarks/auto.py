#!/usr/bin/env python3
"""Compare the placements that were written by hand with automatic ones, or place random networks.

A hand-written description is completed after its maps, offsets and data format were thrown away. Random networks are
those of `make fuzz`; they are placed, checked, and run on the chip model.
"""

import argparse
import sys
import tempfile
import time
from collections import Counter
from dataclasses import replace
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
SYNTHESIS = ROOT / "ai8x-synthesis"
TESTS = SYNTHESIS / "tests"
sys.path[:0] = [str(path) for path in (ROOT / "ai8x-training", SYNTHESIS, TESTS, TESTS / "conformance")]

from tabulate import tabulate  # noqa: E402

import automatic  # noqa: E402
from izer import pipeline  # noqa: E402
from izer.auto import completion  # noqa: E402
from izer.auto.problem import build_problem  # noqa: E402
from izer.auto.solution import measured  # noqa: E402
from izer.device import DEVICES  # noqa: E402
from izer.placement import Choices  # noqa: E402
from izer.yamlcfg import Description  # noqa: E402

SECONDS, SECONDS_RANDOM = 10, 1  # for a network of the project, for a random one


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, epilog="example: benchmarks/auto.py --random 99 --device 85",
                                     formatter_class=argparse.RawDescriptionHelpFormatter)  # fmt: skip
    parser.add_argument("--random", type=int, metavar="N", help="place N random networks instead")
    parser.add_argument("--device", type=int, choices=DEVICES, default=84, help="of the random networks (default: 84)")
    return parser.parse_args()


def networks() -> list[tuple[int, str, str | None]]:
    """Device, description and checkpoint of every network; those without checkpoint get random weights."""
    found = []
    for device, folder in ((84, SYNTHESIS / "networks"), (85, SYNTHESIS / "networks" / "ai85")):
        trained = dict(line.split() for line in (folder / "checkpoints.txt").read_text().splitlines())
        prefix = "ai85/" if device == 85 else ""
        found += [(device, prefix + path.stem, trained.get(path.stem)) for path in sorted(folder.glob("*.yaml"))]
    return found


def bare(description: Description) -> Description:
    """The description without everything that says where something is."""
    layers = tuple(replace(layer, processors=0, output_processors=None, out_offset=0, in_offset=None, data_format=None,
                           bias_group=None, lines={}) for layer in description.layers)  # fmt: skip
    return replace(description, layers=layers, output_map=None)


def compare(device: int, network: str, checkpoint: str | None) -> list[object]:
    """A row of the table."""
    trained = checkpoint and SYNTHESIS / "trained" / f"{checkpoint}.pth.tar"
    hand = pipeline.build_model(pipeline.Request(DEVICES[device], SYNTHESIS / "networks" / f"{network}.yaml",
                                                 trained or None, seed=None if trained else 1))  # fmt: skip
    theirs = measured(build_problem(hand.device, hand.target, hand.description, hand.network, Choices()),
                      hand.description)  # fmt: skip
    begin = time.perf_counter()
    _, verdict = completion.complete(hand.device, hand.target, bare(hand.description), hand.network, Choices(), SECONDS)
    seconds = time.perf_counter() - begin
    ours = verdict.measures
    gap = "proven" if verdict.proven else f"at least {verdict.columns} columns, {verdict.memory} bytes"
    return [network, theirs.columns, ours.columns, f"{theirs.memory:,}", f"{ours.memory:,}", f"{theirs.clocks:,}",
            f"{ours.clocks:,}", f"{seconds:.2f} s", gap]  # fmt: skip


def place_random(device: int, count: int) -> None:
    """Place random networks, and print how many were placed, and which rules refused the others."""
    found: Counter[str] = Counter()
    begin = time.perf_counter()
    for seed in range(count):
        with tempfile.TemporaryDirectory() as folder:
            outcome = automatic.place(device, seed, Path(folder), SECONDS_RANDOM)
        if outcome.verdict:
            found["placed, proven optimal" if outcome.verdict.proven else "placed, with a gap"] += 1
        else:
            found[f"refused by {', '.join(outcome.refused_by)}"] += 1
    print(tabulate(found.most_common(), [f"{count} networks for AI{device}", "how many"]))
    print(f"All that were placed are right on the chip model. {time.perf_counter() - begin:.0f} s.")


def main() -> int:
    options = parse()
    if options.random:
        place_random(options.device, options.random)
        return 0
    rows = [compare(*network) for network in networks()]
    header = ["network", "columns by hand", "auto", "bytes by hand", "auto", "clocks by hand", "auto", "time", "proof"]
    print(tabulate(rows, header, tablefmt="github"))
    return 0


if __name__ == "__main__":
    sys.exit(main())
