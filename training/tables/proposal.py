"""A recipe for a user's table: the task, the features, the network and how it is trained, each with its reason."""

from dataclasses import dataclass
from pathlib import Path

import polars as pl

from service.bundle.loading import is_a_name
from service.bundle.manifest import Task
from training.errors import BadRecipe, DataUnavailable
from training.recipes.gradient_descent import AdamW, GradientDescent
from training.recipes.proposal import (
    HELD_OUT,
    MAX_CLASSES,
    MIN_CLASS_ROWS,
    MIN_ROWS,
    Proposal,
    batch_size,
    classifier_acceptance,
    is_uneven,
    name_of,
    split_rows,
    threshold_reason,
    uneven_note,
)
from training.recipes.recipe import Acceptance, Recipe
from training.recipes.table import Table
from training.tables.columns import (
    check_numbers,
    describe,
    differing_in_case,
    doubtful_missing,
    doubtful_numbers,
    is_numeric,
)
from training.tables.reading import DELIMITERS, RawTable, read_table

MAX_NUMBERED_CLASSES = 20  # whole numbers with more different values are a regression
MIN_R2 = 0.01


@dataclass(frozen=True)
class _Target:
    """What is predicted: classes with their numbers of rows, or none for values."""

    task: Task
    reason: str
    rows: int
    counts: dict[str, int]


def propose(path: Path, targets: list[str], task: str | None = None, name: str | None = None) -> Proposal:
    """Read a table, and propose a recipe that predicts these columns from the others.

    `task` overrides what the target seems to be: `classification` or `regression`. Raises `DataUnavailable` for a table
    that cannot be used, and `BadRecipe` for targets that do not fit.
    """
    raw = read_table(path)
    if twice := [target for target in targets if targets.count(target) > 1]:
        raise BadRecipe(f"{path}: {twice[0]} is given twice as the target")
    columns = [raw.column(target) for target in targets]
    target = _describe_target(raw, columns, task)
    classes = target.task != "regression"
    whole, raw = raw, raw.with_all(targets)
    columns = [raw.column(name) for name in targets]
    described = [describe(raw, column, columns, classes=classes) for column in raw.columns if column not in targets]
    features = tuple(one.feature for one in described if one.feature)
    if not features:
        reasons = "; ".join(f"{one.name}: {one.reason}" for one in described) or "there are no others"
        raise DataUnavailable(f"{path}: no column can be used to predict {', '.join(targets)}: {reasons}")
    table = Table(
        path=str(path),
        targets=tuple(targets),
        labels=tuple(target.counts),
        features=features,
        delimiter=raw.format.delimiter,
        decimal=raw.format.decimal,
        encoding=raw.format.encoding,
        held_out=HELD_OUT,
    )
    recipe = _recipe(name or name_of(path), table, target, len(targets))
    reasons_by_key = {f"table.features.{one.name}": one.reason for one in described if one.feature}
    reasons_by_key |= {"task": target.reason, "acceptance.threshold": _threshold_reason(target)}
    notes = [_how_it_was_read(whole), f"{', '.join(targets)}: {target.reason}"]
    notes += [f"left out: {one.name}: {one.reason}" for one in described if not one.feature]
    notes += [f"{one.name}: {one.doubt}" for one in described if one.feature and one.doubt]
    notes += _doubts_about_targets(whole, columns)
    if recipe.gradient_descent.class_weights:
        notes.append(uneven_note(target.counts))
    if dropped := len(whole) - target.rows:
        notes.append(f"left out: {dropped:,} {'row' if dropped == 1 else 'rows'} without {', '.join(targets)}")
    return Proposal(recipe, notes, reasons_by_key)


def _doubts_about_targets(raw: RawTable, columns: list[pl.Series]) -> list[str]:
    """What may have been read in another way than it was meant."""
    found = [(one.name, (doubtful_missing(raw, one.name), doubtful_numbers(raw, one.drop_nulls()))) for one in columns]
    return [f"{name}: {doubt}" for name, doubts in found for doubt in doubts if doubt]


