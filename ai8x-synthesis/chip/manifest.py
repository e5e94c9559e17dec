"""cnn-run.json, with which the generator says what cnn-run.py has to know about a demo."""

from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict, ValidationError

from chip.errors import FirmwareError


class Input(BaseModel):
    """An array of network input: a channel, four pixels a word (CHW), or up to four channels, one a byte lane (HWC)."""

    model_config = ConfigDict(frozen=True)

    symbol: str
    channel: int | None = None
    lanes: tuple[int | None, ...] = ()


class Manifest(BaseModel):
    """What all kinds of demos have.

    `input` is [C, H, W], `outputs` the number of classification outputs; `fc` tells of a classification layer.
    """

    model_config = ConfigDict(frozen=True)

    kind: Literal["embedded", "cmsis-nn", "max78000"]
    device: Literal["AI84", "AI85"]
    program: str
    dataset: str
    input: tuple[int, int, int]
    classes: tuple[str, ...] | None
    label: int | None
    fc: bool
    outputs: int

    def class_name(self, number: int) -> str:
        """The name of a class, or its number where it has none."""
        return self.classes[number] if self.classes and number < len(self.classes) else f"class {number}"


class AcceleratorManifest(Manifest):
    """A program for the accelerator, kind "embedded": how the network input is packed in its arrays."""

    inputs: tuple[Input, ...]


class SoftwareManifest(Manifest):
    """A program with CMSIS-NN, kind "cmsis-nn": the estimated time of the accelerator, to compare with."""

    accelerator_clocks: int


class Max78000Manifest(Manifest):
    """A program for MAX78000, kind "max78000"; `outputs` are all values of the last layer, of 8 or 32 bits each."""

    inputs: tuple[Input, ...]
    output_bits: Literal[8, 32]
    unload: bool
    softmax: bool


AnyManifest = AcceleratorManifest | SoftwareManifest | Max78000Manifest

KINDS: dict[str, type[AcceleratorManifest] | type[SoftwareManifest] | type[Max78000Manifest]] = {
    "embedded": AcceleratorManifest, "cmsis-nn": SoftwareManifest, "max78000": Max78000Manifest,
}  # fmt: skip


def read_manifest(folder: Path) -> AnyManifest:
    """The manifest of a demo folder; raises FirmwareError if there is none or it is not valid."""
    path = folder / "cnn-run.json"
    try:
        content = path.read_bytes()
        return KINDS[Manifest.model_validate_json(content).kind].model_validate_json(content)
    except OSError as error:
        raise FirmwareError(f"{path}: {error.strerror}; give a folder that cnn-gen.py --embedded-code wrote") from error
    except ValidationError as error:
        first = error.errors()[0]
        key = ".".join(str(part) for part in first["loc"]) or "whole file"
        raise FirmwareError(f"{path}: {key}: {first['msg']}; generate the folder again") from error
