"""`python -m service`: Gunicorn, configured by the environment."""

import argparse
import os
import socket
import sys
import time
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any

from gunicorn.app.wsgiapp import WSGIApplication

from service.app import create_app
from service.errors import StartError
from service.inference.repository import find_bundles
from service.settings import Settings

RETRY_AFTER = 5  # seconds

EXAMPLES = """
examples:
  python -m service                                     serve the bundles in models/ on 127.0.0.1:8000
  DIGITALIS_BIND=0.0.0.0:80 python -m service           listen on every interface
  DIGITALIS_RUNTIME=torchscript python -m service       run model.pt instead of model.onnx
  gunicorn -c python:service.gunicorn_conf 'service.app:create_app()'      the same, with Gunicorn's own options

settings, from the environment:
"""


class Service(WSGIApplication):  # type: ignore[misc]  # Gunicorn is not typed
    """Gunicorn, whose workers open the bundles that were there at the start, and those alone.

    So a worker that is replaced answers as its siblings do, whatever has been written to the folder since.
    """

    def __init__(self, settings: Settings, folders: list[Path]) -> None:
        self._settings = settings
        self._folders = folders
        super().__init__("%(prog)s")

    def load(self) -> Any:
        """The application of one worker. All bundles opened at the start: if one does not now, the others go on."""
        try:
            return create_app(self._settings, self._folders)
        except StartError as error:
            print(f"digitalis: a worker cannot start, and will be tried again: {error}", file=sys.stderr)
            time.sleep(RETRY_AFTER)
            raise SystemExit(1) from error


def main() -> int:
    """Serve until told to stop; the exit status is 0 after SIGTERM, 2 when the start fails."""
    width = max(len(name) for name, _, _ in Settings.rows())
    table = "\n".join(f"  {name:{width}}  {meaning} (default: {shown})" for name, shown, meaning in Settings.rows())
    parser = argparse.ArgumentParser(
        prog="python -m service",
        description="Serve the bundles under models/ over HTTP.",
        epilog=EXAMPLES + table,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "--health", action="store_true", help="ask the service that runs here whether it is ready, and exit 0 or 1"
    )
    asked = parser.parse_args()
    try:
        settings = Settings.from_env()
        if asked.health:
            return _health(settings)
        folders = find_bundles(settings.models_dir)
    except StartError as error:
        print(f"digitalis: {error}", file=sys.stderr)
        return 2
    if not (_is_free(settings.bind) and _opens(settings, folders)):
        return 2
    sys.argv = ["digitalis", "-c", "python:service.gunicorn_conf", "service.app:create_app()"]
    Service(settings, folders).run()
    return 0


def _is_free(address: str) -> bool:
    """Whether nobody listens there yet; Gunicorn would try five times, and not name the setting."""
    host, _, port = address.rpartition(":")
    family = socket.AF_INET6 if host.startswith("[") else socket.AF_INET
    with socket.socket(family) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host.strip("[]"), int(port)))
        except OSError as error:
            print(
                f"digitalis: cannot listen on {address}: {error.strerror}; DIGITALIS_BIND sets another", file=sys.stderr
            )
            return False
    return True


def _opens(settings: Settings, folders: list[Path]) -> bool:
    """Whether every bundle opens and gives its golden answers, tried once, in a process that ends with the trial.

    In workers the same failure would be told by each of them, between Gunicorn's own lines; and sessions that this
    process opened would not survive its forks.
    """
    child = os.fork()
    if child == 0:
        try:
            create_app(settings, folders)
        except StartError as error:
            print(f"digitalis: {error}", file=sys.stderr, flush=True)
            os._exit(2)
        os._exit(0)
    _, status = os.waitpid(child, 0)
    return status == 0


def _health(settings: Settings) -> int:
    host, _, port = settings.bind.rpartition(":")
    host = {"0.0.0.0": "127.0.0.1", "[::]": "[::1]"}.get(host, host)  # noqa: S104 - compared, not bound
    try:
        with urllib.request.urlopen(f"http://{host}:{port}/v2/health/ready", timeout=3):
            return 0
    except (OSError, urllib.error.URLError) as error:
        print(f"digitalis: not ready on {settings.bind}: {error}", file=sys.stderr)
        return 1


if __name__ == "__main__":
    sys.exit(main())
