"""New models without a restart: what one worker serves follows the folder, and agrees with the other workers.

Each worker looks at `models/` once a second, opens what is new, and says in the shared state what it has open. Which
version answers requests that name none is decided there (`agreement`), so that it changes in all workers at once: every
request looks first whether the state has changed.
"""

import logging
import os
import threading
import time
from collections.abc import Collection, Container, Iterable, Mapping
from pathlib import Path

from service.agreement import agree, open_everywhere, policy_of
from service.bundle.manifest import ModelId
from service.errors import BundleError
from service.inference.model import Model
from service.inference.model_key import id_of
from service.inference.open_models import OpenModels, served_id
from service.inference.repository import Answering, ModelRepository
from service.inference.version_folders import find_bundles, scan
from service.model_control import ModelControl
from service.observability.counter_layout import metrics_schema
from service.observability.shared_counters import WorkerCounters
from service.policy_files import PolicyFiles
from service.settings import Settings
from service.shared_state import SharedState, State, WorkerModels

log = logging.getLogger(__name__)

WAKE_SECONDS = 0.1  # between two looks at what was asked over HTTP
PROBE_SECONDS = 1.0  # between two looks for workers that have died
PAUSE_AFTER_FAILURE = 10.0  # seconds
MAX_JOIN = 10.0  # seconds that a new worker waits until it has what the others serve


