"""One self-contained HTML page about a network: it needs no network access, and its bytes depend on its inputs only."""

from collections.abc import Collection, Iterable
from dataclasses import dataclass
from pathlib import Path

import jinja2

from ..emit.ctext import kernel_text, pooling_text
from ..estimate import Estimate, LayerEstimate, estimate, ratio
from ..network import Layer
from ..pipeline import Model
from ..placement import LayerPlace, set_bits
from ..rules import Rule, Subject
from ..yamlvalues import NETWORK_INPUT
from .histograms import Histogram, output_histogram, weight_histogram
from .maps import kernel_boxes, live_bytes, lives, panels, ranges_text
from .palette import layer_colour

PARTS = ("reading", "pooling", "convolving", "writing")


@dataclass(frozen=True)
class LayerRow:
    """What the page shows of a layer. `weight_bytes` are those of kernels, `data_bytes` what the output takes."""

    layer: Layer
    place: LayerPlace
    cost: LayerEstimate
    operation: str
    sources: str
    processors: str
    weight_bytes: int
    data_bytes: int
    weights: Histogram | None
    outputs: Histogram | None


@dataclass(frozen=True)
class Usage:
    """How much of a memory is used, and of how much."""

    name: str
    used: int
    capacity: int
    unit: str

    @property
    def percent(self) -> float:
        """The used part."""
        return 100 * self.used / self.capacity


def render(model: Model, rules: Iterable[Rule[Subject]], command: str) -> bytes:
    """The page; `rules` are those that were checked, `command` is what made it. Raises RuleError as programs do."""
    cost = estimate(model)
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(Path(__file__).parent / "templates"), undefined=jinja2.StrictUndefined,
        trim_blocks=True, lstrip_blocks=True, autoescape=True,
    )  # fmt: skip
    environment.filters.update(number=number, ratio=ratio, ranges=ranges_text)
    page = environment.get_template("report.html.j2").render(
        model=model, sample=Path(model.sample.path).name, cost=cost, command=command, rows=layer_rows(model, cost),
        parts=PARTS,
        usages=usages(model), colours={n: layer_colour(n) for n in range(NETWORK_INPUT, len(model.network.layers))},
        kernels=list(kernel_boxes(model.device, model.network, model.placement)),
        panels=panels(model.device, model.network, model.placement),
        rules=list(rules), broken={violation.rule for violation in model.warnings},
        checks=model.target.program_rules,
    )  # fmt: skip
    return page.encode()


def number(value: float, digits: int = 2) -> str:
    """A number with at most so many decimals and no trailing zeros."""
    return f"{value:.{digits}f}".rstrip("0").rstrip(".") if digits else f"{value:.0f}"


def layer_rows(model: Model, cost: Estimate) -> list[LayerRow]:
    """The layers in processing order; without trained weights there is nothing to count in histograms."""
    found = zip(model.network.layers, model.placement.layers, cost.layers, model.values, strict=True)
    return [
        LayerRow(
            layer, place, estimated, pooling_text(layer) + kernel_text(layer), _sources(layer),
            ranges_text(set_bits(place.processors)), (layer.weight.size * layer.weight_bits + 7) // 8,
            _output_bytes(model, layer.index), weight_histogram(layer) if layer.convolves else None,
            output_histogram(layer, values) if model.weights.trained else None,
        )
        for layer, place, estimated, values in found
    ]  # fmt: skip


def _sources(layer: Layer) -> str:
    """Where the input comes from, if that is not the layer before."""
    if layer.sources == (layer.index - 1,):
        return ""
    return ", ".join("network input" if source == NETWORK_INPUT else f"layer {source}" for source in layer.sources)


def _output_bytes(model: Model, index: int) -> int:
    (life,) = (life for life in lives(model.network, model.placement) if life.layer == index)
    return 4 * len(life.region.words) * len(life.region.instances)


def usages(model: Model) -> list[Usage]:
    """How full the memories are."""
    device, places = model.device, model.placement.layers
    columns = sum(len(place.columns) * place.processors.bit_count() for place in places if place.stored)
    found = lives(model.network, model.placement)
    peak = max(live_bytes(found, running) for running in range(len(places)))
    return [
        Usage("Mask RAM", columns, device.processors * device.mask_columns, "columns"),
        Usage("Fullest mask RAM", max(model.placement.columns_used.values(), default=0), device.mask_columns,
              "columns"),
        Usage("Bias RAM", _biases(places), device.groups * device.bias_entries, "entries"),
        Usage("Data memory, peak", peak, device.processors // 4 * device.instance_bytes, "bytes"),
    ]  # fmt: skip


def _biases(places: Collection[LayerPlace]) -> int:
    """Entries of bias RAM: equal ones of AI85, which are stored once, count once."""
    return len({(place.bias.group, place.bias.entry + n) for place in places if place.bias
                for n in range(place.bias.count)})  # fmt: skip
