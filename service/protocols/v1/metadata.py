"""Status and metadata of a model in V1: TensorFlow Serving's fields, KServe's, and those of the bundle."""

from typing import Any, Literal

import msgspec

from service.bundle.manifest import Abstention, Bundle, Column, DataSource, ImportedFile, Preprocess, Task
from service.bundle.signature import Signature, TensorSpec
from service.inference.model import Model
from service.inference.repository import ModelRepository

DTYPES = {"FP16": "DT_HALF", "FP32": "DT_FLOAT", "FP64": "DT_DOUBLE", "BYTES": "DT_STRING"}
"""TensorFlow's names, where they are not `DT_` and the protocol's."""


class ErrorStatus(msgspec.Struct):
    """TensorFlow Serving's status of a version: without an error, or why it cannot be opened."""

    error_code: Literal["OK", "FAILED_PRECONDITION"] = "OK"
    error_message: str = ""


class VersionStatus(msgspec.Struct):
    """One version; `END` is TensorFlow Serving's state of one that cannot be opened."""

    version: str
    state: Literal["AVAILABLE", "END"] = "AVAILABLE"
    status: ErrorStatus = msgspec.field(default_factory=ErrorStatus)


class ModelStatus(msgspec.Struct):
    """What clients need to know of a model; the ranges of `features` and `targets` are those of the training data."""

    name: str
    ready: bool
    version: str
    versions: list[str]
    model_version_status: list[VersionStatus]
    task: Task
    signature: Signature
    labels: tuple[str, ...]
    features: tuple[Column, ...]
    targets: tuple[Column, ...]
    metrics: dict[str, float]
    preprocess: Preprocess | None
    abstention: Abstention | None
    runtime: str
    device: str
    cuda_from_rows: int | None
    digest: str


class ModelSpec(msgspec.Struct):
    """TensorFlow Serving's identification of a model."""

    name: str
    signature_name: str
    version: str


class Origin(msgspec.Struct):
    """The provenance of a bundle: its recipe in full, its seed, its data, and the versions of the libraries.

    Of a network that was imported: the file that it was.
    """

    recipe: dict[str, Any]
    seed: int
    data: DataSource | None
    imported: ImportedFile | None
    libraries: dict[str, str]
    created: str


class TensorFlowServingMetadata(msgspec.Struct):
    """TensorFlow Serving's metadata, with its nested `signature_def`, and the origin of the bundle."""

    model_spec: ModelSpec
    metadata: dict[str, Any]
    origin: Origin


def version_statuses(models: ModelRepository, name: str) -> list[VersionStatus]:
    """Every version of a model, the newest first, and whether it can be opened."""
    failed = [
        VersionStatus(model_id.version, "END", ErrorStatus("FAILED_PRECONDITION", reason))
        for model_id, reason in models.unavailable.items()
        if model_id.name == name
    ]
    available = [VersionStatus(version) for version in models.versions(name)]
    return sorted(available + failed, key=lambda status: -int(status.version))


def status_of(model: Model, versions: list[str], statuses: list[VersionStatus]) -> ModelStatus:
    """The status of a model that has these versions."""
    bundle = model.bundle
    return ModelStatus(
        name=bundle.name,
        ready=True,
        version=bundle.version,
        versions=versions,
        model_version_status=statuses,
        task=bundle.task,
        signature=bundle.signature,
        labels=bundle.labels,
        features=bundle.features,
        targets=bundle.targets,
        metrics=bundle.metrics,
        preprocess=bundle.preprocessing if bundle.takes_images else None,
        abstention=bundle.abstention,
        runtime=model.runtime.name,
        device=model.runtime.device,
        cuda_from_rows=model.runtime.cuda_from_rows,
        digest=model.digest,
    )


def metadata_of(bundle: Bundle) -> TensorFlowServingMetadata:
    """The metadata of a bundle."""
    definition = {"serving_default": _signature_def(bundle.signature)}
    return TensorFlowServingMetadata(
        ModelSpec(bundle.name, "", bundle.version),
        {"signature_def": {"signature_def": definition}},
        Origin(bundle.recipe, bundle.seed, bundle.data, bundle.imported, bundle.libraries, bundle.created),
    )


def _signature_def(signature: Signature) -> dict[str, Any]:
    return {
        "inputs": {spec.name: _tensor_info(spec) for spec in signature.inputs},
        "outputs": {spec.name: _tensor_info(spec) for spec in signature.outputs},
        "method_name": "tensorflow/serving/predict",
        "defaults": {},
    }


def _tensor_info(spec: TensorSpec) -> dict[str, Any]:
    shape = {"dim": [{"size": str(size), "name": ""} for size in spec.shape], "unknown_rank": False}
    return {"name": f"{spec.name}:0", "dtype": DTYPES.get(spec.datatype, f"DT_{spec.datatype}"), "tensor_shape": shape}
