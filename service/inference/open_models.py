"""The versions that one worker has open, kept in step with their folders."""

import logging
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from service.bundle.manifest import ModelId
from service.errors import BundleError, DeviceUnavailable
from service.inference.model import Model
from service.inference.repository import ModelRepository
from service.inference.version_folders import FolderState, find_bundles, folder_state, is_of_one_model, model_id_of
from service.settings import Settings

log = logging.getLogger(__name__)

DIGEST_CHARACTERS = 16  # of a bundle's digest, in keys
FIRST_RETRY, LAST_RETRY = 30.0, 600.0  # seconds until a version that has not changed is tried again; they double
SCANS_WITHOUT = 2  # scans in which a folder is not there before its version is closed


@dataclass(frozen=True)
class Opened:
    """A model, and the state of its folder when it was opened."""

    model: Model
    state: FolderState

    @property
    def key(self) -> str:
        """Version and content: `iris/4@0123456789abcdef`."""
        return f"{self.model.id}@{self.model.digest.rpartition(':')[2][:DIGEST_CHARACTERS]}"


@dataclass
class Failure:
    """Why a version cannot be opened, in which state of its folder, and when to try again without a change."""

    reason: str
    state: FolderState
    wait: float
    retry_at: float


def served_id(folder: Path, settings: Settings) -> ModelId:
    """The name and version under which a version folder is served."""
    found = model_id_of(folder, settings.models_dir)
    is_alone = is_of_one_model(folder, settings.models_dir)
    return ModelId(settings.model_name, found.version) if settings.model_name and is_alone else found


class OpenModels:
    """Opens what is new and closes what is gone.

    Of a version whose folder has got another content both are open, the newest last, until `retire` is called.
    """

    def __init__(self, settings: Settings, clock: Callable[[], float] = time.monotonic) -> None:
        self._settings = settings
        self._clock = clock
        self._opened: dict[ModelId, list[Opened]] = {}
        self._failures: dict[ModelId, Failure] = {}
        self._seen: dict[ModelId, FolderState] = {}
        self._scans_without: dict[ModelId, int] = {}
        self._is_starting = False

    @classmethod
    def at_start(cls, settings: Settings, folders: Iterable[Path] | None = None) -> "OpenModels":
        """Open these version folders, by default all under `settings.models_dir`.

        One that cannot be opened is logged, and the others are served. Raises `StartError` if none can be opened, or
        if the device or the runtime is not available.
        """
        opened = cls(settings)
        opened._is_starting = True
        for folder in find_bundles(settings.models_dir) if folders is None else folders:
            opened._open(served_id(folder, settings), folder, folder_state(folder))
        if not opened._opened:
            reasons = "; ".join(opened.unavailable.values())
            raise BundleError(f"no bundle can be opened: {reasons}")
        opened._is_starting = False
        return opened

    @property
    def unavailable(self) -> dict[ModelId, str]:
        """The versions that cannot be opened as they are in their folders now, with the reasons."""
        return {model_id: failure.reason for model_id, failure in self._failures.items()}

    def versions(self) -> dict[ModelId, list[Opened]]:
        """What is open of each version, the newest content last."""
        return {model_id: list(opened) for model_id, opened in self._opened.items()}

    def refresh(
        self,
        folders: Mapping[ModelId, Path],
        *,
        asked: Iterable[str] = (),
        only_asked: bool = False,
        is_needed: Callable[[ModelId], bool] = lambda _: False,
    ) -> None:
        """Open what is new or has changed in these folders, and close what is no longer among them.

        A folder is opened when two scans have seen it in the same state, so that one that is being copied is left in
        peace; but those of the models that are `asked` for at once. What `is_needed` says stays open, though its folder
        is gone.
        """
        asked = frozenset(asked)
        concerned = {model_id for model_id in (*folders, *self._opened) if model_id.name in asked or not only_asked}
        states = {model_id: folder_state(folder) for model_id, folder in folders.items() if model_id in concerned}
        for model_id, state in states.items():
            is_asked = model_id.name in asked
            if (is_asked or self._seen.get(model_id) == state) and self._is_due(model_id, state, is_asked=is_asked):
                self._open(model_id, folders[model_id], state)
        self._seen = states
        gone = {*self._opened, *self._failures} & concerned - folders.keys()
        self._scans_without = {model_id: self._scans_without.get(model_id, 0) + 1 for model_id in gone}
        for model_id in gone:
            if model_id.name in asked or self._scans_without[model_id] >= SCANS_WITHOUT:
                self._close(model_id, is_needed)

    def retire(self, served: ModelRepository) -> None:
        """Close the older content of versions whose newest one is served."""
        for model_id, opened in self._opened.items():
            if len(opened) > 1 and served.get(model_id) is opened[-1].model:
                for older in opened[:-1]:
                    older.model.close()
                self._opened[model_id] = opened[-1:]

    def _is_due(self, model_id: ModelId, state: FolderState, *, is_asked: bool) -> bool:
        if model_id in self._opened and self._opened[model_id][-1].state == state:
            self._failures.pop(model_id, None)  # it has been put back
            return False
        failure = self._failures.get(model_id)
        return failure is None or failure.state != state or is_asked or self._clock() >= failure.retry_at

    def _open(self, model_id: ModelId, folder: Path, state: FolderState) -> None:
        try:
            model = Model.open(folder, self._settings)
        except Exception as error:  # whatever is wrong with one bundle, the others are served
            if self._is_starting and isinstance(error, DeviceUnavailable):
                raise
            is_alone = is_of_one_model(folder, self._settings.models_dir)
            root = self._settings.models_dir if is_alone else folder.parent.parent
            self._fail(model_id, state, error, str(error).removeprefix(f"{root}/"))
            return
        self._failures.pop(model_id, None)
        opened = Opened(model, state)
        self._opened[model_id] = [*self._opened.get(model_id, []), opened]
        if not self._is_starting:
            log.info("%s is open: %s", model_id, model.digest)

    def _fail(self, model_id: ModelId, state: FolderState, error: Exception, reason: str) -> None:
        before = self._failures.get(model_id)
        repeated = before is not None and before.reason == reason
        if not repeated:  # with a traceback, unless the message says all
            serves_on = "; it serves on as it was opened before" if model_id in self._opened else ""
            unexplained = None if isinstance(error, BundleError) else error
            log.error("%s is not served: %s%s", model_id, error, serves_on, exc_info=unexplained)
        wait = min(2 * before.wait, LAST_RETRY) if before and repeated else FIRST_RETRY
        self._failures[model_id] = Failure(reason, state, wait, self._clock() + wait)

    def _close(self, model_id: ModelId, is_needed: Callable[[ModelId], bool]) -> None:
        self._failures.pop(model_id, None)
        if model_id not in self._opened or is_needed(model_id):
            return
        for opened in self._opened.pop(model_id):
            opened.model.close()
        log.info("%s is closed: its folder is gone, or its model is unloaded", model_id)
