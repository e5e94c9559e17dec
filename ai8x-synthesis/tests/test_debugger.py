"""cnn-run.py --trace and --compare: what a run leaves behind, and where a program that was changed by hand differs."""

import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from chip import Chip
from chip_tools import Layer, Network, evaluate, setup, sram, start, write_all
from izer import pipeline
from izer.device import DEVICES

ROOT = Path(__file__).resolve().parents[1]
SEED = 3
RELU = 0x200  # of LCTL (AI84 hardware reference 3.5.2, AI85 hardware reference 4.5.5)
NETWORKS = {"84": "mnist-chw-extrasmallnet", "85": "ai85/mnist"}


def call(program: str, *arguments: object) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, ROOT / program, *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, cwd=ROOT, check=False)


def generate(folder: Path, *options: object) -> Path:
    done = call("cnn-gen.py", "--test-dir", folder, "--prefix", "net", *options)
    assert done.returncode == 0, done.stderr
    return next(path for path in folder.iterdir())


def demo(folder: Path, device: str) -> Path:
    config = ROOT / "networks" / f"{NETWORKS[device]}.yaml"
    return generate(folder, "--device", device, "--config-file", config, "--embedded-code", "--seed", SEED)


def reference(device: str) -> list[np.ndarray]:
    """What the layers compute, by the integer reference."""
    config = ROOT / "networks" / f"{NETWORKS[device]}.yaml"
    request = pipeline.Request(DEVICES[int(device)], config, None, seed=SEED)
    return [value.output for value in pipeline.build_model(request).values]


def edit(path: Path, pattern: str, replacement: str) -> int:
    """Replace one place in a file; returns the number of its line."""
    text = path.read_text()
    found = re.search(pattern, text)
    assert found is not None
    path.write_text(text[: found.start()] + found.expand(replacement) + text[found.end() :])
    return text.count("\n", 0, found.start()) + 1


@pytest.mark.parametrize("device", NETWORKS)
def test_an_unchanged_program_is_as_generated_and_traced_with_the_values_of_the_reference(tmp_path, device):
    layers = reference(device)
    done = call("cnn-run.py", demo(tmp_path, device), "--trace", len(layers) - 1, "--compare")
    assert done.returncode == 0, done.stdout + done.stderr
    assert re.search(r"Writes until the start: all [\d,]+ as generated\.", done.stdout)
    for n, values in enumerate(layers):
        assert f"Layer {n}: all {values.size:,} values as generated.\n" in done.stdout
        shape = "x".join(map(str, values.shape))
        assert re.search(rf"^ {n} +[\d,]+ +{shape} +{values.min()} +{values.max()} ", done.stdout, re.MULTILINE)
    shown = re.findall(rf"layer {len(layers) - 1}, channel (\d+):\n((?: *-?\d+(?: +-?\d+)*\n)+)", done.stdout)
    assert [int(channel) for channel, _ in shown] == list(range(len(layers[-1])))
    for (_, rows), channel in zip(shown, layers[-1].tolist(), strict=True):
        assert [[int(value) for value in row.split()] for row in rows.splitlines()] == channel


def test_an_unchanged_test_for_rtl_simulation_is_as_generated(tmp_path):
    config = ROOT / "networks" / "mnist-chw-extrasmallnet.yaml"
    folder = generate(tmp_path, "--config-file", config, "--top-level", "cnn", "--autogen", "None", "--seed", 1)
    done = call("cnn-run.py", folder, "--compare")
    assert done.returncode == 0, done.stdout + done.stderr
    assert "Writes until the start: all" in done.stdout
    assert done.stdout.count("values as generated.") == 3


@pytest.mark.parametrize("device", NETWORKS)
def test_a_changed_register_is_found_with_its_line_and_the_first_layer_and_value_that_it_spoils(tmp_path, device):
    """Without ReLU in layer 1, the first value that differs is the first negative sum's.

    The known answer may be right all the same, behind max pooling say.
    """
    folder = demo(tmp_path, device)
    source = folder / {"84": "main.c", "85": "cnn.c"}[device]
    pattern = r"( = 0x)(\w{8})(; // (?:group|quadrant) \d, layer 1, LCTL:)"
    text = source.read_text()
    changed = re.sub(pattern, lambda found: f"{found[1]}{int(found[2], 16) & ~RELU:08x}{found[3]}", text)
    assert changed != text
    source.write_text(changed)
    line = changed.count("\n", 0, re.search(pattern, changed).start()) + 1
    done = call("cnn-run.py", folder, "--compare")
    write = r"0x\w{8} to 0x\w{8}"
    assert re.search(rf"is the first that differs, \w+\+0x\w+, {source.name}:{line}: {write}; generated: {write} "
                     r"in cnn_configure\(\) \((group|quadrant) \d, layer 1, LCTL", done.stdout)  # fmt: skip
    assert "Layer 0: all " in done.stdout
    found = re.search(r"Layer 1 is the first that differs, in [\d,]+ of ([\d,]+) values: "
                      r"channel (\d+), row (\d+), column (\d+) is (-\d+), must be 0 ", done.stdout)  # fmt: skip
    values = reference(device)[1]
    assert int(found[1].replace(",", "")) == values.size
    assert values[int(found[2]), int(found[3]), int(found[4])] == 0


