#!/usr/bin/env python3
"""Each AI84 network in software, with CMSIS-NN, beside the accelerator: time and memory, as the table of the docs."""

import argparse
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

from tabulate import tabulate

from networks import SYNTHESIS, networks

HEADINGS = ("Network", "PC", "Cortex-M4", "instructions", "flash", "RAM", "buffers", "accelerator clocks", "ratio",
            "flash, accelerator", "RAM, accelerator")  # fmt: skip
EXAMPLE = """example:
  benchmarks/cmsis.py
  benchmarks/cmsis.py --cmsis-nn ~/CMSIS_5

The ratio is that of times, if an instruction takes a clock, of which the accelerator's takes two."""


def run(command: list[str | Path], folder: Path, environment: dict[str, str]) -> subprocess.CompletedProcess[str]:
    """Run a command, and end with its messages if it fails."""
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=False)
    if done.returncode:
        sys.exit(f"{command[0]} failed:\n{done.stdout}{done.stderr}")
    return done


def result_of(demo: Path, environment: dict[str, str]) -> dict[str, object]:
    """What cnn-run.py writes about a demo, with the sums of flash and RAM."""
    report = demo / "result.json"
    run([sys.executable, "cnn-run.py", demo, "--json", report], SYNTHESIS, environment)
    result = json.loads(report.read_text(encoding="utf-8"))
    return result | {kind: sum(section[kind] for section in result["sections"]) for kind in ("flash", "ram")}


def measure(name: str, options: tuple[str, ...], folder: Path, environment: dict[str, str]) -> tuple[object, ...]:
    """A row of the table: the program on the PC, the same on the Cortex-M4, and the program for the accelerator."""
    software, hardware = folder / "software", folder / "hardware"
    generate = [sys.executable, "cnn-gen.py", *options, "--embedded-code", "--fc-layer", "--test-dir"]
    printed = run([*generate, software, "--cmsis-software-nn"], SYNTHESIS, environment).stdout
    run([*generate, hardware], SYNTHESIS, environment)
    run(["make", "host"], software / name, environment)
    host = run(["build/host"], software / name, environment).stdout.splitlines()[-1]
    arm, accelerator = (result_of(kind / name, environment) for kind in (software, hardware))
    assert arm["cycles"] == accelerator["cycles"], "the generator's estimate is not the chip model's"
    buffers = int(printed.split("Buffers: ")[1].split()[0])
    return (name, host.strip("* "), "PASS" if arm["passed"] else "FAIL", arm["inference_instructions"], arm["flash"],
            arm["ram"], buffers, arm["cycles"], arm["inference_instructions"] / (2 * arm["cycles"]),
            accelerator["flash"], accelerator["ram"])  # fmt: skip


def weighted(options: tuple[str, ...], folder: Path, environment: dict[str, str]) -> tuple[str, ...]:
    """The options of a network, with a checkpoint in the place of a seed, which gives no classification layer."""
    if "--seed" not in options:
        return options
    checkpoint = folder / "random.pth.tar"
    run([sys.executable, "synthetic.py", "--checkpoint", checkpoint], SYNTHESIS, environment)
    place = options.index("--seed")
    return (*options[:place], "--checkpoint-file", str(checkpoint), *options[place + 2 :])


def main() -> None:
    """Print the table, which is Markdown."""
    parser = argparse.ArgumentParser(description=__doc__, epilog=EXAMPLE,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--cmsis-nn", type=Path, metavar="FOLDER",
                        help="Arm's CMSIS (default: the portable functions of Device/)")
    chosen = parser.parse_args().cmsis_nn
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    environment = {**os.environ, "PATH": path} | ({"CMSIS_NN": str(chosen.resolve())} if chosen else {})
    with tempfile.TemporaryDirectory() as folder:
        rows = [measure(name, weighted(options, Path(folder), environment), Path(folder), environment)
                for name, options in networks().items()]  # fmt: skip
    print(tabulate(rows, HEADINGS, tablefmt="github", floatfmt=".0f", intfmt=","))


if __name__ == "__main__":
    main()
