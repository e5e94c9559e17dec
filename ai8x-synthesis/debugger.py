"""Looking into a program while it runs: every layer's values, and where it leaves what was generated."""

import importlib.util
import re
import shlex
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType

import numpy as np
from rich.console import Console
from rich.table import Table
from rich.text import Text

from chip import Chip, FirmwareError
from chip.elf import Firmware
from chip.mcu import Mcu
from izer import pipeline
from izer.errors import IzerError
from izer.expected import ExpectedWrite, LayerOutput, expected_writes, first_value, first_write, layer_outputs

CREATED = re.compile(r"^// Created by: cnn-gen\.py (.*)$", re.MULTILINE)
GENERATOR = Path(__file__).with_name("cnn-gen.py")


@dataclass(frozen=True)
class Expected:
    """What was generated: the command, the model, all writes until the start, and the output of every layer."""

    command: str
    model: pipeline.Model
    writes: list[ExpectedWrite]
    layers: tuple[LayerOutput, ...]


def expected(folder: Path) -> Expected:
    """Generate again, in memory, what the command in the folder's C file generates.

    Raises FirmwareError if the command is not there or no longer works.
    """
    command = created_by(folder)
    generator = load_generator()
    try:
        options = generator.parse(shlex.split(command))
        model = pipeline.build_model(generator.request(options))
        if options.embedded_code:
            program = pipeline.embedded_program(model)
        else:
            program = pipeline.rtlsim_program(model, "load_kernels" in generator.compact_sections(options))
    except (IzerError, SystemExit) as error:
        raise FirmwareError(f"{folder}: the program was made with `cnn-gen.py {command}`, which does not work here: "
                            f"{error}\nRun cnn-run.py in the folder where cnn-gen.py ran.") from error
    return Expected(command, model, expected_writes(program), layer_outputs(model))


def created_by(folder: Path) -> str:
    """The arguments of cnn-gen.py that made a folder's program; raises FirmwareError if no C file tells them."""
    for path in sorted(folder.glob("*.c")):
        if found := CREATED.search(path.read_text(encoding="utf-8", errors="replace")):
            return found[1]
    raise FirmwareError(f"{folder}: no C file has a line `// Created by: cnn-gen.py ...`; generate the folder again")


def load_generator() -> ModuleType:
    """cnn-gen.py as a module."""
    spec = importlib.util.spec_from_file_location("cnn_gen", GENERATOR)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


class Recorder:
    """Follows the first run of a program: all writes until the start, and the bytes of every layer's output.

    Attributes:
        writes: address, value and program counter of each.
        layers: clocks of the run until its end, and the output's bytes [C, H, W, bytes of a value], of every layer.
    """

    def __init__(self, mcu: Mcu, chip: Chip, outputs: tuple[LayerOutput, ...]) -> None:
        self.writes: list[tuple[int, int, int]] = []
        self.layers: list[tuple[int, np.ndarray]] = []
        self._outputs, self._chip = outputs, chip
        mcu.watch_writes(self._on_write)
        chip.observe(self._on_layer)

    def _on_write(self, address: int, value: int, pc: int) -> None:
        if not self.layers:
            self.writes.append((address, value, pc))

    def _on_layer(self, layer: int, clocks: int) -> None:
        if layer == len(self.layers) < len(self._outputs):
            self.layers.append((clocks, self._chip.peek(self._outputs[layer].bytes)))


def show_trace(console: Console, generated: Expected, recorder: Recorder) -> None:
    """A line for every layer that has run."""
    table = Table("layer", "clocks", "output", "smallest", "largest", "zeros", "saturated", "at", box=None)
    for n, (output, (clocks, content)) in enumerate(zip(generated.layers, recorder.layers, strict=False)):
        values = output.found(content)
        limits = np.iinfo(values.dtype)
        saturated = np.mean((values == limits.min) | (values == limits.max))
        table.add_row(str(n), f"{clocks:,}", "x".join(map(str, values.shape)), str(values.min()), str(values.max()),
                      f"{np.mean(values == 0):.0%}", f"{saturated:.0%}", f"0x{output.addresses.min():08x}")
    console.print(table)
    if len(recorder.layers) < len(generated.layers):
        console.print(stopped(generated, recorder))


