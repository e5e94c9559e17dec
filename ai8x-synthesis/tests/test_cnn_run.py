"""cnn-run.py on small programs written here, not by the generator: result, images, pictures and error messages."""

import json
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from chip_tools import Layer, Network, evaluate, input_writes, setup, sram
from firmware_tools import build_firmware

SCRIPT = Path(__file__).parents[1] / "cnn-run.py"
RNG = np.random.default_rng(7)
WEIGHTS, BIAS = RNG.integers(-128, 128, (3, 60)), np.array([100, -100, 0])  # three rows: natural order (8.2)

MAIN = r"""
#include "tornadocnn.h"

static const uint32_t program[][2] = { @PROGRAM@ };
static const q7_t fc_weights[] = { @WEIGHTS@ }, fc_bias[] = { @BIAS@ };
@INPUTS@
int8_t ml_data[60];
q15_t fc_output[3], softmax_q15[3];
static q15_t buffer[60];

#define REG(address) (*(volatile uint32_t *)(address))

static void copy(uint32_t address, const volatile uint32_t *from, uint32_t count)
{
    for (uint32_t i = 0; i < count; i++)
        REG(address + 4 * i) = from[i];
}

void load_input(void)
{
    @COPIES@
}

static void start(void)
{
    for (uint32_t g = 1; g < 4; g++)
        REG(0x50100000 + 0x100000 * g) = 0x807;
    REG(0x50100000) = 0x07;
}

void cnn_restart(void)
{
    for (uint32_t g = 0; g < 4; g++)
        REG(0x50100000 + 0x100000 * g) = 0x06;
    load_input();
    start();
}

void cnn_wait(void)
{
    while (!(REG(0x50100000) & 0x1000)) {}
}

void cnn_classify(void)
{
    for (uint32_t k = 0; k < 15; k++) {
        uint32_t word = REG(0x50112000 + 4 * k);
        for (uint32_t lane = 0; lane < 4; lane++)
            ml_data[15 * lane + k] = (int8_t)(word >> (8 * lane));
    }
    arm_fully_connected_q7_q8p7_opt(ml_data, fc_weights, 60, 3, 0, 7, fc_bias, fc_output, buffer);
    arm_softmax_q8p7_q15(fc_output, 3, softmax_q15);
}

int main(void)
{
    for (uint32_t i = 0; i < sizeof program / sizeof *program; i++)
        REG(program[i][0]) = program[i][1];
    load_input();
    start();
    printf("running\n");
    cnn_wait();
    cnn_classify();
    if (fc_output[0] != @ANSWER@) {
        printf("*** FAIL ***\n");
        return 1;
    }
    printf("*** PASS ***\n");
    return 0;
}
"""


def words(data: np.ndarray) -> str:
    return ", ".join(f"0x{value:08X}" for value in np.frombuffer(data.astype(np.int8).tobytes(), "<u4"))


