"""A generated demo folder: its manifest, its build, and inferences on the emulated microcontroller."""

import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Literal

import numpy as np
import numpy.typing as npt
from pydantic import BaseModel, ConfigDict, ValidationError

from chip.errors import BuildError, FirmwareError
from chip.mcu import Mcu

Image = npt.NDArray[np.int8]
Scores = npt.NDArray[np.int16]


class Input(BaseModel):
    """An array of network input: a channel, four pixels a word (CHW), or up to four channels, one a byte lane (HWC)."""

    model_config = ConfigDict(frozen=True)

    symbol: str
    channel: int | None = None
    lanes: tuple[int | None, ...] = ()


class Manifest(BaseModel):
    """cnn-run.json, which the generator puts beside the program. `outputs`: number of classification outputs."""

    model_config = ConfigDict(frozen=True)

    kind: Literal["embedded"]
    device: Literal["AI84"]
    program: str
    dataset: str
    input: tuple[int, int, int]
    data_format: Literal["chw", "hwc"]
    inputs: tuple[Input, ...]
    classes: tuple[str, ...] | None
    label: int | None
    fc: bool
    outputs: int

    def class_name(self, number: int) -> str:
        """The name of a class, or its number where it has none."""
        return self.classes[number] if self.classes and number < len(self.classes) else f"class {number}"


def read_manifest(folder: Path) -> Manifest:
    """The manifest of a demo folder; raises FirmwareError if there is none or it is not valid."""
    path = folder / "cnn-run.json"
    try:
        return Manifest.model_validate_json(path.read_bytes())
    except OSError as error:
        raise FirmwareError(f"{path}: {error.strerror}; give a folder that cnn-gen.py --embedded-code wrote") from error
    except ValidationError as error:
        first = error.errors()[0]
        key = ".".join(str(part) for part in first["loc"]) or "whole file"
        raise FirmwareError(f"{path}: {key}: {first['msg']}; generate the folder again") from error


def read_images(path: Path, shape: tuple[int, int, int]) -> Image:
    """Images int8 [N, C, H, W] for a network input of that shape; raises FirmwareError if the file holds others."""
    try:
        images = np.load(path, allow_pickle=False)
    except (OSError, ValueError, EOFError) as error:
        raise FirmwareError(f"{path}: not readable as a NumPy array ({error})") from error
    if not isinstance(images, np.ndarray) or images.dtype != np.int8 or images.shape[1:] != shape or images.ndim != 4:
        given = f"{images.dtype} {list(images.shape)}" if isinstance(images, np.ndarray) else type(images).__name__
        raise FirmwareError(f"{path}: must hold int8 images of shape [N, {', '.join(map(str, shape))}]; given: {given}")
    return images


def build(folder: Path, show: Callable[[str], None], name: Path | None = None, optimize: str = "-O2") -> Path:
    """Run make in the folder and return the program file; `show` gets each line that make prints.

    `optimize` is the compiler's option. Raises BuildError with the compiler's messages if that fails; it names the
    folder, or `name` for a temporary one.
    """
    if not shutil.which("make"):
        raise BuildError("make is not installed (Debian: apt install make)")
    # the compiler may be the package ziglang of this Python
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", "")])
    command = ["make", "--no-print-directory", f"-j{os.cpu_count() or 1}", f"OPTIMIZE={optimize}", "all"]
    lines = []
    with subprocess.Popen(command, cwd=folder, env={**os.environ, "PATH": path}, stdout=subprocess.PIPE,
                          stderr=subprocess.STDOUT, text=True, errors="replace") as process:
        for line in process.stdout or ():
            lines.append(line)
            show(line.rstrip("\n"))
    if process.returncode:
        raise BuildError(f"{name or folder}: the program does not build:\n{''.join(lines).rstrip()}")
    return folder / "build" / "firmware.elf"


def pack_input(manifest: Manifest, image: Image) -> dict[str, bytes]:
    """The content of the program's input arrays for one image int8 [C, H, W] (AI84 hardware reference 6.1 and 6.2).

    CHW: four pixels of a channel a word, the first in the low byte, zeros after the last. HWC: one word a pixel.
    """
    pixels = image.reshape(len(image), -1)
    if manifest.data_format == "chw":
        padded = np.pad(pixels, ((0, 0), (0, -pixels.shape[1] % 4)))
        return {item.symbol: padded[item.channel].tobytes() for item in manifest.inputs}
    zero = np.zeros_like(pixels[0])
    return {item.symbol: np.stack([zero if c is None else pixels[c] for c in item.lanes], axis=-1).tobytes()
            for item in manifest.inputs}


def read_scores(mcu: Mcu) -> Scores:
    """The classification layer's outputs in the program's memory, Q8.7."""
    return np.frombuffer(mcu.read_symbol("fc_output"), "<i2")


def read_probabilities(mcu: Mcu) -> Scores:
    """The softmax in the program's memory, Q15."""
    return np.frombuffer(mcu.read_symbol("softmax_q15"), "<i2")


def check_inputs(mcu: Mcu, manifest: Manifest) -> None:
    """Raise FirmwareError if writing the input arrays would not change what load_input() loads."""
    for item in manifest.inputs:
        if not mcu.reads("load_input", item.symbol):
            raise FirmwareError(f"load_input() does not read all of {item.symbol}: the compiler has put the sample "
                                "into the code; read it through a `const volatile` pointer")


def classify(mcu: Mcu, manifest: Manifest, image: Image) -> Scores:
    """Run one more image int8 [C, H, W] through a program whose main() has finished; returns its scores."""
    for symbol, content in pack_input(manifest, image).items():
        mcu.write_symbol(symbol, content)
    for function in ("cnn_restart", "cnn_wait", "cnn_classify"):
        mcu.call(function)
    return read_scores(mcu)
