"""The whole flow on one page: description, checkpoint and sample to files."""

from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from . import listing, program, reference, registers, rules, sampledata, verify
from .ai84 import testweights
from .auto import completion
from .auto.completion import Verdict
from .auto.yamltext import yaml_text
from .checkpoint import Checkpoint, described_network
from .cmsis_rules import CMSIS_RULES
from .device import Device
from .emit import blocklevel, cmsisnn, ctext, embedded, layerfiles, max78000, rtlsim
from .emit.demofolder import PLAIN, Ending, Names
from .errors import IzerError, RuleError, Violation
from .latency import Clocks
from .network import Network, build_network
from .operations import CopyKernels, CopyPacked, Program
from .placement import Choices, Placement
from .targets import TARGETS, Target
from .yamlcfg import SUPPORTED_DATASETS, Description, parse_description, read_description

SAMPLES = Path(__file__).resolve().parents[1] / "samples"


@dataclass(frozen=True)
class Request:
    """What to generate from; `stop_after` is the index of the last layer to process (None: all).

    `overwrite_ok` allows output over input, `no_error_stop` makes it a warning; layers `no_bias` are without bias.
    `seed` makes random weights, and a random sample if none is named; `fixed_input` replaces the sample by the words
    0x55555555 and 0xaaaaaaaa in turn. With `check_only` no weights are needed: the channels are those of the
    description's maps. With `cmsis_nn` the rules of CMSIS-NN hold too; with `deduplicate` AI85 stores equal kernels
    once. `auto` is None, or for how many seconds a placement is looked for that completes the description.
    """

    device: Device
    config_file: Path | None
    checkpoint_file: Path | None
    sample_input: Path | None = None
    fc_layer: bool = False
    input_offset: int = 0
    stop_after: int | None = None
    overwrite_ok: bool = False
    no_error_stop: bool = False
    no_bias: frozenset[int] = frozenset()
    seed: int | None = None
    fixed_input: bool = False
    check_only: bool = False
    options: program.Options = field(default_factory=program.Options)
    cmsis_nn: bool = False
    deduplicate: bool = True
    auto: float | None = None

    @property
    def target(self) -> Target:
        """The device with its procedures."""
        return TARGETS[self.device.number]


@dataclass(frozen=True)
class Model:
    """A network that may be generated: checked, placed, with its sample and all the values that follow from it.

    `waived` are the ids of rules that its programs need not keep, `warnings` are broken rules that do not stop.
    """

    device: Device
    weights: Checkpoint
    network: Network
    placement: Placement
    sample: sampledata.Sample
    data: NDArray[np.int8]
    values: tuple[reference.LayerValues, ...]
    registers: tuple[registers.RegisterValue, ...]
    classes: tuple[str, ...]
    waived: frozenset[str]
    warnings: tuple[Violation, ...]
    options: program.Options
    description: Description
    verdict: Verdict | None

    @property
    def target(self) -> Target:
        """The device with its procedures."""
        return TARGETS[self.device.number]

    @property
    def layer_clocks(self) -> tuple[Clocks, ...]:
        """Estimated accelerator clocks of every layer, by what it does."""
        return self.target.clocks(self.device, self.network, self.placement)

    @property
    def clocks(self) -> tuple[int, ...]:
        """Estimated accelerator clocks of every layer."""
        return tuple(layer.total for layer in self.layer_clocks)

    @property
    def scores(self) -> NDArray[np.int16] | None:
        """Known answer of the classification layer, Q8.7, if there is one."""
        return None if self.network.fc is None else reference.classify(self.network.fc, self.values[-1].output)


def build_model(request: Request) -> Model:
    """Read, check, place and compute. Raises IzerError; RuleError names every broken rule."""
    target = request.target
    description = _description(request)
    unsupported = rules.check(rules.Described(description), target.description_rules)
    if unsupported:
        raise RuleError(unsupported)
    sample = _sample(request, description)
    weights = _weights(request, description, sample.data.shape)
    builder = target.builder(request.options.average_rounding)
    net = build_network(description, weights, sample.data.shape, builder, _layer_count(request, description),
                        request.fc_layer)  # fmt: skip
    net = _without_bias(net, request.no_bias)
    choices = Choices(request.input_offset, request.deduplicate and weights.trained)
    verdict = None
    if request.auto is not None:
        description, verdict = completion.complete(request.device, target, description, net, choices, request.auto)
        net = replace(net, data_format=description.layers[0].data_format or "hwc")
    placed = target.place(request.device, description, net, choices)
    subject = rules.Subject(description, request.device, weights, request.fc_layer, net, placed, sample.data)
    waived = _waived(request)
    violations = rules.check(subject, device_rules(request), waived)
    if violations:
        raise RuleError(violations)
    warnings = tuple(rules.check(subject, target.rules)) if request.no_error_stop else ()
    data = sample.data.astype(np.int8)
    return Model(
        request.device, weights, net, placed, sample, data, reference.run_network(net, data),
        tuple(target.registers(request.device, net, placed)), _classes(description, sample), waived,
        warnings, request.options, description, verdict,
    )  # fmt: skip


