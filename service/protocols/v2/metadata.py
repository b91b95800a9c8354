"""What V2 says of the server and its models: metadata, readiness, index, and Triton's configuration and statistics.

And KServe's liveness in V1, which is of the server too.
"""

from typing import Any, Literal

import msgspec

from service import __version__
from service.bundle.signature import TensorSpec
from service.inference.repository import Model
from service.observability.shared_counters import Telemetry
from service.observability.snapshot import Answers

EXTENSIONS = ["binary_tensor_data", "classification", "model_configuration", "model_repository", "statistics"]
PLATFORMS = {"ONNX Runtime": "onnx_onnxv1", "TorchScript": "pytorch_torchscript"}  # by the protocol's own names
BACKENDS = {"ONNX Runtime": "onnxruntime", "TorchScript": "pytorch"}  # by Triton's


class Live(msgspec.Struct):
    """The process answers."""

    live: bool = True


class Ready(msgspec.Struct):
    """Every model answers: true, or nothing answers. `live` is there for those who read the protocol to the letter."""

    live: bool = True
    ready: bool = True


class Alive(msgspec.Struct):
    """The process answers: KServe's way to say so, with the paths where the models and the documentation are."""

    status: Literal["alive"] = "alive"
    models: str = "/v1/models"
    documentation: str = "/docs/"


class ServerMetadata(msgspec.Struct):
    """What this server is, and which of the protocol's extensions it speaks."""

    name: str = "digitalis"
    version: str = __version__
    extensions: list[str] = msgspec.field(default_factory=lambda: EXTENSIONS)


class ModelReady(msgspec.Struct):
    """A model that is found is open, and has given its golden answers."""

    name: str
    ready: bool = True


class ModelDescription(msgspec.Struct):
    """What a model takes and gives; -1 is a dimension of any size."""

    name: str
    versions: list[str]
    platform: str
    inputs: tuple[TensorSpec, ...]
    outputs: tuple[TensorSpec, ...]


class IndexEntry(msgspec.Struct):
    """One version of one model."""

    name: str
    version: str
    state: Literal["READY"] = "READY"
    reason: str = ""


class TensorConfig(msgspec.Struct):
    """One tensor without its batch."""

    name: str
    data_type: str
    dims: tuple[int, ...]


class InstanceGroup(msgspec.Struct):
    """So many worker processes, each with the model on this device."""

    name: str
    kind: Literal["KIND_CPU", "KIND_GPU"]
    count: int
    gpus: list[int] = []


class ModelConfig(msgspec.Struct):
    """What of Triton's model configuration has a meaning here."""

    name: str
    platform: str
    backend: str
    max_batch_size: int
    input: list[TensorConfig]
    output: list[TensorConfig]
    instance_group: list[InstanceGroup]
    version_policy: dict[str, dict[str, Any]] = msgspec.field(default_factory=lambda: {"all": {}})


class Duration(msgspec.Struct):
    """How often, and for how many nanoseconds in all."""

    count: int = 0
    ns: int = 0


class InferenceStats(msgspec.Struct):
    """Triton's names: `compute_input` is decoding, `compute_output` encoding; there is no cache.

    There is no queue either: each success waited 0 ns in it, by which perf_analyzer sees which version answered.
    """

    success: Duration
    fail: Duration
    queue: Duration
    compute_input: Duration
    compute_infer: Duration
    compute_output: Duration
    cache_hit: Duration = msgspec.field(default_factory=Duration)
    cache_miss: Duration = msgspec.field(default_factory=Duration)


class ModelStatistics(msgspec.Struct):
    """Of one version since the service started: `inference_count` rows in `execution_count` requests."""

    name: str
    version: str
    last_inference: int
    inference_count: int
    execution_count: int
    inference_stats: InferenceStats
    batch_stats: list[dict[str, Any]] = []


class Statistics(msgspec.Struct):
    """What all workers have answered."""

    model_stats: list[ModelStatistics]


def metadata_of(model: Model, versions: list[str]) -> ModelDescription:
    """Of a model with these versions."""
    signature = model.bundle.signature
    return ModelDescription(
        model.bundle.name, versions, PLATFORMS[model.runtime.name], signature.inputs, signature.outputs
    )


def config_of(model: Model, most_rows: int, workers: int) -> ModelConfig:
    """Of a model that takes so many rows in a request and runs in so many workers."""
    signature, device = model.bundle.signature, model.runtime.device
    on_gpu = device != "cpu"
    group = InstanceGroup(model.bundle.name, "KIND_GPU" if on_gpu else "KIND_CPU", workers)
    group.gpus = [int(device.partition(":")[2])] if on_gpu else []
    return ModelConfig(
        model.bundle.name,
        PLATFORMS[model.runtime.name],
        BACKENDS[model.runtime.name],
        most_rows,
        [_configured(spec) for spec in signature.inputs],
        [_configured(spec) for spec in signature.outputs],
        [group],
    )


def statistics_of(model: Model, telemetry: Telemetry) -> ModelStatistics:
    """Of one model: as Triton counts, a success lasts from the first stage to the last."""
    title = model.bundle.name, model.bundle.version
    found = Answers.of(telemetry, title)
    decode, infer, encode, _ = (stage.total for stage in found.stages)
    successes = sum(found.stages[0].buckets)
    return ModelStatistics(
        *title,
        last_inference=telemetry.last_ms(title),
        inference_count=found.rows.total,
        execution_count=successes,
        inference_stats=InferenceStats(
            success=Duration(successes, decode + infer + encode),
            queue=Duration(successes),
            fail=Duration(sum(found.requests.values()) - successes, found.failure_ns),
            compute_input=Duration(successes, decode),
            compute_infer=Duration(successes, infer),
            compute_output=Duration(successes, encode),
        ),
    )


def _configured(spec: TensorSpec) -> TensorConfig:
    return TensorConfig(spec.name, f"TYPE_{spec.datatype}", spec.shape[1:])
