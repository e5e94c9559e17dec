#!/usr/bin/env python3
"""Build a generated program and run it on an emulated Cortex-M4 with the accelerator model on its bus.

A program that runs in software, with CMSIS-NN, is run there too and compared with the accelerator."""

import argparse
import dataclasses
import io
import json
import os
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from rich.console import Console
from rich.progress import track
from rich.table import Table
from rich.text import Text

import samplepicture
from chip import Chip, ChipError, FirmwareError, max78000, sdk
from chip.board import MAX78000
from chip.demo import Image, Scores, build, read_images, read_probabilities, read_scores
from chip.elf import Section
from chip.inference import check_inputs, classify, software_instructions
from chip.manifest import AcceleratorManifest, Max78000Manifest, SoftwareManifest, read_manifest
from chip.mcu import Mcu, Result
from chip.rtltest import bench_of, built, first_difference, is_rtltest
from debugger import Debugger, Wishes

Ai84Manifest = AcceleratorManifest | SoftwareManifest
CORE_CLOCKS = 2  # of the processor in one of the accelerator (AI84 hardware reference, appendix D)
LIMIT, SOFTWARE_LIMIT = 100_000_000, 1_000_000_000  # instructions of main()
EXAMPLE = """example:
  ./cnn-run.py demos/FashionMNIST
  ./cnn-run.py demos/FashionMNIST --images test.npy --scores scores.npy
  ./cnn-run.py demos/CIFAR-10-Arm
  ./cnn-run.py demos/FashionMNIST --compare --trace 3
  ./cnn-run.py rtlsim/fmnist-1x28x28b_0x0s1p1m60_relu

The exit status is 0 only if the program found its known answer."""


@dataclass(frozen=True)
class Outcome:
    """What --json writes; `predicted` and `probability` are null for a program without classification layer.

    `instructions` are those of the whole program, `inference_instructions` those of the layers in software. `cycles` is
    the time of the accelerator; for a program in software, the time that it would take. `sections` have bytes of flash
    and RAM. `load_instructions` are those of loading the weights. `difference` is the first word that differs, of a
    test for RTL simulation that failed.
    """

    program: str
    passed: bool
    predicted: int | None
    probability: float | None
    label: int | None
    cycles: int
    instructions: int
    seconds: float
    images: int
    images_per_second: float | None
    sections: tuple[Section, ...]
    inference_instructions: int | None = None
    load_instructions: int | None = None
    difference: str | None = None


