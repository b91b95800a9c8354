"""`digitalis COMMAND`: hands the rest of the command line to the package that has the command."""

import argparse
import difflib
import importlib.metadata
from collections.abc import Sequence

DISTRIBUTION = "digitalis-service"
SERVICE = {
    "serve": "serve the bundles of a folder over HTTP",
    "health": "check whether the service is ready: exit with 0 or 1",
}
TRAINING = {
    "train": "train a network for your own table, or from a recipe, and write its bundle",
    "init": "print a recipe for your own table, to be changed and trained",
    "import": "make a bundle of a network that was trained elsewhere",
    "list": "list the recipes that are included",
    "show": "show all fields of a recipe",
    "verify": "verify that the files of bundles compute what their networks compute",
    "report": "write a page with plots about networks",
    "compare": "train a recipe with several optimisers or batch sizes",
    "recalibrate": "fit temperature and thresholds of image classifiers anew",
    "lectures": "compare figures of the lectures with those of the bundles",
}
OWN = {
    "predict": "predict tables, arrays and folders of pictures, without a server",
    "sign": "sign bundles, so that a service accepts no others",
}
EXAMPLES = """
examples:
  digitalis train customers.csv --target tier    predict a column of a table from the others
  digitalis train iris                       train a recipe, and write its bundle to models/iris/1
  digitalis serve                            serve the bundles in models/ on http://127.0.0.1:8000
  digitalis serve --models /srv/models --bind 0.0.0.0:80 --workers 4
  digitalis health --bind 127.0.0.1:8000     exit with 0 if that service is ready

`digitalis COMMAND --help` explains a command, with examples.
`serve` needs the extra cpu or cuda of digitalis-service, and what trains or reads networks the extra training:
pip install 'digitalis-service[cpu,training]'
"""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command; return its exit status: 0, or what the command documents. 2 for a wrong command line."""
    parser = argparse.ArgumentParser(
        prog="digitalis",
        description="Train small networks, and serve them over HTTP.\n\ncommands:\n" + _command_table(),
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        usage="digitalis COMMAND ...",
    )
    parser.add_argument("--version", action="version", version=f"digitalis {_version()}")
    parser.add_argument("command", metavar="COMMAND", help=argparse.SUPPRESS)
    parser.add_argument("arguments", nargs=argparse.REMAINDER, help=argparse.SUPPRESS)
    args = parser.parse_args(arguments)
    if args.command in SERVICE:
        from service.__main__ import main as run_service

        health = ["--health"] if args.command == "health" else []
        return run_service([*health, *args.arguments], prog=f"digitalis {args.command}")
    if args.command in TRAINING:
        from training.__main__ import main as run_training

        return run_training([args.command, *args.arguments], prog="digitalis")
    if args.command == "predict":
        from digitalis.scoring.command import main as run_predict

        return run_predict(args.arguments)
    if args.command in OWN:
        from digitalis.sign import main as run_sign

        return run_sign(args.arguments, prog=f"digitalis {args.command}")
    commands = [*SERVICE, *TRAINING, *OWN]
    close = difflib.get_close_matches(args.command, commands, n=1)
    hint = f"did you mean {close[0]}?" if close else f"the commands are {', '.join(commands)}"
    return parser.error(f"no command {args.command!r}: {hint}")


def _command_table() -> str:
    return "\n".join(f"  {name:12} {summary}" for name, summary in (SERVICE | TRAINING | OWN).items())


def _version() -> str:
    try:
        return importlib.metadata.version(DISTRIBUTION)
    except importlib.metadata.PackageNotFoundError:  # run from a copy of the source
        return "(not installed)"
