"""KWS_20: one second of speech, 20 words and "unknown", from the recordings of Speech Commands 0.02.

A recording is 16,384 samples, folded: the 128 samples of a row are the channels of one step, 128 steps in all, so that
the first layer sees them together.
"""

import logging
import wave
from pathlib import Path

import numpy as np
import torch
from rich.console import Console
from rich.progress import track

from datasets.images import DataSet, ImageSet
from errors import UserError

log = logging.getLogger(__name__)

CHANNELS, STEPS = 128, 128
SAMPLES = CHANNELS * STEPS
RATE = 16000
SHIFT = 12
"""Training shifts recordings by up to so many steps: 96 ms of 8 ms each."""
WORDS = ("up", "down", "left", "right", "stop", "go", "yes", "no", "on", "off", "one", "two", "three", "four", "five",
         "six", "seven", "eight", "nine", "zero")  # fmt: skip
TEST_LIST = "testing_list.txt"
NOISE = "_background_noise_"
FOLDER = "speech_commands_v0.02"


def load(data: Path) -> tuple[ImageSet, ImageSet]:
    """Read the recordings below `data`: those that testing_list.txt names are the test set, all others for training.

    Raises UserError when they are not there, or cannot be read.
    """
    folder = next((path for path in (data / FOLDER, data) if (path / TEST_LIST).is_file()), None)
    if folder is None:
        raise UserError(
            f"KWS_20: there is no {TEST_LIST} in {data / FOLDER} or {data}; unpack Speech Commands 0.02 there, "
            "which is 2.3 GB and not downloaded here"
        )
    named = set((folder / TEST_LIST).read_text(encoding="utf-8").split())
    recordings = sorted(path for path in folder.glob("*/*.wav") if path.parent.name != NOISE)
    parts: dict[bool, list[Path]] = {False: [], True: []}
    for path in recordings:
        parts[f"{path.parent.name}/{path.name}" in named].append(path)
    return read_all(parts[False], "training"), read_all(parts[True], "the test")


def read_all(paths: list[Path], purpose: str) -> ImageSet:
    """All recordings, folded, with the number of the word that their folder is called, or of "unknown"."""
    log.info("Reading %d recordings for %s", len(paths), purpose)
    console = Console()
    values = np.empty((len(paths), CHANNELS, STEPS, 1), np.uint8)
    bar = track(paths, f"reading {purpose}", console=console, disable=not console.is_terminal, transient=True)
    for position, path in enumerate(bar):
        values[position, :, :, 0] = fold(read_recording(path))
    numbers = {word: number for number, word in enumerate(WORDS)}
    labels = [numbers.get(path.parent.name, len(WORDS)) for path in paths]
    return ImageSet(torch.from_numpy(values), torch.tensor(labels, dtype=torch.int64))


def read_recording(path: Path) -> np.ndarray:
    """The samples of a file with one channel of 16 bits at 16 kHz, int16; UserError for anything else."""
    try:
        with wave.open(str(path)) as file:
            form = (file.getnchannels(), file.getsampwidth(), file.getframerate())
            samples = file.readframes(file.getnframes())
    except (wave.Error, EOFError, OSError) as error:
        raise UserError(f"{path}: cannot be read as a recording ({error}); replace or delete it") from error
    if form != (1, 2, RATE):
        raise UserError(
            f"{path}: a recording must have 1 channel of 2 bytes at {RATE} samples a second; given {form[0]} of "
            f"{form[1]} at {form[2]}; convert or delete it"
        )
    return np.frombuffer(samples, "<i2")


def fold(samples: np.ndarray) -> np.ndarray:
    """uint8 [128 channels, 128 steps] from int16 samples, silence added or the end cut; 0 becomes 128."""
    second = np.zeros(SAMPLES, np.float64)
    second[: len(samples)] = samples[:SAMPLES] / 32768
    # Half to even, as the recipe of the vendor's data set rounds; the largest sample would be 256.
    codes = np.clip(np.rint((second + 1) * 128), 0, 255).astype(np.uint8)
    return codes.reshape(STEPS, CHANNELS).T


dataset = DataSet(
    "KWS_20",
    (CHANNELS, STEPS, 1),
    (*WORDS, "unknown"),
    load,
    horizontal_flip=False,
    crop_padding=SHIFT,
    unit=256,
)
