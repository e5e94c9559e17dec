"""The networks that the benchmarks run."""

import subprocess
import sys
from pathlib import Path

SYNTHESIS = Path(__file__).resolve().parents[1] / "ai8x-synthesis"


def networks() -> dict[str, tuple[str, ...]]:
    """The options of cnn-gen.py for each AI84 network, by name; ai84net7 has random weights: nothing trained it."""
    options = trained("") | {"ai84net7": ("--seed", "1")}
    return {name: ("--top-level", "cnn", "--prefix", name, "--config-file", f"networks/{name}.yaml", *weights)
            for name, weights in options.items()}  # fmt: skip


def networks85() -> dict[str, tuple[str, ...]]:
    """The same of AI85; some have random weights."""
    described = sorted(path.stem for path in (SYNTHESIS / "networks" / "ai85").glob("*.yaml"))
    options = dict.fromkeys(described, ("--seed", "1")) | trained("ai85")
    return {f"ai85-{name}": ("--ai85", "--prefix", f"ai85-{name}", "--config-file", f"networks/ai85/{name}.yaml",
                             *weights)
            for name, weights in options.items()}  # fmt: skip


def trained(folder: str) -> dict[str, tuple[str, ...]]:
    """The option that names the checkpoint of each network of a folder below networks/ that has one."""
    listed = (SYNTHESIS / "networks" / folder / "checkpoints.txt").read_text(encoding="utf-8").splitlines()
    return {name: ("--checkpoint-file", f"trained/{checkpoint}.pth.tar")
            for name, checkpoint in (line.split() for line in listed)}  # fmt: skip


def run(script: str, *options: str | Path) -> None:
    """Run a script of ai8x-synthesis, and end with its message if it fails."""
    command = [sys.executable, script, *options]
    done = subprocess.run(command, cwd=SYNTHESIS, capture_output=True, text=True, check=False)
    if done.returncode:
        sys.exit(f"{script} failed:\n{done.stderr}")
