"""The versions that one worker has open, kept in step with their folders."""

import logging
import time
from collections.abc import Callable, Container, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from service.bundle.loading import bundle_digest
from service.bundle.manifest import ModelId
from service.errors import BundleError, DeviceUnavailable, StartError
from service.inference.model import Model, read_bundle
from service.inference.repository import Failure, ModelRepository
from service.inference.version_folders import FolderState, folder_state, is_of_one_model, model_id_of
from service.settings import Settings

log = logging.getLogger(__name__)

FIRST_RETRY, LAST_RETRY = 30.0, 600.0  # seconds until a version that has not changed is tried again; they double
SCANS_WITHOUT = 2  # scans in which a folder is not there before its version is closed


@dataclass(frozen=True)
class OpenVersion:
    """A model, and the state of its folder when it was opened."""

    model: Model
    state: FolderState


@dataclass(frozen=True)
class FailedVersion:
    """Why a version cannot be opened, in which state of its folder, and when to try again without a change."""

    failure: Failure
    state: FolderState
    wait: float
    retry_at: float


def served_id(folder: Path, settings: Settings) -> ModelId:
    """The name and version under which a version folder is served."""
    found = model_id_of(folder, settings.models_dir)
    if settings.model_name and is_of_one_model(folder, settings.models_dir):
        return found._replace(name=settings.model_name)
    return found


