"""Builds demos with CMSIS-NN that compare every layer's output with the reference, for the PC and for the Cortex-M4."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np

from chip import Chip
from chip.mcu import Mcu
from izer import pipeline, torchfile
from izer.device import AI84
from izer.emit.demofolder import Names

NAMES = Names("main.c", "weights.h", "sampledata.h")
ENVIRONMENT = {**os.environ, "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"}

COMPARE = """
static const struct { const q7_t *values; uint32_t size; } expected[] = { @TABLE@ };

void cnn_layer_done(uint32_t layer, const q7_t *output, uint32_t size);

void cnn_layer_done(uint32_t layer, const q7_t *output, uint32_t size)
{
    unsigned different = 0;

    for (uint32_t n = 0; n < expected[layer].size; n++)
        different += output[n] != expected[layer].values[n];
    printf("layer %u: %u of %u values, %u differ\\n", (unsigned)layer, (unsigned)expected[layer].size, (unsigned)size,
           different);
}
"""


def compare_source(outputs: list[np.ndarray]) -> str:
    """A C file whose cnn_layer_done() compares with these outputs, int8 [C, H, W]."""
    text = '#include "tornadocnn.h"\n'
    for n, output in enumerate(outputs):
        values = ", ".join(map(str, output.transpose(1, 2, 0).reshape(-1).tolist()))
        text += f"static const q7_t expected_{n}[] = {{ {values} }};\n"
    table = ", ".join(f"{{ expected_{n}, {output.size} }}" for n, output in enumerate(outputs))
    return text + COMPARE.replace("@TABLE@", table)


def equal_lines(outputs: list[np.ndarray]) -> list[str]:
    """What the program prints if every output is right."""
    return [f"layer {n}: {output.size} of {output.size} values, 0 differ" for n, output in enumerate(outputs)]


def make(folder: Path, *arguments: str) -> None:
    """Run make; warnings are errors."""
    done = subprocess.run(["make", "-C", str(folder), "CFLAGS=-Werror", *arguments], env=ENVIRONMENT,
                          capture_output=True, text=True, check=False)  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr


def write_files(folder: Path, files: dict[str, bytes]) -> None:
    """Write files, those that are the same already excepted, so that make does not build them again."""
    for name, content in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        if not path.exists() or path.read_bytes() != content:
            path.write_bytes(content)


def demo_files(model: pipeline.Model, outputs: list[np.ndarray] | None = None) -> dict[str, bytes]:
    """A generated demo, with a file that compares all outputs."""
    expected = [values.output for values in model.values] if outputs is None else outputs
    files = pipeline.cmsis_files(model, "Demo", "test", NAMES)
    return files | {"compare.c": compare_source(expected).encode()}


class Builder:
    """Builds demos; what they have in common is compiled once."""

    def __init__(self, folder: Path) -> None:
        self._base = folder / "base"
        self._folder = folder
        self._count = 0

    def _copy(self, model: pipeline.Model) -> Path:
        """A folder with the demo's files; with everything but main.c and compare.c compiled."""
        files = demo_files(model)
        if not self._base.exists():
            write_files(self._base, files)
            make(self._base, "all")
            make(self._base, "host", "SANITIZE=1")
        self._count += 1
        folder = self._folder / f"demo{self._count}"
        shutil.copytree(self._base, folder)
        write_files(folder, files)
        return folder

    def host(self, model: pipeline.Model) -> subprocess.CompletedProcess[str]:
        """The demo on this machine, with address and undefined-behaviour sanitizers."""
        folder = self._copy(model)
        make(folder, "host", "SANITIZE=1")
        done = subprocess.run([str(folder / "build" / "host")], capture_output=True, text=True, check=False)
        shutil.rmtree(folder)
        return done

    def cortex_m4(self, model: pipeline.Model) -> tuple[int, str]:
        """Status and console of the demo on the emulated Cortex-M4. It does not use the accelerator."""
        folder = self._copy(model)
        make(folder, "all")
        with Chip() as chip:
            result = Mcu(folder / "build" / "firmware.elf", chip).run(1_000_000_000)
            assert chip.total_cycles() == 0
        shutil.rmtree(folder)
        return result.status, result.console


def assert_all_equal(model: pipeline.Model, status: int, console: str) -> None:
    """The program has passed, and has compared all of every layer's output."""
    lines = console.splitlines()
    assert (status, lines[-1]) == (0, "*** PASS ***"), console
    assert [line for line in lines if line.startswith("layer ")] == equal_lines([v.output for v in model.values])


def conv1d_model(folder: Path, length: int, pads: tuple[int, int]) -> pipeline.Model:
    """Two one-dimensional layers with random weights, of which the first has a bias."""
    (folder / "net.yaml").write_text(
        "arch: lines\ndataset: MNIST\noutput_map: 0x3\nlayers:\n"
        f"- {{processors: 0x1, operation: conv1d, pad: {pads[0]}, activate: ReLU, out_offset: 0x2000}}\n"
        f"- {{processors: 0xf, operation: conv1d, pad: {pads[1]}}}\n")
    random = np.random.default_rng(length)
    weights = {"a.weight": (4, 1, 9), "a.bias": (4,), "b.weight": (2, 4, 9)}
    torchfile.write(folder / "c.pth.tar", {"arch": "lines", "state_dict": {
        name: random.integers(-128, 128, shape).astype(np.float32) for name, shape in weights.items()}})
    np.save(folder / "sample.npy", random.integers(-128, 128, (1, length)))
    return pipeline.build_model(pipeline.Request(AI84, folder / "net.yaml", folder / "c.pth.tar",
                                                 folder / "sample.npy", cmsis_nn=True))
