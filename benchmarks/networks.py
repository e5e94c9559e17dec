"""The networks that the benchmarks run."""

from pathlib import Path

SYNTHESIS = Path(__file__).resolve().parents[1] / "ai8x-synthesis"


def networks() -> dict[str, tuple[str, ...]]:
    """The options of cnn-gen.py for each network, by name; ai84net7 has random weights, because nothing trained it."""
    listed = (SYNTHESIS / "networks" / "checkpoints.txt").read_text(encoding="utf-8").splitlines()
    trained = {name: ("--checkpoint-file", f"trained/{checkpoint}.pth.tar")
               for name, checkpoint in (line.split() for line in listed)}  # fmt: skip
    options = trained | {"ai84net7": ("--seed", "1")}
    return {name: ("--top-level", "cnn", "--prefix", name, "--config-file", f"networks/{name}.yaml", *weights)
            for name, weights in options.items()}  # fmt: skip
