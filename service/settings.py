"""Settings: every `DIGITALIS_*` variable, read here and nowhere else.

An unknown name or an invalid value stops the start with a message that says what would be right, as a misspelt setting
must not be ignored silently. Only the names that Kubernetes injects for a Service called `digitalis` or `digitalis-...`
(`DIGITALIS_SERVICE_HOST`, `DIGITALIS_PORT_8000_TCP`, ...) are skipped.
"""

import dataclasses
import difflib
import os
from collections.abc import Mapping
from pathlib import Path

from service import setting_values as values
from service.api_keys import ApiKey, parse_keys
from service.cores import available_cores
from service.errors import SettingsError
from service.inference.version_policy import VersionPolicy, parse_policies
from service.kubernetes import is_injected
from service.setting_values import setting

PREFIX = "DIGITALIS_"
PORT = "PORT"  # as Cloud Run, Heroku and others set it
OTEL_VARIABLES = ("OTEL_EXPORTER_OTLP_ENDPOINT", "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "OTEL_TRACES_EXPORTER")


def tracing_enabled(environ: Mapping[str, str] = os.environ) -> bool:
    """Whether OpenTelemetry's own environment variables turn its OTLP exporter for spans on."""
    disabled = environ.get("OTEL_SDK_DISABLED", "").lower() == "true"
    otlp = "otlp" in (environ.get("OTEL_TRACES_EXPORTER") or "otlp").split(",")
    return not disabled and otlp and any(environ.get(name) for name in OTEL_VARIABLES)


def wants_colour(environ: Mapping[str, str] = os.environ) -> bool:
    """Whether a terminal is to be written to in colour: https://no-color.org, and not on one that cannot show any."""
    return not environ.get("NO_COLOR") and environ.get("TERM") != "dumb"


def inherits_sockets(environ: Mapping[str, str] = os.environ) -> bool:
    """Whether the sockets of this process listen already: Gunicorn has started it on SIGUSR2, or systemd has."""
    return "GUNICORN_FD" in environ or environ.get("LISTEN_PID") == str(os.getpid())


@dataclasses.dataclass(frozen=True, kw_only=True)
class Settings:
    """Every setting with its default and its meaning; the variable of `field` is `DIGITALIS_<FIELD>`."""

    bind: str = setting(
        "127.0.0.1:8000",
        values.address,
        "127.0.0.1:8000",
        "host:port to listen on; the variable PORT replaces the port",
    )
    root_path: str = setting(
        "",
        values.root_path,
        "empty",
        "the path of the service behind a proxy, stripped there or not, such as /ml/digits",
    )
    api_keys: tuple[ApiKey, ...] = setting(
        (), parse_keys, "none", "API keys with commas between them, such as KEY, or predict+metrics:KEY"
    )
    api_keys_file: Path | None = setting(None, values.folder, "none", "a file of such keys, read again if it changes")
    allow_anonymous: bool = setting(
        default=False, parse=values.boolean, shown="0", meaning="1: others may reach a service that has no API keys"
    )
    page: bool = setting(
        default=True, parse=values.boolean, shown="true", meaning="true or false: whether `/` is a page for browsers"
    )
    cors_origins: tuple[str, ...] = setting(
        (),
        values.origins,
        "off",
        "origins whose pages may send requests from a browser, such as https://app.example.org, with commas; or *",
    )
    workers: int = setting(available_cores, values.count, "one per core", "worker processes; each opens every model")
    request_threads: int = setting(
        4, values.count, "4", "slow requests that one worker runs at a time, if each takes over 250 ms; others wait"
    )
    queue_timeout_ms: int = setting(
        1000,
        values.count,
        "1000",
        "milliseconds that a request may wait; one that is expected to wait for half of it gets 503 at once",
    )
    max_queued: int = setting(1000, values.count, "1000", "requests of one worker that may wait; further ones get 503")
    max_connections: int = setting(
        2048, values.count, "2048", "connections of one worker; when all are in use, idle ones are closed"
    )
    memory_budget_bytes: int = setting(
        256 * 2**20,
        values.count,
        "268435456",
        "bytes that the requests of one worker may hold: bodies, pictures while they are decoded, responses",
    )
    keepalive: int = setting(
        75,
        values.keepalive,
        "75",
        "seconds for which an idle connection stays open: more than those of the load balancer or the proxy in front",
    )
    read_timeout: int = setting(
        30,
        values.count,
        "30",
        "seconds in which a head must arrive, and a body or the reading of a response go on by 8 KiB for each of them",
    )
    answer_timeout: int = setting(
        60, values.count, "60", "seconds after which a request without a response gets 504, and its worker is replaced"
    )
    heartbeat_timeout: int = setting(
        12, values.heartbeat, "12", "seconds without a heartbeat after which a worker is killed and replaced"
    )
    intra_op_threads: int | None = setting(
        None, values.count, "cores / workers", "threads of one inference, in each worker"
    )
    models_dir: Path = setting(
        Path("models"), values.folder, "models", "the folder that contains the bundles, as name/version/"
    )
    model_name: str | None = setting(None, values.model_name, "the manifest's", "its name, where there is one model")
    models_poll_seconds: float = setting(
        1.0, values.poll_seconds, "1", "seconds between two looks for new versions in that folder; 0: at SIGHUP only"
    )
    versions: Mapping[str, VersionPolicy] = setting(
        dict,
        parse_policies,
        "the newest",
        "the version for requests that name none, and a canary with its share of them: iris=4,mnist=8+9:0.1",
    )
    repository_api: bool = setting(
        default=False,
        parse=values.boolean,
        shown="false",
        meaning="true or false: whether models can be loaded and unloaded over HTTP, with a key of the scope admin",
    )
    default_model: str | None = setting(
        None, values.model_name, "the only one", "the model of `/invocations`, by which SageMaker asks for predictions"
    )
    public_key: Path | None = setting(None, values.folder, "none", "a PEM file: only bundles that its key has signed")
    runtime: str = setting("onnx", values.choice("onnx", "torchscript"), "onnx", "onnx or torchscript")
    device: str = setting(
        "auto",
        values.device,
        "auto",
        "auto (each model where it is faster, by the rows of a batch: on the CPU or on cuda:0), cpu, cuda, or cuda:N",
    )
    cuda_from_rows: Mapping[str, int | None] = setting(
        dict,
        values.rows_by_model,
        "measured",
        "with the device auto: rows from which a batch of a model goes to the GPU, such as mnist=16,iris=never",
    )
    gpu_memory_share: float = setting(
        0.5,
        values.share,
        "0.5",
        "share of the free GPU memory that all workers together may take: fewer are started if need be",
    )
    batching: Mapping[str, tuple[int, float]] = setting(
        dict,
        values.batching,
        "off",
        "by model, rows that several requests may run as one batch, and how long one waits for others: wide=32:2ms",
    )
    data_dir: Path = setting(Path("data"), values.folder, "data", "training: the folder that MNIST is downloaded to")
    abstain: bool = setting(
        default=False,
        parse=values.boolean,
        shown="false",
        meaning="true or false: the default of `?abstain=`; true leaves out the label of unsure predictions",
    )
    max_body_bytes: int = setting(
        16 * 2**20, values.count, "16777216", "largest request body, before and after decompression"
    )
    max_image_pixels: int = setting(
        64_000_000,
        values.count,
        "64000000",
        "largest image, width times height; four times that for all images of a request",
    )
    max_files: int = setting(256, values.count, "256", "most image files in a request: in a form, or in JSON as base64")
    max_rows: int = setting(10_000, values.count, "10000", "most instances or CSV rows in a request")
    graceful_timeout: int = setting(
        30, values.count, "30", "seconds that requests in flight have to finish after SIGTERM"
    )
    drain_delay: int = setting(
        0, values.seconds, "0", "seconds after SIGTERM for which everything is still served, while readiness fails"
    )
    log_level: str = setting(
        "info", values.choice("debug", "info", "warning", "error"), "info", "debug, info, warning or error"
    )
    log_requests: str = setting(
        "slow",
        values.choice("all", "slow", "none"),
        "slow",
        "which requests are logged: all; slow, rejected and failed ones (slow); none",
    )
    slow_ms: int = setting(1000, values.count, "1000", "milliseconds from which a request is slow")

    @classmethod
    def from_env(cls, environ: Mapping[str, str] = os.environ) -> "Settings":
        """Read the settings; raises `SettingsError` for an unknown `DIGITALIS_*` name or an invalid value."""
        fields = {PREFIX + field.name.upper(): field for field in dataclasses.fields(cls)}
        found = {}
        for name, text in environ.items():
            if name in fields:
                found[fields[name].name] = values.parsed(name, text, fields[name].metadata["parse"])
            elif name.startswith(PREFIX) and not is_injected(name, text):
                close = difflib.get_close_matches(name, fields, n=1, cutoff=0.8)
                hint = f"did you mean {close[0]}?" if close else f"the settings are {', '.join(fields)}"
                raise SettingsError(f"{name} is not a setting: {hint}")
        if PORT in environ:
            found["bind"] = values.with_port(found.get("bind"), values.parsed(PORT, environ[PORT], values.port))
        settings = cls(**found)
        settings.check_consistency()
        return settings

    @staticmethod
    def override(texts: Mapping[str, str]) -> None:
        """Put the texts of some fields in place of their environment variables: workers inherit those."""
        os.environ.update({PREFIX + name.upper(): text for name, text in texts.items()})
        if "bind" in texts:
            os.environ.pop(PORT, None)

    def check_consistency(self) -> None:
        """Raise `SettingsError` for values that are valid alone, and not together."""
        if unfit := values.bodies_do_not_fit(self.max_body_bytes, self.memory_budget_bytes):
            raise SettingsError(unfit)

    @property
    def gpu(self) -> int:
        """The index of the GPU to be used, if any is."""
        return int(self.device.partition(":")[2] or 0)

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
        fields = [(PREFIX + field.name.upper(), field.metadata) for field in dataclasses.fields(cls)]
        return [(name, about["shown"], about["meaning"]) for name, about in fields]
