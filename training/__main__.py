"""`python -m training`: the command line."""

import argparse
import signal
import sys
from collections.abc import Sequence
from pathlib import Path
from types import FrameType
from typing import TypeAlias

from service.errors import DigitalisError
from service.settings import Settings

try:
    from training import commands, train_command
    from training.arguments import (
        NAMES_HELP,
        add_data_dir,
        add_models_dir,
        add_out,
        add_pictures,
        add_recipes,
        add_target,
        bundle_name,
        integer,
        positive_integer,
        recipe_or_file,
        recipe_or_recipe_file,
    )
    from training.importing.arguments import IMPORT, add_import
    from training.segmenter.recipe import CHECKPOINT
except ModuleNotFoundError as error:
    sys.exit(f"training: {error.name} is not installed; to install it: pip install 'digitalis-service[cpu,training]'")
except DigitalisError as error:  # an invalid recipe
    sys.exit(f"training: {error}")

PROG = "python -m training"

Commands: TypeAlias = "argparse._SubParsersAction[argparse.ArgumentParser]"  # noqa: SLF001 - it has no public name


class Interrupted(BaseException):
    """Raised by SIGINT and SIGTERM.

    Not `KeyboardInterrupt`: if one passes through `exec` of a string, as in PyTorch's exporter, Python run with `-m`
    ends with the status of an unhandled SIGINT even if it was caught.
    """


def main(arguments: Sequence[str] | None = None, prog: str = PROG) -> int:
    """Run one command. Exit status: 0, 1 if it failed, 2 for invalid arguments, 130 if it was interrupted."""
    signal.signal(signal.SIGTERM, _interrupt)
    if signal.getsignal(signal.SIGINT) is signal.default_int_handler:  # nohup ignores it, which is kept
        signal.signal(signal.SIGINT, _interrupt)
    try:
        args = parser(Settings.from_env(), prog).parse_args(arguments)
        args.run(args)
    except (DigitalisError, OSError) as error:
        print(f"training: {error}", file=sys.stderr)
        return 1
    except Interrupted:
        print("training: interrupted; no bundle was left half-written", file=sys.stderr)
        return 130
    return 0


def parser(settings: Settings, prog: str = PROG) -> argparse.ArgumentParser:
    """The parser of all commands; each one sets `run` to a function of `commands`."""
    top = argparse.ArgumentParser(
        prog=prog,
        description="Train the networks that the service serves, and export them as bundles.",
        epilog="Each command has its own --help, with examples.",
    )
    group = top.add_subparsers(title="commands", required=True, metavar="COMMAND")
    _add_command(group, "list", "list all recipes with their acceptance thresholds").set_defaults(
        run=commands.list_recipes
    )
    show = _add_command(group, "show", "show all fields of one recipe, as in a manifest")
    show.add_argument(
        "recipe", metavar="RECIPE", type=recipe_or_recipe_file, help=f"its name, or a file in TOML: {NAMES_HELP}"
    )
    show.set_defaults(run=commands.show_recipe)
    _add_train(group, settings)
    _add_init(group)
    add_import(_add_command(group, "import", "make a bundle of a network that was trained elsewhere", IMPORT), settings)
    _add_recalibrate(group, settings)
    _add_verify(group)
    _add_report(group, settings)
    _add_compare(group, settings)
    _add_lectures(group, settings)
    return top


def _add_train(group: Commands, settings: Settings) -> None:
    train = _add_command(
        group,
        "train",
        "train recipes, or a network for your own table, and write their bundles",
        "Each recipe is trained from scratch, evaluated on held-out data, exported to ONNX and TorchScript, and\n"
        "verified; then the next version of its bundle is written. If a network is below its recipe's acceptance\n"
        "threshold, nothing is written, and the exit status is 1.\n\n"
        "A table is a CSV, TSV or Parquet file with the names of its columns in the first line; pictures lie in a\n"
        "folder for each class. Network and training are chosen, and said; `init` writes all choices to a file.\n\n"
        "examples:\n"
        "  %(prog)s iris                        a few seconds\n"
        "  %(prog)s customers.csv --target tier    your own table; the bundle is named customers\n"
        "  %(prog)s letters/                    your own pictures, in a folder for each class\n"
        "  %(prog)s customers.toml              your own recipe, from `init`\n"
        "  %(prog)s mnist-deep                  about a minute; downloads MNIST (12 MB) once\n"
        "  %(prog)s all                         all recipes: half an hour, most of it for mnist\n"
        "  %(prog)s segmenter                   hours; it is a part of the service\n"
        "  %(prog)s segmenter --resume          go on where it was interrupted\n",
    )
    help_ = f"all, a table, a folder of pictures, a recipe file, or one or more names: {NAMES_HELP}"
    train.add_argument("recipes", nargs="+", metavar="RECIPE", type=recipe_or_file, help=help_)
    add_target(train)
    add_pictures(train)
    train.add_argument("--seed", type=integer, help="of weights, row order and split (default: the recipe's)")
    train.add_argument("--epochs", type=positive_integer, help="passes over the data (default: the recipe's)")
    train.add_argument("--samples", type=positive_integer, help="pictures that the segmenter is trained on")
    resume_help = f"go on from {CHECKPOINT}, which the training of the segmenter writes every few minutes"
    train.add_argument("--resume", action="store_true", help=resume_help)
    device_help = (
        "auto: CUDA if it is available, else the CPU (default: auto); "
        "calibration and the seed sweep always run on the CPU"
    )
    train.add_argument("--device", choices=("auto", "cpu", "cuda"), default="auto", help=device_help)
    threads_help = "CPU threads (default: 1, the fastest for small batches)"
    train.add_argument("--threads", type=positive_integer, default=1, help=threads_help)
    add_data_dir(train, settings)
    add_models_dir(train, settings)
    train.set_defaults(run=train_command.train_recipes)


