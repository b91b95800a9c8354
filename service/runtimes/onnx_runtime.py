"""ONNX Runtime: named arrays through one session, on its CPU or its CUDA execution provider."""

import contextlib
import ctypes
import io
import os
from pathlib import Path
from typing import Any

# From 1.29 on, its Linux wheels report every session to their maker unless this stands before the import.
os.environ["ORT_DISABLE_TELEMETRY"] = "1"

import onnxruntime as ort

from service.bundle import ONNX, Bundle
from service.errors import BundleError, DeviceUnavailable
from service.signature import Arrays, Signature

CUDA = "CUDAExecutionProvider"
CPU = "CPUExecutionProvider"
ONNX_TYPES = {"UINT8": "tensor(uint8)", "FP32": "tensor(float)"}
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


def open_on(bundle: Bundle, folder: Path, device: str, threads: int) -> OnnxRuntime:
    """Open `model.onnx` on `cpu`, `cuda` or `cuda:N`, with that many threads for one inference."""
    path = folder / ONNX
    ort.set_default_logger_severity(FATAL)
    options = ort.SessionOptions()
    options.log_severity_level = FATAL
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    if device == "cpu":
        session = _create(path, options, [CPU])
    else:
        session = _create_on_cuda(path, options, int(device.partition(":")[2] or 0))
        device = f"cuda:{int(device.partition(':')[2] or 0)}"
    _check_signature(session, bundle.signature, path)
    runtime = OnnxRuntime(session, device)
    if device != "cpu":
        _run_once(runtime, bundle.signature)
    return runtime


def _create(path: Path, options: ort.SessionOptions, providers: list[Any]) -> ort.InferenceSession:
    try:
        # Without fallback a provider that fails is an exception, not another provider behind our back.
        return ort.InferenceSession(path, options, providers=providers, enable_fallback=0)
    except Exception as error:  # ONNX Runtime's exceptions have no other base
        raise BundleError(f"{path}: ONNX Runtime cannot open it: {error}") from error


def _create_on_cuda(path: Path, options: ort.SessionOptions, index: int) -> ort.InferenceSession:
    if CUDA not in ort.get_available_providers():
        raise DeviceUnavailable("this ONNX Runtime has no CUDA execution provider (the extra cuda brings it)")
    try:
        ctypes.CDLL("libcuda.so.1")
    except OSError:
        raise DeviceUnavailable("this machine has no NVIDIA driver (libcuda.so.1)") from None
    with contextlib.redirect_stdout(io.StringIO()):  # it prints what it does not find
        ort.preload_dlls()
    # TF32 would round the inputs of each product to 10 bits: other answers than on the CPU.
    try:
        session = _create(path, options, [(CUDA, {"device_id": index, "use_tf32": 0}), CPU])
    except BundleError as error:
        raise DeviceUnavailable(f"ONNX Runtime cannot open a session on cuda:{index}: {error.__cause__}") from error
    if CUDA not in session.get_providers():  # it falls back to the CPU without an exception
        raise DeviceUnavailable(f"ONNX Runtime could not start its CUDA execution provider on cuda:{index}")
    return session


def _check_signature(session: ort.InferenceSession, signature: Signature, path: Path) -> None:
    for side, nodes, specs in (
        ("inputs", session.get_inputs(), signature.inputs),
        ("outputs", session.get_outputs(), signature.outputs),
    ):
        found = [(n.name, n.type, [s if isinstance(s, int) else -1 for s in n.shape]) for n in nodes]
        expected = [(spec.name, ONNX_TYPES[spec.datatype], list(spec.shape)) for spec in specs]
        if found != expected:
            raise BundleError(f"{path}: its {side} are {found}, the manifest expects {expected}")


def _run_once(runtime: OnnxRuntime, signature: Signature) -> None:
    """A session that was created may still fail at its first kernel: an old driver, a full GPU."""
    try:
        runtime.run(signature.zeros())
    except Exception as error:  # ONNX Runtime's exceptions have no other base
        raise DeviceUnavailable(f"{runtime.device} does not run: {error}") from error