def parse_arguments(arguments: Sequence[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, epilog=EXAMPLE,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path, help="folder that cnn-gen.py wrote: a demo or an RTL test")
    parser.add_argument("--images", type=Path, metavar="FILE.npy",
                        help="if the program passes, classify these images too, int8 [N, C, H, W]")
    parser.add_argument("--scores", type=Path, metavar="OUT.npy",
                        help="write the scores of --images, int16 [N, outputs], Q8.7; of a program for MAX78000 the "
                             "outputs of the last layer, int8 or int32")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the result as JSON")
    parser.add_argument("--limit", type=int, metavar="N",
                        help="stop the program after N instructions (default: 100,000,000, ten times as many for a "
                             "program in software)")
    parser.add_argument("--trace", nargs="?", type=layer_number, const=-1, metavar="LAYER",
                        help="show what each layer leaves behind: clocks, smallest and largest value, saturation; with "
                             "a LAYER its values too")
    parser.add_argument("--compare", action="store_true",
                        help="generate the program again and name the first write, layer and value that differ: for a "
                             "program that was changed by hand")
    options = parser.parse_args(arguments)
    if options.scores and not options.images:
        parser.error("--scores needs --images")
    return options


def layer_number(text: str) -> int:
    """A number of at least 0."""
    if not text.isdecimal():
        raise argparse.ArgumentTypeError(f"the number of a layer is wanted, not {text!r}")
    return int(text)


def wishes(options: argparse.Namespace) -> Wishes:
    """What is to be shown of the run."""
    return Wishes(options.trace, options.compare)


def draw(console: Console, folder: Path, shape: tuple[int, int, int]) -> None:
    path = folder / "sample.npy"
    try:
        image = np.load(path, allow_pickle=False)
    except (OSError, ValueError, EOFError) as error:
        raise FirmwareError(f"{path}: not readable as a NumPy array ({error}); generate the folder again") from error
    if image.shape != shape:
        raise FirmwareError(f"{path}: must have the shape {list(shape)} of the network input, has {list(image.shape)}")
    console.print(samplepicture.of(image, console.is_terminal), soft_wrap=True)


def classify_all(console: Console, mcu: Mcu, manifest: Ai84Manifest, images: Image) -> tuple[Scores, float]:
    """Scores int16 [N, outputs] and the seconds that they took."""
    if not manifest.fc:
        raise FirmwareError(f"{manifest.program} has no classification layer; generate it with --fc-layer for --images")
    check_inputs(mcu, manifest)
    scores, seconds = run_images(console, images, lambda image: classify(mcu, manifest, image))
    return np.array(scores, np.int16).reshape(len(images), manifest.outputs), seconds


def run_images(
    console: Console, images: Image, infer: Callable[[Image], np.ndarray]
) -> tuple[list[np.ndarray], float]:
    """What `infer` returns for each image, and the seconds that they took."""
    begin = time.perf_counter()
    numbers = track(range(len(images)), "Images", console=console, disable=not console.is_terminal)
    return [infer(images[n]) for n in numbers], time.perf_counter() - begin


def with_images(result: Outcome, scores: np.ndarray, seconds: float, path: Path | None) -> Outcome:
    """The result with the number of images and their speed; the scores are written if there is a path for them."""
    if path:
        write(path, npy(scores))
    return dataclasses.replace(result, images=len(scores), images_per_second=len(scores) / seconds if seconds else None)


def npy(array: np.ndarray) -> bytes:
    stream = io.BytesIO()
    np.save(stream, array)
    return stream.getvalue()


def write(path: Path, content: bytes) -> None:
    """Write a file whole or not at all."""
    with tempfile.NamedTemporaryFile(dir=path.parent, delete=False) as file:
        file.write(content)
    os.chmod(file.name, 0o644)
    os.replace(file.name, path)


def line_printer(console: Console) -> Callable[[str], None]:
    """Prints a line as it is."""
    return lambda line: console.print(Text(line), soft_wrap=True)


def run_main(console: Console, mcu: Mcu, limit: int, debugger: Debugger) -> Result:
    """Run the program from reset to exit; what it prints, and did until then, is shown even if it is stopped."""
    try:
        return mcu.run(limit)
    finally:
        console.print(Text(mcu.console), end="", soft_wrap=True)
        debugger.show(console)


def outcome(manifest: Ai84Manifest, mcu: Mcu, result: Result, seconds: float) -> Outcome:
    """What main() computed, from the memory of the microcontroller; a program in software is run once more."""
    software = isinstance(manifest, SoftwareManifest)
    passed = result.status == 0
    predicted = int(np.argmax(read_scores(mcu))) if manifest.fc else None
    probability = None if predicted is None else int(read_probabilities(mcu)[predicted]) / 32768
    return Outcome(program=manifest.program, passed=passed, predicted=predicted, probability=probability,
                   label=manifest.label, cycles=manifest.accelerator_clocks if software else result.cycles,
                   instructions=result.instructions, seconds=seconds, images=0, images_per_second=None,
                   sections=mcu.firmware.sections,
                   inference_instructions=software_instructions(mcu) if software and passed else None)


def report(console: Console, result: Outcome, class_name: Callable[[int], str] = str) -> None:
    table = Table(show_header=False, box=None)
    if result.predicted is not None and result.probability is not None:
        table.add_row("predicted", f"{class_name(result.predicted)} ({100 * result.probability:.1f} %)")
    if result.label is not None:
        table.add_row("true class", class_name(result.label))
    table.add_row("known answer", "PASS" if result.passed else "FAIL")
    table.add_row("instructions", f"{result.instructions:,}")
    if result.inference_instructions is not None:
        table.add_row("of these, the layers", f"{result.inference_instructions:,}")
    if result.load_instructions is not None:
        table.add_row("to load the weights", f"{result.load_instructions:,}")
    table.add_row("accelerator clocks", f"{result.cycles:,} (estimate)")
    if result.inference_instructions is not None:
        ratio = result.inference_instructions / (CORE_CLOCKS * result.cycles)
        table.add_row("software : accelerator", f"{ratio:.0f} : 1 in time, at one instruction a clock")
    table.add_row("emulated in", f"{result.seconds:.2f} s")
    if result.images_per_second is not None:
        table.add_row("more images", f"{result.images} ({result.images_per_second:.0f} a second)")
    console.print(table)
    report_memory(console, result.sections)


def report_memory(console: Console, sections: Sequence[Section]) -> None:
    """Bytes of flash and RAM by section of the linked program."""
    table = Table("memory", "flash", "RAM", box=None)
    for section in sections:
        table.add_row(section.name, f"{section.flash:,}", f"{section.ram:,}")
    total = [f"{sum(values):,}" for values in zip(*((s.flash, s.ram) for s in sections), strict=True)]
    table.add_row("total", *total)
    console.print(table)


def limit(options: argparse.Namespace, manifest: Ai84Manifest) -> int:
    """Most instructions of main()."""
    return options.limit or (SOFTWARE_LIMIT if isinstance(manifest, SoftwareManifest) else LIMIT)


def run_demo(options: argparse.Namespace, console: Console) -> Outcome:
    """Everything from a demo's folder to the result; the scores that were asked for are written."""
    manifest = read_manifest(options.folder)
    images = read_images(options.images, manifest.input) if options.images else None
    if isinstance(manifest, Max78000Manifest):
        return run_max78000(options, console, manifest, images)
    if isinstance(manifest, SoftwareManifest) and wishes(options):
        raise FirmwareError(f"{options.folder}: --trace and --compare look at the accelerator, and this program runs "
                            "in software; give the folder of an accelerator demo")
    elf = build(options.folder, line_printer(console))
    draw(console, options.folder, manifest.input)
    with Chip() as chip:
        mcu = Mcu(elf, chip)
        debugger = Debugger(wishes(options), options.folder, mcu, chip)
        begin = time.perf_counter()
        result = outcome(manifest, mcu, run_main(console, mcu, limit(options, manifest), debugger),
                         time.perf_counter() - begin)
        if images is not None and result.passed:
            result = with_images(result, *classify_all(console, mcu, manifest, images), options.scores)
    report(console, result, manifest.class_name)
    return result


def run_max78000(
    options: argparse.Namespace, console: Console, manifest: Max78000Manifest, images: Image | None
) -> Outcome:
    """Everything from the sources for MAX78000 to the result; the scores are the outputs of the last layer."""
    with sdk.built(options.folder, line_printer(console)) as elf, Chip(MAX78000.device) as chip:
        draw(console, options.folder, manifest.input)
        mcu = Mcu(elf, chip, MAX78000)
        debugger = Debugger(wishes(options), options.folder, mcu, chip)
        begin = time.perf_counter()
        run = run_main(console, mcu, options.limit or LIMIT, debugger)
        seconds = time.perf_counter() - begin
        passed = run.status == 0
        predicted, probability = max78000.prediction(mcu) if manifest.softmax and passed else (None, None)
        result = Outcome(program=manifest.program, passed=passed, predicted=predicted, probability=probability,
                         label=manifest.label, cycles=run.cycles, instructions=run.instructions, seconds=seconds,
                         images=0, images_per_second=None, sections=mcu.firmware.sections,
                         load_instructions=max78000.load_instructions(mcu) if passed else None)
        if images is not None and passed:
            max78000.check_inputs(mcu, manifest)
            outputs, seconds = run_images(console, images, lambda image: max78000.infer(mcu, manifest, image))
            dtype = np.int32 if manifest.output_bits == 32 else np.int8
            scores = np.array(outputs, dtype).reshape(len(images), manifest.outputs)
            result = with_images(result, scores, seconds, options.scores)
    report(console, result, manifest.class_name)
    return result


def run_rtltest(options: argparse.Namespace, console: Console) -> Outcome:
    """Everything from the folder of a test for RTL simulation to the result."""
    if options.images:
        raise FirmwareError(f"{options.folder}: a test for RTL simulation runs its sample only; generate a demo with "
                            "--embedded-code --fc-layer for --images")
    bench = bench_of(options.folder)
    with built(options.folder, bench, line_printer(console)) as elf, Chip(bench.board.device) as chip:
        mcu = Mcu(elf, chip, bench.board)
        debugger = Debugger(wishes(options), options.folder, mcu, chip)
        begin = time.perf_counter()
        run = run_main(console, mcu, options.limit or LIMIT, debugger)
        seconds = time.perf_counter() - begin
        passed = run.console.endswith("*** PASS ***\n")  # pass() of the stand-in for the test bench
        difference = None if passed else str(first_difference(options.folder, bench, mcu))
    result = Outcome(program=options.folder.name, passed=passed, predicted=None, probability=None, label=None,
                     cycles=run.cycles, instructions=run.instructions, seconds=seconds, images=0,
                     images_per_second=None, sections=mcu.firmware.sections, difference=difference)
    if difference:
        console.print(Text(f"First word that differs: {difference}"), soft_wrap=True)
    report(console, result)
    return result


def run(options: argparse.Namespace, console: Console) -> Outcome:
    """Run a demo or a test; writes the result that was asked for last."""
    result = run_rtltest(options, console) if is_rtltest(options.folder) else run_demo(options, console)
    if options.json:
        write(options.json, (json.dumps(dataclasses.asdict(result), indent=2) + "\n").encode())
    return result


def main() -> int:
    options = parse_arguments(sys.argv[1:])
    console = Console(highlight=False)
    try:
        return 0 if run(options, console).passed else 1
    except ChipError as error:
        print(f"cnn-run.py: {error}", file=sys.stderr)
    except OSError as error:
        print(f"cnn-run.py: {error.filename}: {error.strerror}", file=sys.stderr)
    except KeyboardInterrupt:
        print("cnn-run.py: interrupted", file=sys.stderr)
    return 1


if __name__ == "__main__":
    sys.exit(main())
