#!/usr/bin/env python3
"""Generate C code that programs the CNN accelerator, from a quantized checkpoint and a YAML network description."""

import argparse
import os
import re
import shlex
import sys
from pathlib import Path

os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")  # read by numpy: for these sizes, threads double the run time

from izer import estimate, listing, output, pipeline
from izer.device import DEVICES
from izer.emit import blocklevel, rtlsim
from izer.emit.cmsisnn import buffer_listing
from izer.emit.demofolder import Ending, Names
from izer.emit.max78000 import Choices
from izer.errors import IzerError
from izer.kernelmap import kernel_map
from izer.program import LOAD_SECTIONS, Options
from izer.report import page as report
from izer.targets import TARGETS

LATER = ("--fifo", "--fast-fifo", "--fast-fifo-quad", "--riscv")
DEMO_OPTIONS = ("fc_layer", "unload", "softmax", "fixed_input", "no_unload", "timer", "boost", "no_wfi", "forever")
ONLY = {  # options that exist for one device
    84: ("fc_layer", "cmsis_software_nn", "fractional_softmax", "unload", "zero_unused", "compact_data",
         "compact_weights", "write_zero_registers"),
    85: ("avg_pool_rounding", "no_deduplicate_weights", "no_unload", "timer", "boost", "no_wfi", "forever"),
}  # fmt: skip

EXAMPLE = """example:
  ./cnn-gen.py --verbose -L --top-level cnn --test-dir demos --prefix FashionMNIST \\
      --checkpoint-file trained/ai84-fashionmnist.pth.tar --config-file networks/fashionmnist-chw.yaml \\
      --fc-layer --embedded-code
  ./cnn-run.py demos/FashionMNIST
  ./cnn-gen.py --ai85 --test-dir demos --prefix FashionMNIST85 --checkpoint-file trained/ai85-fashionmnist-q8.pth.tar \\
      --config-file networks/ai85/fashionmnist.yaml --embedded-code --softmax

With --cmsis-software-nn too, the demo runs the same network in software, with Arm's CMSIS-NN.
Without --embedded-code the output is a test for RTL simulation: of the chip with --top-level, else of the accelerator
alone (block level)."""


def integer(text: str) -> int:
    """A number, decimal or with the prefix 0x."""
    return int(text, 0)


def file_name(text: str) -> str:
    """A name without folder, which is also safe in a C comment."""
    if not re.fullmatch(r"[\w+-][\w.+-]*", text):
        raise argparse.ArgumentTypeError(f"a name of letters, digits and . _ + - is wanted, not {text!r}")
    return text


def layer_list(text: str) -> frozenset[int]:
    """Numbers of layers, separated by commas."""
    return frozenset(int(number) for number in text.split(","))


def pin(text: str) -> tuple[int, int]:
    """Port and pin, separated by a point."""
    port, number = text.split(".")
    return int(port), int(number)


def seconds(text: str) -> float:
    """A time of at least 0."""
    value = float(text)
    if not 0 <= value < float("inf"):
        raise argparse.ArgumentTypeError(f"a time of at least 0 is wanted, not {text}")
    return value


def count(text: str) -> int:
    """A number from 0."""
    if int(text) < 0:
        raise argparse.ArgumentTypeError(f"a number from 0 is wanted, not {text}")
    return int(text)


