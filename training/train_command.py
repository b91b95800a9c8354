"""`train`, `init` and `recalibrate`: recipes, those for a user's table too, become bundles."""

import argparse
import time
from pathlib import Path

import msgspec

from service.bundle.manifest import IMAGE_SHAPE, Preprocess
from training.arguments import TABLE_SUFFIXES, is_own_data, is_table, open_recipe, with_overrides
from training.commands import console, for_each, print_comparisons
from training.errors import BelowThreshold, TrainingError
from training.recipes import RECIPES
from training.recipes.proposal import Proposal
from training.recipes.recipe import Recipe
from training.segmenter.recipe import SEGMENTER


def train_recipes(args: argparse.Namespace) -> None:
    """`train`: train, export and verify one recipe after another."""
    from training.bundles.export import check_writable
    from training.learning.train import select_device

    names = list(RECIPES) if "all" in args.recipes else list(dict.fromkeys(args.recipes))
    _check_options(args, names)
    device = select_device(args.device)
    check_writable(args.models_dir)  # before training, not after it

    def train_one(name: str) -> None:
        if name == SEGMENTER.name:
            _train_segmenter(args)
        else:
            _train(with_overrides(_recipe(name, args), args.seed, args.epochs), str(device), args)

    for_each(names, train_one)


def _train(recipe: Recipe, device: str, args: argparse.Namespace) -> None:
    import torch

    from training.bundles.export import export
    from training.datasets import open_data
    from training.learning.train import train
    from training.progress import Progress
    from training.tables.advice import comparison_lines, explain_threshold, lines_by_value

    dataset = open_data(recipe, args.data_dir)
    started = time.monotonic()
    try:
        with Progress(console) as progress:
            result = train(recipe, dataset, torch.device(device), args.threads, progress)
    except BelowThreshold as error:
        raise explain_threshold(recipe, error) if recipe.is_of_own_data else error from None
    console.print(f"{recipe.name}: trained on {device} in {time.monotonic() - started:.1f} s")
    for metric, value in result.metrics.items():
        console.print(f"  {metric.replace('_', ' ')}: {value:g}")
    if recipe.reference:
        console.print(f"  the lecture's figure: {recipe.reference.reported}")
    if recipe.is_of_own_data:
        for line in (*comparison_lines(recipe, result.metrics), *lines_by_value(recipe, result)):
            console.print(line, markup=False)
    folder, comparisons = export(recipe, result, dataset, args.models_dir)
    print_comparisons(comparisons)
    console.print(f"{recipe.name}: wrote {folder}")
    if recipe.is_of_own_data:
        console.print(f"to serve it: digitalis serve --models {args.models_dir}", markup=False)


def _recipe(name: str, args: argparse.Namespace) -> Recipe:
    """The recipe of this name, in this file, or for this table or folder of pictures."""
    if not is_own_data(name):
        return open_recipe(name)
    proposal = _propose(name, args)
    for note in proposal.notes:
        console.print(note, markup=False)
    return proposal.recipe


def _propose(path: str, args: argparse.Namespace) -> Proposal:
    """The recipe for a table, or for a folder of pictures."""
    if is_table(path):
        from training.tables.proposal import propose

        return propose(Path(path), args.target, args.task, args.name)
    from training.pictures.proposal import propose_pictures

    preprocess = Preprocess(args.preprocess or "fit", args.ink or "kept")
    side = args.side or IMAGE_SHAPE[0]
    return propose_pictures(Path(path), preprocess, side, args.name, colour=args.colour)


def _check_options(args: argparse.Namespace, names: list[str]) -> None:
    """Raise `TrainingError` for an option that would be ignored, or that is missing."""
    tables = [name for name in names if is_table(name)]
    folders = [name for name in names if is_own_data(name) and not is_table(name)]
    if tables and not args.target:
        raise TrainingError(f"{tables[0]}: --target COLUMN says which column is predicted")
    options: list[tuple[str, object, bool]] = [
        ("--epochs", args.epochs, SEGMENTER.name not in names),
        ("--device cuda", args.device == "cuda", SEGMENTER.name not in names),
        ("--samples", args.samples, SEGMENTER.name in names),
        ("--resume", args.resume, SEGMENTER.name in names),
        ("--target", args.target, bool(tables)),
        ("--task", args.task, bool(tables)),
        ("--name", args.name, len(tables) + len(folders) == len(names) == 1),
        *((f"--{option}", getattr(args, option), bool(folders)) for option in ("preprocess", "side", "ink", "colour")),
    ]
    if ignored := [option for option, given, applies in options if given and not applies]:
        raise TrainingError(f"{', '.join(ignored)}: not for {', '.join(names)}")


def init_recipe(args: argparse.Namespace) -> None:
    """`init`: print the recipe of a table, or of a folder of pictures, as TOML."""
    from training.recipes.recipe_file import write_recipe

    if not is_own_data(args.data):
        expected = f"a file whose name ends in {', '.join(TABLE_SUFFIXES)}, or a folder of pictures"
        raise TrainingError(f"{args.data}: expected {expected}")
    if is_table(args.data) and not args.target:
        raise TrainingError(f"{args.data}: --target COLUMN says which column is predicted")
    print(write_recipe(_propose(args.data, args)), end="")


def _train_segmenter(args: argparse.Namespace) -> None:
    import torch

    from training.progress import Progress
    from training.segmenter.command import train_segmenter

    changes = {name: value for name in ("seed", "samples") if (value := getattr(args, name)) is not None}
    recipe = msgspec.structs.replace(SEGMENTER, **changes)
    torch.set_num_threads(args.threads)
    with Progress(console) as progress:
        train_segmenter(recipe, args.data_dir, progress, resume=args.resume)


def recalibrate_recipes(args: argparse.Namespace) -> None:
    """`recalibrate`: write the latest bundle of each recipe as its next version, with a new calibration."""
    from training.bundles.export import check_writable, export
    from training.bundles.restore import latest_bundle, restore
    from training.learning.train import recalibrate
    from training.progress import Progress

    check_writable(args.models_dir)

    def recalibrate_one(name: str) -> None:
        if not RECIPES[name].takes_images:
            raise TrainingError(f"{name} takes feature vectors, which no normaliser changes: there is nothing to do")
        recipe, result, dataset = restore(*latest_bundle(name, args.models_dir), args.data_dir)
        with Progress(console) as progress:
            result = recalibrate(recipe, result, progress)
        folder, comparisons = export(recipe, result, dataset, args.models_dir)
        print_comparisons(comparisons)
        console.print(f"{name}: wrote {folder}")

    names = [name for name in RECIPES if RECIPES[name].takes_images] if "all" in args.recipes else args.recipes
    for_each(list(dict.fromkeys(names)), recalibrate_one)
