"""cnn-gen.py --cmsis-software-nn and cnn-run.py on what it writes, as whole processes."""

import json
import re
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from chip import Chip
from chip.elf import Section, read_firmware
from conformance_cases import CASES, ROOT, request_of
from izer import pipeline, reference
from izer.arena import plan

CASE = CASES / "valid" / "pool4_max_fc"
SOFTWARE = ("--embedded-code", "--cmsis-software-nn")
FLASH, RAM = range(0x10000000, 0x10080000), range(0x20000000, 0x20020000)  # of Device/link.ld


def run(script: str, *arguments: object) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, str(ROOT / script), *map(str, arguments)], capture_output=True, text=True,
                          check=False)  # fmt: skip


def generate(folder: Path, *options: str, case: Path = CASE) -> subprocess.CompletedProcess[str]:
    return run("cnn-gen.py", "--top-level", "cnn", "--test-dir", folder, "--prefix", "demo", "--checkpoint-file",
               case / "checkpoint.pth.tar", "--config-file", case / "network.yaml", "--sample-input",
               case / "sample.npy", *options)  # fmt: skip


@pytest.fixture(scope="module")
def model() -> pipeline.Model:
    return pipeline.build_model(request_of(CASE, "network.yaml", {"fc_layer": True, "cmsis_nn": True}))


