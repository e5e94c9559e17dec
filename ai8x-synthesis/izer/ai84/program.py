"""The list of bus operations that runs a network once (AI84 hardware reference, chapter 7)."""

from collections.abc import Iterable, Iterator

import numpy as np
from numpy.typing import NDArray

from ..device import Device
from ..memory import output_word, quads
from ..network import Layer, Network
from ..operations import Check, Copy, CopyBytes, CopyKernels, Fill, Program, Section, Unload, Write
from ..placement import LayerPlace, Placement
from ..program import Load, Options, assemble, layer_section
from ..reference import LayerValues
from ..registers import ENABLE, SLAVE, SRAM_CONTROL, RegisterValue


def lower(
    device: Device, network: Network, placement: Placement, registers: Iterable[RegisterValue],
    kernels: Iterable[CopyKernels], inputs: Iterable[Copy], output: NDArray[np.int8],
    options: Options,
) -> Program:
    """The program for one run, before anything is read back; `output` int8 [C, H, W] is the last layer's answer."""
    layer, place = network.layers[-1], placement.layers[-1]
    load: Load = [
        ("cnn_init", "Reset the state machines", _init(device, placement, len(network.layers), options)),
        ("load_kernels", "Load the weights into the mask RAMs", kernels),
        ("load_bias", "Load the bias RAMs", _bias(device, network, placement)),
        ("cnn_configure", "Configure the layers", [
            *_configure(device, registers), *_unused_layers(device, placement, len(network.layers), options)]),
        ("load_input", "Load the network input into data memory", inputs),
        ("cnn_start", "Start the slave groups, then the master", _start(device, placement, options)),
    ]
    stop = [Write(device.group(g), _stopped(device, options), f"CTL, group {g}") for g in placement.groups]
    return assemble(device, load, _checks(device, layer, place, output), stop, unloads(device, layer, place), options)


def _stopped(device: Device, options: Options) -> int:
    """CTL of a group that is stopped (7.3)."""
    return options.wait_states(device) << 1


def layer_checks(
    device: Device, network: Network, placement: Placement, values: Iterable[LayerValues]
) -> tuple[Section, ...]:
    """The output of every layer where that layer writes it; a later layer may overwrite it."""
    return tuple(layer_section(layer.index, _checks(device, layer, place, value.output))
                 for layer, place, value in zip(network.layers, placement.layers, values, strict=True))


def _init(device: Device, placement: Placement, layers: int, options: Options) -> Iterator[Write | Fill]:
    """Unused groups off, then TRAM (7.5) and the global registers of the used groups (7.3)."""
    for group in sorted(set(range(device.groups)) - set(placement.groups)):
        yield Write(device.group(group), 0, f"CTL, group {group} is not used")
    for group in placement.groups:
        if options.init_tram:
            words = device.group_processors * device.tram_entries
            yield Fill(device.tram_entry(group, 0, 0), 0, words, f"TRAM, group {group}")
        yield Write(device.group(group), _stopped(device, options), f"CTL, group {group}")
        yield Write(device.group(group) + 4, SRAM_CONTROL, "SRAM control")
        yield Write(device.group(group) + 8, layers - 1, "LCNT_MAX: layers - 1")


def _bias(device: Device, network: Network, placement: Placement) -> Iterator[CopyBytes]:
    """One array per group; a layer has one entry per mask, since the bias pointer advances on dummy masks too (5)."""
    entries: dict[int, NDArray[np.uint32]] = {}
    for layer, place in zip(network.layers, placement.layers, strict=True):
        if place.bias is not None and layer.bias is not None:
            values = np.zeros(place.bias.count, np.uint32)
            values[place.masks] = layer.bias.view(np.uint8)
            older = entries.get(place.bias.group, np.zeros(0, np.uint32))
            entries[place.bias.group] = np.concatenate([older, values])
    for group, values in sorted(entries.items()):
        yield CopyBytes(f"bias_{group}", device.bias(group, 0), values, f"group {group}")


def _configure(device: Device, registers: Iterable[RegisterValue]) -> Iterator[Write]:
    for r in registers:
        yield Write(device.layer_register(r.group, r.number, r.layer), r.value,
                    f"group {r.group}, layer {r.layer}, {r.name}: {r.meaning}")


def _unused_layers(device: Device, placement: Placement, layers: int, options: Options) -> Iterator[Fill]:
    """Zeros in the registers of the layers above the last one; register 2 is not implemented (3.9)."""
    if options.zero_unused and layers < device.max_layers:
        for group in placement.groups:
            for number in (0, 1, *range(3, 13)):
                yield Fill(device.layer_register(group, number, layers), 0, device.max_layers - layers,
                           f"group {group}, register {number} of unused layers")


def _start(device: Device, placement: Placement, options: Options) -> Iterator[Write]:
    """Slaves wait for the master, the lowest used group, which starts them all (7.4)."""
    master, *slaves = placement.groups
    for group in slaves:
        yield Write(device.group(group), _stopped(device, options) | ENABLE | SLAVE | master << 9,
                    f"CTL, group {group} waits for the master")
    yield Write(device.group(master), _stopped(device, options) | ENABLE, f"CTL, group {master} is the master")


def _checks(device: Device, layer: Layer, place: LayerPlace, output: NDArray[np.int8]) -> Iterator[Check]:
    """Pixel by pixel, quad by quad; only the bytes of real channels are compared (4.4, 7.7)."""
    words = []  # one array per quad: expected word of every pixel
    channel = 0
    places = quads(device, place.output_map)
    unsigned = output.view(np.uint8).astype(np.uint32)
    for _, lanes in places:
        words.append(sum(unsigned[channel + n] << np.uint32(8 * lane) for n, lane in enumerate(lanes)))
        channel += len(lanes)
    for y in range(layer.out_height):
        for x in range(layer.out_width):
            channel = 0
            for (instance, lanes), expected in zip(places, words, strict=True):
                mask = sum(0xFF << 8 * lane for lane in lanes)
                address = device.data(instance, output_word(layer, place, y, x))
                yield Check(address, mask, int(expected[y, x]),
                            f"row {y}, column {x}, channels {channel}-{channel + len(lanes) - 1}")
                channel += len(lanes)


def unloads(device: Device, layer: Layer, place: LayerPlace) -> Iterator[Unload]:
    """How to read the output of a layer, in CHW order (8.1)."""
    channel = 0
    for instance, lanes in quads(device, place.output_map):
        yield Unload(device.data(instance, output_word(layer, place, 0, 0)), tuple(lanes), layer.out_height,
                     layer.out_width, layer.out_width + place.row_gap, channel)
        channel += len(lanes)
