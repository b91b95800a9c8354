"""`python -m service`, or `digitalis serve`: Gunicorn, configured by options and `DIGITALIS_*` variables."""

import argparse
import dataclasses
import http.client
import socket
import sys
import urllib.request
from collections.abc import Callable, Sequence
from typing import Any

try:
    from gunicorn.app.wsgiapp import WSGIApplication

    from service.errors import StartError
    from service.settings import PREFIX, Settings, inherits_sockets
except ModuleNotFoundError as error:
    sys.exit(
        f"digitalis: {error.name} is not installed here: `make serve` installs into .venv; try .venv/bin/python; "
        "or pip install 'digitalis-service[cpu]'"
    )

EXAMPLES = """
examples:
  {prog}                                        serve the bundles in models/ on 127.0.0.1:8000
  {prog} --models /srv/models                   other bundles, as /srv/models/<name>/<version>/
  {prog} --bind 0.0.0.0:80 --workers 4          listen on every interface
  DIGITALIS_RUNTIME=torchscript {prog}          a setting from the environment: run model.pt instead of model.onnx
  gunicorn -c python:service.gunicorn_conf 'service.app:create_app()'      the same, with Gunicorn's own options
"""


def main(arguments: Sequence[str] | None = None, prog: str = "python -m service") -> int:
    """Serve until SIGTERM. The exit status is 0 then, and 2 if the start fails."""
    parser = argparse.ArgumentParser(
        prog=prog,
        usage=f"{prog} [SETTINGS]",
        description="Serve the bundles of a folder over HTTP.",
        epilog=EXAMPLES.format(prog=prog),
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    parser.add_argument(
        "--health",
        action="store_true",
        help="check whether the service on the address of --bind is ready, and exit with 0 or 1",
    )
    _add_settings(parser)
    args = parser.parse_args(arguments)
    Settings.override({name: text for name, text in vars(args).items() if isinstance(text, str)})
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
    WSGIApplication("%(prog)s").run()
    return 0


def _add_settings(parser: argparse.ArgumentParser) -> None:
    """An option for each setting of the service."""
    group = parser.add_argument_group("settings", "each is an environment variable too, and an option wins over it")
    for field in dataclasses.fields(Settings):
        if field.name == "data_dir":  # only training reads it
            continue
        names = ["--models"] if field.name == "models_dir" else []
        meaning, shown = field.metadata["meaning"], field.metadata["shown"]
        group.add_argument(
            *names,
            f"--{field.name.replace('_', '-')}",
            dest=field.name,
            metavar=field.name.rpartition("_")[2].upper(),
            type=_checked(field.metadata["parse"]),
            help=f"{meaning} (default: {shown}; {PREFIX}{field.name.upper()})".replace("%", "%%"),
        )


def _checked(parse: Callable[[str], Any]) -> Callable[[str], str]:
    """An argparse type: the text of a setting, as it is, if it can be parsed."""

    def check(text: str) -> str:
        try:
            parse(text)
        except ValueError as expected:
            raise argparse.ArgumentTypeError(f"{text!r}: expected {expected}") from None
        return text

    return check


def _port_is_free(address: str) -> bool:
    """Whether the address can be bound; Gunicorn would try five times, and not name the setting."""
    host, _, port = address.rpartition(":")
    family = socket.AF_INET6 if host.startswith("[") else socket.AF_INET
    with socket.socket(family) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host.strip("[]"), int(port)))
        except OSError as error:
            advice = "DIGITALIS_BIND sets another address, PORT another port"
            print(f"digitalis: cannot listen on {address}: {error.strerror}; {advice}", file=sys.stderr)
            return False
    return True


def _health(settings: Settings) -> int:
    host, _, port = settings.bind.rpartition(":")
    host = {"0.0.0.0": "127.0.0.1", "[::]": "[::1]"}.get(host, host)  # noqa: S104  # nosec B104 - compared, not bound
    direct = urllib.request.build_opener(urllib.request.ProxyHandler({}))  # Docker may set http_proxy
    try:
        with direct.open(f"http://{host}:{port}/v2/health/ready", timeout=3):
            return 0
    except (OSError, http.client.HTTPException) as error:
        print(f"digitalis: not ready on {settings.bind}: {getattr(error, 'reason', error)}", file=sys.stderr)
        return 1


if __name__ == "__main__":
    sys.exit(main())
