"""Inferences of a demo whose main() has finished, on the emulated microcontroller."""

from collections.abc import Sequence

import numpy as np

from chip.demo import Image, Scores, read_scores
from chip.errors import FirmwareError
from chip.manifest import AcceleratorManifest, Input, SoftwareManifest
from chip.mcu import Mcu

SOFTWARE_INPUT = "cnn_input"  # HWC


def pack_input(inputs: Sequence[Input], image: Image) -> dict[str, bytes]:
    """The content of the program's input arrays for one image int8 [C, H, W].

    CHW: four pixels of a channel a word, the first in the low byte, zeros after the last. HWC: one word a pixel, or one
    a pixel and pass (AI84 hardware reference 6.1 and 6.2, AI85 hardware reference 7.1 and 7.2).
    """
    pixels = image.reshape(len(image), -1)
    padded = np.pad(pixels, ((0, 0), (0, -pixels.shape[1] % 4)))
    zero = np.zeros_like(pixels[0])
    return {item.symbol: (padded[item.channel] if item.channel is not None else
                          np.stack([zero if c is None else pixels[c] for c in item.lanes], axis=-1)).tobytes()
            for item in inputs}


def check_inputs(mcu: Mcu, manifest: AcceleratorManifest | SoftwareManifest) -> None:
    """Raise FirmwareError if writing the input arrays would not change what the program computes with."""
    if isinstance(manifest, SoftwareManifest):
        check_read(mcu, SOFTWARE_INPUT, "cnn_run", _input_address(mcu))
        return
    for item in manifest.inputs:
        check_read(mcu, item.symbol, "load_input")


def check_read(mcu: Mcu, symbol: str, function: str, *arguments: int) -> None:
    """Raise FirmwareError if a function does not read all of an object, so that writing it has no effect."""
    if not mcu.reads(symbol, function, *arguments):
        raise FirmwareError(f"{function}() does not read all of {symbol}: the compiler has put the sample into the "
                            "code; read it through a `const volatile` pointer")


def classify(mcu: Mcu, manifest: AcceleratorManifest | SoftwareManifest, image: Image) -> Scores:
    """Run one more image int8 [C, H, W]; returns its scores."""
    if isinstance(manifest, SoftwareManifest):
        mcu.write_symbol(SOFTWARE_INPUT, image.transpose(1, 2, 0).tobytes())
        mcu.call("cnn_classify", run_software(mcu))
        return read_scores(mcu)
    for symbol, content in pack_input(manifest.inputs, image).items():
        mcu.write_symbol(symbol, content)
    for function in ("cnn_restart", "cnn_wait", "cnn_classify"):
        mcu.call(function)
    return read_scores(mcu)


def run_software(mcu: Mcu) -> int:
    """Run all layers of a program with CMSIS-NN; returns the address of the output."""
    output = mcu.call("cnn_run", _input_address(mcu))
    if not output:
        raise FirmwareError("cnn_run() returned a null pointer: CMSIS-NN refuses a layer")
    return output


def software_instructions(mcu: Mcu) -> int:
    """Instructions that all layers take in a program with CMSIS-NN, without the classification layer."""
    before = mcu.instructions
    run_software(mcu)
    return mcu.instructions - before


def _input_address(mcu: Mcu) -> int:
    return mcu.firmware.object(SOFTWARE_INPUT).address
