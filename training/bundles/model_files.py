"""The two files of a network in a bundle: ONNX and TorchScript."""

import logging
import re
import warnings
from pathlib import Path
from typing import Any

import onnx
import torch
from torch import Tensor, nn

from service.bundle.manifest import MIXTURE_OUTPUTS, OOD_OUTPUT
from service.bundle.signature import Signature, TensorSpec
from service.errors import one_line
from training.errors import CannotImport
from training.networks.mixture import UNITS
from training.networks.network import Network
from training.recipes.recipe import Recipe

ANSI = re.compile(r"\x1b\[\d+m")  # colours of the exporter's messages
MAX_REASON = 500  # characters of them


def signature_of(recipe: Recipe) -> Signature:
    """The inputs and outputs of the exported graph."""
    image = TensorSpec("image", "UINT8", (-1, *recipe.image_shape))
    features = TensorSpec("features", "FP32", (-1, recipe.num_features))
    values = TensorSpec("values", "FP32", (-1, recipe.layers[-1]))
    probabilities = TensorSpec("probabilities", "FP32", (-1, max(2, recipe.layers[-1])))
    outputs = [values] if recipe.task == "regression" else [probabilities]
    if recipe.task == "mixture":
        outputs = [TensorSpec(name, "FP32", (-1, recipe.layers[-1] // UNITS)) for name in MIXTURE_OUTPUTS]
    if recipe.ood_head:
        outputs.append(OOD_OUTPUT)
    return Signature((image if recipe.takes_images else features,), tuple(outputs))


def export_onnx(network: Network, signature: Signature, path: Path) -> None:
    """Write the network as one ONNX file, weights inside, for batches of any size."""
    (spec,) = signature.inputs
    zeros = torch.from_numpy(signature.zeros()[spec.name])
    example = torch.cat([zeros, zeros])  # two rows: the exporter would take a dimension of 1 for a constant
    write_onnx(network, signature, example, {0: torch.export.Dim("batch")}, path)


def write_onnx(network: nn.Module, signature: Signature, example: Tensor, dynamic: dict[int, Any], path: Path) -> None:
    """Write a network with one input as one ONNX file; `dynamic` are the dimensions of any size, by their index."""
    logging.getLogger("torch.onnx").setLevel(logging.ERROR)
    with warnings.catch_warnings(action="ignore"):
        program: Any = torch.onnx.export(
            network,
            (example,),
            input_names=[spec.name for spec in signature.inputs],
            output_names=[output.name for output in signature.outputs],
            dynamic_shapes=(dynamic,),
            dynamo=True,
            verbose=False,
        )
    model = program.model_proto
    _strip_debug_metadata(model)
    onnx.checker.check_model(model, full_check=True)
    path.write_bytes(model.SerializeToString())


def onnx_of_module(module: nn.Module, example: tuple[Tensor, ...]) -> onnx.ModelProto:
    """A module as ONNX, with a batch of any size in each input; raises `CannotImport` with the exporter's reason."""
    logging.getLogger("torch.onnx").setLevel(logging.ERROR)
    batch = torch.export.Dim("batch")
    inputs = tuple(torch.as_tensor(one) for one in example)
    if flat := [list(one.shape) for one in inputs if one.dim() < 1 or (one.dim() == 1 and one.is_floating_point())]:
        raise CannotImport(f"an example has shape {flat[0]}, without a batch: example[None] is a batch of one")
    was_training = module.training
    try:
        with warnings.catch_warnings(action="ignore"):
            program: Any = torch.onnx.export(
                module.eval(),
                tuple(torch.cat([one, one]) for one in inputs),  # a batch of one would be taken for a constant
                dynamic_shapes=tuple({0: batch} for _ in inputs),
                dynamo=True,
                verbose=False,
            )
    except Exception as error:  # the exporter's exceptions have no narrower base class
        reason = one_line(ANSI.sub("", str(error)))[:MAX_REASON]
        raise CannotImport(f"{type(module).__name__}: PyTorch cannot export it to ONNX: {reason}") from error
    finally:
        module.train(was_training)
    model: onnx.ModelProto = program.model_proto
    _strip_debug_metadata(model)
    return model


def _strip_debug_metadata(model: onnx.ModelProto) -> None:
    """The exporter stores the stack trace of each operator, with paths of this machine."""
    for part in (*model.graph.node, *model.graph.input, *model.graph.output, *model.graph.value_info,
                 *model.graph.initializer, model.graph, model):  # fmt: skip
        part.ClearField("metadata_props")
        part.ClearField("doc_string")


def export_torchscript(network: nn.Module, path: Path) -> None:
    """Write the network as TorchScript, which is deprecated by PyTorch, but required: see docs/decisions.md."""
    with warnings.catch_warnings(action="ignore", category=FutureWarning):
        torch.jit.save(torch.jit.script(network), str(path))
