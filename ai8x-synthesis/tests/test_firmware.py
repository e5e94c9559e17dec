"""The proof: cnn-gen.py's output, compiled for the Cortex-M4, runs instruction by instruction on the emulated chip."""

import gzip
import json
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import compare
from chip import Chip
from chip.demo import build
from chip.mcu import Mcu
from conformance_cases import ROOT, cases, model_of
from izer import pipeline, reference
from izer.device import AI84
from izer.emit.demofolder import Names

NAMES = Names("main.c", "weights.h", "sampledata.h")
CTL = [0x50100000 + 0x100000 * group for group in range(4)]


class TracingChip(Chip):
    """The accelerator model, with a record of every access; firmware cannot tell the difference."""

    def __init__(self) -> None:
        super().__init__()
        self.accesses: list[tuple[str, int, int]] = []

    def write32(self, address: int, value: int) -> None:
        self.accesses.append(("W", address, value))
        super().write32(address, value)

    def read32(self, address: int) -> int:
        value = super().read32(address)
        self.accesses.append(("R", address, value))
        return value


def write_files(folder: Path, files: dict[str, bytes]) -> None:
    folder.mkdir()
    for name, content in files.items():
        (folder / name).write_bytes(content)


def trace(accesses: list[tuple[str, int, int]]) -> list[compare.Op]:
    """What compare.py reads: the writes, and the first read of the master's CTL after the start as the poll."""
    writes = [compare.Op(kind, address, 0xFFFFFFFF, value, n) for n, (kind, address, value) in enumerate(accesses)
              if kind == "W"]  # fmt: skip
    poll = next(address for kind, address, value in accesses if kind == "R" and address in CTL)
    return [*writes, compare.Op("P", poll, 0x1000, 0x1000, len(accesses))]


@pytest.mark.parametrize("folder", cases("valid"))
def test_compiled_firmware_drives_the_bus_as_the_case_says_and_passes(folder, tmp_path):
    model = model_of(folder)
    write_files(tmp_path / "demo", pipeline.embedded_files(model, folder.name, "test", NAMES))
    with TracingChip() as tracing:
        mcu = Mcu(build(tmp_path / "demo", lambda _: None), tracing)
        result = mcu.run()
        assert result.status == 0, result.console
        assert "*** PASS ***" in result.console
        assert compare.compare(compare.read_case(folder), trace(tracing.accesses)) == []
        with np.load(folder / "checks.npz") as checks:
            read = {address for kind, address, _ in tracing.accesses if kind == "R"}
            assert set(checks["addr"].tolist()) <= read
        if model.network.fc is not None:
            expected = json.loads((folder / "fc.json").read_text())
            assert np.frombuffer(mcu.read_symbol("ml_data"), np.int8).tolist() == np.load(
                folder / "output.npy").flatten().tolist()  # fmt: skip
            assert np.frombuffer(mcu.read_symbol("fc_output"), "<i2").tolist() == expected["q8_7"]
            assert np.frombuffer(mcu.read_symbol("softmax_q15"), "<i2").tolist() == expected["softmax_q15"]


@pytest.mark.parametrize("damage", ["kernel", "register", "input", "answer"])
def test_firmware_with_one_wrong_word_does_not_pass(damage, tmp_path):
    """The known-answer check can fail."""
    folder = next(case.values[0] for case in cases("valid", "fc.json") if case.id == "pool4_max_fc")
    files = pipeline.embedded_files(model_of(folder), "damaged", "test", NAMES)
    name, old, new = {
        "kernel": ("weights.h", b"\n  0x", b"\n  0x0000007f, 0x"),
        "register": ("main.c", b"= 0x10000000; //", b"= 0x20000000; //"),
        "input": ("sampledata.h", b"\n  0x", b"\n  0x7f7f7f7f, 0x"),
        "answer": ("sampledata.h", b"SAMPLE_SCORES { \\\n  ", b"SAMPLE_SCORES { \\\n  1"),
    }[damage]
    assert old in files[name]
    files[name] = files[name].replace(old, new, 1)
    write_files(tmp_path / "demo", files)
    done = subprocess.run([sys.executable, ROOT / "cnn-run.py", tmp_path / "demo"], capture_output=True, text=True,
                          check=False)  # fmt: skip
    assert done.returncode == 1
    assert "PASS" not in done.stdout


def idx_images(path: Path) -> np.ndarray:
    """Images uint8 [N, 28, 28] of a gzipped IDX file."""
    return np.frombuffer(gzip.decompress(path.read_bytes())[16:], np.uint8).reshape(-1, 28, 28)


def device_codes(images: np.ndarray) -> np.ndarray:
    """Input codes clamp(round((u / 255 - 0.5) * 256)) of pixels u: u - 128 below 128, else min(u - 127, 127)."""
    wide = images.astype(np.int16)
    return np.where(wide < 128, wide - 128, np.minimum(wide - 127, 127)).astype(np.int8)[:, None]


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """A data folder whose test set is 200 real images; the same serve as training images, which nobody reads."""
    raw = tmp_path / "data" / "FashionMNIST" / "raw"
    shutil.copytree(ROOT / "tests" / "data" / "FashionMNIST" / "raw", raw)
    for kind in ("images-idx3", "labels-idx1"):
        shutil.copy(raw / f"t10k-{kind}-ubyte.gz", raw / f"train-{kind}-ubyte.gz")
    return tmp_path / "data"


def test_200_images_have_equal_scores_in_firmware_training_and_reference(data, tmp_path):
    """The compiled firmware's load, run, unload and classification == train.py -8 == izer/reference.py."""
    checkpoint = ROOT / "trained" / "ai84-fashionmnist.pth.tar"
    images = device_codes(idx_images(data / "FashionMNIST" / "raw" / "t10k-images-idx3-ubyte.gz"))
    assert images.shape == (200, 1, 28, 28)
    np.save(tmp_path / "images.npy", images)

    request = pipeline.Request(AI84, ROOT / "networks" / "fashionmnist-chw.yaml", checkpoint,
                               fc_layer=True)  # fmt: skip
    model = pipeline.build_model(request)
    expected = [reference.classify(model.network.fc, reference.run_network(model.network, image)[-1].output)
                for image in images]  # fmt: skip

    write_files(tmp_path / "demo", pipeline.embedded_files(model, "FashionMNIST", "test", NAMES))
    subprocess.run([sys.executable, ROOT / "cnn-run.py", tmp_path / "demo", "--images", tmp_path / "images.npy",
                    "--scores", tmp_path / "firmware.npy"], check=True, capture_output=True)  # fmt: skip
    subprocess.run([sys.executable, "train.py", "--model", "ai84net5", "--dataset", "FashionMNIST", "--evaluate", "-8",
                    "--data", data, "--exp-load-weights-from", checkpoint, "--save-scores", tmp_path / "training.npy"],
                   check=True, capture_output=True, cwd=ROOT.parent / "ai8x-training")  # fmt: skip
    np.testing.assert_array_equal(np.load(tmp_path / "firmware.npy"), expected)
    np.testing.assert_array_equal(np.load(tmp_path / "training.npy"), expected)
    assert len({tuple(row) for row in np.asarray(expected).tolist()}) > 190  # the images do differ
