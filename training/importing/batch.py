"""A batch of any size in a graph whose file was exported for a batch of one size."""

import numpy as np
from onnx import GraphProto, ModelProto, numpy_helper

DYNAMIC = "batch"  # the name of the dimension


def fixed_batch(model: ModelProto) -> int | None:
    """The size of the batch that all inputs are fixed to; None if it is not fixed, or if they have no dimension."""
    sizes = set()
    weights = {tensor.name for tensor in model.graph.initializer}
    for value in model.graph.input:
        if value.name in weights:
            continue
        dims = value.type.tensor_type.shape.dim
        sizes.add(dims[0].dim_value if dims and dims[0].HasField("dim_value") else None)
    return sizes.pop() if len(sizes) == 1 else None


def make_dynamic(model: ModelProto, size: int) -> ModelProto:
    """A copy whose first dimensions may be of any size. Whether it computes the same must be tried."""
    changed = ModelProto()
    changed.CopyFrom(model)
    graph = changed.graph
    for value in (*graph.input, *graph.output):
        dims = value.type.tensor_type.shape.dim
        if dims and dims[0].dim_value == size:
            dims[0].dim_param = DYNAMIC
    del graph.value_info[:]  # shapes between the layers, which had the fixed size
    _free_reshapes(graph, size)
    return changed


def _free_reshapes(graph: GraphProto, size: int) -> None:
    """Let constant shapes of `Reshape` and `Expand` begin with the batch, where they begin with its fixed size."""
    weights = {tensor.name: tensor for tensor in graph.initializer}
    constants = {node.output[0]: node for node in graph.node if node.op_type == "Constant"}
    for node in graph.node:
        if node.op_type != "Reshape" or len(node.input) < 2:
            continue
        name = node.input[1]
        tensor = weights.get(name)
        if tensor is None and name in constants:
            tensor = next((one.t for one in constants[name].attribute if one.name == "value"), None)
        if tensor is None:
            continue
        shape = numpy_helper.to_array(tensor)
        if shape.ndim == 1 and len(shape) and shape[0] == size:
            # -1 is what is left, 0 is as in the input: there may be one -1 only.
            first = 0 if -1 in shape[1:] else -1
            new = numpy_helper.from_array(np.array([first, *shape[1:]], np.int64), tensor.name)
            tensor.CopyFrom(new)