def test_a_changed_weight_is_found_with_the_array_that_it_comes_from(tmp_path):
    folder = demo(tmp_path, "84")
    edit(folder / "weights.h", r"(#define KERNELS_0 \{ \\\n  0x\w{8}, )0x\w{8}", r"\g<1>0x7f7f7f7f")
    done = call("cnn-run.py", folder, "--compare")
    assert done.returncode == 1
    assert re.search(r"is the first that differs, .*: 0x7f7f7f7f to 0x\w{8}; generated: 0x\w{8} to 0x\w{8} in "
                     r"load_kernels\(\) \(.*, from kernels_0\)", done.stdout)  # fmt: skip
    assert "Layer 0 is the first that differs" in done.stdout


def test_a_missing_write_is_named_and_the_run_that_never_begins(tmp_path):
    folder = demo(tmp_path, "84")
    edit(folder / "main.c", r"\n  cnn_start\(\);", "")
    done = call("cnn-run.py", folder, "--compare", "--trace", "--limit", 100_000)
    assert done.returncode == 1
    missing = r"Write [\d,]+ of [\d,]+ is missing; generated: 0x\w{8} to 0x\w{8} in cnn_start\(\)"
    assert re.search(missing, done.stdout)
    assert done.stdout.count("The accelerator was not started; ") == 2
    assert "Traceback" not in done.stderr


def test_a_program_in_software_is_refused(tmp_path):
    config = ROOT / "networks" / "mnist-chw-extrasmallnet.yaml"
    folder = generate(tmp_path, "--config-file", config, "--embedded-code", "--cmsis-software-nn", "--seed", SEED)
    done = call("cnn-run.py", folder, "--trace")
    assert done.returncode == 1
    assert "--trace and --compare look at the accelerator, and this program runs in software" in done.stderr


def test_what_cannot_be_generated_again_and_layers_that_do_not_exist_are_told(tmp_path):
    folder = demo(tmp_path, "84")
    assert "--trace 3: the last layer is 2" in call("cnn-run.py", folder, "--trace", 3).stderr
    assert call("cnn-run.py", folder, "--trace", "-2").returncode == 2
    edit(folder / "main.c", r"--config-file \S+", "--config-file gone.yaml")
    done = call("cnn-run.py", folder, "--compare")
    assert done.returncode == 1
    assert "Run cnn-run.py in the folder where cnn-gen.py ran." in done.stderr and "Traceback" not in done.stderr
    edit(folder / "main.c", "Created by", "Made by")
    assert "no C file has a line `// Created by: cnn-gen.py ...`" in call("cnn-run.py", folder, "--compare").stderr


def test_an_observer_sees_every_layer_and_may_peek_at_its_output():
    random = np.random.default_rng(1)
    first = Layer(random.integers(-128, 128, (4, 1, 3, 3)), [0], [4, 5, 6, 7], out_offset=0x2000)
    weights = random.integers(-128, 128, (4, 4, 3, 3))
    second = Layer(weights, [4, 5, 6, 7], [0, 1, 2, 3], in_offset=0x2000, out_offset=0, column=4)
    network = Network([first, second], random.integers(-128, 128, (1, 8, 8)))
    values = [evaluate(first, network.data)]
    values.append(evaluate(second, values[0]))
    pixel = [[sram(instance, offset // 4) + lane for lane in range(4)] for instance, offset in ((1, 0x2000), (0, 0))]
    seen = []
    with Chip() as chip:
        chip.observe(lambda layer, clocks: seen.append((clocks, chip.peek(pixel[layer]).astype(np.int8).tolist())))
        write_all(chip, setup(network) + start(network.groups))
        assert [content for _, content in seen] == [value[:, 0, 0].tolist() for value in values]
        assert 0 < seen[0][0] < seen[1][0]
        with pytest.raises(ValueError, match="not in data memory"):
            chip.peek([0x50100000])
