"""An ONNX graph with the tensors of a bundle: `features` before it, `probabilities` or `values` after it."""

from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import ModelProto, NodeProto, TensorProto, compose, helper, numpy_helper

from service.bundle.signature import NUMPY_DTYPES, TensorSpec
from training.importing.foreign import ForeignNetwork, value_info
from training.importing.image_input import ImageInput
from training.importing.meaning import Meaning, input_spec, result_spec

PREFIX = "network/"  # of all names of the file's own: none is then one of the bundle's
OPSET = 13  # of the nodes that are added, if the file has operators of other domains alone


def rewrite(model: ModelProto, network: ForeignNetwork, meaning: Meaning) -> ModelProto:
    """The graph of a bundle: `features` FP32 or an `image` UINT8 before the network, which takes what it took."""
    if meaning.output is None:
        return model
    model = compose.add_prefix(model, PREFIX)
    if not any(entry.domain in ("", "ai.onnx") for entry in model.opset_import):
        model.opset_import.append(helper.make_opsetid("", OPSET))
    graph = model.graph
    (given,) = network.inputs
    own = input_spec(meaning)
    for i, node in enumerate(_prepared(model, own.name, given, meaning.image)):
        graph.node.insert(i, node)
    kept = [value for value in graph.input if value.name != PREFIX + given.name]
    result = result_spec(meaning)
    _append_result(model, PREFIX + meaning.output.name, meaning, result)
    for side, values in ((graph.input, [value_info(own), *kept]), (graph.output, [value_info(result)])):
        del side[:]
        side.extend(values)
    del graph.value_info[:]
    onnx.checker.check_model(model)
    return model


def _prepared(model: ModelProto, own: str, given: TensorSpec, image: ImageInput | None) -> list[NodeProto]:
    """What makes the network's input of the bundle's: features are cast; images are scaled, their axes put in order."""
    element = helper.np_dtype_to_tensor_dtype(NUMPY_DTYPES[given.datatype])
    last = own
    nodes = []
    if image:
        four = np.array([-1, *(*image.shape, 1)[:3]], np.int64)
        like_given = np.array([-1, *given.shape[1:]], np.int64)
        constants: dict[str, NDArray[Any]] = {
            "axes": four,
            "factor": image.factor,
            "offset": image.offset,
            "given": like_given,
        }
        tensors = (numpy_helper.from_array(array, f"image/{name}") for name, array in constants.items())
        model.graph.initializer.extend(tensors)
        nodes = [
            helper.make_node("Cast", [own], ["image/numbers"], to=TensorProto.FLOAT),
            helper.make_node("Reshape", ["image/numbers", "image/axes"], ["image/pixels"]),
            helper.make_node("Mul", ["image/pixels", "image/factor"], ["image/scaled"]),
            helper.make_node("Add", ["image/scaled", "image/offset"], ["image/shifted"]),
            helper.make_node("Transpose", ["image/shifted"], ["image/ordered"], perm=image.order_of(given, own)),
            helper.make_node("Reshape", ["image/ordered", "image/given"], ["image/input"]),
        ]
        last = "image/input"
    return [*nodes, helper.make_node("Cast", [last], [PREFIX + given.name], to=element)]


def _append_result(model: ModelProto, found: str, meaning: Meaning, result: TensorSpec) -> None:
    """What makes `probabilities` or `values` of an output: FP32 [n, columns]."""
    graph = model.graph
    columns = 1 if meaning.has_one_unit else result.shape[1]
    shape = np.array([-1, columns], np.int64)
    graph.initializer.append(numpy_helper.from_array(shape, "shape"))
    graph.node.append(helper.make_node("Cast", [found], ["numbers"], to=TensorProto.FLOAT))
    graph.node.append(helper.make_node("Reshape", ["numbers", "shape"], ["columns"]))
    last = "columns"
    if meaning.activation == "softmax":
        graph.node.append(helper.make_node("Softmax", [last], ["activated"], axis=1))
        last = "activated"
    if meaning.activation == "sigmoid":
        graph.node.append(helper.make_node("Sigmoid", [last], ["activated"]))
        last = "activated"
    if meaning.has_one_unit:
        graph.initializer.append(numpy_helper.from_array(np.ones((1, 1), np.float32), "one"))
        graph.node.append(helper.make_node("Sub", ["one", last], ["other"]))
        graph.node.append(helper.make_node("Concat", ["other", last], [result.name], axis=1))
    else:
        graph.node.append(helper.make_node("Identity", [last], [result.name]))
