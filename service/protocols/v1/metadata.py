"""What V1 says of a model: TensorFlow Serving's status and metadata, KServe's readiness, and the bundle's own facts."""

from typing import Any, Literal

import msgspec

from service.bundle.manifest import Abstention, Bundle, DataSource, Feature, Task
from service.bundle.signature import Signature, TensorSpec
from service.inference.repository import Model

DTYPES = {"UINT8": "DT_UINT8", "FP32": "DT_FLOAT"}  # TensorFlow's names


class Names(msgspec.Struct):
    """The models that are here."""

    models: list[str]


class ErrorStatus(msgspec.Struct):
    """TensorFlow Serving's way to say that nothing is wrong."""

    error_code: Literal["OK"] = "OK"
    error_message: str = ""


class VersionStatus(msgspec.Struct):
    """One version that is open, as all of them are."""

    version: str
    state: Literal["AVAILABLE"] = "AVAILABLE"
    status: ErrorStatus = msgspec.field(default_factory=ErrorStatus)


class ModelStatus(msgspec.Struct):
    """All that a client wants to know of a model; ranges of `features` and `targets` are those seen in training."""

    name: str
    ready: bool
    version: str
    versions: list[str]
    model_version_status: list[VersionStatus]
    task: Task
    signature: Signature
    labels: tuple[str, ...]
    features: tuple[Feature, ...]
    targets: tuple[Feature, ...]
    metrics: dict[str, float]
    abstention: Abstention | None
    runtime: str
    device: str
    digest: str


class ModelSpec(msgspec.Struct):
    """TensorFlow Serving's name for a model."""

    name: str
    signature_name: str
    version: str


class Origin(msgspec.Struct):
    """Where a bundle comes from: the recipe in full, its seed, the data, and the libraries that made it."""

    recipe: dict[str, Any]
    seed: int
    data: DataSource
    libraries: dict[str, str]
    created: str


class ModelMetadata(msgspec.Struct):
    """TensorFlow Serving's metadata, `signature_def` in its own nested form, and the origin beside it."""

    model_spec: ModelSpec
    metadata: dict[str, Any]
    origin: Origin


def status_of(model: Model, versions: list[str], shown: list[str]) -> ModelStatus:
    """Of a model with these versions, of which some are to be shown."""
    bundle = model.bundle
    return ModelStatus(
        name=bundle.name,
        ready=True,
        version=bundle.version,
        versions=versions,
        model_version_status=[VersionStatus(version) for version in shown],
        task=bundle.task,
        signature=bundle.signature,
        labels=bundle.labels,
        features=bundle.features,
        targets=bundle.targets,
        metrics=bundle.metrics,
        abstention=bundle.abstention,
        runtime=model.runtime.name,
        device=model.runtime.device,
        digest=model.digest,
    )


def metadata_of(bundle: Bundle) -> ModelMetadata:
    """Of a bundle."""
    definition = {"serving_default": _signature_def(bundle.signature)}
    return ModelMetadata(
        ModelSpec(bundle.name, "", bundle.version),
        {"signature_def": {"signature_def": definition}},
        Origin(bundle.recipe, bundle.seed, bundle.data, bundle.libraries, bundle.created),
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
    return {"name": f"{spec.name}:0", "dtype": DTYPES[spec.datatype], "tensor_shape": shape}
