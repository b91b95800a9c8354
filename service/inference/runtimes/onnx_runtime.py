"""ONNX Runtime: named arrays through one session, on its CPU or its CUDA execution provider."""

import contextlib
import ctypes
import io
import os
import threading
from collections.abc import Callable
from typing import Any

# From 1.29 on, its Linux wheels send telemetry of every session, unless this is set before the import.
os.environ["ORT_DISABLE_TELEMETRY"] = "1"
# Two buffers of 4 MiB in place of cuBLAS's 32: every session has its own, and these networks are no slower with less.
os.environ["CUBLAS_WORKSPACE_CONFIG"] = ":4096:2"

import onnxruntime as ort

from service.bundle.manifest import ONNX
from service.bundle.signature import Arrays, Datatype, Signature
from service.errors import BundleError, DeviceUnavailable, one_line
from service.inference.gpu import shared_stream
from service.inference.runtimes import run_in_parts

CUDA = "CUDAExecutionProvider"
CPU = "CPUExecutionProvider"
ONNX_TYPES = {"FP16": "float16", "FP32": "float", "FP64": "double", "BYTES": "string"}  # others as in the protocol
SINGLE_THREAD_BYTES = 2**17  # networks in smaller files run in microseconds: more threads would not help
GPU_LOCK = threading.Lock()
FATAL = 4  # log severity: errors are raised as exceptions, and need not be printed as well


class OnnxRuntime:
    """One session of `model.onnx`."""

    name = "ONNX Runtime"

    def __init__(self, session: ort.InferenceSession, device: str) -> None:
        self.device = device
        self.cuda_from_rows = None if device == "cpu" else 1
        self._outputs = [output.name for output in session.get_outputs()]
        self._run = session.run if device == "cpu" else _one_at_a_time(session.run)

    def run(self, inputs: Arrays) -> Arrays:
        """Outputs for inputs that fit the signature. Safe to call from several threads at once."""
        return run_in_parts(self._run_once, inputs, self.device)

    def _run_once(self, inputs: Arrays) -> Arrays:
        return dict(zip(self._outputs, self._run(self._outputs, inputs), strict=True))


def _one_at_a_time(run: Callable[..., list[Any]]) -> Callable[..., list[Any]]:
    """Let one session of this process run on the GPU at a time: all share one stream, which runs nothing at once."""

    def run_alone(names: list[str], inputs: Arrays) -> list[Any]:
        with GPU_LOCK:
            return run(names, inputs)

    return run_alone


def open_file(signature: Signature, content: bytes, gpu: int | None, threads: int) -> OnnxRuntime:
    """Open the bytes of `model.onnx` on the CPU or a GPU, with that many threads for one inference."""
    ort.set_default_logger_severity(FATAL)
    options = ort.SessionOptions()
    options.log_severity_level = FATAL
    # Every session has its own thread pool.
    options.intra_op_num_threads = threads if len(content) > SINGLE_THREAD_BYTES else 1
    options.inter_op_num_threads = 1
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")  # idle threads must not use a core
    session = _create(content, options, [CPU]) if gpu is None else _create_on_cuda(content, options, gpu)
    _check_signature(session, signature)
    return OnnxRuntime(session, "cpu" if gpu is None else f"cuda:{gpu}")


def _create(content: bytes, options: ort.SessionOptions, providers: list[Any]) -> ort.InferenceSession:
    try:
        # Without fallback, a provider that fails raises an exception, and is not silently replaced by another.
        return ort.InferenceSession(content, options, providers=providers, enable_fallback=0)
    except Exception as error:  # ONNX Runtime's exceptions have no narrower base class
        raise BundleError(f"{ONNX}: ONNX Runtime cannot open it: {error}") from error


def _create_on_cuda(content: bytes, options: ort.SessionOptions, gpu: int) -> ort.InferenceSession:
    if CUDA not in ort.get_available_providers():
        raise DeviceUnavailable(
            "this build of ONNX Runtime has no CUDA execution provider: the extra cuda installs one"
        )
    try:
        ctypes.CDLL("libcuda.so.1")
    except OSError:
        raise DeviceUnavailable("this machine has no NVIDIA driver for CUDA (libcuda.so.1)") from None
    with contextlib.redirect_stdout(io.StringIO()):  # it prints the names of libraries that it does not find
        ort.preload_dlls()
    try:
        session = _create(content, options, [(CUDA, _cuda_options(gpu)), CPU])
    except BundleError as error:
        reason = one_line(error.__cause__)
        raise DeviceUnavailable(f"ONNX Runtime cannot open a session on cuda:{gpu}: {reason}") from error
    if CUDA not in session.get_providers():  # it may fall back to the CPU without an exception
        raise DeviceUnavailable(f"ONNX Runtime could not start its CUDA execution provider on cuda:{gpu}")
    return session


def _cuda_options(gpu: int) -> dict[str, str]:
    # TF32 would round the factors of each product to 10 bits, and predictions would differ from the CPU's. An arena
    # that grows by what is asked of it takes less than one that doubles. Sessions on one stream share the handles and
    # the buffers of CUDA's libraries.
    options = {"device_id": str(gpu), "use_tf32": "0", "arena_extend_strategy": "kSameAsRequested"}
    if (stream := shared_stream(gpu)) is not None:
        options["user_compute_stream"] = str(stream)
    return options


def onnx_type(datatype: Datatype) -> str:
    """The name of a data type in ONNX Runtime, such as `tensor(float)`."""
    return f"tensor({ONNX_TYPES.get(datatype, datatype.lower())})"


def _check_signature(session: ort.InferenceSession, signature: Signature) -> None:
    for side, nodes, specs in (
        ("inputs", session.get_inputs(), signature.inputs),
        ("outputs", session.get_outputs(), signature.outputs),
    ):
        found = [(n.name, n.type, [s if isinstance(s, int) else -1 for s in n.shape]) for n in nodes]
        expected = [(spec.name, onnx_type(spec.datatype), list(spec.shape)) for spec in specs]
        if found != expected:
            raise BundleError(f"{ONNX}: its {side} are {found}, the manifest expects {expected}")
