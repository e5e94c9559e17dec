"""The layers of a network as TensorBoard's graph, which its tab GRAPHS draws.

torch's own `add_graph` traces a network down to single operations, which the layers' `functional_call` does not allow.
"""

from collections.abc import Sequence

from tensorboard.compat.proto.attr_value_pb2 import AttrValue
from tensorboard.compat.proto.graph_pb2 import GraphDef
from tensorboard.compat.proto.node_def_pb2 import NodeDef
from tensorboard.compat.proto.tensor_shape_pb2 import TensorShapeProto

from analysis.layers import INPUT, LayerInfo


def graph_of(layers: Sequence[LayerInfo]) -> GraphDef:
    """A node for the input and one for each of `layers`, which run in this order."""
    return GraphDef(node=[node(INPUT, "Input", (), layers[0].input, {}), *map(layer_node, layers)])


def layer_node(layer: LayerInfo) -> NodeDef:
    """A layer with what it does."""
    details = {
        "pooling": layer.pooling,
        "kernel": layer.kernel,
        "padding": layer.padding,
        "activation": layer.activation,
        "parameters": f"{layer.weights + layer.biases:,}",
        "MACs": f"{layer.macs:,}",
    }
    return node(layer.name, layer.operation, layer.sources, layer.output, details)


def node(
    name: str, operation: str, sources: Sequence[str], shape: Sequence[int], details: dict[str, str]
) -> NodeDef:
    """A node that reads `sources` and gives one sample of `shape`; details that are empty are left out."""
    sizes = TensorShapeProto(dim=[TensorShapeProto.Dim(size=size) for size in shape])
    attributes = {"_output_shapes": AttrValue(list=AttrValue.ListValue(shape=[sizes]))}
    attributes |= {key: AttrValue(s=value.encode()) for key, value in details.items() if value}
    return NodeDef(name=name, op=operation, input=sources, attr=attributes)
