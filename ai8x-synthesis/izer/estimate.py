"""Time and energy of a network before there is hardware: docs/estimate.md has the model and its errors."""

from dataclasses import dataclass

from .latency import Clocks
from .listing import count_operations
from .pipeline import Model, embedded_program

# What the sections of a program load, in the order of the table.
LOADED = {"weights": ("load_kernels",), "biases": ("load_bias",),
          "registers": ("cnn_init", "cnn_configure", "cnn_start"), "data": ("load_input",)}  # fmt: skip


@dataclass(frozen=True)
class OperatingPoint:
    """Clock of the accelerator in MHz, and supply in volts where it is documented."""

    megahertz: float
    volts: float | None = None

    def __str__(self) -> str:
        return f"{self.megahertz:g} MHz" + (f", {self.volts:g} V" if self.volts else "")


@dataclass(frozen=True)
class EnergyModel:
    """Energy of a multiply-accumulate and of a clock in picojoules at the supply `volts`; it grows with its square."""

    mac: float
    clock: float
    volts: float

    def microjoules(self, macs: int, clocks: int, volts: float) -> float:
        """Energy of so many multiply-accumulates in so many clocks at a supply of `volts`."""
        return (self.mac * macs + self.clock * clocks) * (volts / self.volts) ** 2 / 1e6


@dataclass(frozen=True)
class Figures:
    """What is documented of a device: clocks, energy (None: nothing), and nanoseconds in which the core writes a word.

    `bound` says whether a write takes at most so long.
    """

    points: tuple[OperatingPoint, ...]
    energy: EnergyModel | None
    write: float
    bound: bool


FIGURES = {
    84: Figures((OperatingPoint(35, 0.9), OperatingPoint(50, 1.1)), EnergyModel(1.5, 65, 0.9), 280, False),
    85: Figures((OperatingPoint(50),), None, 500, True),
}  # AI84: appendix D of the hardware reference, energy fitted to measurements; AI85: 9.1 and 16.3


@dataclass(frozen=True)
class LayerEstimate:
    """One layer: shapes [C, H, W] of input and output, multiply-accumulates with padding, clocks."""

    index: int
    name: str
    input: tuple[int, int, int]
    output: tuple[int, int, int]
    macs: int
    clocks: Clocks


@dataclass(frozen=True)
class Estimate:
    """The layers, the clocks before the first one, and the bus writes in which the core loads everything."""

    figures: Figures
    layers: tuple[LayerEstimate, ...]
    startup: int
    writes: dict[str, int]

    @property
    def clocks(self) -> int:
        """Clocks of an inference."""
        return self.startup + sum(layer.clocks.total for layer in self.layers)

    @property
    def macs(self) -> int:
        """Multiply-accumulates of an inference."""
        return sum(layer.macs for layer in self.layers)

    def energy(self, macs: int, clocks: int, point: OperatingPoint) -> float | None:
        """Microjoules of so many multiply-accumulates and clocks; None where nothing is documented."""
        if self.figures.energy is None or point.volts is None:
            return None
        return self.figures.energy.microjoules(macs, clocks, point.volts)


def estimate(model: Model) -> Estimate:
    """Time and energy of a network that may be generated. Raises RuleError if its program fails verification."""
    loaded = {section.name: sum(1 for _ in section.accesses()) for section in embedded_program(model).load}
    layers = zip(model.network.layers, model.layer_clocks, strict=True)
    return Estimate(
        FIGURES[model.device.number],
        tuple(LayerEstimate(layer.index, layer.name, (layer.in_channels, layer.height, layer.width),
                            model.network.delivered(layer.index), count_operations(layer).macc, clocks)
              for layer, clocks in layers),
        model.device.startup_clocks,
        {what: sum(loaded[name] for name in sections) for what, sections in LOADED.items()},
    )  # fmt: skip


def table(found: Estimate) -> str:
    """The estimate as text."""
    heading = ("", "layer", "input", "output", "MAC", "reading", "pooling", "convolving", "writing", "clocks",
               "MAC/clock")  # fmt: skip
    rows = [heading, *(_row(layer) for layer in found.layers), _total(found)]
    widths = [max(len(row[n]) for row in rows) for n in range(len(heading))]
    left = "<<" + ">" * (len(heading) - 2)
    lines = ["  ".join(f"{cell:{side}{width}}" for cell, side, width in zip(row, left, widths, strict=True))
             for row in rows]  # fmt: skip
    return "\n".join(["Estimated clocks of the accelerator", *lines, "", *_times(found), "", *_loading(found)]) + "\n"


def _row(layer: LayerEstimate) -> tuple[str, ...]:
    clocks = layer.clocks
    shapes = ("x".join(map(str, shape)) for shape in (layer.input, layer.output))
    parts = (layer.macs, clocks.reading, clocks.pooling, clocks.convolving, clocks.writing, clocks.total)
    return (str(layer.index), layer.name, *shapes, *(f"{part:,}" for part in parts), ratio(layer.macs, clocks.total))


def _total(found: Estimate) -> tuple[str, ...]:
    parts = (sum(getattr(layer.clocks, name) for layer in found.layers)
             for name in ("reading", "pooling", "convolving", "writing"))  # fmt: skip
    started = f"total, {found.startup} to start" if found.startup else "total"
    return ("", started, "", "", f"{found.macs:,}", *(f"{part:,}" for part in parts), f"{found.clocks:,}",
            ratio(found.macs, found.clocks))  # fmt: skip


def ratio(macs: int, clocks: int) -> str:
    """Multiply-accumulates for each clock."""
    return f"{macs / clocks:.1f}"


def _times(found: Estimate) -> list[str]:
    lines = []
    for point in found.figures.points:
        energy = found.energy(found.macs, found.clocks, point)
        shown = "energy unknown: nothing is documented" if energy is None else f"{energy:.3g} microjoules"
        lines.append(f"An inference at {point}: {found.clocks / point.megahertz / 1000:.3f} ms, {shown}")
    return lines


def _loading(found: Estimate) -> list[str]:
    most = "at most " if found.figures.bound else ""
    return ["Loaded by the core before, not included",
            *(f"{what:9}  {writes:>7,} writes  {most}{writes * found.figures.write / 1e6:.3f} ms"
              for what, writes in found.writes.items())]  # fmt: skip
