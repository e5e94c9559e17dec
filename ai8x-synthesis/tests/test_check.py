"""cnn-gen.py --check: a network is checked before it is trained."""

import subprocess
import sys
from pathlib import Path

import pytest

from conformance_cases import CASES, ROOT, cases

NETWORKS = sorted((ROOT / "networks").glob("*.yaml"))


def check(*arguments: object) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, ROOT / "cnn-gen.py", "--check", *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=False)


@pytest.mark.parametrize("network", NETWORKS, ids=lambda path: path.stem)
def test_networks_of_the_project_pass_without_a_checkpoint(network):
    done = check("--config-file", network)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.splitlines()[-1].endswith("rules of AI84 hold")


@pytest.mark.parametrize("folder", cases("invalid", "rule.json"))
def test_wrong_descriptions_are_refused_with_a_checkpoint(folder, tmp_path):
    done = check("--config-file", folder / "network.yaml", "--checkpoint-file", folder / "checkpoint.pth.tar",
                 "--sample-input", folder / "sample.npy")  # fmt: skip
    assert done.returncode == 1
    assert done.stdout == ""


DEPEND_ON_WEIGHTS = {"bias_ram_overflow", "output_map_count", "outputs_65", "processors_count"}


@pytest.mark.parametrize("folder", [c for c in cases("invalid", "rule.json") if c.id not in DEPEND_ON_WEIGHTS])
def test_wrong_descriptions_are_refused_without_a_checkpoint(folder):
    done = check("--config-file", folder / "network.yaml", "--sample-input", folder / "sample.npy")
    assert done.returncode == 1


def test_all_violations_are_reported_together(tmp_path):
    text = (ROOT / "networks" / "fashionmnist-chw.yaml").read_text()
    wrong = text.replace("pad: 2", "pad: 3").replace("avg_pool: 2", "avg_pool: 3").replace("0x2000", "0x2002")
    (tmp_path / "net.yaml").write_text(wrong)
    done = check("--config-file", tmp_path / "net.yaml")
    assert done.returncode == 1
    assert {"pad", "pool-size", "offset"} <= {line.split("rule ")[1].split(":")[0] for line in done.stderr.splitlines()}


def test_without_check_the_place_of_the_output_is_required(tmp_path):
    command = [sys.executable, ROOT / "cnn-gen.py", "--config-file", CASES / "valid" / "pad0_relu" / "network.yaml"]
    done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=tmp_path)
    assert done.returncode == 2
    assert "required, except with --check and --estimate: --prefix, --test-dir" in done.stderr


def test_nothing_is_written(tmp_path: Path):
    command = [sys.executable, ROOT / "cnn-gen.py", "--check", "--config-file", NETWORKS[0]]
    subprocess.run(command, check=True, capture_output=True, cwd=tmp_path)
    assert list(tmp_path.iterdir()) == []