def _description(request: Request) -> Description:
    """The network description: a file, or what the checkpoint says of its network."""
    maps = request.auto is None
    if request.config_file is not None:
        return read_description(request.config_file, request.target.grammar, maps)
    if request.checkpoint_file is None:
        raise IzerError("a network description is needed: name it with --config-file.")
    text = described_network(request.checkpoint_file)
    return parse_description(text, str(request.checkpoint_file), request.target.grammar, maps)


def device_rules(request: Request) -> list[rules.Rule[rules.Subject]]:
    """The rules that a network must keep: those of the device, with CMSIS-NN those of the library too."""
    return request.target.rules + (CMSIS_RULES if request.cmsis_nn else [])


def _waived(request: Request) -> frozenset[str]:
    """The ids of the rules that may be broken, as the user wants it."""
    overlap = ("overlap", "program-overlap") if request.overwrite_ok or request.no_error_stop else ()
    unchecked = () if request.options.max_checks is None else ("program-check-all",)
    return frozenset((*overlap, *unchecked))


def _without_bias(network: Network, layers: frozenset[int]) -> Network:
    """The network in which the named layers have no bias."""
    unknown = sorted(layers - set(range(len(network.layers))))
    if unknown:
        raise IzerError(f"{network.path}: --no-bias {unknown[0]}: the last layer is {len(network.layers) - 1}.")
    return replace(network, layers=tuple(replace(layer, bias=None) if layer.index in layers else layer
                                         for layer in network.layers))  # fmt: skip


def _layer_count(request: Request, description: Description) -> int | None:
    """How many layers to process; None: all."""
    if request.stop_after is None:
        return None
    if request.stop_after >= len(description.layers):
        raise IzerError(f"{description.path}: --stop-after {request.stop_after}: the last layer is "
                        f"{len(description.layers) - 1}.")
    return request.stop_after + 1


def _classes(description: Description, sample: sampledata.Sample) -> tuple[str, ...]:
    """The names of the data set's classes; none for an unknown data set."""
    dataset = SUPPORTED_DATASETS.get(description.dataset.lower())
    classes = dataset.classes if dataset else ()
    if classes and sample.label is not None and not 0 <= sample.label < len(classes):
        raise IzerError(f"{sample.path}: the label of the sample is 0 to {len(classes) - 1} for "
                        f"{description.dataset}; given {sample.label}.")
    return classes


def _weights(request: Request, description: Description, input_shape: tuple[int, int, int]) -> Checkpoint:
    """The weights: random ones, a checkpoint's, a test network's, or none where the network is only checked."""
    if request.seed is not None:
        return request.target.random_weights(description, input_shape, request.seed)
    if request.checkpoint_file:
        return request.target.read_checkpoint(request.checkpoint_file, description)
    if description.arch.lower() == testweights.TEST_ARCH and request.target.test_weights:
        return testweights.read_test_weights(description)
    if request.check_only:
        return request.target.untrained(description, input_shape)
    raise IzerError(f"{description.path}: the weights of {description.arch} come from a quantized checkpoint: name it "
                    f"with --checkpoint-file, or try the network with random weights, --seed 1. Only `arch: "
                    f"{testweights.TEST_ARCH}` has weights of its own.")


def _sample(request: Request, description: Description) -> sampledata.Sample:
    """The sample of the request; with `fixed_input` its values are replaced."""
    found = _named_sample(request, description)
    if request.fixed_input:
        return sampledata.fixed_pattern(found.data.shape, description.layers[0].data_format or "hwc")
    return found


def _named_sample(request: Request, description: Description) -> sampledata.Sample:
    """The sample that is named, or the one of the data set; where there are no weights either, a black image."""
    if request.sample_input:
        return sampledata.read_sample(request.sample_input)
    dataset = description.dataset.lower()
    if dataset not in SUPPORTED_DATASETS:
        raise IzerError(f"{description.path}:{description.lines['dataset']}: `dataset` is one of "
                        f"{', '.join(SUPPORTED_DATASETS)}; given {description.dataset}. "
                        "For other data, name a sample with --sample-input.")
    shape = SUPPORTED_DATASETS[dataset].shape
    if request.seed is not None:
        return sampledata.Sample("", np.random.default_rng(request.seed).integers(-128, 128, shape), None)
    if request.checkpoint_file is None and request.check_only:
        return sampledata.Sample("", np.full(shape, -128, np.int64), None)
    return sampledata.read_sample(SAMPLES / f"sample_{dataset}.npy")


