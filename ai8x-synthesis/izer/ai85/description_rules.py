"""What a description for AI85 may not ask for; where it does, nothing else of it is looked at.

The numbers beside a rule's id are sections of the AI85 hardware reference.
"""

from collections.abc import Iterator

from ..rules import Described, Finding, Rule, rule

DESCRIPTION_RULES: list[Rule[Described]] = []
OPERATIONS = ("conv2d", "conv1d", "linear", "none")
OTHER_DEVICES = ("groups", "conv_groups", "read_gap", "in_skip", "pool_dilation", "snoop_sequence", "bypass", "calcx4",
                 "readahead", "tcalc")  # fmt: skip


@rule("later", "13.2", DESCRIPTION_RULES)
def later(subject: Described) -> Iterator[Finding]:
    """Streaming, element-wise operations, transposed convolutions, gaps between words and more than one output are not
    generated yet."""
    for index, described in enumerate(subject.description.layers):
        for key, value in described.later.items():
            if key not in OTHER_DEVICES:
                yield Finding(index, key, f"`{key}: {value}`", "Leave it out.")
        if described.op not in OPERATIONS:
            yield Finding(index, "op", described.op, "Use conv2d, conv1d, linear or passthrough.")
        if described.eltwise:
            yield Finding(index, "eltwise", described.eltwise)
        if described.operands:
            yield Finding(index, "operands", f"{described.operands} operands")
        if described.in_dim and len(subject.description.sources(index)) > 1:
            yield Finding(index, "in_dim", "results one behind the other", "Give them processors of their own.")


@rule("other-device", "10.4", DESCRIPTION_RULES)
def other_device(subject: Described) -> Iterator[Finding]:
    """Grouped convolutions, gaps in reading, dilated pooling, snooping and other functions of AI87 do not exist."""
    for index, described in enumerate(subject.description.layers):
        for key in described.later.keys() & set(OTHER_DEVICES):
            yield Finding(index, key, f"`{key}: {described.later[key]}`")


@rule("pool-first", "10.1", DESCRIPTION_RULES)
def pool_first(subject: Described) -> Iterator[Finding]:
    """`pool_first: false` is for layers with both pooling and an element-wise operation."""
    for index, described in enumerate(subject.description.layers):
        combines = described.eltwise or described.op in ("add", "sub", "or", "xor")
        if not described.pool_first and not (combines and (described.max_pool or described.avg_pool)):
            yield Finding(index, "pool_first", "false", "Leave it out.")