def _describe_target(raw: RawTable, columns: list[pl.Series], task: str | None) -> _Target:
    """Whether classes or values are predicted."""
    present = columns[0].drop_nulls()
    rows = int(pl.DataFrame(columns).select(pl.all_horizontal(pl.all().is_not_null()).sum()).item())
    if rows < MIN_ROWS:
        raise DataUnavailable(f"{raw.path}: {rows} rows with {columns[0].name}: at least {MIN_ROWS} are needed")
    values = task == "regression" or len(columns) > 1 or (task is None and _are_values(raw, present))
    if values:
        for column in columns:
            if not is_numeric(raw, column.drop_nulls()):
                raise BadRecipe(f"{raw.path}: {column.name} holds text, and a regression predicts numbers")
            check_numbers(raw, column)
        several = f"{len(columns)} targets" if len(columns) > 1 else f"{present.n_unique():,} different numbers"
        return _Target("regression", f"a regression, for {several}", rows, {})
    return _describe_classes(raw, present, rows)


def _are_values(raw: RawTable, present: pl.Series) -> bool:
    """Whether a target is numbers, of which there are many different ones, or which are not whole."""
    if not is_numeric(raw, present):
        return False
    numbers = check_numbers(raw, present)
    whole = bool((numbers == numbers.round()).all())
    return numbers.n_unique() > (MAX_NUMBERED_CLASSES if whole else 2)


def _describe_classes(raw: RawTable, present: pl.Series, rows: int) -> _Target:
    found = present.value_counts(sort=True)
    counts = dict(zip(found[present.name].to_list(), found["count"].to_list(), strict=True))
    words = sorted(counts, key=_by_number)
    if len(words) < 2:
        raise BadRecipe(f"{raw.path}: {present.name} is {words[0]!r} in every row: there is nothing to learn")
    if len(words) > MAX_CLASSES:
        raise BadRecipe(
            f"{raw.path}: {present.name} has {len(words):,} different texts: at most {MAX_CLASSES} classes; "
            "is another column the target?"
        )
    if few := [word for word in words if counts[word] < MIN_CLASS_ROWS]:
        raise BadRecipe(
            f"{raw.path}: class {few[0]!r} of {present.name} has {counts[few[0]]} rows: at least {MIN_CLASS_ROWS} "
            "are needed to train, validate and test; leave such rows out, or join classes"
        )
    if quoted := [word for word in words if not is_a_name(word)]:
        raise BadRecipe(f"{raw.path}: class {quoted[0]!r} of {present.name}: the name of a class has no quotes in it")
    task: Task = "binary" if len(words) == 2 else "multiclass"
    reason = f"{len(words)} classes{differing_in_case(words)}"
    if len(words) > 2 and is_numeric(raw, present):
        reason += "; if they are quantities, --task regression"
    return _Target(task, reason, rows, {word: counts[word] for word in words})


def _by_number(word: str) -> tuple[float, str]:
    try:
        return float(word), word
    except ValueError:
        return float("inf"), word


def _recipe(name: str, table: Table, target: _Target, values: int) -> Recipe:
    train_rows, validation = split_rows(target.rows)
    outputs = {"binary": 1, "multiclass": len(target.counts), "regression": values}[target.task]
    uneven = is_uneven(target.counts)
    return Recipe(
        name=name,
        summary=f"{', '.join(table.targets)} from {len(table.features)} columns of {Path(table.path).name}",
        dataset=name,
        table=table,
        task=target.task,
        layers=(table.encoded_inputs, *_hidden_layers(train_rows), outputs),
        scaling="encoded",
        training=GradientDescent(
            AdamW(0.003),
            batch_size=batch_size(train_rows),
            epochs=200,
            weight_decay=0.01,
            patience=20,
            class_weights=uneven,
        ),
        validation_rows=max(validation, len(target.counts), 2),
        acceptance=_acceptance(target, uneven=uneven),
    )


def _acceptance(target: _Target, *, uneven: bool) -> Acceptance:
    if target.task == "regression":
        return Acceptance("r2", MIN_R2)
    return classifier_acceptance(target.counts, uneven=uneven)


def _threshold_reason(target: _Target) -> str:
    if target.task == "regression":
        return "predicting the mean, whatever the row, has 0"
    return threshold_reason(target.counts)


def _hidden_layers(rows: int) -> tuple[int, ...]:
    return (64, 32) if rows >= 1000 else (32,) if rows >= 200 else (16,)


def _how_it_was_read(raw: RawTable) -> str:
    found = raw.format
    unusual = [f"{DELIMITERS[found.delimiter]} between cells"] if found.delimiter != "," else []
    unusual += ["decimal comma"] if found.decimal == "," else []
    unusual += [found.encoding] if found.encoding != "utf-8" else []
    how = f" ({', '.join(unusual)})" if unusual else ""
    return f"{raw.path}: {len(raw):,} rows, {len(raw.columns)} columns{how}"
