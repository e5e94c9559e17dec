"""The list of bus operations that runs a network once on AI85 (AI85 hardware reference, chapters 4.7 and 8)."""

from collections.abc import Iterable, Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..device import Device
from ..memory import output_words, quads
from ..network import Layer, Network
from ..operations import Check, Copy, CopyBytes, CopyPacked, Fill, Program, Section, Unload, Write
from ..placement import LayerPlace, Placement, channels_per_pass
from ..program import Load, Options, assemble, layer_section
from ..reference import LayerValues
from ..registers import ENABLE, SLAVE, SRAM_CONTROL, RegisterValue

CLOCK = 1 << 3  # CTL: clock of the data path (3.3)
ROUNDING = 1 << 13  # CTL: averages are rounded
PACKED = 1 << 20  # CTL: weights are loaded in the packed format


def lower(
    device: Device, network: Network, placement: Placement, registers: Iterable[RegisterValue],
    kernels: Iterable[CopyPacked], inputs: Iterable[Copy], output: NDArray[Any],
    options: Options,
) -> Program:
    """The program for one run, before anything is read back; `output` [C, H, W] is the last layer's answer."""
    layer, place = network.layers[-1], placement.layers[-1]
    load: Load = [
        ("cnn_init", "Reset the state machines", _init(device, placement, len(network.layers), options)),
        ("load_kernels", "Load the weights", kernels),
        ("load_bias", "Load the biases", _bias(device, network, placement)),
        ("cnn_configure", "Configure the layers", [
            Write(device.layer_register(r.group, r.number, r.layer), r.value,
                  f"quadrant {r.group}, layer {r.layer}, {r.name}: {r.meaning}") for r in registers]),
        ("load_input", "Load the network input into data memory", inputs),
        ("cnn_start", "Start all quadrants, the master last", _start(device, placement, options)),
    ]
    stop = [Write(device.group(g), _control(device, options), f"CTL, quadrant {g}") for g in placement.groups]
    return assemble(device, load, _checks(device, layer, place, output), stop, unloads(device, layer, place), options)


def _control(device: Device, options: Options) -> int:
    """What every write to CTL has in common (4.7)."""
    return CLOCK | PACKED | options.wait_states(device) << 1 | (ROUNDING if options.average_rounding else 0)


def _init(device: Device, placement: Placement, layers: int, options: Options) -> Iterator[Write | Fill]:
    """AON_CTL, then the control registers of the used quadrants (4.7); TRAM is zeroed where that is wanted (8.2)."""
    yield Write(device.always_on_control, options.wait_states(device), "AON_CTL")
    for group in placement.groups:
        if options.init_tram:
            for processor in range(device.group_processors):
                yield Fill(device.tram_entry(group, processor, 0), 0, device.tram_entries,
                           f"TRAM, quadrant {group}, processor {processor}")
        yield Write(device.group(group), CLOCK | PACKED | options.wait_states(device) << 1, f"CTL, quadrant {group}")
        yield Write(device.group(group) + 4, SRAM_CONTROL, "SRAM control")
        yield Write(device.group(group) + 8, layers - 1, "LCNT_MAX: layers - 1")


def _bias(device: Device, network: Network, placement: Placement) -> Iterator[CopyBytes]:
    """One array per quadrant; lanes in front of the first output have entries too (6)."""
    contents: dict[int, NDArray[np.uint32]] = {}
    for layer, place in zip(network.layers, placement.layers, strict=True):
        if place.bias is not None and layer.bias is not None:
            held = contents.setdefault(place.bias.group, np.zeros(0, np.uint32))
            end = place.bias.entry + place.bias.count
            held = np.pad(held, (0, max(0, end - len(held))))
            held[end - len(layer.bias) : end] = layer.bias.view(np.uint8)
            contents[place.bias.group] = held
    for group, values in sorted(contents.items()):
        yield CopyBytes(f"bias_{group}", device.bias(group, 0), values, f"quadrant {group}")


def _start(device: Device, placement: Placement, options: Options) -> Iterator[Write]:
    """All quadrants wait for the master, the lowest used one, which then starts them (4.7)."""
    master = placement.groups[0]
    waiting = _control(device, options) | SLAVE | master << 9
    for group in placement.groups:
        enable = ENABLE if group != master else 0
        yield Write(device.group(group), waiting | enable, f"CTL, quadrant {group} waits for the master")
    yield Write(device.group(master), _control(device, options) | ENABLE, f"CTL, quadrant {master} is the master")


def answers(
    device: Device, layer: Layer, place: LayerPlace, output: NDArray[Any]
) -> Iterator[Check]:
    """Every word of a layer's output, with the bytes of its channels (9.2, 9.4)."""
    together = channels_per_pass(layer.out_channels, device.processors)
    pixels = output.reshape(len(output), -1)
    size = output_words(layer)
    for channel, instance, lanes in _parts(device, layer, place):
        step, row = divmod(channel, together)[0], pixels[channel : channel + len(lanes)]
        first = place.out_offset // 4 + size * step
        for x in range(pixels.shape[1]):
            word = first + size * place.out_passes * x
            why = f"pixel {x}, channels {channel}-{channel + len(lanes) - 1}"
            if layer.wide:
                for n, lane in enumerate(lanes):
                    yield Check(device.data(instance, word + lane), 0xFFFFFFFF, int(row[n, x]) & 0xFFFFFFFF, why)
            else:
                mask = sum(0xFF << 8 * lane for lane in lanes)
                value = sum((int(row[n, x]) & 0xFF) << 8 * lane for n, lane in enumerate(lanes))
                yield Check(device.data(instance, word), mask, value, why)


def _checks(
    device: Device, layer: Layer, place: LayerPlace, output: NDArray[Any]
) -> list[Check]:
    """The answers in the order of their addresses."""
    return sorted(answers(device, layer, place, output), key=lambda check: check.address)


def _parts(device: Device, layer: Layer, place: LayerPlace) -> Iterator[tuple[int, int, list[int]]]:
    """The output channels that lie in one word: the first of them, its instance, and their lanes, in channel order."""
    channel = 0
    for _ in range(place.out_passes):
        for instance, lanes in quads(device, place.output_map):
            used = lanes[: layer.out_channels - channel]
            if used:
                yield channel, instance, used
            channel += len(used)


def unloads(device: Device, layer: Layer, place: LayerPlace) -> Iterator[Unload]:
    """How to read the output of a layer, in the order channel, row, column (9.1, 9.2)."""
    together = channels_per_pass(layer.out_channels, device.processors)
    size = output_words(layer)
    step = size * place.out_passes
    for channel, instance, lanes in _parts(device, layer, place):
        word = place.out_offset // 4 + size * (channel // together)
        yield Unload(device.data(instance, word), tuple(lanes), layer.out_height, layer.out_width,
                     layer.out_width * step, channel, step, layer.wide)


def layer_checks(
    device: Device, network: Network, placement: Placement, values: Iterable[LayerValues]
) -> tuple[Section, ...]:
    """The output of every layer where that layer writes it; a later layer may overwrite it."""
    return tuple(layer_section(layer.index, _checks(device, layer, place, value.output))
                 for layer, place, value in zip(network.layers, placement.layers, values, strict=True))
