"""The servers beside ours, a file each in `peers/`, and where their programs are.

Those that `make peers` installs, with the versions of its lock, share one environment. The needs of the others
contradict each other: each has an environment of its own, made from the versions that its file pins (PEP 723), and
is run when it is asked for by name.
"""

import re
import subprocess
import sys
import tomllib
from pathlib import Path

from benchmarks.serve.servers import ROOT, Server
from service.errors import DigitalisError

PEERS = Path(__file__).parent / "peers"
TOGETHER = ROOT / ".venv-clients/bin"
ALONE = ROOT / ".venv-peers"
METADATA = re.compile(r"(?m)^# /// script\n((?:#.*\n)+?)# ///$")


def together() -> dict[str, Server]:
    """Those of the one environment, by the names that `--peers` takes."""
    port = ("--port", "{port}")
    quick = ("--log-level", "warning", "--no-access-log", "--loop", "uvloop", "--http", "httptools")
    uvicorn = (str(TOGETHER / "uvicorn"), "--app-dir", str(PEERS), *port, *quick)
    granian = (str(TOGETHER / "granian"), "--interface", "wsgi", *port, "--no-ws", "--log-level", "warning")
    gthread = ("-k", "gthread", "--threads", "4", "-b", "127.0.0.1:{port}", "--no-control-socket")
    gunicorn = (str(TOGETHER / "gunicorn"), "--chdir", str(PEERS), *gthread)
    kserve = (str(TOGETHER / "python"), str(PEERS / "kserve_server.py"), "--http_port", "{port}")
    does = ("row", "rows", "form")
    models = {"DIGITALIS_DEVICE": "cpu", "DIGITALIS_INTRA_OP_THREADS": "1"}
    create_app = ("--factory", "service.app:create_app")
    return {
        "fastapi": Server("FastAPI, idiomatic", (*uvicorn, "fastapi_idiomatic:app"), does),
        "fastapi-tuned": Server("FastAPI, tuned by hand", (*uvicorn, "fastapi_tuned:app"), does),
        "granian": Server("create_app() on Granian", (*granian, *create_app), (*does, "tensor"), environment=models),
        "kserve": Server("KServe's server", kserve),
        "least": Server(
            "Next to nothing, in Python", (str(TOGETHER / "python"), str(PEERS / "least.py"), "{port}"), ("tensor",)
        ),
        "flask": Server("Flask on Gunicorn, gthread(4)", (*gunicorn, "flask_naive:app"), does),
    }


def alone() -> dict[str, Server]:
    """Those with an environment each, by the names that `--peers` takes."""
    row, v2 = ("row",), ("row, V2",)
    return {
        "pytriton": Server("PyTriton, V2", _own("pytriton"), v2),
        "mlserver": Server("MLServer, V2", _own("mlserver"), v2),
        "torchserve": Server("TorchServe", _own("torchserve"), row, "/predictions/iris", warm_up=20),  # Java
        "mlflow": Server("MLflow", _own("mlflow"), row, "/invocations"),
        "litserve": Server("LitServe", _own("litserve"), row),
        "bentoml": Server("BentoML", _own("bentoml"), row),
        "ray": Server("Ray Serve", _own("ray"), row),
    }


def _own(name: str) -> tuple[str, ...]:
    return str(ALONE / name / "bin/python"), str(_file(name)), "{port}"


def _file(name: str) -> Path:
    return PEERS / f"{name}_server.py"


def available() -> list[str]:
    """Those whose programs are here, of the one environment."""
    return [name for name, server in together().items() if Path(server.command[0]).exists()]


def named(names: list[str]) -> list[Server]:
    """The servers of these names, installed; raises `KeyError` for a name that is none, `DigitalisError` as below."""
    known = together() | alone()
    for name in names:
        if name in alone():
            _install(name)
        elif not Path(known[name].command[0]).exists():
            raise DigitalisError(f"{name} is not here: `make peers` installs it")
    return [known[name] for name in names]


def needs(name: str) -> list[str]:
    """What its file says that it needs, pinned."""
    (block,) = METADATA.findall(_file(name).read_text())
    found: list[str] = tomllib.loads(re.sub(r"(?m)^# ?", "", block))["dependencies"]
    return found


def _install(name: str) -> None:
    """Make its environment, which takes minutes, unless it is there with just these versions."""
    folder, wanted = ALONE / name, "\n".join(needs(name))
    done = folder / "installed.txt"
    if done.exists() and done.read_text() == wanted:
        return
    print(f"installing {', '.join(needs(name))} into {folder}", file=sys.stderr)
    try:
        subprocess.run([sys.executable, "-m", "venv", "--clear", folder], check=True)
        subprocess.run([folder / "bin/pip", "install", "--quiet", *needs(name)], check=True)
    except subprocess.CalledProcessError as error:
        raise DigitalisError(f"{name} cannot be installed: {error}") from error
    done.write_text(wanted)
