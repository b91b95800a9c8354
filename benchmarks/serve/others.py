"""The servers that Digitalis is compared with: each is a file in `peers/`, with its command and its environment here.

Those that `make peers` installs, in the versions of its lock file, share one environment. The dependencies of the
others conflict, so each has an environment of its own, made from the versions pinned in its file (PEP 723), the first
time that it is requested by name.
"""

import re
import subprocess
import sys
import tomllib
from pathlib import Path

from benchmarks.serve.servers import ROOT, Server
from benchmarks.serve.workloads import UPLOADS
from service.errors import DigitalisError

PEERS = Path(__file__).parent / "peers"
SHARED_BIN = ROOT / ".venv-clients/bin"
ISOLATED_ENVIRONMENTS = ROOT / ".venv-peers"
SCRIPT_METADATA = re.compile(r"(?m)^# /// script\n((?:#.*\n)+?)# ///$")


def shared_peers() -> dict[str, Server]:
    """The servers in the shared environment, by the names that `--peers` accepts."""
    port = ("--port", "{port}")
    fastest = ("--log-level", "warning", "--no-access-log", "--loop", "uvloop", "--http", "httptools")
    uvicorn = (str(SHARED_BIN / "uvicorn"), "--app-dir", str(PEERS), *port, *fastest)
    granian = (str(SHARED_BIN / "granian"), "--interface", "wsgi", *port, "--no-ws", "--log-level", "warning")
    gthread = ("-k", "gthread", "--threads", "4", "-b", "127.0.0.1:{port}", "--no-control-socket")
    gunicorn = (str(SHARED_BIN / "gunicorn"), "--chdir", str(PEERS), *gthread)
    kserve = (str(SHARED_BIN / "python"), str(PEERS / "kserve_server.py"), "--http_port", "{port}")
    minimal = (str(SHARED_BIN / "python"), str(PEERS / "minimal_socket.py"), "{port}")
    workloads = ("row", "rows", "form")
    settings = {"DIGITALIS_DEVICE": "cpu", "DIGITALIS_INTRA_OP_THREADS": "1"}
    create_app = (*granian, "--factory", "service.app:create_app")
    return {
        "fastapi": Server("FastAPI, idiomatic", (*uvicorn, "fastapi_idiomatic:app"), workloads),
        "fastapi-tuned": Server("FastAPI, tuned by hand", (*uvicorn, "fastapi_tuned:app"), workloads),
        "granian": Server("create_app() on Granian", create_app, (*workloads, "tensor"), environment=settings),
        "kserve": Server("KServe's server", kserve),
        "minimal-socket": Server("Minimal socket server", minimal, ("tensor",)),
        "pillow": Server("FastAPI, Pillow", (*uvicorn, "fastapi_pillow:app"), UPLOADS),
        "flask": Server("Flask on Gunicorn, gthread(4)", (*gunicorn, "flask_naive:app"), workloads),
    }


def isolated_peers() -> dict[str, Server]:
    """The servers with an environment each, by the names that `--peers` accepts."""
    row, row_v2 = ("row",), ("row, V2",)
    return {
        "opencv": Server("FastAPI, OpenCV", _command("opencv"), UPLOADS),
        "pytriton": Server("PyTriton, V2", _command("pytriton"), row_v2),
        "mlserver": Server("MLServer, V2", _command("mlserver"), row_v2),
        "torchserve": Server("TorchServe", _command("torchserve"), row, "/predictions/iris", warm_up=20),  # JVM
        "mlflow": Server("MLflow", _command("mlflow"), row, "/invocations"),
        "litserve": Server("LitServe", _command("litserve"), row),
        "bentoml": Server("BentoML", _command("bentoml"), row),
        "ray": Server("Ray Serve", _command("ray"), row),
    }


def _command(name: str) -> tuple[str, ...]:
    return str(ISOLATED_ENVIRONMENTS / name / "bin/python"), str(_script(name)), "{port}"


def _script(name: str) -> Path:
    return PEERS / f"{name}_server.py"


def installed_peers(reference: Server) -> list[str]:
    """The names of the servers in the shared environment that are installed and have a workload of the reference."""
    return [
        name
        for name, server in shared_peers().items()
        if Path(server.command[0]).exists() and set(server.workload_keys) & set(reference.workload_keys)
    ]


def require_peers(names: list[str]) -> list[Server]:
    """The servers of these names; those with an environment of their own are installed if necessary.

    Raises `KeyError` for an unknown name, `DigitalisError` if a server is not or cannot be installed.
    """
    known = shared_peers() | isolated_peers()
    for name in names:
        if name in isolated_peers():
            _install(name)
        elif not Path(known[name].command[0]).exists():
            raise DigitalisError(f"{name} is not installed: run `make peers`")
    return [known[name] for name in names]


def pinned_requirements(name: str) -> list[str]:
    """The requirements, with versions, in the script metadata of a peer's file."""
    (block,) = SCRIPT_METADATA.findall(_script(name).read_text())
    requirements: list[str] = tomllib.loads(re.sub(r"(?m)^# ?", "", block))["dependencies"]
    return requirements


def _install(name: str) -> None:
    """Make the environment of a peer, which takes minutes, unless it exists with exactly these versions."""
    folder, requirements = ISOLATED_ENVIRONMENTS / name, pinned_requirements(name)
    marker, versions = folder / "installed.txt", "\n".join(requirements)
    if marker.exists() and marker.read_text() == versions:
        return
    print(f"installing {', '.join(requirements)} into {folder}", file=sys.stderr)
    try:
        subprocess.run([sys.executable, "-m", "venv", "--clear", folder], check=True)
        subprocess.run([folder / "bin/pip", "install", "--quiet", *requirements], check=True)
    except subprocess.CalledProcessError as error:
        raise DigitalisError(f"{name} cannot be installed: {error}") from error
    marker.write_text(versions)
