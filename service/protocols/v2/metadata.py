"""Metadata of the server and its models in V2: readiness, index, and Triton's configuration and statistics."""

from typing import Any, Literal

import msgspec

from service import __version__
from service.bundle.signature import TensorSpec
from service.inference.batching import BatchingOptions
from service.inference.model import Model
from service.inference.repository import ModelRepository
from service.observability.shared_counters import SharedCounters
from service.observability.snapshot import ModelSnapshot

EXTENSIONS = ["binary_tensor_data", "classification", "model_configuration", "model_repository", "statistics"]
PLATFORMS = {"ONNX Runtime": "onnx_onnxv1", "TorchScript": "pytorch_torchscript"}  # the protocol's names
BACKENDS = {"ONNX Runtime": "onnxruntime", "TorchScript": "pytorch"}  # Triton's names


class ServerMetadata(msgspec.Struct):
    """Name, version, and the extensions of the protocol that are implemented."""

    name: str = "digitalis"
    version: str = __version__
    extensions: list[str] = msgspec.field(default_factory=lambda: EXTENSIONS)


class ModelReady(msgspec.Struct):
    """Every model that is found is ready: it has been opened, and has passed its golden examples."""

    name: str
    ready: bool = True


class ModelMetadata(msgspec.Struct):
    """The inputs and outputs of a model; -1 is a dimension of any size."""

    name: str
    versions: list[str]
    platform: str
    inputs: tuple[TensorSpec, ...]
    outputs: tuple[TensorSpec, ...]


class IndexEntry(msgspec.Struct):
    """One version of one model, with the reason if it cannot be opened."""

    name: str
    version: str
    state: Literal["READY", "UNAVAILABLE"] = "READY"
    reason: str = ""


class TensorConfig(msgspec.Struct):
    """One tensor without its batch dimension."""

    name: str
    data_type: str
    dims: tuple[int, ...]


class InstanceGroup(msgspec.Struct):
    """`count` worker processes, each with the model on this device, large batches at least."""

    name: str
    kind: Literal["KIND_CPU", "KIND_GPU"]
    count: int
    gpus: list[int] = []


class DynamicBatching(msgspec.Struct):
    """Requests wait for others for so long, to run as one batch of so many rows."""

    preferred_batch_size: list[int]
    max_queue_delay_microseconds: int


class ModelConfig(msgspec.Struct):
    """The fields of Triton's model configuration that apply to this service."""

    name: str
    platform: str
    backend: str
    max_batch_size: int
    input: list[TensorConfig]
    output: list[TensorConfig]
    instance_group: list[InstanceGroup]
    dynamic_batching: DynamicBatching | None = None
    version_policy: dict[str, dict[str, Any]] = msgspec.field(default_factory=lambda: {"all": {}})


class Duration(msgspec.Struct):
    """How many times, and how many nanoseconds in total."""

    count: int = 0
    ns: int = 0


class InferenceStats(msgspec.Struct):
    """Triton's names: `compute_input` is decoding, `compute_output` encoding; there is no cache.

    The queue is not measured: every success spent 0 ns in it, as perf_analyzer needs a count to see a version in use.
    What a request waits for others, to run as one batch, is a part of `compute_infer`.
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
    """One version's statistics since the service started: `inference_count` rows in `execution_count` requests."""

    name: str
    version: str
    last_inference: int
    inference_count: int
    execution_count: int
    inference_stats: InferenceStats
    batch_stats: list[dict[str, Any]] = []


class Statistics(msgspec.Struct):
    """The statistics of all workers together."""

    model_stats: list[ModelStatistics]


def metadata_of(model: Model, versions: list[str]) -> ModelMetadata:
    """The metadata of a model that has these versions."""
    signature = model.bundle.signature
    return ModelMetadata(
        model.bundle.name, versions, PLATFORMS[model.runtime.name], signature.inputs, signature.outputs
    )


def index_of(models: ModelRepository, *, ready_only: bool) -> list[IndexEntry]:
    """Every version of every model; those that cannot be opened are at the end."""
    ready = [IndexEntry(*model_id) for model_id in models.model_ids()]
    if ready_only:
        return ready
    failed = {one: reason for one, reason in models.unavailable.items() if models.get(one) is None}
    unavailable = [IndexEntry(*model_id, "UNAVAILABLE", reason) for model_id, reason in failed.items()]
    return ready + unavailable + [IndexEntry(name, "", "UNAVAILABLE", "unloaded") for name in sorted(models.unloaded)]


def config_of(model: Model, max_rows: int, workers: int) -> ModelConfig:
    """The configuration of a model that accepts `max_rows` in a request and runs in so many workers."""
    signature, device = model.bundle.signature, model.runtime.device
    on_gpu = model.runtime.cuda_from_rows is not None
    group = InstanceGroup(model.bundle.name, "KIND_GPU" if on_gpu else "KIND_CPU", workers)
    group.gpus = [int(device.rpartition(":")[2])] if on_gpu else []
    return ModelConfig(
        model.bundle.name,
        PLATFORMS[model.runtime.name],
        BACKENDS[model.runtime.name],
        max_rows,
        [_tensor_config(spec) for spec in signature.inputs],
        [_tensor_config(spec) for spec in signature.outputs],
        [group],
        _dynamic_batching(model.batching.options) if model.batching else None,
    )


def _dynamic_batching(options: BatchingOptions) -> DynamicBatching:
    return DynamicBatching([options.max_rows], round(1e6 * options.max_delay))


def statistics_of(model: Model, counters: SharedCounters) -> ModelStatistics:
    """The statistics of one model. As Triton counts, a success lasts from the first stage to the last."""
    counted = counters.find(model.key)
    found = ModelSnapshot.read(counters, counted)
    decode, infer, encode, _ = (stage.total for stage in found.stages)
    successes = sum(found.stages[0].counts)
    return ModelStatistics(
        *model.id,
        last_inference=counters.last_inference_ms(counted),
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


def _tensor_config(spec: TensorSpec) -> TensorConfig:
    datatype = "STRING" if spec.datatype == "BYTES" else spec.datatype
    return TensorConfig(spec.name, f"TYPE_{datatype}", spec.shape[1:])
