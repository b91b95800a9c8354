"""The models by name and version, and the version folders under `models/`."""

import difflib
from collections.abc import Iterable, Iterator
from pathlib import Path

from service.bundle.loading import VERSION
from service.bundle.manifest import ModelId
from service.errors import BundleError, ModelNotFound
from service.inference.model import Model
from service.settings import Settings


class ModelRepository:
    """The models found under one folder, by name and version; the highest version is the default."""

    def __init__(self, models: Iterable[Model]) -> None:
        self._versions: dict[str, dict[str, Model]] = {}
        for model in sorted(models, key=lambda model: (model.bundle.name, -int(model.bundle.version))):
            self._versions.setdefault(model.bundle.name, {})[model.bundle.version] = model

    @classmethod
    def open(cls, settings: Settings, folders: Iterable[Path] | None = None) -> "ModelRepository":
        """Open these version folders, by default all under `settings.models_dir`.

        Raises `StartError` for the first that cannot be opened.
        """
        if folders is None:
            folders = find_bundles(settings.models_dir)
        return cls(Model.open(folder, settings) for folder in folders)

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
        """The versions of one model, the newest first; raises `ModelNotFound`."""
        if name not in self._versions:
            close = difflib.get_close_matches(name.lower(), self._versions, n=1)
            hint = f"did you mean {close[0]}? " if close else ""
            raise ModelNotFound(f"no model {name!r}: {hint}the models are {', '.join(self._versions)}")
        return list(self._versions[name])

    def find(self, name: str, version: str | None = None) -> Model:
        """One model, by default its newest version; raises `ModelNotFound`, which lists what there is."""
        versions = self.versions(name)
        if version is None:
            return self._versions[name][versions[0]]
        if version not in versions:
            raise ModelNotFound(f"no version {version!r} of {name}: the versions are {', '.join(versions)}")
        return self._versions[name][version]


def find_bundles(models_dir: Path) -> list[Path]:
    """The version folders under `models/`, sorted. Hidden names are skipped; other names in a model's folder raise."""
    if not models_dir.is_dir():
        raise BundleError(f"{models_dir.absolute()}: no such folder; DIGITALIS_MODELS_DIR names the one with bundles")
    folders = []
    for path in sorted(models_dir.glob("[!.]*/[!.]*")):
        if not (path.is_dir() and VERSION.fullmatch(path.name)):
            raise BundleError(
                f"{path}: expected a version folder here, <name>/<version>/, named by an integer from 1 up"
            )
        folders.append(path)
    if not folders:
        raise BundleError(
            f"{models_dir.absolute()}: no bundle there; DIGITALIS_MODELS_DIR names the folder that contains "
            "<name>/<version>/manifest.json, and `python -m training train iris` makes one"
        )
    return folders
