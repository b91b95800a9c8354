"""`python -m training`: recipes in, bundles out."""

import argparse
import signal
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from types import FrameType

import msgspec
import torch
from rich.console import Console
from rich.table import Table

from service.errors import DigitalisError
from service.settings import Settings
from training.datasets import open_dataset
from training.errors import TrainingError
from training.export import export
from training.networks import build, parameter_count
from training.progress import Progress
from training.recipes import RECIPES
from training.train import train
from training.verify import TOLERANCE, Finding, verify

console = Console(highlight=False, soft_wrap=True)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command. The exit status is 0, 1 when it failed, 2 when it was not understood, 130 when interrupted."""
    signal.signal(signal.SIGTERM, _interrupt)
    try:
        asked = parser(Settings.from_env()).parse_args(arguments)
        asked.run(asked)
    except DigitalisError as error:
        print(f"training: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("training: interrupted; nothing was written", file=sys.stderr)
        return 130
    return 0


def parser(settings: Settings) -> argparse.ArgumentParser:
    """The command line."""
    raw = argparse.RawDescriptionHelpFormatter
    top = argparse.ArgumentParser(
        prog="python -m training",
        description="Train the networks that the service serves, and export them as bundles.",
        epilog="each command has a --help of its own, with examples",
    )
    commands = top.add_subparsers(title="commands", required=True, metavar="COMMAND")

    command = commands.add_parser("list", help="the recipes, with what each must reach", formatter_class=raw)
    command.set_defaults(run=list_recipes)

    command = commands.add_parser("show", help="one recipe in full", formatter_class=raw)
    command.add_argument("recipe", metavar="RECIPE", choices=RECIPES, help=f"one of {', '.join(RECIPES)}")
    command.set_defaults(run=show_recipe)

    command = commands.add_parser(
        "train",
        help="train recipes from scratch and write their bundles",
        description="Train each recipe from scratch, judge it on held-out data, export it to ONNX and TorchScript,\n"
        "verify both files, and write the next version of its bundle. A network below its recipe's bar\n"
        "writes nothing, and the exit status is 1.",
        epilog="examples:\n"
        "  python -m training train iris                        a few seconds\n"
        "  python -m training train mnist-deep                  about a minute; downloads MNIST (12 MB) once\n"
        "  python -m training train mnist-deep --data-dir ~/mnist --models-dir /srv/models --seed 7\n",
        formatter_class=raw,
    )
    command.add_argument(
        "recipes", nargs="+", metavar="RECIPE", choices=RECIPES, help=f"one or more of {', '.join(RECIPES)}"
    )
    command.add_argument(
        "--device", choices=("auto", "cpu", "cuda"), default="auto", help="where to train (auto: CUDA if it answers)"
    )
    command.add_argument("--seed", type=_whole, help="of weights, order and split (default: the recipe's)")
    command.add_argument("--epochs", type=_count, help="passes over the data (default: the recipe's)")
    command.add_argument(
        "--threads", type=_count, default=1, help="CPU threads (default: 1, which is fastest for small batches)"
    )
    command.add_argument(
        "--data-dir", type=Path, default=settings.data_dir,
        help="the folder that holds MNIST/raw/, or that MNIST is downloaded to (default: %(default)s)",
    )  # fmt: skip
    command.add_argument(
        "--models-dir", type=Path, default=settings.models_dir, help="where bundles go (default: %(default)s)"
    )
    command.set_defaults(run=train_recipes)

    command = commands.add_parser(
        "verify",
        help="check that a bundle's files do what its network does",
        description="Open model.onnx and model.pt through the service's runtimes, and compare names, data types,\n"
        "shapes and values with the network, at batches of 1, 2, 17 and 256.",
        epilog="example:\n  python -m training verify models/*/*",
        formatter_class=raw,
    )
    command.add_argument("bundles", nargs="+", type=Path, metavar="BUNDLE", help="a folder such as models/iris/1")
    command.set_defaults(run=verify_bundles)
    return top


def list_recipes(_asked: argparse.Namespace) -> None:
    """A table of all recipes."""
    table = Table("recipe", "network", "parameters", "data", "bar", "lecture", box=None)
    for recipe in RECIPES.values():
        layers = "-".join(map(str, recipe.layers))
        seeds = f" over {recipe.bar.seeds} seeds" if recipe.bar.seeds > 1 else ""
        bar = f"accuracy {recipe.bar.accuracy}{seeds}"
        count = f"{parameter_count(build(recipe)):,}"
        table.add_row(recipe.name, layers, count, recipe.dataset, bar, str(recipe.lecture.accuracy))
    console.print(table)


def show_recipe(asked: argparse.Namespace) -> None:
    """Every field of one recipe, as it is written into a manifest."""
    console.print(msgspec.json.format(msgspec.json.encode(RECIPES[asked.recipe]), indent=2).decode(), markup=False)


def train_recipes(asked: argparse.Namespace) -> None:
    """Train, export, verify, publish; one recipe after another."""
    device = _device(asked.device)
    changes = {key: value for key in ("seed", "epochs") if (value := getattr(asked, key)) is not None}
    for name in dict.fromkeys(asked.recipes):
        recipe = msgspec.structs.replace(RECIPES[name], **changes)
        dataset = open_dataset(recipe.dataset, asked.data_dir)
        torch.set_num_threads(asked.threads)  # each time: verifying the last bundle set it to what serving uses
        started = time.monotonic()
        with Progress(console) as progress:
            trained = train(recipe, dataset, device, progress)
        console.print(f"{name}: trained on {device} in {time.monotonic() - started:.1f} s")
        for metric, value in trained.metrics.items():
            console.print(f"  {metric.replace('_', ' ')}: {value:g}")
        console.print(f"  the lecture printed {recipe.lecture.printed}")
        folder, findings = export(recipe, trained, dataset, asked.models_dir)
        print_findings(findings)
        console.print(f"{name}: wrote {folder}")


def verify_bundles(asked: argparse.Namespace) -> None:
    """Verify each bundle; the first that fails ends the command."""
    for folder in asked.bundles:
        console.print(f"{folder}")
        print_findings(verify(folder))


def print_findings(findings: list[Finding]) -> None:
    """What was compared, and by how much it differed."""
    table = Table(*("runtime", "batch", "gives", "largest difference", "allowed"), box=None)
    for finding in findings:
        figures = f"{finding.difference:.1e}", f"{TOLERANCE:g}"
        table.add_row(finding.runtime, str(finding.batch), finding.outputs, *figures)
    console.print(table, markup=False)


def _device(name: str) -> torch.device:
    if name == "cuda" and not torch.cuda.is_available():
        raise TrainingError("--device cuda: PyTorch finds no CUDA GPU here; --device cpu trains without one")
    return torch.device("cuda" if name != "cpu" and torch.cuda.is_available() else "cpu")


def _whole(text: str) -> int:
    if not text.isdecimal():
        raise argparse.ArgumentTypeError(f"{text!r} is not a whole number from 0 up")
    return int(text)


def _count(text: str) -> int:
    if _whole(text) == 0:
        raise argparse.ArgumentTypeError("0 is not a whole number from 1 up")
    return int(text)


def _interrupt(_signal: int, _frame: FrameType | None) -> None:
    raise KeyboardInterrupt


if __name__ == "__main__":
    sys.exit(main())
