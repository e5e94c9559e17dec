"""Inferences of a program for MAX78000 whose main() has finished, on the emulated microcontroller."""

import numpy as np
import numpy.typing as npt

from chip.demo import Image
from chip.errors import FirmwareError
from chip.inference import check_read, pack_input
from chip.manifest import Max78000Manifest
from chip.mcu import Mcu

Outputs = npt.NDArray[np.int8] | npt.NDArray[np.int32]
OK = 1  # CNN_OK


def outputs(mcu: Mcu, manifest: Max78000Manifest) -> Outputs:
    """The unloaded output of the last layer, channel by channel; raises FirmwareError if the program unloads none."""
    found: Outputs = np.frombuffer(mcu.read_symbol("ml_data"), "<i4" if manifest.output_bits == 32 else np.int8)
    return found[: manifest.outputs]


def prediction(mcu: Mcu) -> tuple[int, float]:
    """The most probable class and its probability, 0 to 1."""
    softmax = np.frombuffer(mcu.read_symbol("ml_softmax"), "<i2")
    return int(np.argmax(softmax)), int(softmax.max()) / 32768


def load_instructions(mcu: Mcu) -> int:
    """Instructions that loading the weights takes; the network is loaded afterwards."""
    _load(mcu)
    before = mcu.instructions
    _call(mcu, "cnn_load_weights")
    return mcu.instructions - before


def check_inputs(mcu: Mcu, manifest: Max78000Manifest) -> None:
    """Load the network. Raise FirmwareError if writing the input arrays would not change what is loaded then."""
    if not manifest.unload:
        raise FirmwareError(f"{manifest.program} does not unload its output; generate it without --no-unload for "
                            "--images")
    _load(mcu)
    for item in manifest.inputs:
        check_read(mcu, item.symbol, "load_input")


def infer(mcu: Mcu, manifest: Max78000Manifest, image: Image) -> Outputs:
    """Run one more image int8 [C, H, W] on the loaded network; returns its outputs."""
    for symbol, content in pack_input(manifest.inputs, image).items():
        mcu.write_symbol(symbol, content)
    for function in ("load_input", "cnn_start"):
        _call(mcu, function)
    mcu.call("cnn_wait")
    mcu.call("cnn_unload", mcu.firmware.object("ml_data").address)
    return outputs(mcu, manifest)


def _load(mcu: Mcu) -> None:
    _call(mcu, "load_network")


def _call(mcu: Mcu, function: str) -> None:
    if mcu.call(function) != OK:
        raise FirmwareError(f"{function}() failed: the accelerator does not hold what was written")
