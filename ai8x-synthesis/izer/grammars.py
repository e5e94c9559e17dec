"""The keys of network descriptions, by device (AI84 hardware reference 11, AI85 hardware reference 13)."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from .yamlvalues import (
    Parser,
    between,
    choice,
    dimensions,
    groups,
    integer,
    kernel84,
    kernel85,
    map64,
    map_text,
    named_sequences,
    one_of,
    or_nothing,
    pair,
    positive,
    sequence,
    sequences,
    square,
    text,
    truth,
    window,
)


@dataclass(frozen=True)
class Grammar:
    """Parsers of the keys of the whole file and of a layer; a layer's key has the name of its field.

    `later` are keys of layers that only their default value may have, since no program is generated for them yet.
    """

    whole: Mapping[str, Parser]
    layer: Mapping[str, tuple[str, Parser]]
    later: Mapping[str, tuple[Parser, Any]] = field(default_factory=dict)

    @property
    def keys(self) -> Mapping[str, tuple[str, Parser]]:
        """Field and parser of every key of a layer."""
        return {**self.layer, **{key: (key, parser) for key, (parser, _) in self.later.items()}}


def _anything(value: Any) -> Any:
    """Not looked at here: the list of layers is taken apart key by key."""
    return value


def _synonyms(name: str, parser: Parser, *keys: str) -> dict[str, tuple[str, Parser]]:
    return dict.fromkeys(keys, (name, parser))


_DATA_FORMAT = choice(chw="chw", big="chw", hwc="hwc", little="hwc")
_OPERATION_KEYS = ("op", "operation", "operator", "convolution")

AI84_KEYS = Grammar(
    whole={
        "arch": text,
        "dataset": text,
        "layers": _anything,
        "output_map": map64,
        "weights": text,
        "bias": text,
    },
    layer={
        "sequence": ("sequence", sequence),
        "processors": ("processors", map64),
        "output_processors": ("output_processors", map64),
        "out_offset": ("out_offset", integer),
        "pad": ("pad", integer),
        "max_pool": ("max_pool", window(square)),
        "avg_pool": ("avg_pool", window(square)),
        "pool_stride": ("pool_stride", square),
        **_synonyms("activate", choice(relu="relu", none=None), "activate", "activation"),
        "data_format": ("data_format", _DATA_FORMAT),
        "quantization": ("quantization", one_of(8)),
        **_synonyms("op", choice(conv2d="conv2d", conv1d="conv1d"), *_OPERATION_KEYS),
        "kernel_size": ("kernel_size", kernel84),
        "stride": ("stride", square),
        "in_offset": ("in_offset", integer),
        "in_channels": ("in_channels", positive),
        "in_dim": ("in_dim", dimensions),
        "out_channels": ("out_channels", positive),
        "in_sequences": ("in_sequences", sequences),
    },
)

_OPERATIONS: Mapping[str, str | None] = {
    "conv2d": "conv2d", "conv1d": "conv1d", "linear": "linear", "fc": "linear", "mlp": "linear",
    "none": "none", "passthrough": "none", "convtranspose2d": "convtranspose2d", "add": "add", "sub": "sub",
    "or": "or", "bitwiseor": "or", "bitwise_or": "or", "xor": "xor", "bitwisexor": "xor", "bitwise_xor": "xor",
}  # fmt: skip
_ACTIVATIONS = choice(relu="relu", abs="abs", none=None)
_ELTWISE = {name: meaning for name, meaning in _OPERATIONS.items() if meaning in ("add", "sub", "or", "xor")}

AI85_KEYS = Grammar(
    whole={
        "arch": text,
        "dataset": text,
        "layers": _anything,
        "output_map": map_text,
        "weights": text,
        "bias": text,
    },
    layer={
        **AI84_KEYS.layer,
        "name": ("name", text),
        "processors": ("processors", map_text),
        "output_processors": ("output_processors", map_text),
        "max_pool": ("max_pool", window(pair)),
        "avg_pool": ("avg_pool", window(pair)),
        "pool_stride": ("pool_stride", pair),
        **_synonyms("activate", or_nothing(_ACTIVATIONS, "none"), "activate", "activation"),
        "quantization": ("quantization", one_of(1, 2, 4, 8)),
        **_synonyms("op", or_nothing(choice(**_OPERATIONS), "none"), *_OPERATION_KEYS),
        "kernel_size": ("kernel_size", kernel85),
        "stride": ("stride", pair),
        "in_sequences": ("in_sequences", named_sequences),
        "output_shift": ("output_shift", integer),
        "output_width": ("output_width", one_of(8, 32)),
        "flatten": ("flatten", truth),
        "dilation": ("dilation", pair),
        **_synonyms("bias_group", groups, "bias_group", "bias_quadrant"),
        "eltwise": ("eltwise", choice(none=None, **_ELTWISE)),
        "operands": ("operands", between(2, 16)),
        "pool_first": ("pool_first", truth),
    },
    later={
        "streaming": (truth, False),
        "write_gap": (integer, 0),
        "in_crop": (pair, (0, 0)),
        "output": (truth, False),
        "output_pad": (integer, 0),
        "weight_source": (_anything, None),
        "next_sequence": (_anything, None),
        "simulated_sequence": (_anything, None),
        "in_channel_skip": (integer, 0),
        "buffer_shift": (integer, 0),
        "buffer_insert": (integer, 0),
        **dict.fromkeys(("groups", "conv_groups"), (positive, 1)),
        **dict.fromkeys(("read_gap", "in_skip"), (integer, 0)),
        "pool_dilation": (pair, (1, 1)),
        "snoop_sequence": (_anything, None),
        **dict.fromkeys(("bypass", "calcx4", "readahead", "tcalc"), (truth, False)),
    },
)
