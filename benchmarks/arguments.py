"""Command-line arguments that several benchmarks share."""

import argparse
import math
from pathlib import Path

from service.settings import Settings


def describe(parser: argparse.ArgumentParser, description: str, examples: str) -> None:
    """Set the description and the list of examples that --help prints."""
    lines = "\n".join(f"  {line.strip()}" for line in examples.strip().splitlines())
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.description = description.strip()
    parser.epilog = f"examples:\n{lines}"


def positive_int(text: str) -> int:
    """An argparse type: a whole number of at least 1."""
    if not (text.isascii() and text.isdigit() and int(text) > 0):
        raise argparse.ArgumentTypeError(f"{text!r}: expected a whole number of at least 1")
    return int(text)


def positive_float(text: str) -> float:
    """An argparse type: a finite number greater than 0."""
    try:
        number = float(text)
    except ValueError:
        number = 0
    if not 0 < number < math.inf:
        raise argparse.ArgumentTypeError(f"{text!r}: expected a number greater than 0")
    return number


def add_folder(parser: argparse.ArgumentParser) -> None:
    """Add the optional FOLDER of real uploads."""
    parser.add_argument(
        "folder",
        nargs="?",
        type=Path,
        metavar="FOLDER",
        help="real uploads: labels.csv (path, label, source) and the image files",
    )


def add_model(parser: argparse.ArgumentParser) -> None:
    """Add --model."""
    parser.add_argument("--model", default="mnist", help="name of a bundle in models/ (default: %(default)s)")


def add_data_dir(parser: argparse.ArgumentParser) -> None:
    """Add --data-dir, by default the setting DIGITALIS_DATA_DIR."""
    parser.add_argument(
        "--data-dir",
        type=Path,
        default=Settings.from_env().data_dir,
        help="contains MNIST/raw/ (default: %(default)s)",
    )
