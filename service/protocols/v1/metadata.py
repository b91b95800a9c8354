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


class Traffic(msgspec.Struct):
    """Which version answers requests that name none, and the canary that gets `canary_share` of them.

    `policy` is `newest` or `pinned`, `source` where that is from (the setting, the file beside the versions, or empty
    for the default), and `problem` what is wrong with it now: until that is mended, what was said before holds.
    """

    version: str | None
    policy: Literal["newest", "pinned"]
    canary: str | None
    canary_share: float
    source: str
    problem: str


class ModelStatus(msgspec.Struct):
    """What clients need to know of a model; the ranges of `features` and `targets` are those of the training data.

    `workers` of the service have this version open.
    """

    name: str
    ready: bool
    version: str
    versions: list[str]
    model_version_status: list[VersionStatus]
    traffic: Traffic
    workers: int
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
    statuses = {version: VersionStatus(version) for version in models.versions(name)}
    for model_id, reason in models.unavailable.items():
        if model_id.name == name:  # a version that is open may have become damaged: it serves on
            status = statuses.setdefault(model_id.version, VersionStatus(model_id.version, "END"))
            status.status = ErrorStatus("FAILED_PRECONDITION", reason)
    return sorted(statuses.values(), key=lambda status: -int(status.version))


def traffic_of(models: ModelRepository, name: str, problem: str) -> Traffic:
    """Where requests that name no version go."""
    policy, default, canary = models.policy(name), models.defaults.get(name), models.canaries.get(name)
    return Traffic(
        version=default.bundle.version if default else None,
        policy="pinned" if policy.version else "newest",
        canary=canary.model.bundle.version if canary else None,
        canary_share=canary.share if canary else 0.0,
        source=policy.source,
        problem=problem or models.policy_problem(name),
    )


def status_of(
    model: Model, versions: list[str], statuses: list[VersionStatus], traffic: Traffic, workers: int
) -> ModelStatus:
    """The status of a model that has these versions, and is open in so many workers."""
    bundle = model.bundle
    return ModelStatus(
        name=bundle.name,
        ready=True,
        version=bundle.version,
        versions=versions,
        model_version_status=statuses,
        traffic=traffic,
        workers=workers,
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
