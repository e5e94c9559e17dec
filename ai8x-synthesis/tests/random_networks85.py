"""Random networks that AI85 can run, legal by construction: every layer is chosen among what is possible at that point.

The limits are written out here from the AI85 hardware reference (the numbers are its sections), so that a wrong rule or
placement of the generator is found. Most networks are small, some reach a limit.
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from random import Random

from allocation85 import COLUMNS, biases_fit, bits, columns_fit, needed
from network_files85 import VALUES, DrawnLayer85, DrawnNetwork85, Shape, passes, per_pass
from random_shapes85 import SIDE, TRIES, WORDS, Held, draw_shape, possible

EFFORT = 1 << 22  # products of a layer, for the sake of time


@dataclass(frozen=True)
class State:
    """The network input, the layers so far, and what is held."""

    given: Held
    held: Held
    layers: tuple[DrawnLayer85, ...] = ()


def draw_channels(dice: Random, held: Held, shape: Shape, most: int) -> int:
    """Output channels: few, many, or so many that there are several passes (1.5)."""
    if shape.op == "none":
        return held.channels
    count = dice.choice([dice.randint(1, 4), dice.randint(1, 16), dice.randint(1, 16), dice.randint(1, 64), 64,
                         dice.randint(65, 256), dice.choice([128, 200, 512, 1024]), held.channels,
                         768 // passes(held.channels)])  # fmt: skip
    pixels = shape.out[0] * shape.out[1]
    effort = pixels * held.channels * (shape.kernel[0] * shape.kernel[1] if not shape.flatten else
                                       shape.dims[0] * shape.dims[1])  # fmt: skip
    fitting = 64 * max(1, WORDS // sum(shape.written))
    return max(1, min(count, most, EFFORT // effort if effort else count, fitting))


def free_words(held: Held, instances: range, words: int) -> list[tuple[int, int]]:
    """First and last word at which an output of so many words may begin in these instances (10.4)."""
    last = WORDS - words
    if not held.instances & set(instances):
        return [(0, last)] if last >= 0 else []
    return [(low, high) for low, high in ((0, held.start - words), (held.stop, last)) if low <= high]


def draw_word(dice: Random, ranges: list[tuple[int, int]]) -> int:
    """A word in one of the ranges, often the first or the last one."""
    low, high = dice.choice(ranges)
    return int(dice.choice([low, low, high, min(high, low + 64), dice.randint(low, high)]))


def packed_map(dice: Random, bitmap: int) -> int:
    """Output map of a layer without weights: in every quadrant as many bits, from a multiple of 4 on (4.3.5, 7.5)."""
    result = 0
    for quadrant in range(4):
        count = (bitmap >> 16 * quadrant & 0xFFFF).bit_count()
        result |= (1 << count) - 1 << 16 * quadrant + 4 * dice.randint(0, (16 - count) // 4)
    return result


def spread_map(dice: Random, count: int) -> int:
    """A map whose bits have the same distance in every quadrant (4.5.3)."""
    first, step = dice.randint(0, 15), dice.randint(2, 5)
    if dice.randint(0, 1) and count > 1:  # neighbours in two quadrants
        low = dice.randint(1, min(count - 1, 16)) if count - 1 <= 16 else 16
        return (1 << low) - 1 | ((1 << count - low) - 1) << 16 * dice.randint(1, 3)
    return sum(1 << first + step * n for n in range(count))


def draw_map(dice: Random, held: Held, shape: Shape, channels: int, plain: bool, within: range) -> int | None:
    """Output map of a layer, `plain` if it must begin at a multiple of 4 and have no holes (5.6); None if none fits."""
    if shape.op == "none":
        return packed_map(dice, held.bitmap)
    count = per_pass(channels)
    quads = (count + 3) // 4
    lowest = bits(held.bitmap)[0]
    if lowest % 4 == 0 and held.bitmap == (1 << count) - 1 << lowest and dice.randint(0, 1):
        return held.bitmap
    if quads > len(within):
        return None
    first = 4 * dice.choice([within[0], dice.randint(within[0], within[-1] + 1 - quads)])
    ragged = not plain and channels <= 64 and not shape.flatten
    if ragged and dice.randint(0, 2) == 0:
        first = min(first + dice.randint(1, 3), 4 * within[-1] + 4 - count)
    if ragged and shape.kernel == (3, 3) and held.channels <= 64 and dice.randint(0, 2) == 0:
        spread = spread_map(dice, count)
        return spread if spread.bit_length() <= 64 else None
    return ((1 << count) - 1) << first


def draw_bits(dice: Random, held: Held, channels: int) -> int:
    """Width of the weights; narrow ones want full input passes, and output passes of whole bytes (5.3, 5.5)."""
    narrow = held.channels % per_pass(held.channels) == 0
    together = [q for q in (1, 2, 4) if channels <= 64 or per_pass(channels) % (8 // q) == 0]
    return dice.choice([8, 8, *(together if narrow else [])])


def draw_layer(dice: Random, state: State, shape: Shape, most: int, within: range = range(16)) -> DrawnLayer85 | None:
    """A layer of a shape with everything but its place in the words of the memory; None where it does not fit."""
    held, weighted = state.held, shape.op != "none"
    channels = draw_channels(dice, held, shape, most)
    width = draw_bits(dice, held, channels) if weighted else 8
    bias = dice.choice([*[""] * 2, *VALUES]) if weighted and channels <= 512 else ""
    outputs = draw_map(dice, held, shape, channels, width < 8 or bool(bias), within)
    if bias and outputs and width == 8 and channels <= 64 and not shape.flatten and dice.randint(0, 3) == 0:
        outputs = min(outputs << dice.randint(0, 3), ((1 << channels) - 1) << 64 - channels)  # unaligned, with bias
    if outputs is None:
        return None
    shift = dice.choice([0, 0, 0, *[dice.randint(-6, 3)] * 4, dice.randint(-15, 15), -15, 15])
    layer = DrawnLayer85(
        shape, held.sources, held.channels, held.bitmap, held.start, shape.dims != (held.height, held.width), channels,
        outputs, 0, dice.choice(["", "relu", "ReLU", "Abs"]) if weighted and not shape.wide else "", width, shift,
        bias, (), dice.choice([*["small", "large"] * 4, "lowest", "highest"]),
        dice.choice([0, 2, dice.randint(0, 2**31)]), dice.randint(0, 3) == 0, dice.randint(0, 3) == 0,
    )  # fmt: skip
    return layer if not weighted or max(needed(layer)[1], default=COLUMNS) < COLUMNS else None


def again(dice: Random, state: State) -> DrawnLayer85 | None:
    """A layer with the weights of an earlier one, where one read the same processors (4.3.7)."""
    held = state.held
    found = [layer for layer in state.layers if layer.weighted and not layer.shape.flatten and not layer.reshaped
             and (layer.processors, layer.channels) == (held.bitmap, held.channels)]  # fmt: skip
    if not found or dice.randint(0, 1):
        return None
    layer = dice.choice(found)
    shape = replace(layer.shape, dims=(held.height, held.width), pool=("", (1, 1), 1))
    return replace(layer, shape=shape, sources=held.sources, in_word=held.start) if possible(held, shape) else None


def placed(dice: Random, state: State, layer: DrawnLayer85 | None, ranges: list[tuple[int, int]] | None = None
           ) -> DrawnLayer85 | None:  # fmt: skip
    """The layer with a place for its output; None where there is none."""
    if layer is None:
        return None
    ahead, total = layer.out_word - layer.words.start, len(layer.words)
    found = ranges if ranges is not None else free_words(state.held, layer.instances, total)
    return replace(layer, out_word=draw_word(dice, found) + ahead) if found else None


def made(state: State, parts: int = 1) -> Held:
    """What the last layers hold together, channel after channel."""
    layers, count = state.layers[-parts:], len(state.layers)
    height, width = layers[0].shape.out
    return Held(tuple(range(count - parts, count)), sum(layer.out_channels for layer in layers),
                sum(layer.outputs for layer in layers), height, width, layers[0].out_word)  # fmt: skip


def add_layer(dice: Random, state: State, last: bool) -> State | None:
    """One more layer, which reads what is held; None where none is found."""
    most = 1024 if dice.randint(0, 3) == 0 else 64
    for _ in range(TRIES):
        shape = draw_shape(dice, state.held, last)
        drawn = draw_layer(dice, state, shape, most) if shape else None
        layer = placed(dice, state, again(dice, state) or drawn)
        if layer and (not layer.reshaped or dice.randint(0, 1)):
            state = replace(state, layers=(*state.layers, layer))
            return replace(state, held=made(state))
    return None


def add_fork(dice: Random, state: State) -> State | None:
    """Two layers that read the same and are read together, at most 64 channels; None where that finds no place.

    The second one writes above the first one: channels are joined in the order of processors.
    """
    held, border = state.held, dice.randint(1, 15)
    shape = draw_shape(dice, held, False)
    if held.chw or shape is None or shape.op == "none" or shape.long:
        return None
    parts = [draw_layer(dice, state, shape, 32, within) for within in (range(border), range(border, 16))]
    if None in parts or parts[0].outputs.bit_length() > 4 * border or parts[1].outputs.bit_length() > 64:
        return None
    if min(parts[1].instances) <= max(parts[0].instances):
        return None
    words = [free_words(held, part.instances, len(part.words)) for part in parts]
    common = [(low, high) for low, high in words[0] if (low, high) in words[1]]
    if not common:
        return None
    first = placed(dice, state, parts[0], common)
    state = replace(state, layers=(*state.layers, first, replace(parts[1], out_word=first.out_word)))
    return replace(state, held=made(state, 2))


def add_dense(dice: Random, state: State) -> State | None:
    """A layer that is read together with what it read itself; None where that finds no place."""
    held, top = state.held, max(state.held.instances) + 1
    if held.chw or top == 16 or held.channels > 60 or max(held.height, held.width) > SIDE - 2:
        return None
    side = dice.choice([1, 3])
    same = Shape("conv2d", (held.height, held.width), (side, side), pad=side // 2)
    layer = draw_layer(dice, state, same, 64 - held.channels, range(top, 16))
    if layer is None or min(layer.instances) < top:
        return None
    state = replace(state, layers=(*state.layers, replace(layer, out_word=held.start)))
    now = made(state)
    return replace(state, held=replace(now, sources=(*held.sources, *now.sources), bitmap=held.bitmap | now.bitmap,
                                       channels=held.channels + now.channels))  # fmt: skip


def draw_size(dice: Random, most: int) -> tuple[int, int]:
    """Rows and columns of an input of at most so many pixels."""
    kind = dice.choice([*["tiny", "small", "column"] * 2, "small", "medium", "row", "wide", "any", "full"])
    if kind == "full":
        height = min(most, 1 << dice.randint(2, 9))
        return height, min(SIDE, most // height)
    if kind in ("column", "row"):
        sides = dice.randint(1, min(most, SIDE, dice.choice([12, 40, SIDE]))), dice.choice([1, 1, 2])
        sides = sides if sides[0] * sides[1] <= most else (sides[0], 1)
        return sides if kind == "column" else sides[::-1]
    largest = {"tiny": 4, "small": 14, "medium": 28, "wide": 60}.get(kind, SIDE)
    height = dice.randint(1, min(largest, most))
    limit = min(largest, most // height, SIDE)
    return height, limit if kind == "any" else dice.randint(1, limit)


def draw_input(dice: Random) -> Held:
    """The network input: CHW has one processor per instance (7.2), HWC may have several passes."""
    if dice.randint(0, 2) == 0:
        channels = dice.choice([1, 1, 3, dice.randint(1, 16)])
        height, width = draw_size(dice, 4 * WORDS)
        bitmap = sum(1 << 4 * q + dice.choice([0, 0, dice.randint(0, 3)]) for q in dice.sample(range(16), channels))
        held = Held((-1,), channels, bitmap, height, width, 0, True)
    else:
        channels = dice.choice([1, 3, dice.randint(1, 16), dice.randint(1, 64), 64, dice.randint(65, 256),
                                dice.choice([128, 512, 1024, 1000])])  # fmt: skip
        height, width = draw_size(dice, min(WORDS, 1 << 17 if channels < 4 else 1 << 15) // passes(channels))
        count = per_pass(channels)
        spread = sum(1 << n for n in dice.sample(range(64), count))
        run = ((1 << count) - 1) << dice.randint(0, 64 - count)
        held = Held((-1,), channels, dice.choice([spread, run, (1 << count) - 1]), height, width, 0)
    return replace(held, start=draw_word(dice, [(0, WORDS - held.words)]))


def draw_layers(dice: Random) -> State:
    """An input, and layers until their number is reached, or nothing fits any more."""
    given = draw_input(dice)
    state = State(given, given)
    count = dice.choice([1, 1, 1, 2, 2, 2, 3, 3, 3, 4, 5, 6, 9, 32])
    while len(state.layers) < count:
        left = count - len(state.layers)
        join = dice.choice([add_fork, add_dense]) if left > 2 and dice.randint(0, 3) == 0 else None
        joined = join(dice, state) if join and state.held.channels <= 64 and len(state.held.sources) == 1 else None
        grown = joined or add_layer(dice, state, left == 1)
        if grown is None:
            break
        state = grown
    return state


def unread(state: State) -> bool:
    """Whether an output other than the last is read by no layer."""
    return len(state.layers) - 1 not in state.held.sources or len(state.held.sources) > 1


def groups_used(layers: tuple[DrawnLayer85, ...]) -> list[int]:
    """The quadrants that take part (4.4)."""
    maps = [layer.processors for layer in layers] + [layers[-1].outputs]
    return sorted({bit // 16 for bitmap in maps for bit in bits(bitmap)})


def with_bias_groups(dice: Random, layers: tuple[DrawnLayer85, ...]) -> Iterator[DrawnLayer85]:
    """The layers, some of whose biases are only allowed in some quadrants (6)."""
    used = groups_used(layers)
    for layer in layers:
        chosen = dice.sample(used, dice.randint(1, len(used))) if layer.bias and dice.randint(0, 2) == 0 else ()
        yield replace(layer, bias_group=tuple(chosen))


def draw_network(dice: Random) -> DrawnNetwork85 | None:
    """A network; None where it is not complete, or its weights, biases or quadrants do not fit."""
    state = draw_layers(dice)
    if not state.layers or unread(state) or 0 not in groups_used(state.layers):
        return None
    layers = tuple(with_bias_groups(dice, state.layers))
    given = state.given
    network = DrawnNetwork85(
        layers, "chw" if given.chw else "hwc", (given.channels, given.height, given.width),
        dice.choice(["large", "large", "small", "lowest", "highest"]), dice.randint(0, 2**31),
        dice.randint(0, 3) == 0, dice.randint(0, 3) > 0, dice.choice(["packed", "packed", "packed", "verify", "rtl"]),
    )  # fmt: skip
    fits = columns_fit(network) and biases_fit(network, groups_used(layers))
    return network if fits else None


def random_network(dice: Random) -> DrawnNetwork85:
    """A network of 1 to 32 layers."""
    while True:
        network = draw_network(dice)
        if network:
            return network
