"""Settings: every `DIGITALIS_*` variable, read here and nowhere else.

An unknown name or an invalid value stops the start with a message that says what would be right, as a misspelt setting
must not be ignored silently. Only the names that Kubernetes injects for a Service called `digitalis` or `digitalis-...`
(`DIGITALIS_SERVICE_HOST`, `DIGITALIS_PORT_8000_TCP`, ...) are skipped.
"""

import dataclasses
import difflib
import math
import os
import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from service.errors import SettingsError
from service.worker.memory import LARGEST_SHARE, MemoryBudget

PREFIX = "DIGITALIS_"
MIN_HEARTBEAT_TIMEOUT = 3  # seconds
OTEL_VARIABLES = ("OTEL_EXPORTER_OTLP_ENDPOINT", "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "OTEL_TRACES_EXPORTER")
# What Kubernetes sets for a Service called digitalis, or digitalis-<anything>: its PORT is a URL.
KUBERNETES = re.compile(rf"{PREFIX}(.*_)?(SERVICE_HOST|SERVICE_PORT(_.*)?|PORT_[0-9]+_[A-Z]+(_PROTO|_PORT|_ADDR)?)")
KUBERNETES_URL = re.compile(rf"{PREFIX}(.*_)?PORT")


def _injected_by_kubernetes(name: str, text: str) -> bool:
    return bool(KUBERNETES.fullmatch(name) or (KUBERNETES_URL.fullmatch(name) and "://" in text))


def _address(text: str) -> str:
    host, colon, port = text.rpartition(":")
    if not (host and colon and re.fullmatch("[1-9][0-9]{0,4}", port) and int(port) < 65536):
        raise ValueError("host:port, such as 127.0.0.1:8000 or [::]:8000")
    return text


def _count(text: str) -> int:
    if not re.fullmatch("[1-9][0-9]{0,11}", text):
        raise ValueError("an integer from 1 up")
    return int(text)


def _heartbeat(text: str) -> int:
    seconds = _count(text)
    if seconds < MIN_HEARTBEAT_TIMEOUT:
        raise ValueError(f"an integer from {MIN_HEARTBEAT_TIMEOUT} up, as workers report once a second")
    return seconds


def _seconds(text: str) -> int:
    if not re.fullmatch("0|[1-9][0-9]{0,3}", text):
        raise ValueError("an integer from 0 to 9999")
    return int(text)


def _choice(*choices: str) -> Callable[[str], str]:
    def parse(text: str) -> str:
        if text not in choices:
            raise ValueError(f"one of {', '.join(choices)}")
        return text

    return parse


def _bool(text: str) -> bool:
    if text not in ("false", "true"):
        raise ValueError("true or false")
    return text == "true"


def _device(text: str) -> str:
    if not re.fullmatch("auto|cpu|cuda(:[0-9]+)?", text):
        raise ValueError("auto, cpu, cuda, or cuda:N such as cuda:0")
    return text


def _folder(text: str) -> Path:
    if not text:
        raise ValueError("a folder")
    return Path(text)


def available_cores() -> int:
    """The cores that this process may use: its CPU affinity and its container's quota, at least 1."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    quota = Path("/sys/fs/cgroup/cpu.max")  # cgroup v2: "<quota> <period>" in microseconds, or "max <period>"
    if quota.exists():
        limit, period = quota.read_text().split()
        if limit != "max":
            cores = min(cores, int(limit) // int(period))
    return max(cores, 1)


def _setting(default: Any, parse: Callable[[str], Any], shown: str, meaning: str) -> Any:
    metadata = {"parse": parse, "shown": shown, "meaning": meaning}
    if callable(default):
        return dataclasses.field(default_factory=default, metadata=metadata)
    return dataclasses.field(default=default, metadata=metadata)


def tracing_enabled(environ: Mapping[str, str] = os.environ) -> bool:
    """Whether OpenTelemetry's own environment variables turn its OTLP exporter for spans on."""
    disabled = environ.get("OTEL_SDK_DISABLED", "").lower() == "true"
    otlp = "otlp" in (environ.get("OTEL_TRACES_EXPORTER") or "otlp").split(",")
    return not disabled and otlp and any(environ.get(name) for name in OTEL_VARIABLES)


def inherits_sockets(environ: Mapping[str, str] = os.environ) -> bool:
    """Whether Gunicorn has started this process on the sockets of a running service, as it does on SIGUSR2."""
    return "GUNICORN_FD" in environ


@dataclasses.dataclass(frozen=True, kw_only=True)
class Settings:
    """Every setting with its default and its meaning; the variable of `field` is `DIGITALIS_<FIELD>`."""

    bind: str = _setting("127.0.0.1:8000", _address, "127.0.0.1:8000", "host:port to listen on")
    workers: int = _setting(available_cores, _count, "one per core", "worker processes; each opens every model")
    request_threads: int = _setting(
        4, _count, "4", "slow requests that one worker runs at a time, if each takes over 250 ms; others wait"
    )
    queue_timeout_ms: int = _setting(
        1000,
        _count,
        "1000",
        "milliseconds that a request may wait; one that is expected to wait for half of it gets 503 at once",
    )
    max_queued: int = _setting(1000, _count, "1000", "requests of one worker that may wait; further ones get 503")
    max_connections: int = _setting(
        2048, _count, "2048", "connections of one worker; when all are in use, idle ones are closed"
    )
    memory_budget_bytes: int = _setting(
        256 * 2**20,
        _count,
        "268435456",
        "bytes that the requests of one worker may hold: bodies, pictures while they are decoded, responses",
    )
    read_timeout: int = _setting(
        30,
        _count,
        "30",
        "seconds in which a head must arrive, and a body or the reading of a response go on by 8 KiB for each of them",
    )
    answer_timeout: int = _setting(
        60, _count, "60", "seconds after which a request without a response gets 504, and its worker is replaced"
    )
    heartbeat_timeout: int = _setting(
        12, _heartbeat, "12", "seconds without a heartbeat after which a worker is killed and replaced"
    )
    intra_op_threads: int | None = _setting(None, _count, "cores / workers", "threads of one inference, in each worker")
    models_dir: Path = _setting(
        Path("models"), _folder, "models", "the folder that contains the bundles, as name/version/"
    )
    runtime: str = _setting("onnx", _choice("onnx", "torchscript"), "onnx", "onnx or torchscript")
    device: str = _setting(
        "auto",
        _device,
        "auto",
        "auto (CUDA if a test inference succeeds there, otherwise the CPU), cpu, cuda, or cuda:N",
    )
    data_dir: Path = _setting(Path("data"), _folder, "data", "training: the folder that MNIST is downloaded to")
    abstain: bool = _setting(
        default=False,
        parse=_bool,
        shown="false",
        meaning="true or false: the default of `?abstain=`; true leaves out the label of unsure predictions",
    )
    max_body_bytes: int = _setting(
        16 * 2**20, _count, "16777216", "largest request body, before and after decompression"
    )
    max_image_pixels: int = _setting(
        64_000_000, _count, "64000000", "largest image, width times height; four times that for all images of a request"
    )
    max_files: int = _setting(256, _count, "256", "most image files in a request: in a form, or in JSON as base64")
    max_rows: int = _setting(10_000, _count, "10000", "most instances or CSV rows in a request")
    graceful_timeout: int = _setting(30, _count, "30", "seconds that requests in flight have to finish after SIGTERM")
    drain_delay: int = _setting(
        0,
        _seconds,
        "0",
        "seconds after SIGTERM for which everything is still served, while readiness fails",
    )
    log_level: str = _setting(
        "info", _choice("debug", "info", "warning", "error"), "info", "debug, info, warning or error"
    )
    log_requests: str = _setting(
        "slow",
        _choice("all", "slow", "none"),
        "slow",
        "which requests are logged: all; slow, rejected and failed ones (slow); none",
    )
    slow_ms: int = _setting(1000, _count, "1000", "milliseconds from which a request is slow")

    @classmethod
    def from_env(cls, environ: Mapping[str, str] = os.environ) -> "Settings":
        """Read the settings; raises `SettingsError` for an unknown `DIGITALIS_*` name or an invalid value."""
        fields = {PREFIX + field.name.upper(): field for field in dataclasses.fields(cls)}
        values = {}
        for name, text in environ.items():
            if not name.startswith(PREFIX) or (name not in fields and _injected_by_kubernetes(name, text)):
                continue
            if name not in fields:
                close = difflib.get_close_matches(name, fields, n=1, cutoff=0.8)
                hint = f"did you mean {close[0]}?" if close else f"the settings are {', '.join(fields)}"
                raise SettingsError(f"{name} is not a setting: {hint}")
            try:
                values[fields[name].name] = fields[name].metadata["parse"](text)
            except ValueError as expected:
                raise SettingsError(f"{name}={text!r}: expected {expected}") from None
        settings = cls(**values)
        settings.check_consistency()
        return settings

    def check_consistency(self) -> None:
        """Raise `SettingsError` for values that are valid alone, and not together."""
        for_bodies = MemoryBudget(self.memory_budget_bytes).for_bodies
        if self.max_body_bytes > for_bodies:
            needed = (
                f"{PREFIX}MAX_BODY_BYTES is {self.max_body_bytes}, and the bodies of a worker may take {for_bodies}"
            )
            raise SettingsError(
                f"{needed} of {PREFIX}MEMORY_BUDGET_BYTES ({self.memory_budget_bytes}): "
                f"set that to {math.ceil(self.max_body_bytes / (1 - LARGEST_SHARE))} or more"
            )

    @property
    def threads_per_inference(self) -> int:
        """`intra_op_threads`, or as many as keep workers x threads within the cores."""
        return self.intra_op_threads or self.cores_per_worker

    @property
    def cores_per_worker(self) -> int:
        """The cores that a worker has if each has as many as the others; at least 1."""
        return max(available_cores() // self.workers, 1)

    @classmethod
    def documentation_rows(cls) -> list[tuple[str, str, str]]:
        """Name, default and meaning of every setting, for `--help` and docs/settings.md."""
        return [
            (PREFIX + field.name.upper(), field.metadata["shown"], field.metadata["meaning"])
            for field in dataclasses.fields(cls)
        ]
