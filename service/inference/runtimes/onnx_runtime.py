"""ONNX Runtime: named arrays through one session, on its CPU or its CUDA execution provider."""

import contextlib
import ctypes
import io
import os
from typing import Any

# From 1.29 on, its Linux wheels report every session to their maker unless this stands before the import.
os.environ["ORT_DISABLE_TELEMETRY"] = "1"

import onnxruntime as ort

from service.bundle.manifest import ONNX, Bundle
from service.bundle.signature import Arrays
from service.errors import BundleError, DeviceUnavailable

CUDA = "CUDAExecutionProvider"
CPU = "CPUExecutionProvider"
ONNX_TYPES = {"UINT8": "tensor(uint8)", "FP32": "tensor(float)"}
SMALL = 2**17  # bytes of a file whose whole network runs in microseconds
FATAL = 4  # log severity: what goes wrong reaches the user as an exception in our words, not as red text


class OnnxRuntime:
    """One session of `model.onnx`."""

    name = "ONNX Runtime"

    def __init__(self, session: ort.InferenceSession, device: str) -> None:
        self.device = device
        self._session = session
        self._outputs = [output.name for output in session.get_outputs()]

    def run(self, inputs: Arrays) -> Arrays:
        """Outputs for inputs that fit the signature. Safe to call from several threads at once."""
        return dict(zip(self._outputs, self._session.run(self._outputs, inputs), strict=True))


def open_file(bundle: Bundle, content: bytes, gpu: int | None, threads: int) -> OnnxRuntime:
    """Open the bytes of `model.onnx` on the CPU or a GPU, with that many threads for one inference."""
    ort.set_default_logger_severity(FATAL)
    options = ort.SessionOptions()
    options.log_severity_level = FATAL
    # Every session has threads of its own, and so small a network no use for them.
    options.intra_op_num_threads = threads if len(content) > SMALL else 1
    options.inter_op_num_threads = 1
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")  # idle threads leave the cores to others
    session = _create(content, options, [CPU]) if gpu is None else _create_on_cuda(content, options, gpu)
    _check_signature(session, bundle)
    return OnnxRuntime(session, "cpu" if gpu is None else f"cuda:{gpu}")


def _create(content: bytes, options: ort.SessionOptions, providers: list[Any]) -> ort.InferenceSession:
    try:
        # Without fallback a provider that fails is an exception, not another provider behind our back.
        return ort.InferenceSession(content, options, providers=providers, enable_fallback=0)
    except Exception as error:  # ONNX Runtime's exceptions have no other base
        raise BundleError(f"{ONNX}: ONNX Runtime cannot open it: {error}") from error


def _create_on_cuda(content: bytes, options: ort.SessionOptions, gpu: int) -> ort.InferenceSession:
    if CUDA not in ort.get_available_providers():
        raise DeviceUnavailable("this ONNX Runtime has no CUDA execution provider (the extra cuda brings it)")
    try:
        ctypes.CDLL("libcuda.so.1")
    except OSError:
        raise DeviceUnavailable("this machine has no NVIDIA driver for CUDA (libcuda.so.1)") from None
    with contextlib.redirect_stdout(io.StringIO()):  # it prints what it does not find
        ort.preload_dlls()
    try:
        # TF32 would round the inputs of each product to 10 bits: other answers than on the CPU.
        session = _create(content, options, [(CUDA, {"device_id": gpu, "use_tf32": 0}), CPU])
    except BundleError as error:
        raise DeviceUnavailable(f"ONNX Runtime cannot open a session on cuda:{gpu}: {error.__cause__}") from error
    if CUDA not in session.get_providers():  # it falls back to the CPU without an exception
        raise DeviceUnavailable(f"ONNX Runtime could not start its CUDA execution provider on cuda:{gpu}")
    return session


def _check_signature(session: ort.InferenceSession, bundle: Bundle) -> None:
    for side, nodes, specs in (
        ("inputs", session.get_inputs(), bundle.signature.inputs),
        ("outputs", session.get_outputs(), bundle.signature.outputs),
    ):
        found = [(n.name, n.type, [s if isinstance(s, int) else -1 for s in n.shape]) for n in nodes]
        expected = [(spec.name, ONNX_TYPES[spec.datatype], list(spec.shape)) for spec in specs]
        if found != expected:
            raise BundleError(f"{ONNX}: its {side} are {found}, the manifest expects {expected}")
