"""The version folders under `models/`, and how to see that one has changed.

The folder may also be that of one model, `<version>/manifest.json`, or a single bundle, `manifest.json`: so KServe puts
into `/mnt/models` what it has downloaded. Then the manifest says the model's name, or `DIGITALIS_MODEL_NAME`.
"""

import logging
import os
from pathlib import Path
from typing import NamedTuple

import msgspec

from service.bundle.loading import NAME, VERSION
from service.bundle.manifest import MANIFEST, ModelId
from service.errors import BundleError
from service.inference.version_policy import FILE

log = logging.getLogger(__name__)


class _Identity(msgspec.Struct):
    name: str = "unnamed"
    version: str = "1"


FolderState = tuple[tuple[str, int, int, int], ...]
"""Of each file its name, size, time of modification and inode."""


class Scan(NamedTuple):
    """The version folders, sorted; what is none, with the reason; and the models whose folder cannot be read now."""

    folders: list[Path]
    skipped: list[tuple[Path, str]]
    unreadable: set[str]


def find_bundles(models_dir: Path) -> list[Path]:
    """The version folders under `models/`, sorted; raises `BundleError` if there are none. Logs what is skipped."""
    found = scan(models_dir)
    for path, problem in found.skipped:
        log.warning("skipped: %s: %s", path, problem)
    return found.folders


def scan(models_dir: Path) -> Scan:
    """Look at what is under `models/`; raises `BundleError` if there is no version folder.

    Hidden names are left out. Other names in a model's folder than versions, and links that lead out of `models/`, are
    skipped.
    """
    found = Scan([], [], set())
    try:
        models = _visible(models_dir)
        if (models_dir / MANIFEST).is_file():
            found.folders.append(models_dir)
        else:
            found.folders.extend(
                path for path in models if VERSION.fullmatch(path.name) and (path / MANIFEST).is_file()
            )
    except OSError as error:
        raise BundleError(
            f"{models_dir.absolute()}: {error.strerror}; DIGITALIS_MODELS_DIR names a folder that the service can read"
        ) from None
    for model in () if found.folders else models:
        try:
            _scan_model(model, models_dir.resolve(), found)
        except OSError as error:
            found.skipped.append((model, str(error.strerror)))
            found.unreadable.add(model.name)
    if not found.folders:
        raise BundleError(
            f"{models_dir.absolute()}: no bundle there; DIGITALIS_MODELS_DIR names the folder that contains "
            "<name>/<version>/manifest.json, or a bundle, and `python -m training train iris` makes one"
        )
    return found


def _scan_model(model: Path, root: Path, found: Scan) -> None:
    for path in _visible(model) if model.is_dir() else []:
        if problem := _problem(model, path, root):
            found.skipped.append((path, problem))
        elif path.name != FILE:
            found.folders.append(path)


def is_of_one_model(folder: Path, models_dir: Path) -> bool:
    """Whether a version folder is `models/` itself, or one of a single model there."""
    return models_dir in (folder, folder.parent)


def model_id_of(folder: Path, models_dir: Path) -> ModelId:
    """The model and the version that a version folder is named for; of a folder of one model, as the manifest says."""
    if not is_of_one_model(folder, models_dir):
        return ModelId(folder.parent.name, folder.name)
    try:
        found = msgspec.json.decode((folder / MANIFEST).read_bytes(), type=_Identity)
    except (OSError, msgspec.DecodeError, UnicodeDecodeError):
        found = _Identity()  # opening the bundle says what is wrong
    return ModelId(found.name, found.version if folder == models_dir else folder.name)


def folder_state(folder: Path) -> FolderState:
    """What changes when a file of the folder does; empty if it cannot be read."""
    try:
        with os.scandir(folder) as entries:
            found = [(entry.name, entry.stat()) for entry in entries]
    except OSError:
        return ()
    return tuple(sorted((name, about.st_size, about.st_mtime_ns, about.st_ino) for name, about in found))


def _problem(model: Path, path: Path, root: Path) -> str:
    """Why something in a model's folder is neither a version folder nor the model's policy; empty if it is."""
    is_version = path.is_dir() and NAME.fullmatch(model.name) and VERSION.fullmatch(path.name)
    if not is_version and path.name != FILE:
        return "a version folder is <name>/<version>/, named by an integer from 1 up"
    try:
        is_inside = path.resolve().is_relative_to(root)
    except RuntimeError:  # a link to itself
        is_inside = False
    return "" if is_inside else f"it is a link that leads out of {root}"


def _visible(folder: Path) -> list[Path]:
    """What is in a folder, but hidden names. `Path.glob` would show a folder that cannot be read as an empty one."""
    return sorted(path for path in folder.iterdir() if not path.name.startswith("."))
