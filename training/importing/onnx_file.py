"""An ONNX file to a graph that ONNX Runtime can run: whole, of operators that it knows, with its weights in it."""

from pathlib import Path

import onnx
import onnxruntime as ort
from google.protobuf.message import DecodeError
from onnx import ModelProto, TensorProto
from onnx.external_data_helper import load_external_data_for_model, uses_external_data

from service.errors import one_line
from training.errors import CannotImport

KNOWN_DOMAINS = ("", "ai.onnx", "ai.onnx.ml", "com.microsoft")
MAX_BYTES = 2**31 - 1  # of a protobuf message
CPU = ["CPUExecutionProvider"]


def read_onnx(path: Path) -> ModelProto:
    """The graph in a file, with weights that lie in other files beside it; raises `CannotImport` and says why not."""
    try:
        model = onnx.load_model_from_string(path.read_bytes())
    except DecodeError:
        raise CannotImport(f"{path}: it is no ONNX file, or is damaged: a part of it may be missing") from None
    if not model.graph.node or not model.opset_import:
        raise CannotImport(f"{path}: it is no ONNX file: it has no graph")
    _load_weights(model, path)
    _check_operators(model, path)
    open_session(model, str(path))
    return model


def open_session(model: ModelProto, where: str) -> ort.InferenceSession:
    """A session of ONNX Runtime on the CPU; raises `CannotImport` with its reason."""
    options = ort.SessionOptions()
    options.log_severity_level = 4  # its reason is in the exception
    options.intra_op_num_threads = 1
    try:
        return ort.InferenceSession(model.SerializeToString(), options, providers=CPU)
    except Exception as error:  # noqa: BLE001 - ONNX Runtime's exceptions have no narrower base class
        reason = one_line(error)
        hint = f" (this is opset {_opset(model)}: export it with an older one)" if "opset" in reason.lower() else ""
        raise CannotImport(f"{where}: ONNX Runtime cannot open it{hint}: {reason}") from None


def describe_producer(model: ModelProto) -> str:
    """What made the file, such as `pytorch 2.15.0`; and its opset."""
    name = " ".join(filter(None, (model.producer_name, model.producer_version))) or "an unnamed producer"
    return f"{name}, opset {_opset(model)}"


def _opset(model: ModelProto) -> int:
    """The version of ONNX's own operators, or of those for classical models."""
    versions = {entry.domain: entry.version for entry in model.opset_import}
    return int(versions.get("", versions.get("ai.onnx", versions.get("ai.onnx.ml", 0))))


def _load_weights(model: ModelProto, path: Path) -> None:
    """Read weights that lie in other files: a bundle has its weights in `model.onnx`."""
    outside = [tensor for tensor in model.graph.initializer if uses_external_data(tensor)]
    if not outside:
        return
    names = sorted({_location(tensor) for tensor in outside})
    for name in names:
        if not (path.parent / name).is_file():
            raise CannotImport(f"{path}: its weights are in {name}, which must lie beside it, and does not")
    if sum((path.parent / name).stat().st_size for name in names) > MAX_BYTES:
        raise CannotImport(f"{path}: its weights in {', '.join(names)} are over 2 GiB, which one ONNX file cannot hold")
    try:
        load_external_data_for_model(model, str(path.parent))
    except (OSError, ValueError, onnx.checker.ValidationError) as error:
        raise CannotImport(f"{path}: its weights cannot be read: {error}") from None


def _location(tensor: TensorProto) -> str:
    return next((entry.value for entry in tensor.external_data if entry.key == "location"), "")


def _check_operators(model: ModelProto, path: Path) -> None:
    """Raise `CannotImport` for an operator that only another runtime, or the user's own library, has."""
    functions = {(function.domain, function.name) for function in model.functions}
    for node in model.graph.node:
        if node.domain not in KNOWN_DOMAINS and (node.domain, node.op_type) not in functions:
            raise CannotImport(
                f"{path}: ONNX Runtime has no operator {node.op_type!r} of the domain {node.domain!r}: export the "
                "network without it, with operators of ONNX alone"
            )