def _lower(model: Model, kernel_copies: Iterator[CopyKernels] | Iterator[CopyPacked]) -> Program:
    """The program, without what --verify-writes adds."""
    first = model.placement.layers[0]
    inputs = sampledata.input_copies(model.device, model.network, first, model.data)
    return model.target.lower(model.device, model.network, model.placement, model.registers, kernel_copies, inputs,
                         model.values[-1].output, model.options)  # fmt: skip


def _checked(model: Model, finished: Program) -> Program:
    """The program, verified. Raises RuleError; where a legal network gets there, the generator has a defect."""
    found = model.target.verify(model.device, model.network, model.data, finished)
    violations = [violation for violation in found if violation.rule not in model.waived]
    if violations:
        raise RuleError(violations)
    return finished


def embedded_program(model: Model) -> Program:
    """The program of the embedded style: whole mask RAMs are copied from arrays."""
    lowered = _lower(model, model.target.kernels(model.device, model.network, model.placement))
    return _checked(model, verify.read_back(lowered, model.options.verify))


def rtlsim_program(model: Model, whole_mask_rams: bool = False) -> Program:
    """The program of the RTL simulation style: only programmed mask RAM columns are written, each store is verified.

    With `whole_mask_rams` the mask RAMs are written as in the embedded style.
    """
    lower_kernels = model.target.kernels if whole_mask_rams else model.target.kernel_stores
    lowered = _lower(model, lower_kernels(model.device, model.network, model.placement))
    if model.options.verify:
        lowered = verify.read_back(verify.split_copies(lowered), model.options.verify)
    return _checked(model, lowered)


def embedded_files(
    model: Model, title: str, command: str, names: Names, ending: Ending = PLAIN
) -> dict[str, bytes]:
    """The files of an embedded demo by name."""
    inputs = sampledata.input_arrays(model.network, model.placement.layers[0])
    return embedded.emit(embedded.Demo(model.device, title, command, model.network, embedded_program(model),
                                       model.sample, inputs, model.scores, model.classes, ending), names)


def sdk_files(model: Model, title: str, command: str, choices: max78000.Choices) -> dict[str, bytes]:
    """The files of a program for the vendor's SDK for MAX78000, by name."""
    inputs = sampledata.input_arrays(model.network, model.placement.layers[0])
    controls = {group: model.device.group(group) for group in model.placement.groups}
    return max78000.emit(max78000.Demo(
        title, command, model.network.dataset, tuple(ctext.network_summary(model.network)), embedded_program(model),
        controls, model.data, inputs, model.values[-1].output, model.network.layers[-1].weight_bits, model.classes,
        model.sample.label, choices))  # fmt: skip


def cmsis_files(
    model: Model, title: str, command: str, names: Names, ending: Ending = PLAIN
) -> dict[str, bytes]:
    """The files of a demo that runs in software with CMSIS-NN, by name."""
    return cmsisnn.emit(cmsisnn.Demo(model.device.name, title, command, model.network, model.sample, model.data,
                                     model.values[-1].output, model.scores, model.classes, sum(model.clocks), ending),
                        names)  # fmt: skip


def description_file(model: Model, command: str) -> bytes:
    """The completed description of an automatic placement, as YAML to edit."""
    heading = [f"Created by: {command}", *([str(model.verdict)] if model.verdict else [])]
    return yaml_text(model.description, model.network, model.placement, heading)


def rtlsim_files(
    model: Model, title: str, command: str, source: str, runtest: str, timeout: int,
    compact: frozenset[str] = frozenset(),
) -> dict[str, bytes]:
    """The files of an RTL simulation test by name; sections that are `compact` copy arrays in loops."""
    program = rtlsim_program(model, "load_kernels" in compact)
    power_up = model.target.power_up(model.placement.groups)
    return rtlsim.emit(rtlsim.Test(model.device.name, title, command, power_up, model.network, program, timeout,
                                   compact), source, runtest)  # fmt: skip


def blocklevel_files(
    model: Model, title: str, command: str, names: blocklevel.Names, timeout: int
) -> dict[str, bytes]:
    """The files of a block-level test by name."""
    outputs = model.target.layer_checks(model.device, model.network, model.placement, model.values)
    return blocklevel.emit(blocklevel.Test(title, command, rtlsim_program(model), outputs, timeout), names)


def intermediate_files(model: Model, name: str) -> dict[str, bytes]:
    """The expected words of all layers by name of file."""
    outputs = model.target.layer_checks(model.device, model.network, model.placement, model.values)
    return layerfiles.memory_files(outputs, name)


def pooling_files(model: Model) -> dict[str, bytes]:
    """The inputs of layers with pooling, before and after it, by name of file."""
    return layerfiles.pooling_files(model.network, model.values)


def verbose_listing(model: Model) -> str:
    """What --verbose prints."""
    return listing.verbose_listing(model.device, model.network, model.placement, model.registers,
                                   rtlsim_program(model), model.data, model.values, model.clocks)  # fmt: skip