def parse(arguments: list[str]) -> argparse.Namespace:
    """The command line; argparse ends the program with status 2 where it is wrong."""
    parser = argparse.ArgumentParser(description=__doc__, epilog=EXAMPLE,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    add_network_options(parser)
    add_code_options(parser)
    add_file_options(parser)
    options = parser.parse_args(arguments)
    problem = contradiction(options)
    if problem:
        parser.error(problem)
    return options


def add_network_options(parser: argparse.ArgumentParser) -> None:
    """What to generate from."""
    network = parser.add_argument_group("network")
    network.add_argument("--config-file", type=Path, metavar="FILE", help="YAML network description")
    network.add_argument("--checkpoint-file", type=Path, metavar="FILE",
                         help="quantized checkpoint, from ai84ize.py")
    network.add_argument("--check", action="store_true",
                         help="only check the rules of the device, and write nothing; works without a checkpoint too")
    network.add_argument("--estimate", action="store_true",
                         help="only print clocks, time and energy of every layer, as --check does without a checkpoint")
    network.add_argument("--auto", action="store_true",
                         help="complete the description: maps of processors, offsets, data format that it leaves out")
    network.add_argument("--auto-time", type=seconds, default=10.0, metavar="SECONDS",
                         help="how long to look for the best placement and its proof; 0: the first that fits "
                              "(default: 10)")
    network.add_argument("--write-yaml", type=Path, metavar="FILE",
                         help="with --auto: write the completed description too")
    network.add_argument("--sample-input", type=Path, metavar="FILE",
                         help="sample, a NumPy file of integers [C, H, W] (default: samples/sample_DATASET.npy)")
    network.add_argument("--seed", type=int, metavar="N",
                         help="random weights from this seed instead of a checkpoint, and a random sample")
    network.add_argument("--fixed-input", action="store_true",
                         help="input of the words 0x55555555 and 0xaaaaaaaa in turn (with --embedded-code)")
    device = network.add_mutually_exclusive_group()
    device.add_argument("--device", type=int, choices=DEVICES, default=84, help="device (default: 84)")
    device.add_argument("--ai85", dest="device", action="store_const", const=85,
                        help="the same as --device 85: MAX78000")
    network.add_argument("--input-offset", type=integer, default=0, metavar="N",
                         help="byte offset of the network input in data memory (default: 0)")
    network.add_argument("--stop-after", type=int, metavar="N", help="process only layers 0 to N")
    network.add_argument("--overwrite-ok", "--overlap-data", action="store_true",
                         help="allow a layer's output to overwrite its input")
    network.add_argument("--no-error-stop", action="store_true",
                         help="the same, with a warning for each layer")
    network.add_argument("--no-bias", type=layer_list, default=frozenset(), metavar="LIST",
                         help="leave out the bias of these layers, for example 0,2")
    network.add_argument("--avg-pool-rounding", action="store_true", help="AI85: round averages (default: truncate)")
    network.add_argument("--no-deduplicate-weights", action="store_true",
                         help="AI85: store the kernels and biases of every layer, also equal ones")
    network.add_argument("--input-split", type=int, choices=range(1, 65), default=1, metavar="N",
                         help="only 1: an input in one piece")


def add_code_options(parser: argparse.ArgumentParser) -> None:
    """What the program does."""
    code = parser.add_argument_group("generated code")
    code.add_argument("-e", "--embedded-code", action="store_true", help="a demo for the microcontroller")
    code.add_argument("-f", "--fc-layer", action="store_true",
                      help="add unloading, the software classification layer and softmax (with --embedded-code)")
    code.add_argument("--cmsis-software-nn", action="store_true",
                      help="run the network in software with Arm's CMSIS-NN, not on the accelerator "
                           "(with --embedded-code)")
    code.add_argument("--top-level", metavar="NAME",
                      help="top level of the test bench, for example cnn; without it, a block-level test")
    code.add_argument("--prefix", type=file_name, metavar="NAME",
                      help="name of the demo, or first part of the name of the test")
    code.add_argument("--apb-base", type=integer, metavar="N", help="address of the accelerator")
    code.add_argument("--timeout", type=int, default=4, metavar="N",
                      help="simulation time-out in units of 10 ms, 0 for none (default: 4)")
    code.add_argument("--unload", action="store_true",
                      help="unload the output to memory without classification layer (with --embedded-code)")
    code.add_argument("--softmax", action="store_true",
                      help="unload, and compute the softmax of the output without classification layer "
                           "(with --embedded-code)")
    code.add_argument("--no-unload", action="store_true", help="AI85: leave out unloading the output")
    code.add_argument("--timer", type=int, choices=range(4), metavar="N", help="AI85: measure the run with timer N")
    code.add_argument("--boost", type=pin, metavar="PORT.PIN", help="AI85: switch on this pin for the time of the run")
    code.add_argument("--no-wfi", action="store_true", help="AI85: poll instead of sleeping while the accelerator runs")
    code.add_argument("--forever", action="store_true", help="AI85: repeat the run without end")
    for name in LATER:
        code.add_argument(name, action="store_true", help="not generated yet")
    code.add_argument("--fractional-softmax", action="store_true",
                      help="softmax with seven fractional bits in the exponent instead of rounded exponents")
    code.add_argument("--compact-data", action="store_true",
                      help="RTL simulation: load the input from arrays, as embedded code does")
    code.add_argument("--compact-weights", action="store_true", help="the same for the kernels")
    verify = code.add_mutually_exclusive_group()
    verify.add_argument("--verify-writes", action="store_true", help="read back and compare all that is written")
    verify.add_argument("--verify-kernels", action="store_true", help="the same for the kernels only")
    code.add_argument("--init-tram", action="store_true", help="clear the TRAM first")
    code.add_argument("--zero-unused", action="store_true", help="clear the registers of unused layers")
    code.add_argument("--write-zero-registers", action="store_true",
                      help="write registers whose value is 0 too: always so, accepted for older scripts")
    code.add_argument("--ready-sel", type=int, choices=range(4), metavar="N",
                      help="wait states of the bus: 0 none, 1 one, 2 two, 3 four clocks (default: 3, AI85 0)")
    code.add_argument("--max-checklines", type=count, metavar="N", help="compare only the first N words of the output")


def add_file_options(parser: argparse.ArgumentParser) -> None:
    """Where it goes, what it is called, and what is printed."""
    files = parser.add_argument_group("files")
    files.add_argument("--test-dir", type=Path, metavar="DIR", help="the output goes to a folder in DIR")
    files.add_argument("--c-filename", type=file_name, metavar="NAME",
                       help="C source without .c (default: main, or test for RTL simulation)")
    files.add_argument("--weight-filename", type=file_name, default="weights.h", metavar="NAME", help="(weights.h)")
    files.add_argument("--sample-filename", type=file_name, default="sampledata.h", metavar="NAME",
                       help="(sampledata.h)")
    files.add_argument("--runtest-filename", type=file_name, default="run_test.sv", metavar="NAME",
                       help="(run_test.sv)")
    files.add_argument("--input-filename", type=file_name, default="input", metavar="NAME",
                       help="block level: memory file with all stores, without .mem (input)")
    files.add_argument("--output-filename", type=file_name, default="output", metavar="NAME",
                       help="block level: memory files with the outputs of the layers, without .mem (output)")
    files.add_argument("--autogen", type=Path, default=Path("tests"), metavar="DIR",
                       help="folder of autogen_list, the list of RTL tests, or None for no list (default: tests)")
    files.add_argument("--queue-name", default="lowp", metavar="NAME", help="regression queue (default: lowp)")
    files.add_argument("--report", type=Path, metavar="FILE.html",
                       help="write an HTML page: shapes, memory maps, histograms, time and energy, rules; "
                            "with --check or --estimate, nothing else")
    files.add_argument("-v", "--verbose", action="store_true", help="print registers, kernel map and all values")
    files.add_argument("-D", "--debug", action="store_true", help="print every bus access with its reason")
    files.add_argument("--debug-computation", action="store_true",
                       help="print the sums of every layer after every input channel")
    files.add_argument("--log-intermediate", action="store_true",
                       help="write the output of every layer to a memory file, as in a block-level test")
    files.add_argument("--log-pooling", action="store_true",
                       help="write the input of every layer with pooling, before and after it, as CSV")
    files.add_argument("--display-checkpoint", action="store_true", help="print shape and range of all weights")
    files.add_argument("-L", "--log", action="store_true", help="write what is printed to a file beside the output")
    files.add_argument("--log-filename", type=file_name, default="log.txt", metavar="NAME", help="(log.txt)")


def is_given(options: argparse.Namespace, name: str) -> bool:
    """Whether an option is on the command line; 0 may be its value."""
    return getattr(options, name) is not None and getattr(options, name) is not False


def is_dry(options: argparse.Namespace) -> bool:
    """Whether no program is written, so that neither weights nor a name for it are needed."""
    return bool(options.check or options.estimate)


def contradiction(options: argparse.Namespace) -> str:
    """What is wrong with options that are right one by one; empty if nothing is."""
    needed = ("prefix", "test_dir")
    missing = [f"--{name.replace('_', '-')}" for name in needed if getattr(options, name) is None]
    if missing and not is_dry(options):
        return f"the following arguments are required, except with --check and --estimate: {', '.join(missing)}"
    for name in LATER:
        if getattr(options, name.removeprefix("--").replace("-", "_")):
            return f"{name}: input through a FIFO, and programs for the RISC-V core, are not generated yet"
    target = TARGETS[options.device]
    for name in (name for device, names in ONLY.items() if device != options.device for name in names):
        if is_given(options, name):
            return f"--{name.replace('_', '-')} does not exist for {target.device.name}"
    if not target.block_level and is_block_level(options) and not is_dry(options):
        return f"there are no block-level tests for {target.device.name}: add --top-level or --embedded-code"
    for name in DEMO_OPTIONS:
        if is_given(options, name) and not options.embedded_code:
            return f"--{name.replace('_', '-')} needs --embedded-code"
    if options.softmax and options.fc_layer:
        return "--softmax is for networks without classification layer; --fc-layer computes it too"
    if options.fractional_softmax and not (options.fc_layer or options.softmax):
        return "--fractional-softmax needs --fc-layer or --softmax"
    if compact_sections(options) and (is_block_level(options) or options.verify_writes or options.verify_kernels):
        return "--compact-data and --compact-weights are for programs that do not compare every store"
    if options.seed is not None and (options.checkpoint_file or options.seed < 0):
        return "--seed is a number from 0, and replaces --checkpoint-file"
    if options.auto and options.checkpoint_file is None:
        return "--auto needs --checkpoint-file, whose weights tell how many channels there are"
    if options.write_yaml and not options.auto:
        return "--write-yaml needs --auto"
    if options.config_file is None and not options.auto:
        return "--config-file is required, except with --auto and a checkpoint that describes its network"
    if options.seed is not None and options.fc_layer:
        return "--seed makes the weights of convolutions only; leave out --fc-layer"
    if options.stop_after is not None and options.stop_after < 0:
        return "--stop-after is the number of a layer, from 0"
    if options.input_split > 1:
        return "--input-split: no registers are documented with which a layer reads an image in pieces; leave it out"
    if (options.verify_writes or options.verify_kernels) and is_block_level(options):
        return "a block-level test has no program that could read back: add --top-level or --embedded-code"
    return cmsis_contradiction(options)


def cmsis_contradiction(options: argparse.Namespace) -> str:
    """Which option makes no sense with --cmsis-software-nn; empty if all do."""
    if not options.cmsis_software_nn:
        return ""
    if not options.embedded_code:
        return "--cmsis-software-nn needs --embedded-code"
    for name in ("unload", "softmax", "verify_writes", "verify_kernels", "init_tram", "zero_unused", "debug"):
        if getattr(options, name):
            return f"--{name.replace('_', '-')} is about the accelerator: leave it out with --cmsis-software-nn"
    return ""


def is_block_level(options: argparse.Namespace) -> bool:
    """Whether the output is memory files and not C (AI84 hardware reference 7.7)."""
    return not options.embedded_code and options.top_level is None


def compact_sections(options: argparse.Namespace) -> frozenset[str]:
    """The sections of the program that are loops over arrays in a test for RTL simulation."""
    chosen = {"load_input": options.compact_data, "load_kernels": options.compact_weights}
    return frozenset(name for name, compact in chosen.items() if compact)


def program_options(options: argparse.Namespace) -> Options:
    """What of the program can be chosen. The start is not read back: registers cannot be read while layers run."""
    sections = LOAD_SECTIONS[:-1] if options.verify_writes else ("load_kernels",) if options.verify_kernels else ()
    return Options(options.ready_sel, options.init_tram, options.zero_unused, options.max_checklines,
                   frozenset(sections), options.avg_pool_rounding)


def request(options: argparse.Namespace) -> pipeline.Request:
    """What the pipeline needs of the command line."""
    device = DEVICES[options.device]
    if options.apb_base is not None:
        device = device.at(options.apb_base)
    return pipeline.Request(device, options.config_file, options.checkpoint_file, options.sample_input,
                            options.fc_layer, options.input_offset, options.stop_after, options.overwrite_ok,
                            options.no_error_stop, options.no_bias, options.seed, options.fixed_input, is_dry(options),
                            program_options(options), options.cmsis_software_nn,
                            not options.no_deduplicate_weights,
                            options.auto_time if options.auto else None)  # fmt: skip


def checked_model(options: argparse.Namespace, command: str) -> pipeline.Model:
    """The model; broken rules that do not stop are printed, and an automatic placement is told and written."""
    model = pipeline.build_model(request(options))
    for violation in model.warnings:
        print(f"cnn-gen.py: warning: {violation}", file=sys.stderr)
    if model.verdict:
        print(model.verdict)
    if options.write_yaml:
        text = pipeline.description_file(model, command)
        output.write_folder(options.write_yaml.parent, {options.write_yaml.name: text})
        print(f"{options.write_yaml}: the completed description")
    return model


def check(options: argparse.Namespace, command: str) -> None:
    """Check the rules of the device, and say so if all hold; print the estimate where it is wanted."""
    model = checked_model(options, command)
    if options.verbose:
        print(kernel_map(model.device, model.network, model.placement))
    if not model.weights.trained:
        print(f"{model.network.path}: checked without a checkpoint: channels are counted from the maps, "
              f"{model.network.layers[-1].out_channels} in the last layer")
    rules = pipeline.device_rules(request(options))
    print(f"{model.network.path}: all {len(rules)} rules of {model.device.name} hold")
    if options.estimate:
        print(estimate.table(estimate.estimate(model)), end="")
    if options.report:
        write_report(options, model, command)


def write_report(options: argparse.Namespace, model: pipeline.Model, command: str) -> None:
    """Write the page that --report asks for."""
    page = report.render(model, pipeline.device_rules(request(options)), command)
    output.write_folder(options.report.parent, {options.report.name: page})
    print(f"{options.report}: the report; open it in a browser")


def generated_files(
    options: argparse.Namespace, model: pipeline.Model, title: str, command: str
) -> dict[str, bytes]:
    """The files of the chosen kind of output, by name."""
    if options.embedded_code and model.target.sdk:
        choices = Choices(options.softmax, not options.no_unload, options.timer, options.boost, not options.no_wfi,
                          options.forever)  # fmt: skip
        return pipeline.sdk_files(model, title, command, choices)
    if options.embedded_code:
        names = Names((options.c_filename or "main") + ".c", options.weight_filename, options.sample_filename)
        ending = Ending(options.unload, options.softmax, options.fractional_softmax)
        if options.cmsis_software_nn:
            return pipeline.cmsis_files(model, title, command, names, ending)
        return pipeline.embedded_files(model, title, command, names, ending)
    if is_block_level(options):
        memories = blocklevel.Names(options.input_filename, options.output_filename, options.runtest_filename)
        return pipeline.blocklevel_files(model, title, command, memories, options.timeout)
    source = (options.c_filename or "test") + ".c"
    return pipeline.rtlsim_files(model, title, command, source, options.runtest_filename, options.timeout,
                                 compact_sections(options))


def additional_files(options: argparse.Namespace, model: pipeline.Model) -> dict[str, bytes]:
    """Files that are written on request, by name."""
    files = pipeline.intermediate_files(model, options.output_filename) if options.log_intermediate else {}
    return files | (pipeline.pooling_files(model) if options.log_pooling else {})


def printed(options: argparse.Namespace, model: pipeline.Model) -> str:
    """What is printed, or goes to the log."""
    parts = [pipeline.verbose_listing(model) if options.verbose else listing.operation_summary(model.network)]
    if options.cmsis_software_nn:
        parts.append(buffer_listing(model.network))
    if options.display_checkpoint:
        parts.append(listing.checkpoint_listing(model.weights))
    if options.debug_computation:
        parts.append(listing.computation_listing(model.network, model.values))
    if options.debug:
        lowered = pipeline.embedded_program(model) if options.embedded_code else pipeline.rtlsim_program(model)
        parts.append(listing.bus_listing(lowered))
    return "\n".join(parts)


def generate(options: argparse.Namespace, command: str) -> None:
    """Generate, write, and say what to do next."""
    model = checked_model(options, command)
    title = options.prefix
    if not options.embedded_code:
        title = rtlsim.test_name(title, model.network, str(options.test_dir))
    files = generated_files(options, model, title, command) | additional_files(options, model)
    folder = options.test_dir / title
    log = printed(options, model)
    if options.log:
        files[options.log_filename] = f"{command}\n\n{log}".encode()
    else:
        print(log, end="")
    if options.report:
        write_report(options, model, command)
    output.write_folder(folder, files)
    print(f"{folder}: {', '.join(sorted(files))}")
    if options.embedded_code:
        print(f"Next: ./cnn-run.py {shlex.quote(str(folder))}")
    elif options.autogen != Path("None"):
        entry = rtlsim.list_entry(options.top_level, title, options.queue_name)
        output.append_line(options.autogen / "autogen_list", entry)
        print(f"Listed in {options.autogen / 'autogen_list'}: {entry}")


def main(arguments: list[str]) -> int:
    """Run the program; returns the exit status."""
    options = parse(arguments)
    command = " ".join(shlex.join(["cnn-gen.py", *arguments]).split())  # one line, for comments
    try:
        if is_dry(options):
            check(options, command)
        else:
            generate(options, command)
    except IzerError as error:
        print(f"cnn-gen.py: error: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("cnn-gen.py: interrupted, nothing was written", file=sys.stderr)
        return 130
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
