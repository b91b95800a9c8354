"""A recipe for a folder of pictures: the classes, the network and how it is trained, each with its reason."""

import math
from collections import Counter
from pathlib import Path

from service.bundle.loading import is_a_name
from service.bundle.manifest import Preprocess
from training.errors import DataUnavailable
from training.pictures.folder import class_folders, picture_files
from training.recipes.gradient_descent import AdamW, GradientDescent
from training.recipes.pictures import Pictures
from training.recipes.proposal import (
    MAX_CLASSES,
    MIN_CLASS_ROWS,
    MIN_ROWS,
    Counts,
    Proposal,
    batch_size,
    classifier_acceptance,
    is_uneven,
    name_of,
    split_rows,
    threshold_reason,
    uneven_note,
)
from training.recipes.recipe import Recipe

HIDDEN = 128  # units of the hidden layer
REASONS = {
    "fit": "scaled into the square with its proportions, on the colour of its border",
    "digit": "the ink of one handwritten digit, as in MNIST's images",
    "none": "every picture has this size already",
}


def propose_pictures(
    path: Path, preprocess: Preprocess, side: int, name: str | None = None, *, colour: bool = False
) -> Proposal:
    """Look at a folder, and propose a recipe that tells its classes apart; raises `DataUnavailable`."""
    labels = class_folders(path)
    _check_labels(path, labels)
    files, others = picture_files(path, labels)
    counted = Counter(label for label, _ in files)
    counts = {label: counted[i] for i, label in enumerate(labels)}
    _check_counts(path, counts)
    try:
        pictures = Pictures(path=str(path), labels=tuple(labels), preprocess=preprocess, side=side, colour=colour)
    except ValueError as error:
        raise DataUnavailable(f"{path}: {error}") from None
    recipe = _recipe(name or name_of(path), pictures, counts)
    shown = ", ".join(f"{label} {count:,}" for label, count in list(counts.items())[:10])
    notes = [
        f"{path}: {len(files):,} pictures, {len(labels)} classes: {shown}{', ...' if len(labels) > 10 else ''}",
        f"{preprocess.method}: {REASONS[preprocess.method]}; {side}x{side}, {'in colour' if colour else 'grey'}",
    ]
    if others:
        notes.append(f"left out, as no pictures by their names: {len(others):,}, such as {others[0]}")
    if is_uneven(counts):
        notes.append(uneven_note(counts))
    reasons = {
        "task": f"{len(labels)} classes",
        "acceptance.threshold": threshold_reason(counts),
        "pictures.preprocess": REASONS[preprocess.method],
    }
    return Proposal(recipe, notes, reasons)


def _recipe(name: str, pictures: Pictures, counts: Counts) -> Recipe:
    train_rows, validation = split_rows(sum(counts.values()))
    outputs = 1 if len(counts) == 2 else len(counts)
    uneven = is_uneven(counts)
    return Recipe(
        name=name,
        summary=f"{len(counts)} classes of pictures in {Path(pictures.path).name}",
        dataset=name,
        pictures=pictures,
        task="binary" if len(counts) == 2 else "multiclass",
        layers=(math.prod(pictures.shape), HIDDEN, outputs),
        scaling="centred",
        training=GradientDescent(
            AdamW(0.001),
            batch_size=batch_size(train_rows),
            epochs=200,
            dropout=0.2,
            weight_decay=0.01,
            patience=20,
            class_weights=uneven,
        ),
        validation_rows=max(validation, len(counts), 2),
        acceptance=classifier_acceptance(counts, uneven=uneven),
    )


def _check_labels(path: Path, labels: list[str]) -> None:
    if len(labels) > MAX_CLASSES:
        raise DataUnavailable(f"{path}: {len(labels)} folders: at most {MAX_CLASSES} classes")
    for label in labels:
        if not is_a_name(label):
            raise DataUnavailable(
                f"{path / label}: the name of a class has no quotes, backslashes or control characters"
            )


def _check_counts(path: Path, counts: Counts) -> None:
    if (total := sum(counts.values())) < MIN_ROWS:
        raise DataUnavailable(f"{path}: {total} pictures: at least {MIN_ROWS} are needed")
    if few := [label for label, count in counts.items() if count < MIN_CLASS_ROWS]:
        needed = f"at least {MIN_CLASS_ROWS} are needed to train, validate and test"
        raise DataUnavailable(f"{path / few[0]}: {counts[few[0]]} pictures: {needed}")
