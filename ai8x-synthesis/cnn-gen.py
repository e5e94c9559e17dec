#!/usr/bin/env python3
"""Generate C code that programs the CNN accelerator, from a quantized checkpoint and a YAML network description."""

import argparse
import os
import re
import shlex
import sys
from pathlib import Path

os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")  # read by numpy: for these sizes, threads double the run time

from izer import listing, output, pipeline
from izer.device import DEVICES
from izer.emit import rtlsim
from izer.emit.embedded import Names
from izer.errors import IzerError
from izer.kernelmap import kernel_map
from izer.rules import RULES

EXAMPLE = """example:
  ./cnn-gen.py --verbose -L --top-level cnn --test-dir demos --prefix FashionMNIST \\
      --checkpoint-file trained/ai84-fashionmnist.pth.tar --config-file networks/fashionmnist-chw.yaml \\
      --fc-layer --embedded-code
  ./cnn-run.py demos/FashionMNIST

Without --embedded-code the output is a test for RTL simulation."""


def integer(text: str) -> int:
    """A number, decimal or with the prefix 0x."""
    return int(text, 0)


def file_name(text: str) -> str:
    """A name without folder, which is also safe in a C comment."""
    if not re.fullmatch(r"[\w+-][\w.+-]*", text):
        raise argparse.ArgumentTypeError(f"a name of letters, digits and . _ + - is wanted, not {text!r}")
    return text


