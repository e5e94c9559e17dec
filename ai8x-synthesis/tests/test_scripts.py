"""gen-demos.sh, gen-rtlsims.sh and synthetic.py: every network of networks/ becomes a program that runs on the chip."""

import json
import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest

from conformance_cases import ROOT
from izer import torchfile
from izer.yamlcfg import SUPPORTED_DATASETS, read_description

NETWORKS = sorted(path.stem for path in (ROOT / "networks").glob("*.yaml"))
ENVIRONMENT = {**os.environ, "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"}


def command(*arguments: object, expect: int = 0) -> str:
    """What a command prints; it must end with the status `expect`."""
    result = subprocess.run([*map(str, arguments)], capture_output=True, text=True, check=False, env=ENVIRONMENT)
    assert result.returncode == expect, result.stdout + result.stderr
    return result.stdout + result.stderr


def cnn_run(folder: Path) -> tuple[str, dict[str, object]]:
    """What cnn-run.py prints, and its result, for a generated program."""
    report = folder.parent / f"{folder.name[:40]}.json"
    printed = command(sys.executable, ROOT / "cnn-run.py", folder, "--json", report)
    return printed, json.loads(report.read_text())


def run_all(folders: list[Path]) -> list[tuple[str, dict[str, object]]]:
    with ThreadPoolExecutor(2) as pool:
        return list(pool.map(cnn_run, folders))


def test_every_network_becomes_a_demo_that_passes_and_prints_its_class(tmp_path):
    command(ROOT / "gen-demos.sh", tmp_path)
    assert sorted(path.name for path in tmp_path.iterdir() if path.is_dir()) == NETWORKS
    for network, (printed, result) in zip(NETWORKS, run_all([tmp_path / name for name in NETWORKS]), strict=True):
        dataset = SUPPORTED_DATASETS[read_description(ROOT / "networks" / f"{network}.yaml").dataset.lower()]
        assert result["passed"], network
        assert "*** PASS ***" in printed
        assert f"Predicted class: {result['predicted']} ({dataset.classes[result['predicted']]})" in printed
        if network == "ai84net7":
            assert result["label"] is None  # the sample is no word
        else:
            assert result["predicted"] == result["label"], network  # trained well enough to know its own sample


def test_every_network_becomes_a_listed_rtl_test(tmp_path):
    """Two of them are run: these programs are large, and the demos have shown what the networks compute."""
    command(ROOT / "gen-rtlsims.sh", tmp_path)
    folders = sorted(path for path in tmp_path.iterdir() if path.is_dir())
    assert [max((n for n in NETWORKS if path.name.startswith(n)), key=len) for path in folders] == NETWORKS
    listed = sorted((tmp_path / "autogen_list").read_text().splitlines())
    assert listed == sorted(f"tests/cnn/{path.name}/run_test:lowp" for path in folders)
    chosen = [path for path in folders if path.name.startswith(("cifar10-chw", "mnist-chw-smallnet"))]
    assert [result["passed"] for _, result in run_all(chosen)] == [True, True]


@pytest.mark.parametrize("sample", sorted((ROOT / "samples").glob("*.npy")), ids=lambda path: path.stem)
def test_samples_are_signed_bytes_of_the_shape_of_their_data_set(sample):
    data, about = np.load(sample), json.loads(sample.with_suffix(".json").read_text())
    dataset = SUPPORTED_DATASETS[sample.stem.removeprefix("sample_")]
    assert data.shape == dataset.shape
    assert data.min() >= -128
    assert data.max() <= 127
    assert data.max() - data.min() > 100  # something is to be seen
    assert about["label"] is None or about["class"] == dataset.classes[about["label"]]


def test_synthetic_weights_follow_their_seed_and_fit_ai84net7(tmp_path):
    for name, seed in (("a", 1), ("b", 1), ("c", 2)):
        command(ROOT / "synthetic.py", "--checkpoint", tmp_path / name, "--seed", seed)
    one, same, other = ((tmp_path / name).read_bytes() for name in "abc")
    assert one == same
    assert one != other
    content = torchfile.read(tmp_path / "a")
    shapes = [value.shape for value in content["state_dict"].values()]
    assert (content["arch"], shapes) == (
        "ai84net7",
        [(15, 1, 3, 3), (30, 15, 3, 3), (60, 30, 3, 3), (30, 60, 3, 3), (30, 30, 3, 3), (30, 30, 3, 3), (7, 480), (7,)],
    )
    for value in content["state_dict"].values():
        assert np.array_equal(value, np.rint(value))
        assert -128 <= value.min() <= value.max() <= 127


