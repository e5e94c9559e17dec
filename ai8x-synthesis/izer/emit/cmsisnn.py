"""A network as C source that runs in software, with Arm's CMSIS-NN (AI84 hardware reference 13)."""

from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from ..arena import LayerBuffers, Plan, plan
from ..checkpoint import LayerWeights
from ..network import Layer, Network
from ..sampledata import Sample
from .ctext import decimals, environment, network_summary
from .demofolder import Ending, Names, answer_defines, define_file, fc_defines, manifest, npy, runtime_files

FAST_INPUTS, FAST_OUTPUTS = 4, 2  # channels are multiples of these in the fast convolution (13.2)
MAX_RELU = 65535  # values; the library's ReLU counts in 16 bits (13.4)
POOLINGS = {"max": "arm_maxpool_q7_HWC_nonsquare", "avg": "arm_avepool_q7_HWC_nonsquare"}
PORTABLE = "cmsis_nn_portable/**/*"


@dataclass(frozen=True)
class Demo:
    """Everything that the files of one demo say.

    `data` is the network input and `output` the known answer of the last layer, int8 [C, H, W]; `scores` is the
    classification layer's, int16 [R]. `clocks` is the estimated time of the accelerator for the same network.
    """

    device: str
    title: str
    command: str
    network: Network
    sample: Sample
    data: NDArray[np.int8]
    output: NDArray[np.int8]
    scores: NDArray[np.int16] | None
    classes: tuple[str, ...]
    clocks: int
    ending: Ending


@dataclass(frozen=True)
class LayerText:
    """What the template says about a layer: names and arguments of functions, and buffers as words of the arena."""

    index: int
    name: str
    summary: str
    pool: str
    pool_arguments: str
    convolve: str
    convolve_in: str
    convolve_kernel: str
    convolve_out: str
    relu: str
    size: int
    pooled: int
    columns: int
    output: int


def emit(demo: Demo, names: Names) -> dict[str, bytes]:
    """All files of a demo folder by name: program, headers, run-time sources, and what cnn-run.py needs to know."""
    planned = plan(demo.network)
    summary = network_summary(replace(demo.network, data_format="hwc"))  # the input too
    layers = list(map(layer_text, demo.network.layers, planned.layers, summary))
    texts = {
        names.source: environment().get_template("cmsisnn.c.j2").render(
            demo=demo, names=names, plan=planned, summary=summary, layers=layers, fc=demo.network.fc,
            outputs=demo.network.outputs),
        names.weights: define_file(f"Weights of {demo.title}", demo.command, weight_defines(demo.network)),
        names.sample: define_file(f"Sample input and known answer of {demo.title}", demo.command, _sample(demo)),
        "cnn-run.json": manifest("cmsis-nn", demo.device, demo.title, demo.network, demo.sample, demo.classes,
                                 {"accelerator_clocks": demo.clocks}),
    }  # fmt: skip
    files = {name: text.encode() for name, text in texts.items()}
    return files | {"sample.npy": npy(demo.data)} | runtime_files() | runtime_files(PORTABLE)


def hwc(image: NDArray[np.int8]) -> NDArray[np.int8]:
    """An image int8 [C, H, W], or kernels int8 [Cout, C, H, W], with the channels last (13.1)."""
    return np.moveaxis(image, -3, -1)


def permuted(fc: LayerWeights, shape: tuple[int, int, int]) -> NDArray[np.int8]:
    """The weights of the classification layer int8 [R, N] for inputs in HWC instead of CHW order (13.1)."""
    return hwc(fc.weight.reshape(-1, *shape)).reshape(fc.weight.shape)


def weight_defines(network: Network) -> Mapping[str, str]:
    """Weights and biases of all layers; zeros where a layer has no bias: the library always reads one (13.1)."""
    defines: dict[str, str] = {}
    for layer in network.layers:
        bias = np.zeros(layer.out_channels, np.int8) if layer.bias is None else layer.bias
        defines |= {f"WEIGHTS_{layer.index}": decimals(hwc(layer.weight)), f"BIAS_{layer.index}": decimals(bias)}
    if network.fc is None:
        return defines
    return defines | fc_defines(permuted(network.fc, network.delivered(network.layers[-1].index)), network.fc.bias)


def _sample(demo: Demo) -> Mapping[str, str]:
    """Input and known answers."""
    defines = {"SAMPLE_INPUT": decimals(hwc(demo.data)), "SAMPLE_OUTPUT": decimals(hwc(demo.output))}
    return defines | answer_defines(demo.scores, demo.sample.label)


def layer_text(layer: Layer, buffers: LayerBuffers, summary: str) -> LayerText:
    """The calls of one layer: pooling, convolution, ReLU (13.2). Two sizes are x before y."""
    square = layer.pooled_height == layer.pooled_width and layer.pad_rows == layer.pad_columns
    sizes = _one if square else _two
    size = buffers.output.size
    return LayerText(
        layer.index, f"layer {layer.index}, {layer.name}", summary,
        pool=POOLINGS[layer.pool] if layer.pool else "",
        pool_arguments=f"{layer.width}, {layer.height}, {layer.in_channels}, {layer.pool_size}, 0, "
                       f"{layer.pool_stride}, {layer.pooled_width}, {layer.pooled_height}",
        convolve=convolution(layer) + ("" if square else "_nonsquare"),
        convolve_in=f"{sizes(layer.pooled_width, layer.pooled_height)}, {layer.in_channels}",
        convolve_kernel=f"{layer.out_channels}, {sizes(*layer.kernel)}, "
                        f"{sizes(layer.pad_columns, layer.pad_rows)}, {sizes(1, 1)}",
        convolve_out=sizes(layer.out_width, layer.out_height),
        relu=("arm_relu_q7" if size <= MAX_RELU else "arm_relu32_q7") if layer.relu else "",
        size=size, pooled=buffers.pooled.offset // 4 if buffers.pooled else 0,
        columns=buffers.columns.offset // 4, output=buffers.output.offset // 4,
    )  # fmt: skip


def convolution(layer: Layer) -> str:
    """The fast function where the numbers of channels allow it."""
    fast = layer.in_channels % FAST_INPUTS == 0 and layer.out_channels % FAST_OUTPUTS == 0
    return "arm_convolve_HWC_q7_fast" if fast else "arm_convolve_HWC_q7_basic"


def _one(x: int, y: int) -> str:
    """Width and height, which are equal."""
    return str(x)


def _two(x: int, y: int) -> str:
    return f"{x}, {y}"


def buffer_listing(network: Network) -> str:
    """Where each layer's data lies in the arena, for the log."""
    planned: Plan = plan(network)
    lines = [f"Buffers: {planned.size} bytes of RAM, used again by every layer (first to last byte)"]
    for layer, buffers in zip(network.layers, planned.layers, strict=True):
        used = {"input": buffers.source, "pooled": buffers.pooled, "columns": buffers.columns, "output": buffers.output}
        text = ", ".join(f"{name} {b.offset}-{b.offset + b.size - 1}" for name, b in used.items() if b)
        lines.append(f"  layer {layer.index}: {text}")
    return "\n".join(lines) + "\n"
