"""One function for each command of `python -m training`. PyTorch is imported only by those that need it."""

import argparse
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from service.errors import DigitalisError
from training.errors import TrainingError
from training.recipes import RECIPES
from training.recipes.recipe import Recipe

if TYPE_CHECKING:
    from training.bundles.verify import BatchComparison

# Output to a file or a pipe is not wrapped to the width of a terminal.
console = Console(highlight=False, soft_wrap=True, width=None if sys.stdout.isatty() else 200)


def list_recipes(_args: argparse.Namespace) -> None:
    """`list`: a table of all recipes."""
    columns = "recipe", "task", "network", "parameters", "data set", "acceptance threshold", "lecture", "summary"
    table = Table(*columns, box=None)
    for recipe in RECIPES.values():
        layers = "-".join(map(str, recipe.layers))
        acceptance = recipe.acceptance
        seeds = f", {acceptance.seeds} seeds" if acceptance.seeds > 1 else ""
        threshold = f"{acceptance.metric} {acceptance.threshold}{seeds}"
        row = str(recipe.reference.row) if recipe.reference else ""
        parameters = f"{recipe.num_parameters:,}"
        table.add_row(recipe.name, recipe.task, layers, parameters, recipe.dataset, threshold, row, recipe.summary)
    console.print(table)


def show_recipe(args: argparse.Namespace) -> None:
    """`show`: all fields of one recipe, as JSON."""
    console.print(msgspec.json.format(msgspec.json.encode(RECIPES[args.recipe]), indent=2).decode(), markup=False)


def train_recipes(args: argparse.Namespace) -> None:
    """`train`: train, export and verify one recipe after another."""
    from training.bundles.export import check_writable, export
    from training.datasets import open_dataset
    from training.learning.train import select_device, train
    from training.progress import Progress

    device = select_device(args.device)
    check_writable(args.models_dir)  # before training, not after it

    def train_one(name: str) -> None:
        recipe = with_overrides(RECIPES[name], args.seed, args.epochs)
        dataset = open_dataset(recipe.dataset, args.data_dir)
        started = time.monotonic()
        with Progress(console) as progress:
            result = train(recipe, dataset, device, args.threads, progress)
        console.print(f"{name}: trained on {device} in {time.monotonic() - started:.1f} s")
        for metric, value in result.metrics.items():
            console.print(f"  {metric.replace('_', ' ')}: {value:g}")
        if recipe.reference:
            console.print(f"  the lecture's figure: {recipe.reference.reported}")
        folder, comparisons = export(recipe, result, dataset, args.models_dir)
        print_comparisons(comparisons)
        console.print(f"{name}: wrote {folder}")

    for_each(expand_names(args.recipes), train_one)


def expand_names(names: list[str]) -> list[str]:
    """The names without repetitions; `all` stands for every recipe."""
    return list(RECIPES) if "all" in names else list(dict.fromkeys(names))


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


def with_overrides(recipe: Recipe, seed: int | None, epochs: int | None) -> Recipe:
    """The recipe with another seed and another number of epochs, where they are given."""
    if seed is not None:
        recipe = msgspec.structs.replace(recipe, seed=seed)
    if epochs is not None:
        training = msgspec.structs.replace(recipe.gradient_descent, epochs=epochs)
        recipe = msgspec.structs.replace(recipe, training=training)
    return recipe


def report_recipes(args: argparse.Namespace) -> None:
    """`report`: a page with its pictures for each recipe, from its latest bundle and its data."""
    from training.bundles.restore import latest_bundle, restore
    from training.report.page import Report

    args.out.mkdir(parents=True, exist_ok=True)

    def write_report(name: str) -> None:
        bundle, contents = latest_bundle(name, args.models_dir)
        report = Report(bundle.version, *restore(bundle, contents, args.data_dir), show_rows=True)
        folder = args.out / name
        sections = report.sections()
        folder.mkdir(exist_ok=True)
        (folder / "report.html").write_bytes(report.html(sections))
        pictures = [section for section in sections if section.picture]
        for section in pictures:
            (folder / section.file_name).write_bytes(section.picture)
        console.print(f"wrote {folder / 'report.html'} and {len(pictures)} pictures")

    for_each(expand_names(args.recipes), write_report)


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

    def verify_one(folder: str) -> None:
        console.print(folder, markup=False)
        print_comparisons(verify(Path(folder)))

    for_each([str(folder) for folder in args.bundles], verify_one, "bundles")


def print_comparisons(comparisons: list["BatchComparison"]) -> None:
    """A table of the batches that were compared with the network, and of the largest differences."""
    table = Table("runtime", "batch size", "outputs", "largest difference", "allowed", box=None)
    for batch in comparisons:
        row = str(batch.batch_size), batch.outputs, f"{batch.difference:.1e}", f"{batch.allowed:.1e}"
        table.add_row(batch.runtime, *map(escape, row))
    console.print(table)