def stopped(generated: Expected, recorder: Recorder) -> Text:
    """How far a program came that did not run all layers."""
    if not recorder.layers:
        return Text(f"The accelerator was not started; {len(recorder.writes):,} of {len(generated.writes):,} writes "
                    "were made.")
    return Text(f"The run ended in layer {len(recorder.layers)} of {len(generated.layers)} (0 to "
                f"{len(generated.layers) - 1}).")


def show_values(console: Console, generated: Expected, recorder: Recorder, layer: int) -> None:
    """All values of a layer, channel by channel. Raises FirmwareError if there is no such layer."""
    if layer >= len(generated.layers):
        raise FirmwareError(f"--trace {layer}: the last layer is {len(generated.layers) - 1}")
    if layer >= len(recorder.layers):
        return
    values = generated.layers[layer].found(recorder.layers[layer][1])
    width = max(len(str(values.min())), len(str(values.max())))
    for channel, rows in enumerate(values.tolist()):
        lines = (" ".join(f"{value:{width}}" for value in row) for row in rows)
        console.print(Text(f"layer {layer}, channel {channel}:\n" + "\n".join(lines)), soft_wrap=True)


def show_differences(console: Console, generated: Expected, recorder: Recorder, firmware: Firmware) -> None:
    """The first write and the first value that are not as generated."""
    for line in (f"Compared with: cnn-gen.py {generated.command}", writes_line(generated, recorder, firmware),
                 *layer_lines(generated, recorder)):
        console.print(Text(line), soft_wrap=True)


def writes_line(generated: Expected, recorder: Recorder, firmware: Firmware) -> str:
    """The first write that is not as generated, with its source line."""
    made, due = recorder.writes, generated.writes
    index = first_write(due, [(address, value) for address, value, _ in made])
    if index is None:
        return f"Writes until the start: all {len(due):,} as generated."
    expects = f"generated: {described(due[index])}" if index < len(due) else "none more was generated"
    if index == len(made):
        return f"Write {index + 1:,} of {len(due):,} is missing; {expects}."
    address, value, pc = made[index]
    return (f"Write {index + 1:,} is the first that differs, {firmware.place(pc)}: 0x{value:08x} to 0x{address:08x}; "
            f"{expects}.")


def described(write: ExpectedWrite) -> str:
    """A generated write in words."""
    return f"0x{write.value:08x} to 0x{write.address:08x} in {write.function}() ({write.why})"


def layer_lines(generated: Expected, recorder: Recorder) -> list[str]:
    """What every layer up to the first that is wrong has computed."""
    lines = []
    for n, (output, (_, content)) in enumerate(zip(generated.layers, recorder.layers, strict=False)):
        wrong = first_value(output, content)
        if wrong:
            lines.append(f"Layer {n} is the first that differs, in {wrong.count:,} of {output.values.size:,} values: "
                         f"channel {wrong.channel}, row {wrong.row}, column {wrong.column} is {wrong.found}, must be "
                         f"{wrong.expected} (at 0x{wrong.address:08x}).")
            return lines
        lines.append(f"Layer {n}: all {output.values.size:,} values as generated.")
    if len(recorder.layers) < len(generated.layers):
        lines.append(str(stopped(generated, recorder)))
    return lines


@dataclass(frozen=True)
class Wishes:
    """What the command line asks for: `trace` is None, -1 for a line a layer, or a layer whose values are shown too."""

    trace: int | None
    compare: bool

    def __bool__(self) -> bool:
        return self.trace is not None or self.compare


class Debugger:
    """What is to be shown of the run of one program; without wishes nothing is recorded."""

    def __init__(self, wishes: Wishes, folder: Path, mcu: Mcu, chip: Chip) -> None:
        self._wishes, self._firmware = wishes, mcu.firmware
        self._generated = expected(folder) if wishes else None
        self._recorder = Recorder(mcu, chip, self._generated.layers) if self._generated else None

    def show(self, console: Console) -> None:
        """Show what was asked for, of as much as has run."""
        if self._generated is None or self._recorder is None:
            return
        if self._wishes.trace is not None:
            show_trace(console, self._generated, self._recorder)
            if self._wishes.trace >= 0:
                show_values(console, self._generated, self._recorder, self._wishes.trace)
        if self._wishes.compare:
            show_differences(console, self._generated, self._recorder, self._firmware)
