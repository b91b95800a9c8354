"""What each command of `python -m training` does. PyTorch is imported by those that need it."""

import argparse
import sys
import time
from collections.abc import Callable
from typing import TYPE_CHECKING

import msgspec
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from training.errors import TrainingError
from training.recipes import RECIPES
from training.recipes.recipe import Recipe

if TYPE_CHECKING:
    from training.bundles.verify import Finding

# Where nobody looks at a terminal, nothing is wrapped to one.
console = Console(highlight=False, soft_wrap=True, width=None if sys.stdout.isatty() else 200)


def list_recipes(_asked: argparse.Namespace) -> None:
    """A table of all recipes."""
    table = Table("recipe", "task", "network", "parameters", "data", "bar", "lecture", "what it is", box=None)
    for recipe in RECIPES.values():
        layers = "-".join(map(str, recipe.layers))
        seeds = f" over {recipe.bar.seeds} seeds" if recipe.bar.seeds > 1 else ""
        bar = f"{recipe.bar.metric} {recipe.bar.value}{seeds}"
        row = str(recipe.lecture.row) if recipe.lecture else ""
        parameters = f"{recipe.parameters:,}"
        table.add_row(recipe.name, recipe.task, layers, parameters, recipe.dataset, bar, row, recipe.summary)
    console.print(table)


def show_recipe(asked: argparse.Namespace) -> None:
    """Every field of one recipe."""
    console.print(msgspec.json.format(msgspec.json.encode(RECIPES[asked.recipe]), indent=2).decode(), markup=False)


def train_recipes(asked: argparse.Namespace) -> None:
    """Train, export, verify, publish; one recipe after another."""
    from training.bundles.export import export, staging_beside
    from training.datasets import open_dataset
    from training.learning.train import device_named, train
    from training.progress import Progress

    device = device_named(asked.device)
    recipes = {name: changed(RECIPES[name], asked.seed, asked.epochs) for name in chosen(asked.recipes)}
    with staging_beside(asked.models_dir):
        pass  # what cannot be written to is found before the training, not after it

    def make(name: str) -> None:
        recipe = recipes[name]
        dataset = open_dataset(recipe.dataset, asked.data_dir)
        started = time.monotonic()
        with Progress(console) as progress:
            trained = train(recipe, dataset, device, asked.threads, progress)
        console.print(f"{name}: trained on {device} in {time.monotonic() - started:.1f} s")
        for metric, value in trained.metrics.items():
            console.print(f"  {metric.replace('_', ' ')}: {value:g}")
        if recipe.lecture:
            console.print(f"  the lecture printed {recipe.lecture.printed}")
        folder, findings = export(recipe, trained, dataset, asked.models_dir)
        print_findings(findings)
        console.print(f"{name}: wrote {folder}")

    each(list(recipes), make)


def chosen(names: list[str]) -> list[str]:
    """Each recipe that was named, once; `all` names every one."""
    return list(RECIPES) if "all" in names else list(dict.fromkeys(names))


def each(names: list[str], do: Callable[[str], None]) -> None:
    """Do it for each recipe. What goes wrong with one is told at once, and keeps no other from its turn."""
    failed = []
    for name in names:
        try:
            do(name)
        except TrainingError as error:
            if len(names) == 1:
                raise
            print(f"training: {error}", file=sys.stderr, flush=True)
            failed.append(name)
    if failed:
        raise TrainingError(f"{len(failed)} of {len(names)} recipes failed: {', '.join(failed)}")


def changed(recipe: Recipe, seed: int | None, epochs: int | None) -> Recipe:
    """The recipe with another seed, or with other passes over the data."""
    if seed is not None:
        recipe = msgspec.structs.replace(recipe, seed=seed)
    if epochs is not None:
        recipe = msgspec.structs.replace(recipe, fit=msgspec.structs.replace(recipe.descent, epochs=epochs))
    return recipe


def report_recipes(asked: argparse.Namespace) -> None:
    """A page and its pictures for each recipe, from its newest bundle and its data."""
    from training.bundles.restore import newest, reopen
    from training.report.page import Report

    asked.out.mkdir(parents=True, exist_ok=True)

    def write(name: str) -> None:
        bundle, contents = newest(name, asked.models_dir)
        report = Report(bundle.version, *reopen(bundle, contents, asked.data_dir), data=True)
        folder = asked.out / name
        sections = report.sections()
        folder.mkdir(exist_ok=True)
        (folder / "report.html").write_bytes(report.html(sections))
        pictures = [section for section in sections if section.picture]
        for section in pictures:
            (folder / section.file_name).write_bytes(section.picture)
        console.print(f"{folder / 'report.html'}, and {len(pictures)} pictures beside it")

    each(chosen(asked.recipes), write)


def compare_recipes(asked: argparse.Namespace) -> None:
    """Each recipe in each way: a table, and the curves as a picture."""
    import torch

    from training.compare import compare, drawn
    from training.datasets import open_dataset
    from training.progress import Progress

    torch.set_num_threads(1)
    for name in dict.fromkeys(asked.recipes):
        (asked.out / name).mkdir(parents=True, exist_ok=True)
        recipe = RECIPES[name]
        dataset = open_dataset(recipe.dataset, asked.data_dir)
        with Progress(console) as progress:
            runs = list(compare(asked.what, recipe, dataset, asked.rows, asked.epochs, progress))
        table = Table(name, "first loss", "last loss", "seconds", f"{recipe.bar.metric} not seen", box=None)
        for run in runs:
            losses = (f"{run.curve[i].loss:.4f}" for i in (0, -1))
            table.add_row(run.way, *losses, f"{run.curve[-1].seconds:.1f}", f"{run.reached:.4f}")
        console.print(table)
        picture = asked.out / name / f"{asked.what}.png"
        picture.write_bytes(drawn(runs, f"{name}, loss by {asked.what}"))
        console.print(f"{picture}")


def show_lectures(asked: argparse.Namespace) -> None:
    """docs/lectures.md on standard output; the pictures, where they are asked for."""
    from training.lectures.document import document, drawn
    from training.lectures.rows import Found

    found = Found(asked.models_dir)
    if not asked.pictures:
        print("\n".join(document(found)))
        return
    folder = asked.out / "lectures"
    folder.mkdir(parents=True, exist_ok=True)
    for name, picture in drawn(found):
        (folder / name).write_bytes(picture)
        console.print(f"{folder / name}")


def verify_bundles(asked: argparse.Namespace) -> None:
    """Verify each bundle; the first that fails ends the command."""
    from training.bundles.verify import verify

    for folder in asked.bundles:
        console.print(f"{folder}")
        print_findings(verify(folder))


def print_findings(findings: list["Finding"]) -> None:
    """What was compared, and by how much it differed."""
    table = Table("runtime", "batch", "gives", "largest difference", "allowed", box=None)
    for finding in findings:
        row = str(finding.batch), finding.outputs, f"{finding.difference:.1e}", f"{finding.allowed:.1e}"
        table.add_row(finding.runtime, *map(escape, row))
    console.print(table)
