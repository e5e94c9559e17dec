"""What Arm's CMSIS-NN cannot express; these rules hold beside those of the device where code for it is generated.

The numbers beside a rule's id are sections of the AI84 hardware reference.
"""

from collections.abc import Iterator

from .rules import Finding, Rule, Subject, rule

CMSIS_RULES: list[Rule[Subject]] = []
MAX_IMAGE = 127


@rule("cmsis-chain", "13.2", CMSIS_RULES)
def cmsis_chain(subject: Subject) -> Iterator[Finding]:
    """With CMSIS-NN a layer reads the output of the layer before it, and nothing else: no function joins channels."""
    for layer in subject.network.layers:
        if layer.sources != (layer.index - 1,):
            yield Finding(layer.index, "in_sequences", f"layers {', '.join(map(str, layer.sources))}")


# Padding may lie beyond: 128 and 129, as a signed char, are as negative as the padding before row 0.
@rule("cmsis-image", "13.5", CMSIS_RULES)
def cmsis_image(subject: Subject) -> Iterator[Finding]:
    """
    With CMSIS-NN an image has, after pooling, at most 127 rows and 127 columns: its plain convolution keeps coordinates
    in a signed char.
    """
    for layer in subject.network.layers:
        if max(layer.pooled_height, layer.pooled_width) > MAX_IMAGE:
            yield Finding(layer.index, "processors", f"{layer.pooled_height}x{layer.pooled_width}")