@pytest.fixture(scope="module")
def demo(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A generated and built demo."""
    folder = tmp_path_factory.mktemp("cmsis")
    done = generate(folder, "--fc-layer", *SOFTWARE)
    assert (done.returncode, done.stderr) == (0, "")
    return folder / "demo"


@pytest.fixture(scope="module")
def result(demo: Path) -> tuple[str, dict[str, object]]:
    """What cnn-run.py prints, and its result."""
    path = demo.parent / "result.json"
    done = run("cnn-run.py", demo, "--json", path)
    assert (done.returncode, done.stderr) == (0, "")
    return done.stdout, json.loads(path.read_text())


def test_the_demo_holds_all_that_it_needs(demo: Path):
    runtime = {path.relative_to(ROOT / "Device").as_posix() for pattern in ("*", "cmsis_nn_portable/**/*")
               for path in (ROOT / "Device").glob(pattern) if path.is_file()}  # fmt: skip
    generated = {"main.c", "weights.h", "sampledata.h", "cnn-run.json", "sample.npy"}
    found = {path.relative_to(demo).as_posix() for path in demo.rglob("*") if path.is_file()}
    assert {name for name in found if not name.startswith("build/")} == runtime | generated


def test_the_run_passes_and_compares_software_with_the_accelerator(result, model):
    printed, written = result
    with Chip() as chip:
        program = pipeline.embedded_program(model)
        for section in program.load:
            for access in section.accesses():
                chip.write32(access.address, access.value)
        (poll,) = program.wait.accesses()
        while chip.read32(poll.address) & poll.mask != poll.value:
            pass
        clocks = chip.cycles()
    assert (written["passed"], written["predicted"]) == (True, int(np.argmax(model.scores)))
    assert written["cycles"] == clocks
    assert 0 < written["inference_instructions"] < written["instructions"]
    ratio = written["inference_instructions"] / (2 * clocks)
    for text in ("*** PASS ***", f" {written['inference_instructions']:,} ", f" {clocks:,} (estimate)",
                 f" {ratio:.0f} : 1 in time"):  # fmt: skip
        assert text in printed


def test_an_inference_has_at_least_the_products_of_its_layers(result, model):
    """An instruction of the Cortex-M4 makes two products at most."""
    products = sum(layer.weight.size * layer.out_height * layer.out_width for layer in model.network.layers)
    assert result[1]["inference_instructions"] > products // 2


def test_flash_and_ram_are_those_of_the_linked_program(result, demo, model):
    printed, written = result
    sections = {section["name"]: (section["flash"], section["ram"]) for section in written["sections"]}
    weights = sum(layer.weight.size for layer in model.network.layers) + model.network.fc.weight.size
    assert sections[".rodata"][0] >= weights
    assert sections[".bss"][0] == 0
    assert sections[".bss"][1] >= plan(model.network).size + 4 * len(model.scores)
    assert sections[".stack"] == (0, 8192)
    flash, ram = (sum(sizes) for sizes in zip(*sections.values(), strict=True))
    loaded = read_firmware(demo / "build" / "firmware.elf").segments
    assert flash == max(address + len(content) for address, content in loaded) - FLASH.start
    assert re.search(rf"total +{flash:,} +{ram:,}", printed)


def test_sections_in_a_program_with_initialised_data_take_flash_and_ram(demo, tmp_path):
    copy = shutil.copytree(demo, tmp_path / "copy")
    text = (copy / "main.c").read_text()
    (copy / "main.c").write_text(text.replace("uint32_t cnn_time;", "volatile uint32_t numbers[5] = {1, 2, 3, 4, 5};\n"
                                              "uint32_t cnn_time;").replace("icache_enable();", "numbers[0]++;"))
    done = run("cnn-run.py", copy)
    assert done.returncode == 0, done.stderr
    sections = {section.name: section for section in read_firmware(copy / "build" / "firmware.elf").sections}
    assert sections[".data"] == Section(".data", 20, 20)


def test_more_images_have_the_scores_of_the_reference(demo, model, tmp_path):
    images = np.random.default_rng(1).integers(-128, 128, (10, *model.data.shape)).astype(np.int8)
    np.save(tmp_path / "images.npy", images)
    done = run("cnn-run.py", demo, "--images", tmp_path / "images.npy", "--scores", tmp_path / "scores.npy")
    assert done.returncode == 0, done.stderr
    expected = [reference.classify(model.network.fc, reference.run_network(model.network, image)[-1].output)
                for image in images]  # fmt: skip
    np.testing.assert_array_equal(np.load(tmp_path / "scores.npy"), expected)
    assert len({tuple(row) for row in np.asarray(expected).tolist()}) == 10


def test_a_wrong_answer_fails(demo, tmp_path):
    copy = shutil.copytree(demo, tmp_path / "copy")
    text = (copy / "sampledata.h").read_text()
    (copy / "sampledata.h").write_text(text.replace("SAMPLE_SCORES { \\\n  ", "SAMPLE_SCORES { \\\n  1 + "))
    done = run("cnn-run.py", copy, "--json", tmp_path / "result.json")
    assert done.returncode == 1
    assert "*** FAIL *** the scores differ" in done.stdout
    written = json.loads((tmp_path / "result.json").read_text())
    assert (written["passed"], written["inference_instructions"]) == (False, None)


@pytest.mark.parametrize("options, message", [
    (["--cmsis-software-nn"], "--cmsis-software-nn needs --embedded-code"),
    ([*SOFTWARE, "--unload"], "--unload is about the accelerator: leave it out with --cmsis-software-nn"),
    ([*SOFTWARE, "--verify-writes"], "--verify-writes is about the accelerator"),
    ([*SOFTWARE, "--init-tram"], "--init-tram is about the accelerator"),
    ([*SOFTWARE, "--debug"], "--debug is about the accelerator"),
])
def test_options_of_the_accelerator_are_refused(options, message, tmp_path):
    done = generate(tmp_path / "out", *options)
    assert done.returncode == 2
    assert message in done.stderr
    assert not (tmp_path / "out").exists()


def test_what_cmsis_nn_cannot_do_is_refused_before_anything_is_written(tmp_path):
    case = CASES / "valid" / "padded_width_256"
    done = generate(tmp_path / "out", *SOFTWARE, case=case)
    assert done.returncode == 1
    assert done.stderr == (
        f"cnn-gen.py: error: {case}/network.yaml:9, layer 0: rule cmsis-image: With CMSIS-NN an image has, after "
        "pooling, at most 127 rows and 127 columns: its plain convolution keeps coordinates in a signed char. Given: "
        "4x252.\n")
    assert not (tmp_path / "out").exists()
    done = generate(tmp_path / "out", *SOFTWARE, "--check", case=case)
    assert done.returncode == 1
    assert "rule cmsis-image" in done.stderr


def test_the_plan_of_the_buffers_is_printed(tmp_path, model):
    done = generate(tmp_path, "--fc-layer", *SOFTWARE)
    assert f"Buffers: {plan(model.network).size} bytes of RAM" in done.stdout


def test_gen_cmsis_makes_a_demo_of_every_network_as_the_docs_have_it(tmp_path):
    """Buffers and clocks in the table of the docs; instructions, flash and RAM depend on the compiler."""
    done = subprocess.run([str(ROOT / "gen-cmsis.sh"), str(tmp_path)], capture_output=True, text=True, check=False,
                          env={"PATH": f"{Path(sys.executable).parent}:/usr/bin:/bin"})
    assert done.returncode == 0, done.stderr
    made = {path.name.removesuffix("-cmsis"): path for path in sorted(tmp_path.iterdir()) if path.is_dir()}
    assert list(made) == sorted(path.stem for path in (ROOT / "networks").glob("*.yaml"))
    page = (ROOT.parent / "docs" / "cmsis-nn.md").read_text(encoding="utf-8")
    rows = [[cell.strip() for cell in line.split("|")[1:-1]] for line in page.splitlines() if "| PASS |" in line]
    assert sorted(row[0] for row in rows) == list(made)
    for name, _, _, _, _, _, buffers, clocks, *_ in rows:
        manifest = json.loads((made[name] / "cnn-run.json").read_text())
        assert clocks == f"{manifest['accelerator_clocks']:,}", name
        assert f"Buffers: {buffers.replace(',', '')} bytes" in (made[name] / "log.txt").read_text(), name