class OpenModels:
    """Opens what is new and closes what is gone.

    Of a version whose folder has got another content both are open, the newest last, until `retire` is called. Other
    threads may read meanwhile: what they read is replaced, and never changed.
    """

    def __init__(self, settings: Settings, clock: Callable[[], float] = time.monotonic) -> None:
        self._settings = settings
        self._clock = clock
        self._opened: dict[ModelId, list[OpenVersion]] = {}
        self._failed: dict[ModelId, FailedVersion] = {}
        self._seen: dict[ModelId, FolderState] = {}
        self._scans_without: dict[ModelId, int] = {}
        self._is_starting = False

    @classmethod
    def at_start(cls, settings: Settings, folders: Iterable[Path], unloaded: Container[str]) -> "OpenModels":
        """Open these version folders, but those of `unloaded` models.

        One that cannot be opened is logged, and the others are served. Raises `StartError` if none can be opened, or
        if the device or the runtime is not available.
        """
        opened = cls(settings)
        opened._is_starting = True
        for folder in folders:
            if (model_id := served_id(folder, settings)).name not in unloaded:
                opened._open(model_id, folder, folder_state(folder))
        if opened._failed and not opened._opened:
            reasons = "; ".join(failure.detail for failure in opened.failures.values())
            raise BundleError(f"no bundle can be opened: {reasons}")
        opened._is_starting = False
        return opened

    @property
    def failures(self) -> dict[ModelId, Failure]:
        """The versions that cannot be opened as they are in their folders now."""
        return {model_id: failed.failure for model_id, failed in self._failed.items()}

    @property
    def unavailable(self) -> dict[ModelId, str]:
        """The same, with the reason for clients."""
        return {model_id: failure.reason for model_id, failure in self.failures.items()}

    def versions(self) -> dict[ModelId, list[OpenVersion]]:
        """What is open of each version, the newest content last."""
        return self._opened

    def refresh(
        self,
        folders: Mapping[ModelId, Path],
        *,
        asked: Container[str] = (),
        only: Container[str] | None = None,
        untouched: Container[str] = (),
        is_needed: Callable[[ModelId], bool] = lambda _: False,
    ) -> None:
        """Open what is new or has changed in these folders, and close what is no longer among them.

        A folder is opened when two scans have seen it in the same state, so that one that is being copied is left in
        peace; but those of the models that are `asked` for at once. `only` these models are looked at, and none that
        is `untouched`. What `is_needed` says stays open, though its folder is gone.
        """
        concerned = {
            one for one in (*folders, *self._opened, *self._failed)
            if one.name not in untouched and (only is None or one.name in only)
        }  # fmt: skip
        states = {model_id: folder_state(folder) for model_id, folder in folders.items() if model_id in concerned}
        for model_id, state in states.items():
            is_asked = model_id.name in asked
            if (is_asked or self._seen.get(model_id) == state) and self._is_due(model_id, state, is_asked=is_asked):
                self._open(model_id, folders[model_id], state)
        self._seen = states
        gone = concerned - folders.keys()
        self._scans_without = {model_id: self._scans_without.get(model_id, 0) + 1 for model_id in gone}
        for model_id in gone:
            at_once = only is not None or model_id.name in asked
            if at_once or self._scans_without[model_id] >= SCANS_WITHOUT:
                self._close(model_id, is_needed)

    def retire(self, served: ModelRepository) -> None:
        """Close the older content of versions whose newest one is served."""
        for model_id, opened in self._opened.items():
            if len(opened) > 1 and served.get(model_id) is opened[-1].model:
                for older in opened[:-1]:
                    older.model.close()
                self._opened = self._opened | {model_id: opened[-1:]}

    def _is_due(self, model_id: ModelId, state: FolderState, *, is_asked: bool) -> bool:
        if model_id in self._opened and self._opened[model_id][-1].state == state:
            self._forget_failure(model_id)  # it has been put back
            return False
        failed = self._failed.get(model_id)
        return failed is None or failed.state != state or is_asked or self._clock() >= failed.retry_at

    def _open(self, model_id: ModelId, folder: Path, state: FolderState) -> None:
        before = self._opened.get(model_id, [])
        try:
            if before and self._has_content_of(before[-1], folder):  # files may be written again as they were
                opened = [*before[:-1], OpenVersion(before[-1].model, state)]
            else:
                opened = [*before, OpenVersion(Model.open(folder, self._settings), state)]
                if not self._is_starting:
                    log.info("%s is open: %s", model_id, opened[-1].model.digest)
        except Exception as error:  # whatever is wrong with one bundle, the others are served
            if self._is_starting and isinstance(error, DeviceUnavailable):
                raise
            self._fail(model_id, folder, state, error)
            return
        self._forget_failure(model_id)
        self._opened = self._opened | {model_id: opened}

    def _has_content_of(self, opened: OpenVersion, folder: Path) -> bool:
        return bundle_digest(read_bundle(folder, self._settings)[1]) == opened.model.digest

    def _fail(self, model_id: ModelId, folder: Path, state: FolderState, error: Exception) -> None:
        """Note a failure, and log it once: with a traceback, unless the message says all."""
        root = self._settings.models_dir if is_of_one_model(folder, self._settings.models_dir) else folder.parent.parent
        failure = _failure(error, root)
        before = self._failed.get(model_id)
        is_repeated = before is not None and before.failure == failure
        if not is_repeated:
            serves_on = "; it serves on as it was opened before" if model_id in self._opened else ""
            unexplained = None if isinstance(error, BundleError) else error
            log.error("%s is not served: %s%s", model_id, error, serves_on, exc_info=unexplained)
        wait = min(2 * before.wait, LAST_RETRY) if before and is_repeated else FIRST_RETRY
        self._failed = self._failed | {model_id: FailedVersion(failure, state, wait, self._clock() + wait)}

    def _forget_failure(self, model_id: ModelId) -> None:
        self._failed = {one: failed for one, failed in self._failed.items() if one != model_id}

    def _close(self, model_id: ModelId, is_needed: Callable[[ModelId], bool]) -> None:
        self._forget_failure(model_id)
        if model_id not in self._opened or is_needed(model_id):
            return
        for opened in self._opened[model_id]:
            opened.model.close()
        self._opened = {one: opened for one, opened in self._opened.items() if one != model_id}
        log.info("%s is closed: its folder is gone, or its model is unloaded", model_id)


def _failure(error: Exception, root: Path) -> Failure:
    """For clients without folders of this machine, and without what libraries say; for the log with both."""
    detail = str(error).removeprefix(f"{root}/")
    if not isinstance(error, BundleError):
        return Failure("an unexpected error, which the log has", detail)
    cause: BaseException = error
    while cause.__cause__ is not None:
        cause = cause.__cause__
    reason = detail if isinstance(cause, StartError) else detail.removesuffix(str(cause)).rstrip(": ")
    return Failure(reason, detail)
