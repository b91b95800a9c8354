"""What is chosen for the user's own data: a recipe, what to say about it, and what all such recipes share."""

import math
import re
import unicodedata
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from training.recipes.recipe import Acceptance, Recipe

MIN_ROWS = 20
MIN_CLASS_ROWS = 4  # so that there is one to train on, one to validate on and one to test on
MAX_CLASSES = 100
HELD_OUT, VALIDATION = 0.2, 0.15  # the second of what the first leaves
UNEVEN = 3  # times as many rows in the largest class as in the smallest: classes are weighted
UNEVEN_NOTE = (
    "the classes are uneven: rows of rare ones count more, so that they are found, and probabilities are those among "
    'equally many rows of each class; in a recipe file, class_weights = false, metric = "accuracy" and threshold = '
    "{threshold} give those of the data"
)

Counts = Mapping[str, int]  # rows of each class


@dataclass(frozen=True)
class Proposal:
    """A recipe, what to say about it, and the reason of a choice by its key in the recipe's file."""

    recipe: Recipe
    notes: list[str] = field(default_factory=list)
    reasons: dict[str, str] = field(default_factory=dict)


def is_uneven(counts: Counts) -> bool:
    """Whether classes should be weighted; False for a regression, which has none."""
    return bool(counts) and max(counts.values()) >= UNEVEN * min(counts.values())


def classifier_acceptance(counts: Counts, *, uneven: bool) -> Acceptance:
    """What chance alone does not reach, in one of forty data sets: two standard errors above the simplest guess."""
    total = sum(counts.values())
    rows = VALIDATION * (1 - HELD_OUT) * total
    guess = max(counts.values()) / total
    if uneven:
        guess = 1 / len(counts)
        rows *= min(counts.values()) * len(counts) / total
    # Where there are few rows, that would be more than any network reaches.
    threshold = min((1 + guess) / 2, guess + 2 * math.sqrt(guess * (1 - guess) / rows))
    return Acceptance("balanced_accuracy" if uneven else "accuracy", round(threshold, 4))


def threshold_reason(counts: Counts) -> str:
    """Why the threshold of a classifier is what it is."""
    if is_uneven(counts):
        return f"always saying the same class has {1 / len(counts):.3f}, and chance adds to that"
    most = max(counts, key=lambda word: counts[word])
    share = counts[most] / sum(counts.values())
    return f"always saying {most!r} is right for {share:.1%} of the rows, and chance adds to that"


def uneven_note(counts: Counts) -> str:
    """What weighted classes mean, and how to have none."""
    return UNEVEN_NOTE.format(threshold=classifier_acceptance(counts, uneven=False).threshold)


def split_rows(total: int) -> tuple[int, int]:
    """How many rows are trained on, and how many validated on."""
    validation = round(VALIDATION * (1 - HELD_OUT) * total)
    return round((1 - HELD_OUT) * total) - validation, validation


def batch_size(rows: int) -> int:
    """A power of two from 8 to 256, for about forty steps an epoch."""
    return 1 << min(8, max(3, round(math.log2(max(rows, 1) / 40))))


def name_of(path: Path) -> str:
    """The name of a file or folder as a bundle may have it."""
    plain = unicodedata.normalize("NFKD", path.stem.lower()).encode("ascii", "ignore").decode()
    return re.sub(r"[^a-z0-9]+", "-", plain).strip("-") or "own"
