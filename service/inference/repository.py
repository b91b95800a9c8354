"""The models by name and version, and the version folders under `models/`."""

import difflib
import logging
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

from service.bundle.loading import VERSION
from service.bundle.manifest import ModelId
from service.errors import BundleError, DeviceUnavailable, ModelNotFound, ModelUnavailable, RequestError
from service.inference.model import Model
from service.settings import Settings

log = logging.getLogger(__name__)

MAX_COMPARED = 100  # characters of an unknown name: comparing takes time in proportion to their square


class ModelRepository:
    """The models found under one folder, by name and version; the highest version that opens is the default.

    `unavailable` has the versions that cannot be opened, with the reason.
    """

    def __init__(self, models: Iterable[Model], unavailable: Mapping[ModelId, str] | None = None) -> None:
        self._versions: dict[str, dict[str, Model]] = {}
        for model in sorted(models, key=lambda model: _newest_first(model.id)):
            self._versions.setdefault(model.bundle.name, {})[model.bundle.version] = model
        self.unavailable = dict(sorted((unavailable or {}).items(), key=lambda item: _newest_first(item[0])))

    @classmethod
    def open(cls, settings: Settings, folders: Iterable[Path] | None = None) -> "ModelRepository":
        """Open these version folders, by default all under `settings.models_dir`.

        One that cannot be opened is logged, and the others are served. Raises `StartError` if none can be opened, or
        if the device or the runtime is not available.
        """
        models, unavailable = [], {}
        for folder in find_bundles(settings.models_dir) if folders is None else folders:
            try:
                models.append(Model.open(folder, settings))
            except DeviceUnavailable:
                raise
            except Exception as error:  # noqa: BLE001 - whatever is wrong with one bundle, the others are served
                model_id = ModelId(folder.parent.name, folder.name)
                _log_unavailable(model_id, error)
                unavailable[model_id] = str(error).removeprefix(f"{folder.parent.parent}/")
        if not models:
            raise BundleError(f"no bundle can be opened: {'; '.join(unavailable.values())}")
        return cls(models, unavailable)

    def __iter__(self) -> Iterator[Model]:
        """Every model: sorted by name, the newest version of each first."""
        return (model for versions in self._versions.values() for model in versions.values())

    def model_ids(self) -> list[ModelId]:
        """Name and version of each model, in the order of iteration."""
        return [model.id for model in self]

    def names(self) -> list[str]:
        """The names of the models, sorted."""
        return list(self._versions)

    def versions(self, name: str) -> list[str]:
        """The versions of one model that are open, the newest first; raises `ModelNotFound`, `ModelUnavailable`."""
        if name not in self._versions:
            raise self._not_found(name, None)
        return list(self._versions[name])

    def find(self, name: str, version: str | None = None) -> Model:
        """One model, by default its newest version that opens.

        Raises `ModelNotFound`, which lists what there is, and `ModelUnavailable`, with the reason.
        """
        models = self._versions.get(name, {})
        if version in models:
            return models[version]
        if version is None and models:
            return next(iter(models.values()))
        raise self._not_found(name, version)

    def check_every_model_opens(self) -> None:
        """Raise `BundleError` for the first model of which no version can be opened."""
        for model_id, reason in self.unavailable.items():
            if model_id.name not in self._versions:
                raise BundleError(f"no version of {model_id.name} can be opened: {reason}")

    def _not_found(self, name: str, version: str | None) -> RequestError:
        """Why there is no such model, or no such version of it."""
        for model_id, reason in self.unavailable.items():
            if model_id.name == name and version in (None, model_id.version):
                return ModelUnavailable(f"{model_id} cannot be opened: {reason}")
        if name in self._versions:
            versions = ", ".join(self._versions[name])
            return ModelNotFound(f"no version {version!r} of {name}: the versions are {versions}")
        close = difflib.get_close_matches(name[:MAX_COMPARED].lower(), self._versions, n=1)
        hint = f"did you mean {close[0]}? " if close else ""
        return ModelNotFound(f"no model {name!r}: {hint}the models are {', '.join(self._versions)}")


def find_bundles(models_dir: Path) -> list[Path]:
    """The version folders under `models/`, sorted; raises `BundleError` if there are none.

    Hidden names are skipped; other names in a model's folder than versions are logged, and skipped too.
    """
    try:
        models = _visible(models_dir)
    except OSError as error:
        raise BundleError(
            f"{models_dir.absolute()}: {error.strerror}; DIGITALIS_MODELS_DIR names a folder that the service can read"
        ) from None
    folders = [folder for model in models for folder in _version_folders(model)]
    if not folders:
        raise BundleError(
            f"{models_dir.absolute()}: no bundle there; DIGITALIS_MODELS_DIR names the folder that contains "
            "<name>/<version>/manifest.json, and `python -m training train iris` makes one"
        )
    return folders


def _version_folders(model: Path) -> list[Path]:
    """The version folders of one model. Whatever else is there, or cannot be read, is logged."""
    folders = []
    try:
        for path in _visible(model) if model.is_dir() else []:
            if path.is_dir() and VERSION.fullmatch(path.name):
                folders.append(path)
            else:
                log.warning("skipped: %s: a version folder is <name>/<version>/, named by an integer from 1 up", path)
    except OSError as error:
        log.warning("skipped: %s: %s", error.filename, error.strerror)
    return folders


def _log_unavailable(model_id: ModelId, error: Exception) -> None:
    """With a traceback, unless the message says all."""
    log.error("%s is not served: %s", model_id, error, exc_info=None if isinstance(error, BundleError) else error)


def _visible(folder: Path) -> list[Path]:
    """What is in a folder, but hidden names. `Path.glob` would show a folder that cannot be read as an empty one."""
    return sorted(path for path in folder.iterdir() if not path.name.startswith("."))


def _newest_first(model_id: ModelId) -> tuple[str, int]:
    return model_id.name, -int(model_id.version)