class ModelUpdates:
    """The models that one worker serves; `start` lets them follow the folder."""

    def __init__(self, settings: Settings, counters: WorkerCounters, folders: Iterable[Path] | None = None) -> None:
        """Open what is in the folder, or these version folders, and join the other workers; raises `StartError`."""
        self._settings = settings
        self._counters = counters
        self._shared: SharedState = counters.shared.state
        state, _ = self._shared.read()
        self._handled = state.latest_request  # before the folder is looked at
        folders = find_bundles(settings.models_dir) if folders is None else list(folders)
        self._opened = OpenModels.at_start(settings, folders, self._shared.unloaded(state))
        self._policies = PolicyFiles(settings, folders)
        self._lock = threading.Lock()  # for the repository
        self._refreshing = threading.Lock()
        self._seen = -1
        self._served = ModelRepository(())
        self._complaint = ""
        self._is_following = False
        self.control = ModelControl(settings, self._shared)
        self._shared.join()
        self._join_the_others()
        self._served = self.current()

    def current(self) -> ModelRepository:
        """What is served now. A request calls it once, and keeps what it gets."""
        if self._shared.generation != self._seen:
            self._update()
        return self._served

    @property
    def generation(self) -> int:
        """Another number whenever something else may be served."""
        return self._shared.generation

    def start(self) -> None:
        """Follow the folder from now on, on a thread of this worker."""
        self._is_following = True
        threading.Thread(target=self._follow, daemon=True, name="model updates").start()

    @property
    def is_following(self) -> bool:
        """Whether `start` has been called: other servers than ours do not."""
        return self._is_following

    def refresh(self) -> None:
        """Look at the folder once. Where the settings say not to look, only at what was asked over HTTP."""
        with self._refreshing:
            state, _ = self._shared.read()
            asked, handled = state.requested_since(self._handled), state.latest_request
            self._look(state, asked, only_asked=not self._settings.models_poll_seconds)
            self._publish(asked, handled=handled)
            self._handled = handled
            self._opened.retire(self.current())

    def _look(self, state: State, asked: set[str], *, only_asked: bool) -> None:
        """Open what is new, and close what is gone or unloaded."""
        unloaded = self._shared.unloaded(state)
        try:
            found = scan(self._settings.models_dir)
            self._complaint = ""
        except BundleError as error:  # its volume is away: nothing is closed but what was unloaded
            if str(error) != self._complaint:
                log.warning("the models stay as they are: %s", error)
            self._complaint = str(error)
            self._policies.find(())
            self._opened.refresh({}, only=unloaded)
            return
        self._policies.find(found.folders)
        folders = {served_id(folder, self._settings): folder for folder in found.folders}
        folders = {one: folder for one, folder in folders.items() if one.name not in unloaded}
        self._opened.refresh(
            folders,
            asked=asked,
            only=asked if only_asked else None,
            untouched=found.unreadable,
            is_needed=lambda one: _is_needed(one, state, folders),
        )

    def _follow(self) -> None:
        due = probe_due = time.monotonic()
        seen = -1
        while True:
            time.sleep(WAKE_SECONDS)
            now, generation = time.monotonic(), self._shared.generation
            try:
                if now >= probe_due:
                    probe_due = now + PROBE_SECONDS
                    self._forget_dead_workers()
                is_due = self._settings.models_poll_seconds and now >= due
                if is_due or (generation != seen and self._is_asked()):
                    due = now + self._settings.models_poll_seconds
                    self.refresh()
                seen = generation
            except Exception:
                log.exception("the models stay as they are")
                time.sleep(PAUSE_AFTER_FAILURE)

    def _is_asked(self) -> bool:
        return self._shared.read()[0].latest_request > self._handled

    def _forget_dead_workers(self) -> None:
        """What they had open must not keep the others from serving what they have."""
        if all(map(self._shared.is_alive, self._shared.read()[0].workers)):
            return
        with self._shared.change() as state:
            for process in [one for one in state.workers if not self._shared.is_alive(one)]:
                del state.workers[process]
            agree(state, self._settings.versions)

    def _join_the_others(self) -> None:
        """Publish what is open here, as soon as the versions that the others serve are: an older one would answer."""
        deadline = time.monotonic() + max(MAX_JOIN, 3 * self._settings.models_poll_seconds)
        while True:
            self._forget_dead_workers()
            state, _ = self._shared.read()
            here = {str(model_id) for model_id in self._opened.versions()}
            served = {str(id_of(key)) for key in state.defaults.values()} if state.workers else set()
            lacking = {one for one in served - here if one.partition("/")[0] not in self._shared.unloaded(state)}
            is_hopeless = lacking <= {str(one) for one in self._opened.unavailable}
            if is_hopeless or time.monotonic() >= deadline:
                break
            time.sleep(WAKE_SECONDS)
            self._look(state, state.requested_since(self._handled), only_asked=False)
            if not self._settings.models_poll_seconds and not lacking & self._policies.versions():
                break  # nobody is going to put it back
        if lacking:
            log.error("the other workers serve %s, which this one cannot open", ", ".join(sorted(lacking)))
        self._publish(lacking=lacking, is_start=not state.workers)

    def _publish(
        self,
        asked: Container[str] = (),
        *,
        handled: int | None = None,
        lacking: Collection[str] | None = None,
        is_start: bool = False,
    ) -> None:
        """Tell the other workers what is open here; `lacking` are the versions that a new worker could not get."""
        keys = {one.model.key: one.model for opened in self._opened.versions().values() for one in opened}
        names = {model.bundle.name for model in keys.values()}
        # Read outside of the lock, as a network file system may take its time.
        shared, reloads = self._shared.read()[0], self._shared.reloads
        policies = self._policies.changed(shared, reloads, names, asked, is_start=is_start)
        failed = {str(one): reason for one, reason in self._opened.unavailable.items()}
        with self._shared.change() as state:
            before = state.workers.get(os.getpid(), WorkerModels())
            lacks = before.lacking if lacking is None else sorted(lacking)
            state.workers[os.getpid()] = WorkerModels(
                [*keys], failed, lacks, self._handled if handled is None else handled
            )
            state.policies |= policies
            state.policies_read = reloads
            agree(state, self._settings.versions)
            schemas = {key: metrics_schema(model.bundle) for key, model in keys.items()}
            in_use = {key for worker in state.workers.values() for key in worker.open}
            self._counters.set_models(state, schemas, in_use)

    def _update(self) -> None:
        """Make the repository that the shared state asks for."""
        with self._lock:
            if self._shared.generation == self._seen:
                return
            before = self._served
            state, generation = self._shared.read()
            self._served = self._repository(state, before)
            self._seen = generation
        _log_changes(before, self._served)

    def _repository(self, state: State, before: ModelRepository) -> ModelRepository:
        unloaded = self._shared.unloaded(state)
        everywhere = {key for name in state.defaults for key in open_everywhere(name, state)}
        models: list[Model] = []
        for model_id, opened in self._opened.versions().items():
            if model_id.name not in unloaded:  # of a version the newest content that all workers have
                models.append(next((one for one in reversed(opened) if one.model.key in everywhere), opened[0]).model)
        policies = {name: policy_of(name, state, self._settings.versions) for name in state.defaults}
        return ModelRepository(
            models,
            self._opened.failures,
            policies,
            answering=Answering(state.defaults, state.canaries),
            before=before,
            unloaded=unloaded,
        )


def _is_needed(model_id: ModelId, state: State, folders: Mapping[ModelId, Path]) -> bool:
    """Whether a version without a folder answers requests, and no version that has a folder can replace it yet."""
    if id_of(state.defaults.get(model_id.name, "")) != model_id:
        return False
    others = {one.version for one in folders if one.name == model_id.name}
    return bool(others) and not others & {id_of(key).version for key in open_everywhere(model_id.name, state)}


def _log_changes(before: ModelRepository, served: ModelRepository) -> None:
    for name, model in served.defaults.items():
        old = before.defaults.get(name)
        if old is not None and old.key != model.key:
            version = model.bundle.version
            log.info("%s: version %s answers now, in place of %s (%s)", name, version, old.bundle.version, model.digest)
        problem = served.policy_problem(name)
        if problem and problem != before.policy_problem(name):
            log.warning("%s: %s", served.policy(name).source, problem)
    for name in before.defaults.keys() - served.defaults.keys():
        log.info("%s is not served any more", name)
