"""What the layers compute, as files beside the generated program."""

from collections.abc import Iterable, Sequence
from typing import Any

from numpy.typing import NDArray

from ..network import Network
from ..operations import Access, Section
from ..reference import LayerValues


def memory_files(outputs: Sequence[Section], name: str) -> dict[str, bytes]:
    """The expected words of every layer where it writes them: NAME-N.mem, and NAME.mem of the last (7.7)."""
    *inner, last = outputs
    files = {f"{name}-{n}.mem": memory(section.accesses()) for n, section in enumerate(inner)}
    return files | {f"{name}.mem": memory(last.accesses())}


def memory(accesses: Iterable[Access]) -> bytes:
    """Two lines per access, the address and the word. Bytes that no channel owns are 0: the format has no mask."""
    return "".join(f"@{2 * n:04x} {access.address:08x}\n@{2 * n + 1:04x} {access.value:08x}\n"
                   for n, access in enumerate(accesses)).encode()  # fmt: skip


def pooling_files(network: Network, values: Sequence[LayerValues]) -> dict[str, bytes]:
    """Of every layer with pooling: its input and its pooled input, as CSV."""
    files = {}
    for layer, value in zip(network.layers, values, strict=True):
        if layer.pool:
            files[f"pooling-{layer.index}-input.csv"] = _csv(value.input)
            files[f"pooling-{layer.index}-pooled.csv"] = _csv(value.pooled)
    return files


def _csv(data: NDArray[Any]) -> bytes:
    """A line for every channel and row of an image [C, H, W]."""
    lines = ["channel,row," + ",".join(f"column {n}" for n in range(data.shape[2]))]
    for channel, image in enumerate(data.tolist()):
        lines += [f"{channel},{row}," + ",".join(map(str, pixels)) for row, pixels in enumerate(image)]
    return ("\n".join(lines) + "\n").encode()