class Demo:
    """A folder with a program, and what it must compute. CHW: two channels of 3x5 pixels; HWC: five in two quads."""

    def __init__(self, folder: Path, chw: bool) -> None:
        self.folder, self.chw = folder, chw
        channels, processors = (2, [4, 20]) if chw else (5, [4, 6, 7, 8, 11])
        self.image = RNG.integers(-128, 128, (channels, 3, 5)).astype(np.int8)
        self.layer = Layer(RNG.integers(-128, 128, (4, channels, 3, 3)), processors, [0, 1, 2, 3], chw=chw)
        build_firmware(folder, self._source())
        (folder / "cnn-run.json").write_text(json.dumps(self._manifest()))
        np.save(folder / "sample.npy", self.image)

    def scores(self, image: np.ndarray) -> list[int]:
        output = evaluate(self.layer, image).flatten()
        return np.clip((WEIGHTS @ output + BIAS + 64) >> 7, -32768, 32767).tolist()

    def _arrays(self) -> dict[str, tuple[int, np.ndarray]]:
        """Name to address and content as bytes in memory order."""
        pixels = self.image.reshape(len(self.image), 15)
        if self.chw:
            return {f"input_{p}": (sram(p // 4, 0), np.append(pixels[c], 0))
                    for c, p in enumerate(self.layer.processors)}
        quads = {4: [0, None, 1, 2], 8: [3, None, None, 4]}
        lanes = np.vstack([pixels, np.zeros((1, 15))])  # the last for lanes without channel
        return {f"input_{p}": (sram(p // 4, 0), lanes[[-1 if c is None else c for c in channels]].T)
                for p, channels in quads.items()}

    def _source(self) -> str:
        network = Network([self.layer], self.image)
        inputs = {address for address, _ in input_writes(self.layer, self.image)}
        arrays = self._arrays()
        fields = {
            "PROGRAM": ", ".join(f"{{{a}u, {v}u}}" for a, v in setup(network) if a not in inputs),
            "WEIGHTS": ", ".join(map(str, WEIGHTS.flatten())), "BIAS": ", ".join(map(str, BIAS)),
            "INPUTS": "\n".join(f"const uint32_t {name}[] = {{ {words(data)} }};"
                                for name, (_, data) in arrays.items()),
            "COPIES": " ".join(f"copy({address}u, {name}, {data.size // 4});"
                               for name, (address, data) in arrays.items()),
            "ANSWER": str(self.scores(self.image)[0]),
        }
        source = MAIN
        for name, text in fields.items():
            source = source.replace(f"@{name}@", text)
        return source

    def _manifest(self) -> dict[str, object]:
        if self.chw:
            inputs = [{"symbol": f"input_{p}", "channel": c} for c, p in enumerate(self.layer.processors)]
        else:
            inputs = [{"symbol": "input_4", "lanes": [0, None, 1, 2]},
                      {"symbol": "input_8", "lanes": [3, None, None, 4]}]
        return {"kind": "embedded", "device": "AI84", "program": "Small", "dataset": "none",
                "input": list(self.image.shape), "data_format": "chw" if self.chw else "hwc", "inputs": inputs,
                "classes": ["cat", "dog", "cow"], "label": 1, "fc": True, "outputs": 3}


@pytest.fixture(scope="module", params=["chw", "hwc"])
def demo(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Demo:
    return Demo(tmp_path_factory.mktemp("demo"), request.param == "chw")


@pytest.fixture(scope="module")
def chw_demo(tmp_path_factory: pytest.TempPathFactory) -> Demo:
    return Demo(tmp_path_factory.mktemp("chw"), True)


@pytest.fixture
def copy(chw_demo: Demo, tmp_path: Path) -> Path:
    """A copy of a demo to spoil."""
    return Path(shutil.copytree(chw_demo.folder, tmp_path / "copy"))


def cnn_run(*arguments: object) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, str(SCRIPT), *map(str, arguments)]
    environment = {"PATH": "/usr/bin:/bin", "HOME": str(Path.home())}  # the compiler is found without an active venv
    return subprocess.run(command, capture_output=True, text=True, env=environment)


def message(result: subprocess.CompletedProcess[str]) -> str:
    """The error message of a run that failed as it should: status 1, no traceback."""
    assert result.returncode == 1 and "Traceback" not in result.stderr, result.stderr
    return result.stderr.removeprefix("cnn-run.py: ").rstrip("\n")


def test_a_good_program_passes_and_the_result_is_written(demo: Demo, tmp_path: Path):
    (demo.folder / "main.c").touch()
    result = cnn_run(demo.folder, "--json", tmp_path / "result.json")
    assert (result.returncode, result.stderr) == (0, "")
    scores = demo.scores(demo.image)
    best = int(np.argmax(scores))
    for text in ("compile main.c", "running\n*** PASS ***\n", ["cat", "dog", "cow"][best], "true class", "dog", "PASS"):
        assert text in result.stdout
    written = json.loads((tmp_path / "result.json").read_text())
    assert (written["passed"], written["predicted"], written["label"]) == (True, best, 1)
    without_output = 2 * 7 + 3 * 2  # padded pixels before the first output of all, and of each row
    assert written["cycles"] == 3 * 5 * 4 + 2 * 5 * 7 + without_output
    assert written["instructions"] > 1000


def test_more_images_give_the_scores_of_the_formulas(demo: Demo, tmp_path: Path):
    images = RNG.integers(-128, 128, (20, *demo.image.shape)).astype(np.int8)
    np.save(tmp_path / "images.npy", images)
    result = cnn_run(demo.folder, "--images", tmp_path / "images.npy", "--scores", tmp_path / "scores.npy")
    assert result.returncode == 0, result.stderr
    scores = np.load(tmp_path / "scores.npy")
    assert scores.dtype == np.int16
    assert scores.tolist() == [demo.scores(image) for image in images]
    assert "more images         20 (" in result.stdout


def test_images_are_refused_if_the_compiler_has_put_the_sample_into_the_code(copy: Path, tmp_path: Path):
    source = (copy / "main.c").read_text()
    (copy / "main.c").write_text(source.replace("const volatile uint32_t", "const uint32_t"))
    np.save(tmp_path / "images.npy", np.load(copy / "sample.npy")[None])
    text = message(cnn_run(copy, "--images", tmp_path / "images.npy"))
    assert text == ("load_input() does not read all of input_4: the compiler has put the sample into the code; read it "
                    "through a `const volatile` pointer")


def test_a_wrong_known_answer_fails(copy: Path):
    source = (copy / "main.c").read_text()
    (copy / "main.c").write_text(source.replace("fc_output[0] !=", "fc_output[0] + 1 !="))
    result = cnn_run(copy, "--json", copy / "result.json")
    assert (result.returncode, result.stderr) == (1, "")
    assert "*** FAIL ***" in result.stdout
    assert json.loads((copy / "result.json").read_text())["passed"] is False


def test_a_program_that_faults_is_stopped_after_its_output_is_shown(copy: Path):
    source = (copy / "main.c").read_text()
    (copy / "main.c").write_text(source.replace("cnn_wait();\n    cnn_classify();\n    if", "cnn_classify();\n    if"))
    result = cnn_run(copy, "--json", copy / "result.json")
    text = message(result)
    fault = "accelerator fault at address 0x50112000: read while the accelerator runs: read CTL of group 0 until bit 12"
    assert text.startswith(f"firmware stopped: {fault}")
    assert "running\n" in result.stdout
    assert not (copy / "result.json").exists()


def test_a_hang_ends_at_the_limit(copy: Path):
    source = (copy / "main.c").read_text()
    (copy / "main.c").write_text(source.replace("    start();\n    printf", "    printf"))
    assert "still running after 50000 instructions (pc " in message(cnn_run(copy, "--limit", 50000))


def test_a_compiler_error_is_shown(copy: Path):
    (copy / "main.c").write_text("int main(void) { return oops; }\n")
    text = message(cnn_run(copy))
    assert text.startswith(f"{copy}: the program does not build:\n")
    assert "main.c:1:25: error: " in text and "oops" in text


def test_a_damaged_program_file_is_named(copy: Path):
    assert cnn_run(copy).returncode == 0  # what make then takes for up to date
    (copy / "build" / "firmware.elf").write_bytes(b"\x7fELF damaged")
    assert message(cnn_run(copy)).startswith(f"{copy}/build/firmware.elf: damaged ELF file")


def test_a_folder_without_manifest_is_refused(tmp_path: Path):
    path = tmp_path / "cnn-run.json"
    hint = "give a folder that cnn-gen.py --embedded-code wrote"
    assert message(cnn_run(tmp_path)) == f"{path}: No such file or directory; {hint}"


@pytest.mark.parametrize("content, text", [
    ("{", "whole file: Invalid JSON: "), ('{"kind": "rtlsim"}', "kind: Input should be 'embedded'"),
    ('{"kind": "embedded"}', "device: Field required")])
def test_a_damaged_manifest_names_the_key(tmp_path: Path, content: str, text: str):
    (tmp_path / "cnn-run.json").write_text(content)
    assert message(cnn_run(tmp_path)).startswith(f"{tmp_path}/cnn-run.json: {text}")


def test_unusable_images_are_refused_before_anything_is_built(copy: Path, tmp_path: Path):
    shutil.rmtree(copy / "build")
    path = tmp_path / "images.npy"
    shape = ", ".join(map(str, np.load(copy / "sample.npy").shape))
    np.save(path, np.zeros((2, 1, 2, 2), np.float32))
    expected = f"{path}: must hold int8 images of shape [N, {shape}]; given: float32 [2, 1, 2, 2]"
    assert message(cnn_run(copy, "--images", path)) == expected
    path.write_bytes(b"nothing")
    assert message(cnn_run(copy, "--images", path)).startswith(f"{path}: not readable as a NumPy array")
    assert not (copy / "build").exists()


def test_images_need_a_classification_layer(copy: Path, tmp_path: Path):
    manifest = json.loads((copy / "cnn-run.json").read_text())
    (copy / "cnn-run.json").write_text(json.dumps(manifest | {"fc": False}))
    np.save(tmp_path / "images.npy", np.load(copy / "sample.npy")[None])
    text = message(cnn_run(copy, "--images", tmp_path / "images.npy"))
    assert text == "Small has no classification layer; generate it with --fc-layer for --images"
    result = cnn_run(copy)
    assert result.returncode == 0 and "predicted" not in result.stdout


def test_wrong_options_end_with_status_2(tmp_path: Path):
    assert cnn_run().returncode == 2
    result = cnn_run(tmp_path, "--scores", "scores.npy")
    assert result.returncode == 2 and "--scores needs --images" in result.stderr
