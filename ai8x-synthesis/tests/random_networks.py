"""Random networks that are legal by construction: every layer is chosen among what the device can do at that point.

The limits are written out here from the AI84 hardware reference (the numbers are its sections), so that a wrong rule or
placement of the generator is found. Sizes are drawn so that most networks are small and some reach a limit.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from itertools import pairwise
from random import Random

import hypothesis.strategies as st

from izer.ai84.layer_rules import POOLINGS
from izer.device import AI84, Device
from network_files import VALUES, DrawnLayer, DrawnNetwork

Pool = tuple[str, int, int]
NO_POOL: Pool = ("", 0, 1)


@dataclass(frozen=True)
class Space:
    """What is drawn from: the limits of a device, the largest side of an image, and whether layers may be joined."""

    device: Device
    max_side: int
    joins: bool


EVERYTHING = Space(AI84, AI84.max_counter, True)
CHAINS = Space(AI84, 127, False)  # what CMSIS-NN can express too (13.5)


@dataclass(frozen=True)
class Held:
    """What the next layer reads: who made it, its map of processors, its pixels, and the words that it occupies."""

    sources: tuple[int, ...]
    bitmap: int
    height: int
    width: int
    start: int
    words: int
    rectified: bool
    chw: bool = False

    @property
    def stop(self) -> int:
        """The first word behind it."""
        return self.start + self.words

    @property
    def quads(self) -> list[int]:
        """The data memory instances that hold it."""
        return [q for q in range(self.bitmap.bit_length() // 4 + 1) if self.bitmap >> 4 * q & 15]


@dataclass(frozen=True)
class Step:
    """What a layer makes of an image: operation, the size as which it is read, pooling, padding, size of the output."""

    op: str
    dims: tuple[int, int]
    pool: Pool
    pad: int
    height: int
    width: int

    @property
    def words(self) -> int:
        """The words of the output; with 4x4 pooling each row has two more (6.5)."""
        return self.height * (self.width + 2 * (self.pool[1] == 4))


@dataclass(frozen=True)
class State:
    """The layers so far, what they used up (mask RAM columns by processor, bias entries by group), what is held."""

    held: Held
    layers: tuple[DrawnLayer, ...] = ()
    columns: dict[int, int] = field(default_factory=dict)
    biases: dict[int, int] = field(default_factory=dict)


def bits(bitmap: int) -> list[int]:
    """Positions of the set bits."""
    return [n for n in range(bitmap.bit_length()) if bitmap >> n & 1]


def room(space: Space, state: State, bitmap: int) -> int:
    """Mask RAM columns that are free in all processors of a map, from a multiple of 4 on (4.3)."""
    used = max(state.columns.get(processor, 0) for processor in bits(bitmap))
    return space.device.mask_columns - (used + 3) // 4 * 4


def _mask_count(bitmap: int) -> int:
    """From lane 0 of the first used quad to the last used lane (4.3)."""
    return bitmap.bit_length() - bits(bitmap)[0] // 4 * 4


def bias_group(space: Space, state: State, processors: int) -> int:
    """The group whose bias RAM is the least filled, among those of the processors (5)."""
    groups = sorted({processor // space.device.group_processors for processor in bits(processors)})
    return min(groups, key=lambda group: state.biases.get(group, 0))


def convolutions(space: Space, dims: tuple[int, int], rectified: bool, last: bool) -> Iterator[Step]:
    """All legal 3x3 layers: pooling tiles the image, 4x4 only at the end (9.1), its average only after ReLU (1.3)."""
    kinds = [(kind, size, stride) for kind in ("max", "avg") for size, stride in POOLINGS]
    for pool in [NO_POOL, *kinds]:
        kind, size, stride = pool
        if size == 4 and not (last and (rectified or kind == "max")):
            continue
        if size and not all(side >= size and (side - size) % stride == 0 for side in dims):
            continue
        height, width = ((side - size) // stride + 1 if size else side for side in dims)
        for pad in range(space.device.max_pad + 1):
            if min(height, width) + 2 * pad >= 3 and max(dims) + 2 * pad <= space.max_side:
                yield Step("conv2d", dims, pool, pad, height + 2 * pad - 2, width + 2 * pad - 2)


def signals(space: Space, dims: tuple[int, int]) -> Iterator[Step]:
    """All legal one-dimensional layers: kernel 9, stride 3, on rows of three samples (12.6)."""
    rows, rest = divmod(dims[0] * dims[1], 3)
    for pad in (0, 3, 6):
        if not rest and 3 <= rows + 2 * pad // 3 <= space.max_side:
            yield Step("conv1d", dims, NO_POOL, pad, rows + 2 * pad // 3 - 2, 1)


def steps(space: Space, held: Held, dims: tuple[int, int], last: bool) -> list[Step]:
    """All legal layers whose output finds a place: beside what is held, or in instances that hold nothing."""
    found = [*convolutions(space, dims, held.rectified, last), *signals(space, dims)]
    capacity = space.device.instance_words
    beside = max(held.start, capacity - held.stop)
    limit = capacity if len(held.quads) < space.device.processors // 4 else beside
    return [step for step in found if step.words <= limit]


def continues(space: Space, state: State) -> bool:
    """Whether another layer is possible."""
    dims = (state.held.height, state.held.width)
    return room(space, state, state.held.bitmap) > 0 and bool(steps(space, state.held, dims, False))


def draw_bitmap(dice: Random, first: int, quads: int, lanes: int) -> int:
    """A map inside `quads` instances from `first` on of at most `lanes` in a row, all of them or not."""
    most = min(4 * quads, lanes)
    limit = min(most, dice.choice([1, 4, 4, 8, 12, 64]))
    span = limit if dice.randint(0, 3) == 0 else dice.randint(1, limit)
    base = 4 * dice.randint(first, first + quads - (span + 3) // 4)
    shape = dice.choice(["all", "tail", "gaps"])
    pattern = (1 << span) - 1
    if shape == "tail":
        pattern = pattern >> dice.randint(0, min(3, span - 1)) << dice.randint(0, min(3, span - 1)) & pattern
    if shape == "gaps":
        pattern = dice.randint(1, pattern)
    return (pattern or 1) << base


def free_runs(space: Space, held: Held) -> list[tuple[int, int]]:
    """First and number of all instances in a row that hold nothing."""
    taken = [-1, *held.quads, space.device.processors // 4]
    return [(a + 1, b - a - 1) for a, b in pairwise(taken) if b - a > 1]


def free_words(space: Space, held: Held, quads: range, words: int) -> list[tuple[int, int]]:
    """First and last word at which an output of so many words may begin in these instances (6.4)."""
    last = space.device.instance_words - words
    if not set(held.quads) & set(quads):
        return [(0, last)]
    return [(low, high) for low, high in ((0, held.start - words), (held.stop, last)) if low <= high]


def draw_start(dice: Random, ranges: list[tuple[int, int]]) -> int:
    """A word in one of the ranges, often the first or the last one."""
    low, high = dice.choice(ranges)
    return int(dice.choice([low, high, min(high, low + 64), dice.randint(low, high)]))


def quads_of(bitmap: int) -> range:
    """The instances that a layer writes: empty ones between used ones too (6.4)."""
    return range(bits(bitmap)[0] // 4, (bitmap.bit_length() + 3) // 4)


def widest(space: Space, state: State, step: Step) -> int:
    """How many masks a layer may have: large images have few, for the sake of time."""
    affordable = 64 if step.words <= 256 else 16 if step.words <= 1024 else 6
    return min(affordable, room(space, state, state.held.bitmap))


def used_maps(space: Space, state: State, step: Step, lanes: int) -> list[int]:
    """Maps of processors that already have kernels, where they can be the output map."""
    maps = {state.held.bitmap, *(layer.processors for layer in state.layers)}
    return [bitmap for bitmap in sorted(maps) if _mask_count(bitmap) <= lanes
            and free_words(space, state.held, quads_of(bitmap), step.words)]  # fmt: skip


def draw_outputs(dice: Random, space: Space, state: State, step: Step) -> int:
    """Output map of a layer: new, used before, or one that fills the mask RAM to its last column."""
    lanes, first, quads = widest(space, state, step), 0, space.device.processors // 4
    again = used_maps(space, state, step, lanes)
    if again and dice.randint(0, 2) == 0:
        return int(dice.choice(again))
    if not free_words(space, state.held, range(quads), step.words) or dice.randint(0, 3) == 0:
        first, quads = dice.choice(free_runs(space, state.held) or [(first, quads)])
    if lanes == room(space, state, state.held.bitmap) <= 4 * quads and dice.randint(0, 1) == 0:
        return ((1 << lanes) - 1) << 4 * dice.randint(first, first + quads - (lanes + 3) // 4)
    return draw_bitmap(dice, first, quads, lanes)


def add_layer(dice: Random, space: Space, state: State, step: Step, outputs: int, start: int) -> State:
    """The state after a layer; what is held stays."""
    held = state.held
    count, dims = _mask_count(outputs), (held.height, held.width)
    used = max(state.columns.get(processor, 0) for processor in bits(held.bitmap))
    end = (max(0, used - bits(outputs)[0] % 4) + 3) // 4 * 4 + count
    group = bias_group(space, state, held.bitmap)
    filled = state.biases.get(group, 0) + count
    bias = filled <= space.device.bias_entries and dice.randint(0, 3) == 0
    layer = DrawnLayer(
        step.op, held.sources, held.bitmap, 4 * held.start, step.dims if step.dims != dims else None, step.pool,
        step.pad, dice.randint(0, 1) == 0, bias, dice.choice([*VALUES[:3] * 3, *VALUES]), outputs, 4 * start,
        dice.randint(0, 3) == 0,
    )  # fmt: skip
    return replace(state, layers=(*state.layers, layer),
                   columns=state.columns | dict.fromkeys(bits(held.bitmap), end),
                   biases=state.biases | ({group: filled} if bias else {}))  # fmt: skip


def written(state: State, step: Step, start: int, parts: int = 1) -> Held:
    """What the last layers hold together, channel after channel."""
    layers, count = state.layers[-parts:], len(state.layers)
    return Held(tuple(range(count - parts, count)), sum(layer.outputs for layer in layers), step.height, step.width,
                start, step.words, all(layer.relu for layer in layers))  # fmt: skip


def draw_step(dice: Random, space: Space, held: Held, last: bool) -> Step:
    """A legal layer; now and then the image is read with other rows and columns, in order (11.3)."""
    dims, pixels = (held.height, held.width), held.height * held.width
    if dice.randint(0, 7) == 0:
        width = dice.choice([n for n in range(1, pixels + 1) if pixels % n == 0])
        found = steps(space, held, (pixels // width, width), last)
        if found:
            return dice.choice(found)
    found = steps(space, held, dims, last)
    flat = [step for step in found if step.op == "conv1d"]
    quartered = [step for step in found if step.pool[1] == 4]
    even = [step for step in found if step.height % 4 == step.width % 4 == 0]  # for 4x4 pooling later
    chosen = dice.choice([flat, quartered, even if not last else quartered, found])
    return dice.choice(chosen or found)


def draw_layer(dice: Random, space: Space, state: State, last: bool) -> State:
    """One more layer, which reads what is held."""
    step = draw_step(dice, space, state.held, last)
    outputs = draw_outputs(dice, space, state, step)
    start = draw_start(dice, free_words(space, state.held, quads_of(outputs), step.words))
    state = add_layer(dice, space, state, step, outputs, start)
    return replace(state, held=written(state, step, start))


def draw_fork(dice: Random, space: Space, state: State) -> State | None:
    """Two layers that read the same and are read together; None where that finds no place.

    The second one writes above the first one: channels are joined in the order of processors, in whole words (6.4).
    """
    held, quads = state.held, space.device.processors // 4
    found = [step for step in steps(space, held, (held.height, held.width), False) if step.words <= 1024]
    ranges = free_words(space, held, range(quads), found[0].words) if found else []
    lanes = room(space, state, held.bitmap) // 8 * 4
    if held.chw or not ranges or not lanes:
        return None
    alike = [step for step in found if (step.height, step.width) == (found[0].height, found[0].width)]
    border, start = dice.randint(1, quads - 1), draw_start(dice, ranges)
    for first, count in ((0, border), (border, quads - border)):
        outputs = draw_bitmap(dice, first, count, lanes)
        state = add_layer(dice, space, state, dice.choice(alike), outputs, start)
    return replace(state, held=written(state, found[0], start, parts=2))


def draw_dense(dice: Random, space: Space, state: State) -> State | None:
    """A layer that is read together with what it read itself; None where that finds no place."""
    held, top = state.held, quads_of(state.held.bitmap).stop
    same = Step("conv2d", (held.height, held.width), NO_POOL, 1, held.height, held.width)
    lanes = widest(space, state, same)
    if held.chw or top == space.device.processors // 4 or lanes < 1 or max(same.dims) + 2 > space.max_side:
        return None
    outputs = draw_bitmap(dice, top, space.device.processors // 4 - top, lanes)
    state = add_layer(dice, space, state, same, outputs, held.start)
    made = written(state, same, held.start)
    return replace(state, held=replace(made, sources=(*held.sources, *made.sources), bitmap=held.bitmap | outputs,
                                       rectified=held.rectified and made.rectified))  # fmt: skip


def draw_join(dice: Random, space: Space, state: State) -> State | None:
    """A fork or a dense block after which another layer is possible."""
    joined = dice.choice([draw_fork, draw_dense])(dice, space, state)
    return joined if joined and continues(space, joined) else None


SIDES = {"tiny": (1, 8), "small": (1, 14), "medium": (8, 28), "wide": (14, 40)}
KINDS = ["tiny", "small", "small", "small", "medium", "square", "square", "rows", "columns", "signal", "signal", "wide",
         "largest"]  # fmt: skip


def draw_size(dice: Random, space: Space, chw: bool) -> tuple[int, int]:
    """Rows and columns of the network input; even where only pooling makes the output fit."""
    kind, longest = dice.choice(KINDS), space.max_side - 2
    if kind == "signal":
        return 3 * dice.randint(1, dice.choice([12, longest // 3])), 1
    if kind == "square":  # 4x4 pooling makes 4x4 outputs of these, with padding 2, 1, 1 and 0
        return (dice.choice([8, 16, 16, 24]),) * 2
    if kind in ("rows", "columns"):
        sides = dice.randint(1, longest), dice.randint(1, 2)
        return sides if kind == "rows" else sides[::-1]
    if kind in SIDES:
        low, high = SIDES[kind]
        height, width = dice.randint(low, high), dice.randint(low, high)
        return (height, width) if dice.randint(0, 1) == 0 else ((height + 3) // 4 * 4, (width + 3) // 4 * 4)  # for 4x4
    if not chw:
        return dice.choice([(64, 64), (60, 68), (32, 120), (63, 64)])
    most = longest // 2 if longest < 128 else 64
    return 2 * dice.randint(33, most), 2 * dice.choice([most, dice.randint(33, most)])


def draw_input(dice: Random, space: Space) -> State:
    """The network input: CHW has one processor per instance, in lane 0 (6.2); at least one layer is possible."""
    chw = dice.randint(0, 1) == 0
    height, width = draw_size(dice, space, chw)
    words = (height * width + 3) // 4 if chw else height * width
    quads = space.device.processors // 4
    bitmap = draw_bitmap(dice, 0, quads, 64 if words <= 256 else 16)
    if chw:
        bitmap = sum(1 << 4 * q for q in bits(draw_bitmap(dice, 0, quads // 4, quads)))
    start = draw_start(dice, [(0, space.device.instance_words - words)])
    held = Held((-1,), bitmap, height, width, start, words, False, chw)
    if not continues(space, State(held)):
        held = replace(held, bitmap=1)  # the output goes to another instance
    return State(held)


def use_group_0(state: State, group_processors: int) -> State:
    """Group 0 must take part (9.1): if it does not, the last layer writes there, where nothing is in its way."""
    *before, last = state.layers
    union = state.held.bitmap
    for layer in state.layers:
        union |= layer.processors | layer.outputs
    if union & (1 << group_processors) - 1:
        return state
    channels = min(last.outputs.bit_count(), group_processors)
    return replace(state, layers=(*before, replace(last, outputs=(1 << channels) - 1)))


def draw_layers(dice: Random, space: Space, state: State) -> State:
    """Layers until their number is reached, or nothing fits any more."""
    count = dice.choice([1, 1, 1, 2, 2, 2, 3, 3, 3, 4, 5, 6, 9, space.device.max_layers])
    while len(state.layers) < count and (len(state.held.sources) > 1 or continues(space, state)):
        left = count - len(state.layers)
        joined = draw_join(dice, space, state) if space.joins and left > 2 and dice.randint(0, 3) == 0 else None
        state = joined or draw_layer(dice, space, state, left == 1)
    return use_group_0(state, space.device.group_processors)


def random_network(dice: Random, space: Space) -> DrawnNetwork:
    """A network of 1 to 32 layers and 1 to 64 channels."""
    first = draw_input(dice, space)
    state = draw_layers(dice, space, first)
    outputs = state.layers[-1].outputs.bit_count() * state.held.height * state.held.width
    classes = dice.choice([0, 0, 1, 5, 10]) if outputs <= 1000 else 0
    return DrawnNetwork(
        state.layers, "chw" if first.held.chw else "hwc", first.held.height, first.held.width,
        dice.choice(["large", "large", "large", "lowest", "highest"]), classes, dice.randint(0, 1) == 0, outputs,
        dice.randint(0, 2**32 - 1),
    )  # fmt: skip


def random_networks(space: Space = CHAINS) -> st.SearchStrategy[DrawnNetwork]:
    """Such networks as hypothesis draws them, and makes them smaller where a test fails."""
    return st.builds(random_network, st.randoms(use_true_random=False), st.just(space))
