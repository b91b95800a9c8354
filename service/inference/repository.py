"""Models that answer: a bundle opened by a runtime, and all of them by name and version."""

import time
from collections.abc import Iterable
from pathlib import Path

import numpy as np

from service.bundle.golden import read_golden
from service.bundle.manifest import GOLDEN, REPORT, VERSION, Bundle, Contents, Counted, digest, load_bundle
from service.bundle.signature import Arrays, NotFinite, SignatureMismatch
from service.errors import (
    BadRequest,
    BundleError,
    InferenceFailed,
    ModelNotFound,
    ReportNotFound,
    RequestError,
    UnusableInput,
)
from service.inference.runtimes import Runtime, open_runtime
from service.settings import Settings


class Model:
    """A bundle opened by a runtime: checks what goes in, runs it, checks what comes out."""

    def __init__(self, bundle: Bundle, runtime: Runtime, digest: str = "", report: bytes | None = None) -> None:
        self.bundle = bundle
        self.runtime = runtime
        self.digest = digest
        self.load_seconds = 0.0
        self._report = report

    @classmethod
    def open(cls, folder: Path, settings: Settings) -> "Model":
        """Open one version folder: schema, checksums, runtime, golden examples; raise `StartError`."""
        bundle, contents = load_bundle(folder)
        started = time.perf_counter()
        try:
            model = cls(bundle, open_runtime(bundle, contents, settings), digest(contents), contents.get(REPORT))
            model._check_golden(contents)
            model.load_seconds = time.perf_counter() - started
        except BundleError as error:
            raise BundleError(f"{folder}/{error}") from error
        return model

    def predict(self, inputs: Arrays) -> Arrays:
        """Outputs by name for inputs by name, all as the bundle's signature says.

        Raises `BadRequest` for inputs that do not fit the signature, `UnusableInput` for numbers so large that
        the network overflows, `InferenceFailed` for whatever the runtime does wrong.
        """
        signature = self.bundle.signature
        try:
            signature.check_inputs(inputs)
        except SignatureMismatch as mismatch:
            raise BadRequest(f"{self.bundle.name}: {mismatch}") from None
        try:
            outputs = self.runtime.run(inputs)
            signature.check_outputs(outputs)
        except NotFinite:
            raise UnusableInput(f"{self.bundle.name} has no finite answer for such large numbers") from None
        except Exception as error:  # whatever it is, the input was good: the fault is ours
            raise InferenceFailed(f"{self.bundle.title} failed on {self.runtime.device}") from error
        return outputs

    def report(self) -> bytes:
        """The page of HTML that its bundle holds; raises `ReportNotFound` where it holds none."""
        if self._report is None:
            raise ReportNotFound(f"{self.bundle.title} has no report: its bundle holds none")
        return self._report

    def _check_golden(self, contents: Contents) -> None:
        inputs, expected, tolerance = read_golden(self.bundle, contents)
        try:
            found = self.predict(inputs)
            self.bundle.signature.check_outputs(expected)
        except (RequestError, SignatureMismatch) as error:
            raise BundleError(f"{GOLDEN}: {error.__cause__ or error}") from error
        for name, array in expected.items():
            if found[name].shape != array.shape:
                raise BundleError(f"{GOLDEN}: {array.shape[0]} outputs for {found[name].shape[0]} inputs")
            off, allowed = np.abs(found[name] - array), tolerance[name]
            if (off > allowed).any():
                at = np.unravel_index((off - allowed).argmax(), off.shape)
                raise BundleError(
                    f"{GOLDEN}: example {at[0]}: {name}[{at[1]}] is {found[name][at]:.6g} on "
                    f"{self.runtime.name} ({self.runtime.device}), expected {array[at]:.6g} within {allowed[at]:g}"
                )


class ModelRepository:
    """The models found under one folder, by name and by version; the highest version is the default."""

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

    def titles(self) -> list[tuple[str, str]]:
        """Name and version of each model: by name, the newest version first."""
        return [(name, version) for name, versions in self._versions.items() for version in versions]

    def counted(self) -> dict[tuple[str, str], Counted]:
        """What is counted of each, by name and version."""
        return {title: self.find(*title).bundle.counted for title in self.titles()}

    def names(self) -> list[str]:
        """The models' names, sorted."""
        return list(self._versions)

    def versions(self, name: str) -> list[str]:
        """The versions of one model, the newest first; raises `ModelNotFound`."""
        if name not in self._versions:
            raise ModelNotFound(f"no model {name!r}: there are {', '.join(self._versions)}")
        return list(self._versions[name])

    def find(self, name: str, version: str | None = None) -> Model:
        """One model, by default its newest version; raises `ModelNotFound` naming what there is."""
        versions = self.versions(name)
        if version is None:
            return self._versions[name][versions[0]]
        if version not in versions:
            raise ModelNotFound(f"no version {version!r} of {name}: there are {', '.join(versions)}")
        return self._versions[name][version]


def find_bundles(models_dir: Path) -> list[Path]:
    """The version folders under `models/`, sorted. Hidden names are passed over, other strays are refused."""
    if not models_dir.is_dir():
        raise BundleError(f"{models_dir.absolute()}: no such folder; DIGITALIS_MODELS_DIR names the one with bundles")
    folders = []
    for path in sorted(models_dir.glob("[!.]*/[!.]*")):
        if not (path.is_dir() and VERSION.fullmatch(path.name)):
            raise BundleError(f"{path}: not a version folder (models/<name>/<version>/, a whole number from 1 up)")
        folders.append(path)
    if not folders:
        raise BundleError(
            f"{models_dir.absolute()}: no bundle there; DIGITALIS_MODELS_DIR names the folder that holds "
            "<name>/<version>/manifest.json, and `python -m training train iris` makes one"
        )
    return folders
