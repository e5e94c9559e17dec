"""cnn-gen.py --estimate: what it prints, with and without a checkpoint, for both devices."""

import subprocess
import sys

import numpy as np
import pytest

from conformance_cases import ROOT


def estimated(*arguments: object) -> list[str]:
    """The printed lines behind those of --check."""
    command = [sys.executable, ROOT / "cnn-gen.py", "--estimate", *arguments]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    return done.stdout.split("Estimated clocks of the accelerator\n")[1].splitlines()


def test_an_untrained_network_gets_the_same_estimate_as_a_trained_one(tmp_path):
    """Apart from its names; on AI84 `output_map` tells the channels of the last layer."""
    described = (ROOT / "networks" / "cifar10-hwc.yaml").read_text()
    (tmp_path / "net.yaml").write_text(described + "\noutput_map: 0xfff\n")
    trained = estimated("--config-file", tmp_path / "net.yaml", "--checkpoint-file",
                        ROOT / "trained/ai84-cifar10.pth.tar")  # fmt: skip
    untrained = estimated("--config-file", tmp_path / "net.yaml")
    numbers = [[line.split()[-7:] for line in lines[1:6]] for lines in (trained, untrained)]
    assert numbers[0] == numbers[1]
    assert numbers[0][4] == ["11,985,408", "3,488", "1,680", "80,576", "0", "85,744", "139.8"]
    assert trained[6:] == untrained[6:]
    assert trained[7] == "An inference at 35 MHz, 0.9 V: 2.450 ms, 23.6 microjoules"


@pytest.mark.parametrize("network", ["fashionmnist-mixed", "kws20"])
def test_the_parts_of_an_estimate_of_ai85_add_up_and_no_energy_is_printed(network):
    lines = estimated("--ai85", "--config-file", ROOT / f"networks/ai85/{network}.yaml")
    numbers = [[float(cell.replace(",", "")) for cell in line.split()[-7:]]
               for line in lines[1 : lines.index("")]]  # fmt: skip
    for macs, *parts, clocks, ratio in numbers[:-1]:
        assert sum(parts) == clocks
        assert abs(ratio - macs / clocks) <= 0.05
    assert sum(row[5] for row in numbers[:-1]) + 1 == numbers[-1][5]
    assert [line for line in lines if "joule" in line] == []
    assert any("energy unknown" in line for line in lines)


def test_kernels_of_0_are_not_taken_for_equal_ones(tmp_path):
    """Two layers of 64-64 that are only described load twice 64 * 64 kernels of 9 bytes, four to a word."""
    layer = "  - {op: conv2d, pad: 1, activate: ReLU, processors: 0xffffffffffffffff, out_offset: %d}\n"
    text = "arch: two\ndataset: none\noutput_map: 0xffffffffffffffff\nlayers:\n" + layer % 8192 + layer % 0
    (tmp_path / "net.yaml").write_text(text)
    np.save(tmp_path / "sample.npy", np.zeros((64, 8, 8), np.int64))
    lines = estimated("--ai85", "--config-file", tmp_path / "net.yaml", "--sample-input", tmp_path / "sample.npy")
    (weights,) = (line.split() for line in lines if line.startswith("weights"))
    words, starts = 2 * 64 * 64 * 9 // 4, 64
    assert words + starts <= int(weights[1].replace(",", "")) <= words + 2 * starts


def test_a_broken_rule_is_reported_and_nothing_estimated(tmp_path):
    described = (ROOT / "networks" / "cifar10-hwc.yaml").read_text()
    (tmp_path / "net.yaml").write_text(described.replace("pad: 1", "pad: 3", 1))
    command = [sys.executable, ROOT / "cnn-gen.py", "--estimate", "--config-file", tmp_path / "net.yaml"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (1, "")
    assert "layer 0: rule pad: " in done.stderr