def test_training_reads_the_synthetic_weights(tmp_path):
    import ai84net
    import checkpoint

    command(ROOT / "synthetic.py", "--checkpoint", tmp_path / "random.pth.tar")
    found = checkpoint.load(tmp_path / "random.pth.tar")
    checkpoint.load_weights(ai84net.ai84net7(simulate=True), found, "ai84net7")
    assert found.quantized


def test_synthetic_samples_are_the_committed_ones(tmp_path):
    command(ROOT / "synthetic.py", "--sample", tmp_path / "sample_speechcom.npy", "--folded-sample",
            tmp_path / "sample_kws_20.npy")  # fmt: skip
    for name in ("sample_speechcom.npy", "sample_speechcom.json", "sample_kws_20.npy", "sample_kws_20.json"):
        assert (tmp_path / name).read_bytes() == (ROOT / "samples" / name).read_bytes()


def test_the_synthetic_tone_rises_steadily():
    """The loudest frequency of each of the 64 moments; from bin 2 (250 Hz) to bin 62 (7750 Hz) at 125 Hz a bin."""
    loudest = np.load(ROOT / "samples" / "sample_speechcom.npy")[0].argmax(axis=0)
    assert np.all(np.diff(loudest) >= 0)
    assert (loudest[0], loudest[-1]) == (2, 62)


def test_synthetic_says_what_it_cannot_do(tmp_path):
    message = command(ROOT / "synthetic.py", "--checkpoint", tmp_path / "no" / "file", expect=1)
    assert message.startswith("synthetic.py: error: ")
    assert "No such file or directory" in message
    assert "nothing to make" in command(ROOT / "synthetic.py", expect=2)


def kernel_map(folder: Path, network: str, checkpoint: Path) -> list[str]:
    """The 64 rows of the kernel map that cnn-gen.py prints."""
    printed = command(sys.executable, ROOT / "cnn-gen.py", "--verbose", "--top-level", "cnn", "--test-dir", folder,
                      "--prefix", "x", "--config-file", ROOT / "networks" / f"{network}.yaml", "--checkpoint-file",
                      checkpoint, "--embedded-code").splitlines()  # fmt: skip
    start = printed.index("Kernel map") + 2
    return printed[start : start + 64]


def test_cifar10_chw_fills_the_mask_ram_to_the_last_column(tmp_path):
    """Columns by hand (AI84 hardware reference 4.3): 52 planes, 64 middle channels, 12 inputs of the last layer."""
    rows = kernel_map(tmp_path, "cifar10-chw", ROOT / "trained" / "ai84-cifar10-chw.pth.tar")
    colours, planes, rest = "0" * 52 + "X" * 64, "1" * 52 + "2" * 64, "X" * 116
    assert rows == [(colours if p in (0, 4, 8) else planes if p >= 12 else rest) + "3" * 12 for p in range(64)]


def test_ai84net7_lies_where_it_was_computed_by_hand(tmp_path):
    """4.3 again. Layer 4 writes to processors from 34 on: two columns before its first kernel are dummies."""
    command(ROOT / "synthetic.py", "--checkpoint", tmp_path / "random.pth.tar")
    rows = kernel_map(tmp_path, "ai84net7", tmp_path / "random.pth.tar")

    def columns(processor: int) -> str:
        parts = [
            (0, 15, 0, {0}),
            (0, 30, 1, range(4, 19)),
            (0, 60, 2, range(20, 50)),
            (60, 90, 3, range(4, 64)),
            (90, 120, 4, range(4, 34)),
            (92, 122, 5, range(34, 64)),
        ]
        row = ["X"] * 128
        for first, end, layer, processors in parts:
            if processor in processors:
                row[first:end] = str(layer) * (end - first)
        return "".join(row)

    assert rows == [columns(p) for p in range(64)]
