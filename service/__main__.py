"""`python -m service`: Gunicorn, configured by the environment."""

import argparse
import sys
import urllib.error
import urllib.request
from typing import Any

from gunicorn.app.wsgiapp import WSGIApplication
from gunicorn.errors import AppImportError

from service.app import create_app
from service.bundle import load_bundle
from service.errors import StartError
from service.repository import find_bundles
from service.settings import Settings

EXAMPLES = """
examples:
  python -m service                                     serve the bundles in models/ on 127.0.0.1:8000
  DIGITALIS_BIND=0.0.0.0:80 python -m service           listen on every interface
  DIGITALIS_RUNTIME=torchscript python -m service       run model.pt instead of model.onnx
  gunicorn -c python:service.gunicorn_conf 'service.app:create_app()'      the same, with Gunicorn's own options

settings, from the environment:
"""


class Service(WSGIApplication):  # type: ignore[misc]  # Gunicorn is not typed
    """Gunicorn, saying in one line, without a traceback, why a worker could not start."""

    def load(self) -> Any:
        """The application of one worker."""
        try:
            return create_app()
        except StartError as error:
            raise AppImportError(f"digitalis: {error}") from error


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
        for folder in find_bundles(settings.models_dir):
            load_bundle(folder)  # damage is found once, here, before any worker starts
    except StartError as error:
        print(f"digitalis: {error}", file=sys.stderr)
        return 2
    sys.argv = ["digitalis", "-c", "python:service.gunicorn_conf", "service.app:create_app()"]
    Service("%(prog)s").run()
    return 0


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