def _add_init(group: Commands) -> None:
    init = _add_command(
        group,
        "init",
        "print a recipe for your own table or pictures, to be changed and trained",
        "Reads the data, and prints a recipe as TOML: what its columns are, the network, and how it is trained, each\n"
        "with its reason. `train` trains the file.\n\n"
        "example:\n  %(prog)s customers.csv --target tier > customers.toml",
    )
    init.add_argument("data", metavar="DATA", help="a CSV, TSV or Parquet file, or a folder of pictures")
    add_target(init)
    add_pictures(init)
    init.set_defaults(run=train_command.init_recipe)


def _add_recalibrate(group: Commands, settings: Settings) -> None:
    recalibrate = _add_command(
        group,
        "recalibrate",
        "fit temperature and thresholds of trained networks anew",
        "The latest bundle of each recipe of images is written as its next version: the same weights, with golden\n"
        "examples, temperature and thresholds of the present normaliser. Bundles of an older one do not load.\n\n"
        "example:\n  %(prog)s mnist mnist-deep",
    )
    add_recipes(recalibrate, allow_all=True)
    add_data_dir(recalibrate, settings)
    add_models_dir(recalibrate, settings)
    recalibrate.set_defaults(run=train_command.recalibrate_recipes)


def _add_verify(group: Commands) -> None:
    verify = _add_command(
        group,
        "verify",
        "verify that the files of bundles compute what their networks compute",
        "Opens model.onnx and model.pt with the runtimes of the service, and compares weights, and names, data\n"
        "types, shapes and values of the outputs with the network, at batch sizes 1, 2, 17 and 256.\n\n"
        "example:\n  %(prog)s models/*/*",
    )
    verify.add_argument("bundles", nargs="+", type=Path, metavar="BUNDLE", help="a folder such as models/iris/5")
    verify.set_defaults(run=commands.verify_bundles)


def _add_report(group: Commands, settings: Settings) -> None:
    report = _add_command(
        group,
        "report",
        "write a report about networks: plots, metrics, misclassified rows",
        "Writes report.html, which needs no other file, and its plots as PNG: the network, its learning curve,\n"
        "confusion matrix, calibration, misclassified rows, decision boundary; and for images the predictions.\n"
        "It needs the bundle and the data set. A bundle contains the same page without pictures of the data; the\n"
        "service shows that at /v1/models/<name>/report.\n\n"
        "examples:\n"
        "  %(prog)s xor\n"
        "  %(prog)s all --out /tmp/reports\n",
    )
    help_ = f"all, or one or more names of recipes or of your own bundles: {NAMES_HELP}"
    report.add_argument("recipes", nargs="+", metavar="NAME", type=bundle_name, help=help_)
    add_out(report)
    add_data_dir(report, settings)
    add_models_dir(report, settings)
    report.set_defaults(run=commands.report_recipes)


def _add_compare(group: Commands, settings: Settings) -> None:
    compare = _add_command(
        group,
        "compare",
        "compare optimisers or batch sizes on a recipe",
        "Trains the recipe's network from the same seed with each optimiser or batch size, and prints losses,\n"
        "seconds and the metric on validation rows; plots the loss over epochs and over seconds. All rows are taken\n"
        "from the training data: a sixth of them are the validation rows. Teacher and OOD head are left out, and so\n"
        "are variants that the recipe cannot have, such as batch size 1 with batch normalisation.\n\n"
        "examples:\n"
        "  %(prog)s optimisers iris mnist-deep\n"
        "  %(prog)s batches iris mnist-deep --rows 6000 --epochs 5\n",
    )
    compare.add_argument("parameter", choices=("optimisers", "batches"), help="what to vary")
    add_recipes(compare, allow_all=False)
    compare.add_argument("--rows", type=positive_integer, default=6000, help="maximum of rows (default: %(default)s)")
    compare.add_argument("--epochs", type=positive_integer, default=10, help="passes over them (default: %(default)s)")
    add_out(compare)
    add_data_dir(compare, settings)
    compare.set_defaults(run=commands.compare_recipes)


def _add_lectures(group: Commands, settings: Settings) -> None:
    lectures = _add_command(
        group,
        "lectures",
        "print docs/lectures.md: the figures of the lectures beside ours",
        "Figures of trained networks are read from their bundles, the others are computed now. With --pictures,\n"
        "plots are written instead: activations and their derivatives, decision boundaries side by side.\n\n"
        "examples:\n"
        "  %(prog)s > docs/lectures.md\n"
        "  %(prog)s --pictures\n",
    )
    lectures.add_argument("--pictures", action="store_true", help="write plots, and print their file names")
    add_out(lectures)
    add_models_dir(lectures, settings)
    lectures.set_defaults(run=commands.show_lectures)


def _add_command(group: Commands, name: str, summary: str, details: str = "") -> argparse.ArgumentParser:
    description = f"{summary[0].upper()}{summary[1:]}.\n\n{details}"
    return group.add_parser(
        name, help=summary, description=description, formatter_class=argparse.RawDescriptionHelpFormatter
    )


def _interrupt(_signal: int, _frame: FrameType | None) -> None:
    raise Interrupted


if __name__ == "__main__":
    sys.exit(main())
