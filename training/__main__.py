"""`python -m training`: recipes in, bundles out. PyTorch is imported by the commands that need it."""

import argparse
import signal
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING

import msgspec

try:
    from rich.console import Console
    from rich.markup import escape
    from rich.table import Table
except ModuleNotFoundError as error:
    sys.exit(f"training: {error.name} is not installed; what brings it: pip install '.[cpu,training]'")

from service.errors import DigitalisError
from service.settings import Settings
from training.recipes import RECIPES

if TYPE_CHECKING:
    from training.verify import Finding

# Where nobody looks at a terminal, nothing is wrapped to one.
console = Console(highlight=False, soft_wrap=True, width=None if sys.stdout.isatty() else 160)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command. The exit status is 0, 1 when it failed, 2 when it was not understood, 130 when interrupted."""
    signal.signal(signal.SIGTERM, _interrupt)
    try:
        asked = parser(Settings.from_env()).parse_args(arguments)
        asked.run(asked)
    except DigitalisError as error:
        print(f"training: {error}", file=sys.stderr)
        return 1
    except OSError as error:
        print(f"training: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("training: interrupted; no bundle was left half-written", file=sys.stderr)
        return 130
    return 0


def parser(settings: Settings) -> argparse.ArgumentParser:
    """The command line."""
    top = argparse.ArgumentParser(
        prog="python -m training",
        description="Train the networks that the service serves, and export them as bundles.",
        epilog="each command has a --help of its own, with examples",
    )
    commands = top.add_subparsers(title="commands", required=True, metavar="COMMAND")
    names = ", ".join(RECIPES)

    listing = _command(commands, "list", "the recipes, with what each must reach")
    listing.set_defaults(run=list_recipes)

    show = _command(commands, "show", "one recipe in full, as a manifest records it")
    show.add_argument("recipe", metavar="RECIPE", choices=RECIPES, help=f"one of {names}")
    show.set_defaults(run=show_recipe)

    train = _command(
        commands,
        "train",
        "train recipes from scratch and write their bundles",
        "Each recipe is trained from scratch, judged on held-out data, exported to ONNX and TorchScript,\n"
        "and verified; then the next version of its bundle is written. A network below its recipe's bar\n"
        "writes nothing, and the exit status is 1.\n\n"
        "examples:\n"
        "  python -m training train iris                        a few seconds\n"
        "  python -m training train mnist-deep                  about a minute; downloads MNIST (12 MB) once\n"
        "  python -m training train mnist-deep --data-dir ~/mnist --models-dir /srv/models --seed 7\n",
    )
    train.add_argument("recipes", nargs="+", metavar="RECIPE", choices=RECIPES, help=f"one or more of {names}")
    train.add_argument("--device", choices=("auto", "cpu", "cuda"), default="auto", help="auto: CUDA if it answers")
    train.add_argument("--seed", type=_whole, help="of weights, order and split (default: the recipe's)")
    train.add_argument("--epochs", type=_count, help="passes over the data (default: the recipe's)")
    train.add_argument("--threads", type=_count, default=1, help="CPU threads (default: 1: fastest for small batches)")
    where = "the folder that holds MNIST/raw/, or that MNIST is downloaded to (default: %(default)s)"
    train.add_argument("--data-dir", type=Path, default=settings.data_dir, help=where)
    where = "where bundles go (default: %(default)s)"
    train.add_argument("--models-dir", type=Path, default=settings.models_dir, help=where)
    train.set_defaults(run=train_recipes)

    verify = _command(
        commands,
        "verify",
        "check that a bundle's files do what its network does",
        "Opens model.onnx and model.pt through the service's runtimes, and compares weights, names, data\n"
        "types, shapes and values with the network, at batches of 1, 2, 17 and 256.\n\n"
        "example:\n  python -m training verify models/*/*",
    )
    verify.add_argument("bundles", nargs="+", type=Path, metavar="BUNDLE", help="a folder such as models/iris/1")
    verify.set_defaults(run=verify_bundles)
    return top


def list_recipes(_asked: argparse.Namespace) -> None:
    """A table of all recipes."""
    table = Table("recipe", "network", "parameters", "data", "bar", "lecture", box=None)
    for recipe in RECIPES.values():
        layers = "-".join(map(str, recipe.layers))
        seeds = f" over {recipe.bar.seeds} seeds" if recipe.bar.seeds > 1 else ""
        bar = f"accuracy {recipe.bar.accuracy}{seeds}"
        table.add_row(recipe.name, layers, f"{recipe.parameters:,}", recipe.dataset, bar, str(recipe.lecture.accuracy))
    console.print(table)


def show_recipe(asked: argparse.Namespace) -> None:
    """Every field of one recipe."""
    console.print(msgspec.json.format(msgspec.json.encode(RECIPES[asked.recipe]), indent=2).decode(), markup=False)


def train_recipes(asked: argparse.Namespace) -> None:
    """Train, export, verify, publish; one recipe after another."""
    from training.datasets import open_dataset
    from training.export import export, staging_beside
    from training.progress import Progress
    from training.train import device_named, train

    device = device_named(asked.device)
    changes = {key: value for key in ("seed", "epochs") if (value := getattr(asked, key)) is not None}
    with staging_beside(asked.models_dir):
        pass  # what cannot be written to is found before the training, not after it
    for name in dict.fromkeys(asked.recipes):
        recipe = msgspec.structs.replace(RECIPES[name], **changes)
        dataset = open_dataset(recipe.dataset, asked.data_dir)
        started = time.monotonic()
        with Progress(console) as progress:
            trained = train(recipe, dataset, device, asked.threads, progress)
        console.print(f"{name}: trained on {device} in {time.monotonic() - started:.1f} s")
        for metric, value in trained.metrics.items():
            console.print(f"  {metric.replace('_', ' ')}: {value:g}")
        console.print(f"  the lecture printed {recipe.lecture.printed}")
        folder, findings = export(recipe, trained, dataset, asked.models_dir)
        print_findings(findings)
        console.print(f"{name}: wrote {folder}")


def verify_bundles(asked: argparse.Namespace) -> None:
    """Verify each bundle; the first that fails ends the command."""
    from training.verify import verify

    for folder in asked.bundles:
        console.print(f"{folder}")
        print_findings(verify(folder))


def print_findings(findings: list["Finding"]) -> None:
    """What was compared, and by how much it differed."""
    table = Table("runtime", "batch", "gives", "largest difference", "allowed", box=None)
    for finding in findings:
        row = str(finding.batch), finding.outputs, f"{finding.difference:.1e}", f"{finding.allowed:g}"
        table.add_row(finding.runtime, *map(escape, row))
    console.print(table)


def _command(
    commands: "argparse._SubParsersAction[argparse.ArgumentParser]", name: str, summary: str, more: str = ""
) -> argparse.ArgumentParser:
    description = f"{summary[0].upper()}{summary[1:]}.\n\n{more}"
    return commands.add_parser(
        name, help=summary, description=description, formatter_class=argparse.RawDescriptionHelpFormatter
    )


def _whole(text: str) -> int:
    if not (text.isascii() and text.isdecimal() and int(text) < 2**32):
        raise argparse.ArgumentTypeError(f"{text!r} is not a whole number from 0 to {2**32 - 1}")
    return int(text)


def _count(text: str) -> int:
    if _whole(text) == 0:
        raise argparse.ArgumentTypeError("0 is not a whole number from 1 up")
    return int(text)


def _interrupt(_signal: int, _frame: FrameType | None) -> None:
    raise KeyboardInterrupt


if __name__ == "__main__":
    sys.exit(main())
