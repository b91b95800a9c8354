"""`python -m training`: recipes in, bundles out."""

import argparse
import difflib
import signal
import sys
from collections.abc import Sequence
from pathlib import Path
from types import FrameType
from typing import TypeAlias

from service.errors import DigitalisError
from service.settings import Settings

try:
    from training import commands
    from training.recipes import RECIPES
except ModuleNotFoundError as error:
    sys.exit(f"training: {error.name} is not installed; what brings it: pip install '.[cpu,training]'")
except DigitalisError as error:  # a recipe that cannot be
    sys.exit(f"training: {error}")

Commands: TypeAlias = "argparse._SubParsersAction[argparse.ArgumentParser]"  # noqa: SLF001 - it has no public name
NAMES = "`python -m training list` names them"


class Interrupted(BaseException):
    """What SIGINT and SIGTERM raise here.

    Not `KeyboardInterrupt`: when one passes through `exec` of a string, as PyTorch's exporter has it, Python under `-m`
    dies of SIGINT at its end even if it was caught.
    """


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command. The exit status is 0, 1 when it failed, 2 when it was not understood, 130 when interrupted."""
    signal.signal(signal.SIGTERM, _interrupt)
    if signal.getsignal(signal.SIGINT) is signal.default_int_handler:  # not where it is ignored, as by nohup
        signal.signal(signal.SIGINT, _interrupt)
    try:
        asked = parser(Settings.from_env()).parse_args(arguments)
        asked.run(asked)
    except (DigitalisError, OSError) as error:
        print(f"training: {error}", file=sys.stderr)
        return 1
    except Interrupted:
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
    group = top.add_subparsers(title="commands", required=True, metavar="COMMAND")
    _command(group, "list", "the recipes, with what each must reach").set_defaults(run=commands.list_recipes)
    show = _command(group, "show", "one recipe in full, as a manifest records it")
    show.add_argument("recipe", metavar="RECIPE", type=_recipe, help=f"its name: {NAMES}")
    show.set_defaults(run=commands.show_recipe)
    _train(group, settings)
    _verify(group)
    _report(group, settings)
    _compare(group, settings)
    _lectures(group, settings)
    return top


def _train(group: Commands, settings: Settings) -> None:
    train = _command(
        group,
        "train",
        "train recipes from scratch and write their bundles",
        "Each recipe is trained from scratch, judged on held-out data, exported to ONNX and TorchScript,\n"
        "and verified; then the next version of its bundle is written. A network below its recipe's bar\n"
        "writes nothing, and the exit status is 1.\n\n"
        "examples:\n"
        "  python -m training train iris                        a few seconds\n"
        "  python -m training train mnist-deep                  about a minute; downloads MNIST (12 MB) once\n"
        "  python -m training train all                         every recipe: a few minutes\n"
        "  python -m training train mnist-deep --data-dir ~/mnist --models-dir /srv/models --seed 7\n",
    )
    help_ = f"all, or one or more by name: {NAMES}"
    train.add_argument("recipes", nargs="+", metavar="RECIPE", type=_recipe_or_all, help=help_)
    train.add_argument("--seed", type=_whole, help="of weights, order and split (default: the recipe's)")
    train.add_argument("--epochs", type=_count, help="passes over the data (default: the recipe's)")
    train.add_argument("--device", choices=("auto", "cpu", "cuda"), default="auto", help="auto: CUDA if it answers")
    train.add_argument("--threads", type=_count, default=1, help="CPU threads (default: 1: fastest for small batches)")
    _data(train, settings)
    _models(train, settings)
    train.set_defaults(run=commands.train_recipes)


def _verify(group: Commands) -> None:
    verify = _command(
        group,
        "verify",
        "check that a bundle's files do what its network does",
        "Opens model.onnx and model.pt through the service's runtimes, and compares weights, names, data\n"
        "types, shapes and values with the network, at batches of 1, 2, 17 and 256.\n\n"
        "example:\n  python -m training verify models/*/*",
    )
    verify.add_argument("bundles", nargs="+", type=Path, metavar="BUNDLE", help="a folder such as models/iris/3")
    verify.set_defaults(run=commands.verify_bundles)


def _report(group: Commands, settings: Settings) -> None:
    report = _command(
        group,
        "report",
        "a page with pictures of what a network is, how it learned, and where it errs",
        "Writes report.html, which needs no other file, and its pictures as PNG: the network drawn, learning curve,\n"
        "confusion matrix, calibration, worst mistakes, decision boundary; and for images what was read.\n"
        "It needs the bundle and the data that it was made from. Bundles hold the same page without pictures\n"
        "of data; the service shows it at /v1/models/<name>/report.\n\n"
        "examples:\n"
        "  python -m training report xor\n"
        "  python -m training report all --out /tmp/reports\n",
    )
    help_ = f"all, or one or more by name: {NAMES}"
    report.add_argument("recipes", nargs="+", metavar="RECIPE", type=_recipe_or_all, help=help_)
    _out(report)
    _data(report, settings)
    _models(report, settings)
    report.set_defaults(run=commands.report_recipes)


def _compare(group: Commands, settings: Settings) -> None:
    compare = _command(
        group,
        "compare",
        "a recipe trained by each optimiser, or in batches of several sizes",
        "Trains the recipe's network from its seed in each way, and prints losses, seconds, and the figure\n"
        "on rows that were not learned from; draws the loss against epochs and against seconds. The\n"
        "rows are drawn from the training data alone, a sixth of them held out.\n\n"
        "examples:\n"
        "  python -m training compare optimisers iris mnist-deep\n"
        "  python -m training compare batches iris mnist-deep --rows 6000 --epochs 5\n",
    )
    compare.add_argument("what", choices=("optimisers", "batches"), help="what changes")
    compare.add_argument("recipes", nargs="+", metavar="RECIPE", type=_recipe, help=f"one or more by name: {NAMES}")
    compare.add_argument("--rows", type=_count, default=6000, help="rows at most (default: %(default)s)")
    compare.add_argument("--epochs", type=_count, default=10, help="passes over them (default: %(default)s)")
    _out(compare)
    _data(compare, settings)
    compare.set_defaults(run=commands.compare_recipes)


def _lectures(group: Commands, settings: Settings) -> None:
    lectures = _command(
        group,
        "lectures",
        "each system of the lectures, with the lecture's figure beside ours",
        "Prints docs/lectures.md: figures of trained networks from their bundles, the others computed now.\n"
        "With --pictures it draws instead: activations and their derivatives, decision boundaries side by side.\n\n"
        "examples:\n"
        "  python -m training lectures > docs/lectures.md\n"
        "  python -m training lectures --pictures\n",
    )
    lectures.add_argument("--pictures", action="store_true", help="draw, and print where the pictures are")
    _out(lectures)
    _models(lectures, settings)
    lectures.set_defaults(run=commands.show_lectures)


def _out(command: argparse.ArgumentParser) -> None:
    """Where pictures go."""
    where = "where pages and pictures go, a folder for each (default: %(default)s)"
    command.add_argument("--out", type=Path, default=Path("reports"), metavar="FOLDER", help=where)


def _data(command: argparse.ArgumentParser, settings: Settings) -> None:
    """Where data lies."""
    where = "the folder that holds MNIST/raw/, or that MNIST is downloaded to (default: %(default)s)"
    command.add_argument("--data-dir", type=Path, default=settings.data_dir, metavar="FOLDER", help=where)


def _models(command: argparse.ArgumentParser, settings: Settings) -> None:
    """Where bundles lie."""
    where = "where bundles are (default: %(default)s)"
    command.add_argument("--models-dir", type=Path, default=settings.models_dir, metavar="FOLDER", help=where)


def _command(group: Commands, name: str, summary: str, more: str = "") -> argparse.ArgumentParser:
    description = f"{summary[0].upper()}{summary[1:]}.\n\n{more}"
    return group.add_parser(
        name, help=summary, description=description, formatter_class=argparse.RawDescriptionHelpFormatter
    )


def _recipe(name: str) -> str:
    if name in RECIPES:
        return name
    close = difflib.get_close_matches(name, RECIPES, n=1)
    hint = f"did you mean {close[0]}? " if close else ""
    raise argparse.ArgumentTypeError(f"no recipe {name!r}: {hint}{NAMES}")


def _recipe_or_all(name: str) -> str:
    return name if name == "all" else _recipe(name)


def _whole(text: str, least: int = 0) -> int:
    if not (text.isascii() and text.isdecimal() and least <= int(text) < 2**32):
        raise argparse.ArgumentTypeError(f"{text!r} is not a whole number from {least} to {2**32 - 1}")
    return int(text)


def _count(text: str) -> int:
    return _whole(text, least=1)


def _interrupt(_signal: int, _frame: FrameType | None) -> None:
    raise Interrupted


if __name__ == "__main__":
    sys.exit(main())
