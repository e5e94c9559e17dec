"""The development flow as the user sees it, and the steps inside the generator."""

from drawing import FAINT, FILE, HARDWARE, REFERENCE, SMALL, TOOL, WIDTH, Colour, arrow, box, card, cell, label
from matplotlib.axes import Axes
from matplotlib.patches import Rectangle

LEFT, MIDDLE, RIGHT = 72.0, 210.0, 348.0
BOX_WIDTH, BOX_HEIGHT = 114.0, 38.0


def node(axes: Axes, x: float, y: float, colour: Colour, heading: str, detail: str = "") -> None:
    """A box of the usual size with its centre at (x, y)."""
    box(axes, x - BOX_WIDTH / 2, y - BOX_HEIGHT / 2, BOX_WIDTH, BOX_HEIGHT, colour, heading, detail,
        rounded=1 if colour is FILE else 5)


def down(axes: Axes, x: float, y: float, target: float) -> None:
    """An arrow from the box at y to the box at `target` below (or above) it."""
    half = BOX_HEIGHT / 2 if target > y else -BOX_HEIGHT / 2
    arrow(axes, (x, y + half), (x, target - half))


def across(axes: Axes, start: float, end: float, y: float) -> None:
    """An arrow between neighbouring boxes of one row."""
    half = BOX_WIDTH / 2 if end > start else -BOX_WIDTH / 2
    arrow(axes, (start + half, y), (end - half, y))


def elbow(axes: Axes, x: float, y: float, target_x: float, target_y: float, level: float) -> None:
    """An arrow from the box at (x, y) down to `level`, sideways and down to the box at the target."""
    arrow(axes, (x, y + BOX_HEIGHT / 2), (x, level), (target_x, level), (target_x, target_y - BOX_HEIGHT / 2))


def band(axes: Axes, top: float, bottom: float, name: str, name_at: float) -> None:
    """The area of a product or package, with its name on the left at y = `name_at`."""
    axes.add_patch(Rectangle((8, top), WIDTH - 16, bottom - top, facecolor="#f0f2f4", edgecolor="none"))
    label(axes, 15, name_at, name, size=SMALL, style="bold", colour=FAINT, align="left")


def legend(axes: Axes, y: float) -> None:
    """What the colours mean."""
    for x, colour, name in ((22, FILE, "file"), (96, TOOL, "tool or step"), (200, REFERENCE, "integer reference"),
                            (322, HARDWARE, "hardware")):
        cell(axes, x, y - 5, 14, 10, colour)
        label(axes, x + 20, y, name, size=SMALL, align="left")


def draw_flow() -> Axes:
    """From a data set to firmware that was run."""
    axes = card(494, "From images to verified firmware")
    band(axes, 36, 108, "ai8x-training", 46)
    band(axes, 116, 460, "ai8x-synthesis", 126)
    draw_training(axes, 76, 158)
    draw_generation(axes, 158, 228, 298)
    draw_runs(axes, 298, 368, 434)
    legend(axes, 477)
    return axes


def draw_training(axes: Axes, training: float, quantizing: float) -> None:
    """Data set to float and quantized checkpoint."""
    node(axes, LEFT, training, FILE, "data set", "images, classes")
    node(axes, MIDDLE, training, TOOL, "train.py", "PyTorch")
    node(axes, RIGHT, training, FILE, "checkpoint", "float weights")
    node(axes, LEFT, quantizing, FILE, "sample", "one test image")
    node(axes, MIDDLE, quantizing, FILE, "checkpoint", "8-bit integers")
    node(axes, RIGHT, quantizing, TOOL, "ai84ize.py", "quantizes")
    across(axes, LEFT, MIDDLE, training)
    across(axes, MIDDLE, RIGHT, training)
    down(axes, RIGHT, training, quantizing)
    down(axes, LEFT + 34, training, quantizing)
    across(axes, RIGHT, MIDDLE, quantizing)
    down(axes, MIDDLE, quantizing, training)
    label(axes, MIDDLE + 6, 126, "evaluate -8", size=SMALL, align="left")


def draw_generation(axes: Axes, quantizing: float, generating: float, output: float) -> None:
    """Checkpoint, description and sample to C code with the known answer."""
    node(axes, LEFT, generating, FILE, "network YAML", "what lies where")
    node(axes, MIDDLE, generating, TOOL, "cnn-gen.py", "checks, generates")
    node(axes, RIGHT, generating, REFERENCE, "integer reference", "computes the sample")
    node(axes, LEFT, output, FILE, "RTL test", "test.c")
    node(axes, MIDDLE, output, FILE, "C demo", "main.c, weights.h")
    node(axes, RIGHT, output, REFERENCE, "known answer", "every output byte")
    elbow(axes, LEFT, quantizing, MIDDLE - 34, generating, (quantizing + generating) / 2)
    down(axes, MIDDLE, quantizing, generating)
    across(axes, LEFT, MIDDLE, generating)
    across(axes, MIDDLE, RIGHT, generating)
    down(axes, RIGHT, generating, output)
    across(axes, RIGHT, MIDDLE, output)
    down(axes, MIDDLE, generating, output)
    elbow(axes, MIDDLE - 34, generating, LEFT, output, (generating + output) / 2)