def parse(arguments: list[str]) -> argparse.Namespace:
    """The command line; argparse ends the program with status 2 where it is wrong."""
    parser = argparse.ArgumentParser(description=__doc__, epilog=EXAMPLE,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    network = parser.add_argument_group("network")
    network.add_argument("--config-file", required=True, type=Path, metavar="FILE", help="YAML network description")
    network.add_argument("--checkpoint-file", type=Path, metavar="FILE",
                         help="quantized checkpoint, from ai84ize.py")
    network.add_argument("--check", action="store_true",
                         help="only check the rules of the device, and write nothing; works without a checkpoint too")
    network.add_argument("--sample-input", type=Path, metavar="FILE",
                         help="sample, a NumPy file of integers [C, H, W] (default: samples/sample_DATASET.npy)")
    network.add_argument("--device", type=int, choices=DEVICES, default=84, help="device (default: 84)")
    network.add_argument("--input-offset", type=integer, default=0, metavar="N",
                         help="byte offset of the network input in data memory (default: 0)")
    network.add_argument("--stop-after", type=int, metavar="N", help="process only layers 0 to N")
    network.add_argument("--overwrite-ok", "--overlap-data", action="store_true",
                         help="allow a layer's output to overwrite its input")
    code = parser.add_argument_group("generated code")
    code.add_argument("-e", "--embedded-code", action="store_true", help="a demo for the microcontroller")
    code.add_argument("-f", "--fc-layer", action="store_true",
                      help="add unloading, the software classification layer and softmax (with --embedded-code)")
    code.add_argument("--top-level", metavar="NAME", help="top level of the test bench, for example cnn")
    code.add_argument("--prefix", type=file_name, metavar="NAME",
                      help="name of the demo, or first part of the name of the test")
    code.add_argument("--apb-base", type=integer, metavar="N", help="address of the accelerator")
    code.add_argument("--timeout", type=int, default=4, metavar="N",
                      help="simulation time-out in units of 10 ms, 0 for none (default: 4)")
    files = parser.add_argument_group("files")
    files.add_argument("--test-dir", type=Path, metavar="DIR", help="the output goes to a folder in DIR")
    files.add_argument("--c-filename", type=file_name, metavar="NAME",
                       help="C source without .c (default: main, or test for RTL simulation)")
    files.add_argument("--weight-filename", type=file_name, default="weights.h", metavar="NAME", help="(weights.h)")
    files.add_argument("--sample-filename", type=file_name, default="sampledata.h", metavar="NAME",
                       help="(sampledata.h)")
    files.add_argument("--runtest-filename", type=file_name, default="run_test.sv", metavar="NAME",
                       help="(run_test.sv)")
    files.add_argument("--autogen", type=Path, default=Path("tests"), metavar="DIR",
                       help="folder of autogen_list, the list of RTL tests (default: tests)")
    files.add_argument("--queue-name", default="lowp", metavar="NAME", help="regression queue (default: lowp)")
    files.add_argument("-v", "--verbose", action="store_true", help="print registers, kernel map and all values")
    files.add_argument("-L", "--log", action="store_true", help="write what is printed to a file beside the output")
    files.add_argument("--log-filename", type=file_name, default="log.txt", metavar="NAME", help="(log.txt)")
    options = parser.parse_args(arguments)
    needed = ("checkpoint_file", "prefix", "test_dir", "top_level")
    missing = [f"--{name.replace('_', '-')}" for name in needed if getattr(options, name) is None]
    if missing and not options.check:
        parser.error(f"the following arguments are required, except with --check: {', '.join(missing)}")
    if options.fc_layer and not options.embedded_code:
        parser.error("--fc-layer needs --embedded-code")
    if options.stop_after is not None and options.stop_after < 0:
        parser.error("--stop-after is the number of a layer, from 0")
    return options


def request(options: argparse.Namespace) -> pipeline.Request:
    """What the pipeline needs of the command line."""
    device = DEVICES[options.device]
    if options.apb_base is not None:
        device = device.at(options.apb_base)
    return pipeline.Request(device, options.config_file, options.checkpoint_file, options.sample_input,
                            options.fc_layer, options.input_offset, options.stop_after, options.overwrite_ok)


def check(options: argparse.Namespace) -> None:
    """Check the rules of the device, and say so if all hold."""
    model = pipeline.build_model(request(options))
    if options.verbose:
        print(kernel_map(model.device, model.network, model.placement))
    if options.checkpoint_file is None:
        print(f"{options.config_file}: checked without a checkpoint: channels are counted from the maps, "
              f"{model.network.layers[-1].out_channels} in the last layer")
    print(f"{options.config_file}: all {len(RULES)} rules of {model.device.name} hold")


def generate(options: argparse.Namespace, command: str) -> None:
    """Generate, write, and say what to do next."""
    model = pipeline.build_model(request(options))
    if options.embedded_code:
        title = options.prefix
        names = Names((options.c_filename or "main") + ".c", options.weight_filename, options.sample_filename)
        files = pipeline.embedded_files(model, title, command, names)
    else:
        title = rtlsim.test_name(options.prefix, model.network, str(options.test_dir))
        source = (options.c_filename or "test") + ".c"
        files = pipeline.rtlsim_files(model, title, command, source, options.runtest_filename, options.timeout)
    folder = options.test_dir / title
    log = pipeline.verbose_listing(model) if options.verbose else listing.operation_summary(model.network)
    if options.log:
        files[options.log_filename] = f"{command}\n\n{log}".encode()
    else:
        print(log, end="")
    output.write_folder(folder, files)
    print(f"{folder}: {', '.join(sorted(files))}")
    if options.embedded_code:
        print(f"Next: ./cnn-run.py {shlex.quote(str(folder))}")
    else:
        entry = rtlsim.list_entry(options.top_level, title, options.queue_name)
        output.append_line(options.autogen / "autogen_list", entry)
        print(f"Listed in {options.autogen / 'autogen_list'}: {entry}")


def main(arguments: list[str]) -> int:
    """Run the program; returns the exit status."""
    options = parse(arguments)
    try:
        if options.check:
            check(options)
            return 0
        generate(options, " ".join(shlex.join(["cnn-gen.py", *arguments]).split()))  # one line, for comments
    except IzerError as error:
        print(f"cnn-gen.py: error: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("cnn-gen.py: interrupted, nothing was written", file=sys.stderr)
        return 130
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
