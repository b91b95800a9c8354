"""A recipe as a TOML file: written with a comment for each choice, and read with the line of each mistake."""

import json
import math
import re
import tomllib
from pathlib import Path
from typing import Any

import msgspec

from training.errors import BadRecipe
from training.recipes.pictures import Pictures
from training.recipes.proposal import Proposal
from training.recipes.recipe import Recipe
from training.recipes.table import Table

COMMENTS = {
    "task": "binary, multiclass or regression",
    "hidden_layers": "units of each layer between inputs and outputs",
    "activation": "relu, leaky-relu, sigmoid, tanh or none",
    "validation_rows": "of the training rows: the network is not trained on them, they say when to stop",
    "seed": "of the initial weights, the order of the rows and the split",
    "training.batch_size": "rows of one step",
    "training.epochs": "passes over the training rows, at most",
    "training.dropout": "probability that a hidden unit is zeroed in a step",
    "training.weight_decay": "larger values keep the weights smaller",
    "training.patience": "epochs without a lower validation loss, after which training ends; 0: all epochs",
    "training.class_weights": "true: rows of rare classes count more",
    "training.optimiser.name": "sgd, adagrad, rmsprop, adam, adamw or adamax",
    "acceptance.threshold": "no bundle is written below it",
    "table.held_out": "fraction of the rows that the metrics are computed on",
    "table.missing": "what stands for a missing value",
    "table.source": "where the data is from; shown to clients",
    "table.path": "relative to this file",
    "pictures.path": "relative to this file",
    "pictures.labels": "the folders of the classes",
    "pictures.preprocess": "fit, digit or none; ink is kept, dark or light",
    "pictures.side": "pixels, of the square that the network gets",
    "pictures.held_out": "fraction of the pictures that the metrics are computed on",
    "pictures.source": "where the pictures are from; shown to clients",
}
TRAINING = ("batch_size", "epochs", "dropout", "batch_norm", "weight_decay", "schedule", "patience", "class_weights")
TABLE = ("path", "targets", "labels", "delimiter", "decimal", "encoding", "missing", "held_out", "source", "licence")


def write_recipe(proposal: Proposal) -> str:
    """The file of a recipe for a table."""
    recipe, reasons = proposal.recipe, proposal.reasons
    fields = msgspec.to_builtins(recipe)
    training = fields["training"]
    top = {"name": recipe.name, "summary": recipe.summary, "task": recipe.task, "hidden_layers": recipe.layers[1:-1]}
    top |= {name: fields[name] for name in ("activation", "validation_rows", "seed")}
    lines = [
        *(f"# {note}" for note in proposal.notes),
        "",
        *_assignments("", top, reasons),
        *_section("training", {name: training[name] for name in TRAINING}, reasons),
        *_section("training.optimiser", training["optimiser"], reasons),
        *_section("acceptance", fields["acceptance"], reasons),
    ]
    lines += _table(fields["table"], reasons) if recipe.table else _section("pictures", fields["pictures"], reasons)
    return "\n".join([*lines, ""])


def _table(table: dict[str, Any], reasons: dict[str, str]) -> list[str]:
    lines = _section("table", {name: table[name] for name in TABLE}, reasons)
    for feature in table["features"]:
        reason = reasons.get(f"table.features.{feature['name']}", "")
        shown = {name: value for name, value in feature.items() if value or name != "categories"}
        lines += ["", f"[[table.features]]  # {reason}".rstrip(" #"), *_assignments("", shown, {}, comment=False)]
    return lines


def _section(name: str, fields: dict[str, Any], reasons: dict[str, str]) -> list[str]:
    return ["", f"[{name}]", *_assignments(f"{name}.", fields, reasons)]


def _assignments(prefix: str, fields: dict[str, Any], reasons: dict[str, str], *, comment: bool = True) -> list[str]:
    lines = []
    for name, value in fields.items():
        key = f"{prefix}{name}"
        words = "; ".join(filter(None, (reasons.get(key), COMMENTS.get(key)))) if comment else ""
        lines.append(f"{name} = {_toml(value)}" + (f"  # {words}" if words else ""))
    return lines


