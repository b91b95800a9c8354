"""Which bundle a command line means."""

import difflib
from collections.abc import Sequence
from pathlib import Path

from digitalis.scoring.batch import InputError
from service.bundle.manifest import Bundle, ModelId
from service.inference.version_folders import find_bundles, model_id_of


def find_bundle(model: str, models_dir: Path) -> Path:
    """The folder of a bundle, by its name, name and version, or path; raises `InputError` and `BundleError`."""
    if (Path(model) / "manifest.json").is_file():
        return Path(model)
    if not models_dir.is_dir():
        raise InputError(f"--models {models_dir}: there is no such folder")
    name, _, version = model.partition("/")
    found = {model_id_of(folder, models_dir): folder for folder in find_bundles(models_dir)}
    versions = [one for one in found if one.name == name and version in ("", one.version)]
    if not versions:
        raise InputError(f"no model {model!r} in {models_dir}/: {_alternatives(name, list(found))}")
    return found[max(versions, key=lambda one: int(one.version))]


def _alternatives(name: str, found: Sequence[ModelId]) -> str:
    """What there is instead: other versions, a similar name, or all names."""
    if versions := [one.version for one in found if one.name == name]:
        return f"there is {name}/{f', {name}/'.join(sorted(versions))}"
    names = sorted({one.name for one in found})
    close = difflib.get_close_matches(name, names, n=1)
    return f"did you mean {close[0]}?" if close else f"there are {', '.join(names)}"


def check_task(bundle: Bundle) -> None:
    """Raise `InputError` for a model of a task that is not predicted."""
    if bundle.task in ("tensors", "mixture"):
        raise InputError(f"{bundle.id} is a model of the task {bundle.task}, which this command does not predict")
