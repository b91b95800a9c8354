"""One function for each command of `python -m training`. PyTorch is imported only by those that need it."""

import argparse
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from service.errors import DigitalisError
from training.arguments import expand_names, open_recipe
from training.errors import TrainingError
from training.recipes import RECIPES
from training.segmenter.recipe import SEGMENTER

if TYPE_CHECKING:
    from training.bundles.verify import BatchComparison
    from training.report.sections import Section

# Output to a file or a pipe is not wrapped to the width of a terminal.
console = Console(highlight=False, soft_wrap=True, width=None if sys.stdout.isatty() else 200)


def list_recipes(_args: argparse.Namespace) -> None:
    """`list`: a table of all recipes."""
    columns = "recipe", "task", "network", "parameters", "data set", "acceptance threshold", "lecture", "summary"
    table = Table(*columns, box=None)
    for recipe in RECIPES.values():
        acceptance = recipe.acceptance
        seeds = f", {acceptance.seeds} seeds" if acceptance.seeds > 1 else ""
        threshold = f"{acceptance.metric} {acceptance.threshold}{seeds}"
        row = str(recipe.reference.row) if recipe.reference else ""
        network = recipe.described_layers, f"{recipe.num_parameters:,}"
        table.add_row(recipe.name, recipe.task, *network, recipe.dataset, threshold, row, recipe.summary)
    console.print(table)
    console.print(f"\n{SEGMENTER.name}: {SEGMENTER.summary}; a part of the service, not of `all`")


def show_recipe(args: argparse.Namespace) -> None:
    """`show`: all fields of one recipe, as JSON."""
    recipe = SEGMENTER if args.recipe == SEGMENTER.name else open_recipe(args.recipe)
    console.print(msgspec.json.format(msgspec.json.encode(recipe), indent=2).decode(), markup=False)


def for_each(names: list[str], run: Callable[[str], None], kind: str = "recipes") -> None:
    """Run it for each name. The failure of one is printed, and the next one is run; at the end, `TrainingError`."""
    failed = []
    for name in names:
        try:
            run(name)
        except (DigitalisError, OSError) as error:
            if len(names) == 1:
                raise
            print(f"training: {error}", file=sys.stderr, flush=True)
            failed.append(name)
    if failed:
        raise TrainingError(f"{len(failed)} of {len(names)} {kind} failed: {', '.join(failed)}")


def report_recipes(args: argparse.Namespace) -> None:
    """`report`: a page with its pictures for each recipe, from its latest bundle and its data."""
    args.out.mkdir(parents=True, exist_ok=True)

    def write_report(name: str) -> None:
        page, sections = _report_segmenter(args) if name == SEGMENTER.name else _report(name, args)
        folder = args.out / name
        folder.mkdir(exist_ok=True)
        (folder / "report.html").write_bytes(page)
        pictures = [section for section in sections if section.picture]
        for section in pictures:
            (folder / section.file_name).write_bytes(section.picture)
        console.print(f"wrote {folder / 'report.html'} and {len(pictures)} pictures")

    for_each(expand_names(args.recipes), write_report)


def _report(name: str, args: argparse.Namespace) -> "tuple[bytes, list[Section]]":
    from training.bundles.restore import latest_bundle, restore
    from training.report.page import Report

    bundle, contents = latest_bundle(name, args.models_dir)
    report = Report(bundle.version, *restore(bundle, contents, args.data_dir), show_rows=True)
    sections = report.sections()
    return report.html(sections), sections


def _report_segmenter(args: argparse.Namespace) -> "tuple[bytes, list[Section]]":
    from service.inference.segmenter import FOLDER
    from training.progress import Progress
    from training.segmenter.report import report_segmenter

    with Progress(console) as progress:
        return report_segmenter(FOLDER, args.data_dir, progress)


def compare_recipes(args: argparse.Namespace) -> None:
    """`compare`: for each recipe a table of its variants, and a plot of their learning curves."""
    import torch

    from training.compare import compare
    from training.datasets import open_dataset
    from training.progress import Progress
    from training.report.plots import plot_losses

    torch.set_num_threads(1)

    def compare_one(name: str) -> None:
        recipe = RECIPES[name]
        dataset = open_dataset(recipe.dataset, args.data_dir)
        with Progress(console) as progress:
            runs = list(compare(args.parameter, recipe, dataset, args.rows, args.epochs, progress))
        table = Table(name, "first loss", "last loss", "seconds", f"validation {recipe.acceptance.metric}", box=None)
        for run in runs:
            losses = (f"{run.curve[i].loss:.4f}" for i in (0, -1))
            table.add_row(run.variant, *losses, f"{run.curve[-1].seconds:.1f}", f"{run.score:.4f}")
        console.print(table)
        path = args.out / name / f"{args.parameter}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(plot_losses({run.variant: run.curve for run in runs}, f"{name}: loss by {args.parameter}"))
        console.print(f"wrote {path}")

    for_each(list(dict.fromkeys(args.recipes)), compare_one)


def show_lectures(args: argparse.Namespace) -> None:
    """`lectures`: docs/lectures.md on standard output, or the pictures."""
    from training.lectures.document import document_lines
    from training.lectures.pictures import render_pictures
    from training.lectures.rows import LatestBundles

    bundles = LatestBundles(args.models_dir)
    if not args.pictures:
        print("\n".join(document_lines(bundles)))
        return
    folder = args.out / "lectures"
    folder.mkdir(parents=True, exist_ok=True)
    for name, picture in render_pictures(bundles):
        (folder / name).write_bytes(picture)
        console.print(f"wrote {folder / name}")


def verify_bundles(args: argparse.Namespace) -> None:
    """`verify`: verify one bundle after another."""
    from training.bundles.verify import verify
    from training.segmenter.export import is_segmenter, verify_segmenter

    def verify_one(folder: str) -> None:
        console.print(folder, markup=False)
        print_comparisons((verify_segmenter if is_segmenter(Path(folder)) else verify)(Path(folder)))

    for_each([str(folder) for folder in args.bundles], verify_one, "bundles")


def import_network(args: argparse.Namespace) -> None:
    """`import`: a network that was trained elsewhere becomes a bundle."""
    from training.importing.command import import_network

    import_network(args)


def print_comparisons(comparisons: list["BatchComparison"]) -> None:
    """A table of the batches that were compared with the network, and of the largest differences."""
    table = Table("runtime", "batch size", "outputs", "largest difference", "allowed", box=None)
    for batch in comparisons:
        row = str(batch.batch_size), batch.outputs, f"{batch.difference:.1e}", f"{batch.allowed:.1e}"
        table.add_row(batch.runtime, *map(escape, row))
    console.print(table)
