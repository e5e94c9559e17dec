#!/usr/bin/env python3
"""From Fashion-MNIST images to firmware that is verified on the emulated chip: what `make demo` runs."""

import argparse
import json
import re
import shlex
import subprocess
import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tabulate import tabulate

ROOT = Path(__file__).resolve().parent
TRAINING, SYNTHESIS = ROOT / "ai8x-training", ROOT / "ai8x-synthesis"
LOGS = TRAINING / "logs"
QUANTIZED = "trained/ai84-fashionmnist.pth.tar"
DEMO = "demos/FashionMNIST"
RESULT = "demos/FashionMNIST.json"
NETWORK = f"--checkpoint-file {QUANTIZED} --config-file networks/fashionmnist-chw.yaml"
EMBEDDED = (f"./cnn-gen.py --verbose -L --top-level cnn --test-dir demos --prefix FashionMNIST {NETWORK} "
            "--fc-layer --embedded-code")  # fmt: skip
RTLSIM = f"./cnn-gen.py --verbose --autogen rtlsim --top-level cnn -L --test-dir rtlsim --prefix fmnist {NETWORK}"
TOP1 = re.compile(r"==> Top1: *([0-9.]+)")


@dataclass(frozen=True)
class Step:
    """One command: what it does, where it runs."""

    title: str
    command: str
    folder: Path


@dataclass(frozen=True)
class Done:
    """A finished step: its time in seconds and what it printed (only where it was captured)."""

    step: Step
    seconds: float
    printed: str


def run(step: Step, capture: bool = False) -> Done:
    """Run a step and show its output. Ends the program with the step's status if it fails."""
    print(f"\n=== {step.title}\n$ cd {step.folder.relative_to(ROOT)}\n$ {step.command}", flush=True)
    start = time.monotonic()
    printed = []
    process = subprocess.Popen(shlex.split(step.command), cwd=step.folder, text=True,
                               stdout=subprocess.PIPE if capture else None)  # fmt: skip
    for line in process.stdout or ():
        print(line, end="", flush=True)
        printed.append(line)
    if process.wait():
        sys.exit(f"demo.py: the step '{step.title}' failed with status {process.returncode}")
    return Done(step, time.monotonic() - start, "".join(printed))


def run_folder(epochs: int) -> Path:
    """The log directory of the newest demo run; the training step has just made or found it."""
    folders = sorted(LOGS.glob(f"demo{epochs}___*/best.pth.tar"))
    if not folders:
        sys.exit(f"demo.py: training left no checkpoint in {LOGS}")
    return folders[-1].parent


def train(epochs: int) -> tuple[Done, Path]:
    """Train, or continue, or find the run of an earlier demo with as many epochs."""
    name = f"demo{epochs}"
    command = f"./go_fashionmnist.sh --epochs {epochs} --seed 1 --name {name} --resume-from auto"
    return run(Step("Train", command, TRAINING)), run_folder(epochs)


def deploy(best: Path) -> list[Done]:
    """Everything after training, for one float checkpoint."""
    quantized = SYNTHESIS / QUANTIZED
    steps = [
        Step("Quantize", f"./ai84ize.py {best} {QUANTIZED} --scale 1.0", SYNTHESIS),
        Step("Evaluate float and 8-bit", f"./evaluate_fashionmnist.sh {best} {quantized}", TRAINING),
        Step("Generate the embedded demo", EMBEDDED, SYNTHESIS),
        Step("Generate the RTL simulation test", RTLSIM, SYNTHESIS),
        Step("Build, and run on the emulated chip", f"./cnn-run.py {DEMO} --json {RESULT}", SYNTHESIS),
    ]
    return [run(step, capture=step.title.startswith("Evaluate")) for step in steps]


def summary(accuracies: list[str], chip: Mapping[str, Any], classes: list[str], done: list[Done]) -> str:
    """The closing table."""
    rows = [
        ("accuracy, float", f"{accuracies[0]} %"),
        ("accuracy, 8-bit", f"{accuracies[1]} %"),
        ("known answer", "PASS" if chip["passed"] else "FAIL"),
        ("predicted class", f"{classes[chip['predicted']]}, {chip['probability']:.1%}"),
        ("true class", classes[chip["label"]]),
        ("accelerator cycles (estimate)", f"{chip['cycles']:,}"),
    ]
    rows += [(f"time: {d.step.title}", f"{d.seconds:.1f} s") for d in done]
    rows.append(("time: total", f"{sum(d.seconds for d in done):.1f} s"))
    return tabulate(rows, tablefmt="simple", disable_numparse=True, colalign=("left", "right"))


def main() -> None:
    """Run all steps and close with the table."""
    parser = argparse.ArgumentParser(description=__doc__, epilog="example: EPOCHS=20 make demo")
    parser.add_argument("--epochs", type=int, default=5, help="epochs of training (default: 5)")
    epochs = parser.parse_args().epochs
    if epochs < 1:
        parser.error("--epochs is at least 1")
    trained, folder = train(epochs)
    done = deploy(folder / "best.pth.tar")
    accuracies = TOP1.findall(done[1].printed)
    chip = json.loads((SYNTHESIS / RESULT).read_text(encoding="utf-8"))
    classes = json.loads((SYNTHESIS / DEMO / "cnn-run.json").read_text(encoding="utf-8"))["classes"]
    print(f"\n{summary(accuracies, chip, classes, [trained, *done])}\n")
    print(f"Checkpoints and log:  {folder.relative_to(ROOT)}\n"
          f"Quantized checkpoint: ai8x-synthesis/{QUANTIZED}\n"
          f"                      (it replaced the reviewed one: git checkout ai8x-synthesis/trained)\n"
          f"Embedded demo:        ai8x-synthesis/{DEMO}\n"
          f"RTL simulation test:  ai8x-synthesis/rtlsim")  # fmt: skip


if __name__ == "__main__":
    try:
        main()
    except KeyboardInterrupt:
        sys.exit("demo.py: interrupted; another make demo goes on from here")
