"""`python -m service`: Gunicorn, configured by `DIGITALIS_*` variables."""

import argparse
import http.client
import socket
import sys
import urllib.request
from pathlib import Path
from typing import Any

try:
    from gunicorn.app.wsgiapp import WSGIApplication

    from service.app import create_app
    from service.errors import StartError
    from service.settings import Settings, inherits_sockets
except ModuleNotFoundError as error:
    sys.exit(f"digitalis: {error.name} is not installed here: `make serve` installs into .venv; try .venv/bin/python")

EXAMPLES = """
examples:
  python -m service                                     serve the bundles in models/ on 127.0.0.1:8000
  DIGITALIS_BIND=0.0.0.0:80 python -m service           listen on every interface
  DIGITALIS_RUNTIME=torchscript python -m service       run model.pt instead of model.onnx
  gunicorn -c python:service.gunicorn_conf 'service.app:create_app()'      the same, with Gunicorn's own options

settings, from the environment:
"""


class GunicornApplication(WSGIApplication):  # type: ignore[misc]  # Gunicorn is not typed
    """Gunicorn, whose workers open the bundles that were there at the start, and no others.

    So a replaced worker serves the same versions as the others, whatever has been written to the folder since.
    """

    folders: list[Path]  # set by `gunicorn_conf.on_starting`

    def load(self) -> Any:
        """The application of one worker."""
        return create_app(folders=self.folders)


def main() -> int:
    """Serve until SIGTERM. The exit status is 0 then, and 2 if the start fails."""
    width = max(len(name) for name, _, _ in Settings.documentation_rows())
    table = "\n".join(
        f"  {name:{width}}  {meaning} (default: {shown})" for name, shown, meaning in Settings.documentation_rows()
    )
    parser = argparse.ArgumentParser(
        prog="python -m service",
        description="Serve the bundles under models/ over HTTP.",
        epilog=EXAMPLES + table,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "--health",
        action="store_true",
        help="check whether the service on DIGITALIS_BIND is ready, and exit with 0 or 1",
    )
    args = parser.parse_args()
    try:
        settings = Settings.from_env()
        if args.health:
            return _health(settings)
    except StartError as error:
        print(f"digitalis: {error}", file=sys.stderr)
        return 2
    if not (inherits_sockets() or _port_is_free(settings.bind)):
        return 2
    sys.argv = ["digitalis", "-c", "python:service.gunicorn_conf", "service.app:create_app()"]
    GunicornApplication("%(prog)s").run()
    return 0


def _port_is_free(address: str) -> bool:
    """Whether the address can be bound; Gunicorn would try five times, and not name the setting."""
    host, _, port = address.rpartition(":")
    family = socket.AF_INET6 if host.startswith("[") else socket.AF_INET
    with socket.socket(family) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host.strip("[]"), int(port)))
        except OSError as error:
            print(
                f"digitalis: cannot listen on {address}: {error.strerror}; DIGITALIS_BIND sets another address",
                file=sys.stderr,
            )
            return False
    return True


def _health(settings: Settings) -> int:
    host, _, port = settings.bind.rpartition(":")
    host = {"0.0.0.0": "127.0.0.1", "[::]": "[::1]"}.get(host, host)  # noqa: S104 - compared, not bound
    direct = urllib.request.build_opener(urllib.request.ProxyHandler({}))  # Docker may set http_proxy
    try:
        with direct.open(f"http://{host}:{port}/v2/health/ready", timeout=3):
            return 0
    except (OSError, http.client.HTTPException) as error:
        print(f"digitalis: not ready on {settings.bind}: {getattr(error, 'reason', error)}", file=sys.stderr)
        return 1


if __name__ == "__main__":
    sys.exit(main())
