"""A program as memory files for simulating the accelerator alone: block-level mode (AI84 hardware reference 7.7)."""

from collections.abc import Sequence
from dataclasses import dataclass

from ..operations import Program, Section
from .layerfiles import memory, memory_files


@dataclass(frozen=True)
class Names:
    """Names of the generated files, those of the memory files without .mem."""

    input: str
    output: str
    runtest: str


@dataclass(frozen=True)
class Test:
    """What the files of one test say; `outputs` are the expected words of all layers, `timeout` is in 10 ms."""

    title: str
    command: str
    program: Program
    outputs: Sequence[Section]
    timeout: int


def emit(test: Test, names: Names) -> dict[str, bytes]:
    """All files of a test folder by name: what to write, what each layer must output, and the test bench's part."""
    stores = memory(access for section in test.program.load for access in section.accesses())
    return {f"{names.input}.mem": stores, names.runtest: _run_test(test, names).encode(),
            **memory_files(test.outputs, names.output)}  # fmt: skip


def _run_test(test: Test, names: Names) -> str:
    """TARGET_DIR and write_cnn() are the test bench's."""
    timeout = f"\ndefparam REPEAT_TIMEOUT = {test.timeout};\n" if test.timeout else ""
    return f"""// {names.runtest} of {test.title}
// Created by: {test.command}

int input_file;

initial begin
  input_file = $fopen({{`TARGET_DIR, "/{names.input}.mem"}}, "r");
  if (input_file == 0)
    $fatal(1, "cannot open {names.input}.mem");
  write_cnn(input_file); // plays all stores, the last of which starts the run
  $fclose(input_file);
end
{timeout}"""