def draw_runs(axes: Axes, output: float, running: float, result: float) -> None:
    """Where the generated code runs."""
    node(axes, LEFT, running, HARDWARE, "RTL simulation", "not part of this")
    node(axes, MIDDLE, running, TOOL, "cnn-run.py", "emulated chip")
    node(axes, RIGHT, running, HARDWARE, "AI84", "the chip itself")
    node(axes, MIDDLE, result, FILE, "PASS or FAIL", "class, probability")
    down(axes, LEFT, output, running)
    down(axes, MIDDLE, output, running)
    elbow(axes, LEFT + 34, output, MIDDLE - 34, running, (output + running) / 2)
    elbow(axes, MIDDLE + 34, output, RIGHT, running, (output + running) / 2)
    down(axes, MIDDLE, running, result)


def draw_pipeline() -> Axes:
    """The steps of cnn-gen.py and what runs its output."""
    axes = card(666, "Inside cnn-gen.py")
    rows = (62 + 60 * row for row in range(10))
    files, reading, network, placement, rules, lowering, values, emitting, output, running = rows
    band(axes, reading - 32, emitting + 26, "izer/", network)
    draw_reading(axes, files, reading, network)
    draw_checking(axes, network, placement, rules)
    draw_lowering(axes, reading, rules, lowering, values)
    draw_output(axes, values, emitting, output, running)
    legend(axes, 648)
    return axes


def draw_reading(axes: Axes, files: float, reading: float, network: float) -> None:
    """Three files become the network."""
    for x, name, step, detail in ((LEFT, "network YAML", "yamlcfg", "lines of all keys"),
                                  (MIDDLE, "checkpoint", "checkpoint", "integer weights"),
                                  (RIGHT, "sample", "sampledata", "integers [C, H, W]")):
        node(axes, x, files, FILE, name)
        node(axes, x, reading, TOOL, step, detail)
        down(axes, x, files, reading)
    node(axes, MIDDLE, network, TOOL, "network", "layers and shapes")
    down(axes, MIDDLE, reading, network)
    arrow(axes, (LEFT, reading + BOX_HEIGHT / 2), (LEFT, network), (MIDDLE - BOX_WIDTH / 2, network))
    arrow(axes, (RIGHT - 30, reading + BOX_HEIGHT / 2), (RIGHT - 30, network), (MIDDLE + BOX_WIDTH / 2, network))


def draw_checking(axes: Axes, network: float, placement: float, rules: float) -> None:
    """The network is placed; then network and placement are checked together."""
    node(axes, MIDDLE, placement, TOOL, "placement", "columns, biases")
    node(axes, MIDDLE, rules, TOOL, "rules", "what AI84 allows")
    down(axes, MIDDLE, network, placement)
    down(axes, MIDDLE, placement, rules)
    arrow(axes, (MIDDLE - BOX_WIDTH / 2, rules), (LEFT + 48, rules))
    label(axes, LEFT + 44, rules - 6, "all violations", size=SMALL, align="right")
    label(axes, LEFT + 44, rules + 6, "in one report", size=SMALL, align="right")


def draw_lowering(axes: Axes, reading: float, rules: float, lowering: float, values: float) -> None:
    """Left what the chip is told, right what it must answer."""
    node(axes, LEFT, lowering, TOOL, "registers", "layer by layer")
    node(axes, RIGHT, lowering, REFERENCE, "reference", "integer arithmetic")
    node(axes, LEFT, values, TOOL, "program", "bus operations")
    node(axes, RIGHT, values, REFERENCE, "known answer", "every output byte")
    level = (rules + lowering) / 2
    elbow(axes, MIDDLE - 20, rules, LEFT, lowering, level)
    elbow(axes, MIDDLE + 20, rules, RIGHT - 30, lowering, level)
    arrow(axes, (RIGHT + 30, reading + BOX_HEIGHT / 2), (RIGHT + 30, lowering - BOX_HEIGHT / 2))
    down(axes, LEFT, lowering, values)
    down(axes, RIGHT, lowering, values)
    arrow(axes, (RIGHT - BOX_WIDTH / 2, values), (LEFT + BOX_WIDTH / 2, values))
    label(axes, MIDDLE, values - 8, "checks", size=SMALL)


def draw_output(axes: Axes, values: float, emitting: float, output: float, running: float) -> None:
    """The program is printed, or executed: by tests directly, by compiled firmware on the emulated processor."""
    node(axes, MIDDLE, emitting, TOOL, "emit", "prints the program")
    node(axes, MIDDLE, output, FILE, "C demo")
    node(axes, RIGHT, output, FILE, "RTL test")
    node(axes, LEFT, running, HARDWARE, "chip model", "register level, in C")
    node(axes, MIDDLE, running, TOOL, "cnn-run.py", "emulated Cortex-M4")
    elbow(axes, LEFT + 30, values, MIDDLE, emitting, (values + emitting) / 2)
    down(axes, MIDDLE, emitting, output)
    elbow(axes, MIDDLE + 34, emitting, RIGHT, output, (emitting + output) / 2 + 4)
    down(axes, MIDDLE, output, running)
    arrow(axes, (RIGHT, output + BOX_HEIGHT / 2), (RIGHT, running), (MIDDLE + BOX_WIDTH / 2, running))
    across(axes, MIDDLE, LEFT, running)
    label(axes, (LEFT + MIDDLE) / 2, running - 9, "bus", size=SMALL)
    arrow(axes, (LEFT - 20, values + BOX_HEIGHT / 2), (LEFT - 20, running - BOX_HEIGHT / 2), dashed=True)
    label(axes, LEFT - 14, output - 6, "tests run the", size=SMALL, align="left")
    label(axes, LEFT - 14, output + 6, "program directly", size=SMALL, align="left")