def _toml(value: Any) -> str:
    """A value as TOML writes it: of texts, numbers, lists of those and inline tables."""
    if isinstance(value, dict):
        return f"{{ {', '.join(f'{name} = {_toml(one)}' for name, one in value.items())} }}"
    if isinstance(value, list | tuple):
        return f"[{', '.join(map(_toml, value))}]"
    return json.dumps(value, ensure_ascii=False)


def read_recipe(path: Path) -> Recipe:
    """The recipe in a file; raises `BadRecipe` with the line of a mistake."""
    try:
        text = path.read_text()
        fields = tomllib.loads(text)
    except UnicodeDecodeError:
        raise BadRecipe(f"{path}: it is not UTF-8 text") from None
    except tomllib.TOMLDecodeError as error:
        raise BadRecipe(f"{path}: {error}") from None
    if ("table" in fields) == ("pictures" in fields):
        advice = "`digitalis init FILE --target COLUMN`, or `digitalis init FOLDER`, writes a recipe to begin with"
        raise BadRecipe(f"{path}: expected either [table] or [pictures]: {advice}")
    try:
        return _recipe(fields, path)
    except msgspec.ValidationError as error:
        message, _, at = str(error).replace("`", "").partition(" - at $")
        keys = [key for key in re.split(r"[.\[\]]+", at) if key]
        unknown = re.search(r"unknown field (\S+)", message)
        line = line_of(text, [*keys, unknown[1]] if unknown else keys)
        where = f" ({'.'.join(keys)})" if keys else ""
        raise BadRecipe(f"{path}: line {line}{where}: {message[0].lower()}{message[1:]}") from None


def _recipe(fields: dict[str, Any], path: Path) -> Recipe:
    """What the file leaves out follows from the rest: the layers at both ends, the data set's name, the scaling."""
    hidden = msgspec.convert({"hidden_layers": fields.pop("hidden_layers", [])}, _HiddenLayers).hidden_layers
    fields["training"] = {"method": "gradient-descent"} | fields.get("training", {})
    data = msgspec.convert(fields, _DataOnly)
    if data.table:
        table = msgspec.structs.replace(data.table, path=str(path.parent / data.table.path))
        own: dict[str, Any] = {"table": table, "scaling": "encoded"}
        inputs, labels, values = table.encoded_inputs, table.labels, len(table.targets)
    elif data.pictures:
        pictures = msgspec.structs.replace(data.pictures, path=str(path.parent / data.pictures.path))
        own = {"pictures": pictures, "scaling": "centred"}
        inputs, labels, values = math.prod(pictures.shape), pictures.labels, 0
    outputs = {"binary": 1, "multiclass": len(labels)}.get(fields.get("task", ""), values)
    fields |= {"layers": [inputs, *hidden, max(1, outputs)], "scaling": own.pop("scaling")}
    recipe = msgspec.convert(fields | {"dataset": fields.get("name", "")}, Recipe)
    return msgspec.structs.replace(recipe, **own)


class _HiddenLayers(msgspec.Struct):
    hidden_layers: list[int]


class _DataOnly(msgspec.Struct):
    table: Table | None = None
    pictures: Pictures | None = None


def line_of(text: str, keys: list[str]) -> int:
    """The line where a path of keys is assigned, such as `training epochs` or `table features 2 kind`; or the nearest.

    A number is the index in an array of tables.
    """
    section: list[str] = []
    counts: dict[str, int] = {}
    best, best_length = 1, -1
    for number, line in enumerate(text.splitlines(), 1):
        if header := re.match(r"\s*(\[\[?)([^\]]+)\]", line):
            section = [part.strip() for part in header[2].split(".")]
            if header[1] == "[[":
                counts[header[2]] = counts.get(header[2], -1) + 1
                section.append(str(counts[header[2]]))
            found = section
        elif assigned := re.match(r"\s*\"?([\w-]+)\"?\s*=", line):
            found = [*section, assigned[1]]
        else:
            continue
        if found == keys[: len(found)] and len(found) > best_length:
            best, best_length = number, len(found)
    return best
