"""Settings from the environment, and the error message for an invalid one."""

import dataclasses

import pytest
from running_service import failed_start

from service import kubernetes
from service import settings as module
from service.cores import available_cores
from service.errors import SettingsError
from service.inference.version_policy import VersionPolicy
from service.settings import Settings


def test_by_default_workers_times_threads_stay_within_the_cores() -> None:
    settings = Settings.from_env({})
    assert settings.bind == "127.0.0.1:8000"
    assert settings.workers == available_cores()
    assert settings.workers * settings.threads_per_inference <= available_cores()


@pytest.mark.parametrize("workers", [1, 2, 3, 64])
def test_by_default_the_cores_are_divided_among_the_workers(workers: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "available_cores", lambda: 8)
    settings = Settings(workers=workers)
    assert settings.threads_per_inference == max(8 // workers, 1)


def test_more_threads_than_cores_can_be_set() -> None:
    assert Settings.from_env({"DIGITALIS_INTRA_OP_THREADS": "99"}).threads_per_inference == 99


def test_every_setting_can_be_set() -> None:
    texts = {
        "bind": "0.0.0.0:80",
        "models_dir": "/srv/models",
        "data_dir": "/srv/data",
        "runtime": "torchscript",
        "device": "cuda:1",
        "log_level": "debug",
        "abstain": "true",
        "page": "false",
        "allow_anonymous": "true",
        "api_keys_file": "/run/secrets/keys",
        "public_key": "/etc/digitalis.pub",
        "log_requests": "all",
        "memory_budget_bytes": "700000000",
        "gpu_memory_share": "0.25",
        "root_path": "/ml/digits",
        "default_model": "iris",
        "models_poll_seconds": "0.5",
        "model_name": "flowers",
        "repository_api": "true",
    }
    assert Settings.from_env({"DIGITALIS_CUDA_FROM_ROWS": "a=never, b/2=16"}).cuda_from_rows == {"a": None, "b/2": 16}
    assert Settings.from_env({"DIGITALIS_BATCHING": "a=32:2ms,b=8:0ms"}).batching == {"a": (32, 0.002), "b": (8, 0)}
    assert Settings.from_env({"DIGITALIS_VERSIONS": "iris=4, mnist=8+9:0.1"}).versions == {
        "iris": VersionPolicy("4", None, 0.0, "DIGITALIS_VERSIONS"),
        "mnist": VersionPolicy("8", "9", 0.1, "DIGITALIS_VERSIONS"),
    }
    assert Settings.from_env({"DIGITALIS_CORS_ORIGINS": "http://a:3000, https://b.org"}).cors_origins == (
        "http://a:3000",
        "https://b.org",
    )
    assert Settings.from_env({"DIGITALIS_API_KEYS": f"{'k' * 16},metrics:{'m' * 16}"}).api_keys == (
        (frozenset({"predict"}), "k" * 16),
        (frozenset({"metrics"}), "m" * 16),
    )
    for field in dataclasses.fields(Settings):
        if field.name in ("cuda_from_rows", "batching", "versions", "cors_origins", "api_keys"):
            continue
        text = texts.get(field.name, "7")
        value = getattr(Settings.from_env({f"DIGITALIS_{field.name.upper()}": text}), field.name)
        assert str(value).lower() == text.lower()
        assert value != getattr(Settings.from_env({}), field.name)


@pytest.mark.parametrize(
    ("name", "value", "hint"),
    [
        ("DIGITALIS_WORKERS", "two", "an integer from 1 up"),
        ("DIGITALIS_WORKERS", "0", "an integer from 1 up"),
        ("DIGITALIS_WORKERS", "", "an integer from 1 up"),
        ("DIGITALIS_HEARTBEAT_TIMEOUT", "2", "an integer from 3 up, as workers report once a second"),
        ("DIGITALIS_DRAIN_DELAY", "-1", "an integer from 0 to 9999"),
        ("DIGITALIS_DRAIN_DELAY", "1.5", "an integer from 0 to 9999"),
        ("DIGITALIS_ABSTAIN", "yes", "true or false"),
        ("DIGITALIS_BIND", "8000", "host:port"),
        ("DIGITALIS_BIND", "localhost:99999", "host:port"),
        ("DIGITALIS_KEEPALIVE", "0", "an integer from 1 to 9999"),
        ("DIGITALIS_ROOT_PATH", "ml", "a path such as /ml/digits"),
        ("DIGITALIS_ROOT_PATH", "/ml/", "that does not end with a slash"),
        ("DIGITALIS_ROOT_PATH", "/", "that does not end with a slash"),
        ("DIGITALIS_ROOT_PATH", "/ml//digits", "a path such as /ml/digits"),
        ("DIGITALIS_ROOT_PATH", "/ml/..", "a path such as /ml/digits"),
        ("DIGITALIS_ROOT_PATH", "/ml digits", "of letters, digits and . _ ~ -"),
        ("DIGITALIS_ROOT_PATH", "https://example.org/ml", "a path such as /ml/digits"),
        ("DIGITALIS_ROOT_PATH", "/v1/digits", "none of the service's own: docs, invocations, metrics"),
        ("DIGITALIS_DEFAULT_MODEL", "iris/4", "the name of a model, without a version"),
        ("DIGITALIS_DEFAULT_MODEL", "", "the name of a model"),
        ("DIGITALIS_DEVICE", "gpu", "auto, cpu, cuda, or cuda:N"),
        ("DIGITALIS_CUDA_FROM_ROWS", "mnist=0", "such as mnist=16,iris=never"),
        ("DIGITALIS_CUDA_FROM_ROWS", "mnist", "such as mnist=16,iris=never"),
        ("DIGITALIS_BATCHING", "wide=32", "name=rows:delay, such as wide=32:2ms, with 2 to 256 rows"),
        ("DIGITALIS_BATCHING", "wide=1:2ms", "with 2 to 256 rows"),
        ("DIGITALIS_BATCHING", "wide=257:2ms", "with 2 to 256 rows"),
        ("DIGITALIS_GPU_MEMORY_SHARE", "0", "a number over 0 and up to 1"),
        ("DIGITALIS_GPU_MEMORY_SHARE", "1.5", "a number over 0 and up to 1"),
        ("DIGITALIS_RUNTIME", "tensorflow", "one of onnx, torchscript"),
        ("DIGITALIS_MODELS_DIR", "", "a folder"),
        ("DIGITALIS_WORKER", "2", "did you mean DIGITALIS_WORKERS?"),
        ("DIGITALIS_QQ", "2", "the settings are DIGITALIS_BIND"),
    ],
)
def test_an_invalid_setting_is_an_error_that_names_it_and_what_is_expected(name: str, value: str, hint: str) -> None:
    with pytest.raises(SettingsError) as error:
        Settings.from_env({name: value})
    assert name in str(error.value)
    assert hint in str(error.value)


@pytest.mark.parametrize(
    "origin",
    [
        "https://app.example.org",
        "http://localhost:3000",
        "http://127.0.0.1:8080",
        "http://[::1]:8080",
        "https://xn--blte-0ra.example",
        "chrome-extension://hjkfpdbpmmhlhffgjgmfimhjjnjklbpc",
        "capacitor://localhost",
        "*",
    ],
)
def test_an_origin_is_taken_as_browsers_write_it(origin: str) -> None:
    assert Settings.from_env({"DIGITALIS_CORS_ORIGINS": origin}).cors_origins == (origin,)


@pytest.mark.parametrize(
    "origin",
    [
        "",
        "app.example.org",
        "https://app.example.org/",
        "https://app.example.org/page",
        "HTTPS://app.example.org",
        "https://App.example.org",
        "https://app.example.org:443",
        "http://app.example.org:80",
        "https://blüte.example",
        "https://*.example.org",
        "https://app.example.org *",
        "*,https://app.example.org",
        "null",
    ],
)
def test_what_no_browser_would_write_is_no_origin_and_the_message_says_what_is(origin: str) -> None:
    with pytest.raises(SettingsError, match="expected origins with commas between them, such as "):
        Settings.from_env({"DIGITALIS_CORS_ORIGINS": origin})


@pytest.mark.parametrize(
    ("variables", "bind"),
    [
        ({"PORT": "8080"}, "0.0.0.0:8080"),
        ({"PORT": "8080", "DIGITALIS_BIND": "127.0.0.1:8000"}, "127.0.0.1:8080"),
        ({"PORT": "8080", "DIGITALIS_BIND": "[::]:8000"}, "[::]:8080"),
    ],
)
def test_the_variable_port_replaces_the_port_and_alone_it_means_every_interface(
    variables: dict[str, str], bind: str
) -> None:
    """A platform that sets it sends requests from outside."""
    assert Settings.from_env(variables).bind == bind


@pytest.mark.parametrize("port", ["", "http", "0", "65536", "08080", "tcp://10.0.0.1:80"])
def test_a_port_that_is_none_is_an_error(port: str) -> None:
    with pytest.raises(SettingsError, match=f"PORT='{port}': expected the number of a port, from 1 to 65535"):
        Settings.from_env({"PORT": port})


def test_the_largest_body_must_fit_into_the_memory_budget() -> None:
    """Otherwise it would get 503 for ever. The message says how large the budget must be at least."""
    with pytest.raises(SettingsError, match="set that to 533333334 or more"):
        Settings.from_env({"DIGITALIS_MAX_BODY_BYTES": "200000000"})
    found = Settings.from_env({"DIGITALIS_MAX_BODY_BYTES": "200000000", "DIGITALIS_MEMORY_BUDGET_BYTES": "533333334"})
    assert found.max_body_bytes == 200_000_000


def test_an_invalid_setting_stops_the_start_with_one_line() -> None:
    failed = failed_start(worker="2")
    assert failed.returncode == 2
    assert failed.stderr == "digitalis: DIGITALIS_WORKER is not a setting: did you mean DIGITALIS_WORKERS?\n"


def test_variables_that_kubernetes_injects_for_a_service_are_ignored() -> None:
    injected = {
        "DIGITALIS_SERVICE_HOST": "10.0.0.1",
        "DIGITALIS_SERVICE_PORT": "80",
        "DIGITALIS_SERVICE_PORT_HTTP": "80",
        "DIGITALIS_PORT": "tcp://10.0.0.1:80",
        "DIGITALIS_PORT_80_TCP": "tcp://10.0.0.1:80",
        "DIGITALIS_PORT_80_TCP_ADDR": "10.0.0.1",
        "DIGITALIS_CANARY_SERVICE_HOST": "10.0.0.2",
        "DIGITALIS_CANARY_PORT": "tcp://10.0.0.2:80",
        "DIGITALIS_CANARY_PORT_80_TCP_PROTO": "tcp",
    }
    assert Settings.from_env(injected) == Settings.from_env({})


@pytest.mark.parametrize(
    "name", ["DIGITALIS_PORT", "DIGITALIS_HTTP_PORT", "DIGITALIS_BIND_PORT", "DIGITALIS_PORT_NUMBER"]
)
def test_a_port_that_kubernetes_has_not_injected_is_an_error(name: str) -> None:
    with pytest.raises(SettingsError, match=f"{name} is not a setting: "):
        Settings.from_env({name: "8001"})


def test_no_setting_has_a_name_that_kubernetes_injects() -> None:
    for name, _, _ in Settings.documentation_rows():
        assert not kubernetes.NAME.fullmatch(name)
        assert not kubernetes.URL_NAME.fullmatch(name)
