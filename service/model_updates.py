"""New models without a restart: what one worker serves follows the folder, and agrees with the other workers.

Each worker looks at `models/` once a second and opens what is new. It says in the shared state what it has open, and a
new version answers requests that name none as soon as all workers that have the model have that version: in all of them
with the same change of the state, which every request looks at first.
"""

import logging
import os
import threading
import time
from collections.abc import Mapping
from pathlib import Path

from service.bundle.manifest import ModelId
from service.errors import BundleError, ServiceOverloaded
from service.inference.model import Model
from service.inference.open_models import OpenModels, served_id
from service.inference.repository import ModelRepository
from service.inference.version_folders import find_bundles, policy_folder
from service.inference.version_policy import VersionPolicy, file_state, read_policy
from service.observability.counter_layout import metrics_schema
from service.observability.shared_counters import WorkerCounters
from service.settings import Settings
from service.shared_state import PolicyRecord, SharedState, State, WorkerModels

log = logging.getLogger(__name__)

WAKE_SECONDS = 0.1  # between two looks at what was asked over HTTP
PAUSE_AFTER_FAILURE = 10.0  # seconds
MAX_WAIT = 30.0  # seconds that a request to load or unload waits for all workers


class ModelUpdates:
    """The models that one worker serves; `start` lets them follow the folder."""

    def __init__(self, settings: Settings, opened: OpenModels, counters: WorkerCounters) -> None:
        """Raises `BundleError` for a policy file that cannot be read, if it never could."""
        self._settings = settings
        self._opened = opened
        self._counters = counters
        self._shared: SharedState = counters.shared.state
        self._lock = threading.Lock()
        self._seen = -1
        self._handled = max(self._shared.read()[0].requests.values(), default=0)
        self._served = ModelRepository(())
        self._complaint = ""
        self._is_following = False
        self._shared.join()
        self._forget_dead_workers()
        self._publish(strict=True)
        self._served = self.current()

    def current(self) -> ModelRepository:
        """What is served now. A request calls it once, and keeps what it gets."""
        if self._shared.generation != self._seen:
            self._update()
        return self._served

    def start(self) -> None:
        """Follow the folder from now on, on a thread of this worker."""
        self._is_following = True
        threading.Thread(target=self._follow, daemon=True, name="model updates").start()

    def workers(self) -> dict[str, int]:
        """How many workers have each version open, by its name, such as `iris/4`."""
        found: dict[str, int] = {}
        for worker in self._shared.read()[0].workers.values():
            for version in {key.partition("@")[0] for key in worker.open}:
                found[version] = found.get(version, 0) + 1
        return found

    def is_in_folder(self, name: str) -> bool:
        """Whether there is a version folder of a model of this name."""
        return any(model_id.name == name for model_id in self._folders() or ())

    def policy_problem(self, name: str) -> str:
        """What is wrong with the file of a model's policy; empty if nothing is."""
        record = self._shared.read()[0].policies.get(name)
        return record.error if record else ""

    def request(self, name: str, *, load: bool) -> None:
        """Let all workers open or close a model, and wait until they have; raises `ServiceOverloaded` if they do not.

        It stays closed, whatever is in its folder, until it is asked for again or the service is reloaded.
        """
        with self._shared.change() as state:
            number = max(state.requests.values(), default=0) + 1
            state.requests[name] = number
            (state.unloaded.discard if load else state.unloaded.add)(name)
        if not self._is_following:
            self.refresh()
        deadline = time.monotonic() + MAX_WAIT
        while any(worker.handled < number for worker in self._shared.read()[0].workers.values()):
            if time.monotonic() > deadline:
                raise ServiceOverloaded(f"not all workers have answered within {MAX_WAIT:.0f} s: {name} may follow")
            time.sleep(WAKE_SECONDS / 2)

    def failures(self, name: str) -> dict[str, str]:
        """The versions of a model that some worker cannot open, such as `iris/6`, with the reason."""
        workers = self._shared.read()[0].workers.values()
        failed = {version: reason for worker in workers for version, reason in worker.failed.items()}
        return {version: reason for version, reason in failed.items() if version.partition("/")[0] == name}

    def refresh(self) -> None:
        """Look at the folder once. Where the settings say not to look, only at what was asked over HTTP."""
        state, _ = self._shared.read()
        asked = {name for name, number in state.requests.items() if number > self._handled}
        found = self._folders()
        folders = {one: path for one, path in (found or {}).items() if one.name not in state.unloaded}
        served = self.current()
        self._opened.refresh(
            folders,
            asked=asked,
            only_asked=found is None or not self._settings.models_poll_seconds,
            is_needed=lambda one: _is_needed(one, served, folders),
        )
        self._handled = max(state.requests.values(), default=0)
        self._publish()
        self._opened.retire(self.current())

    def _follow(self) -> None:
        due, seen = time.monotonic(), -1
        while True:
            time.sleep(WAKE_SECONDS)
            is_due = self._settings.models_poll_seconds and time.monotonic() >= due
            self._forget_dead_workers()
            if is_due or (self._shared.generation != seen and self._is_asked()):
                due = time.monotonic() + self._settings.models_poll_seconds
                try:
                    self.refresh()
                except Exception:
                    log.exception("the models stay as they are")
                    time.sleep(PAUSE_AFTER_FAILURE)
            seen = self._shared.generation

    def _forget_dead_workers(self) -> None:
        """What they had open must not keep the others from serving what they have."""
        if all(map(self._shared.is_alive, self._shared.read()[0].workers)):
            return
        with self._shared.change() as state:
            for process in [one for one in state.workers if not self._shared.is_alive(one)]:
                del state.workers[process]

    def _is_asked(self) -> bool:
        return any(number > self._handled for number in self._shared.read()[0].requests.values())

    def _folders(self) -> dict[ModelId, Path] | None:
        """The version folders. None if there are none at all, or they cannot be listed: their volume is away."""
        try:
            found = find_bundles(self._settings.models_dir, quiet=True)
            self._complaint = ""
        except BundleError as error:
            if str(error) != self._complaint:
                log.warning("the models stay as they are: %s", error)
            self._complaint = str(error)
            return None
        return {served_id(folder, self._settings): folder for folder in found}

    def _publish(self, *, strict: bool = False) -> None:
        """Tell the other workers what is open here."""
        versions = self._opened.versions()
        keys = {one.key: one.model for opened in versions.values() for one in opened}
        with self._shared.change() as state:
            failed = {str(one): reason for one, reason in self._opened.unavailable.items()}
            state.workers[os.getpid()] = WorkerModels([*keys], failed, self._handled)
            self._read_policies(state, {one.name for one in versions}, strict=strict)
            schemas = {key: (model.id, metrics_schema(model.bundle)) for key, model in keys.items()}
            in_use = {key for worker in state.workers.values() for key in worker.open}
            self._counters.set_models(state, schemas, in_use)

    def _read_policies(self, state: State, names: set[str], *, strict: bool) -> None:
        """Read the policy files that have changed; while one cannot be read, what it said before holds."""
        for name in names:
            folder = policy_folder(self._settings.models_dir, name)
            found, record = file_state(folder), state.policies.get(name, PolicyRecord())
            if found == record.file_state:
                continue
            try:
                record = PolicyRecord(read_policy(folder) if found else VersionPolicy(), found)
                log.info("%s: %s", name, record.policy)
            except BundleError as error:
                if strict and name not in state.policies:
                    raise
                log.error("%s; what it said before still holds", error)  # noqa: TRY400 - the message says all
                record = PolicyRecord(record.policy, found, str(error))
            state.policies[name] = record

    def _update(self) -> None:
        """Make the repository that the shared state asks for."""
        with self._lock:
            if self._shared.generation == self._seen:
                return
            state, generation = self._shared.read()
            before = {name: model.bundle.version for name, model in self._served.defaults.items()}
            self._served = self._repository(state, before)
            self._seen = generation
        _log_changes(before, self._served)

    def _repository(self, state: State, before: Mapping[str, str]) -> ModelRepository:
        # This worker too as it has told the others, who cannot know yet what it has opened since.
        workers = [_keys_by_name(worker) for worker in state.workers.values()]
        models: list[Model] = []
        settled: dict[str, set[str]] = {}
        for model_id, opened in self._opened.versions().items():
            if model_id.name in state.unloaded:
                continue
            everywhere = [
                one for one in opened if all(one.key in keys.get(model_id.name, (one.key,)) for keys in workers)
            ]
            models.append((everywhere or opened)[-1].model)
            if everywhere:
                settled.setdefault(model_id.name, set()).add(model_id.version)
        policies = {name: record.policy for name, record in state.policies.items()} | dict(self._settings.versions)
        return ModelRepository(models, self._opened.unavailable, policies, settled, before, state.unloaded)


def _keys_by_name(worker: WorkerModels) -> dict[str, set[str]]:
    """What a worker has open, by model."""
    found: dict[str, set[str]] = {}
    for key in worker.open:
        found.setdefault(key.partition("/")[0], set()).add(key)
    return found


def _is_needed(model_id: ModelId, served: ModelRepository, folders: Mapping[ModelId, Path]) -> bool:
    """Whether a version without a folder answers requests, and no version that has a folder can replace it yet."""
    default = served.defaults.get(model_id.name)
    if default is None or default.id != model_id:
        return False
    others = {one.version for one in folders if one.name == model_id.name}
    return bool(others) and not others & served.settled[model_id.name]


def _log_changes(before: Mapping[str, str], served: ModelRepository) -> None:
    for name, model in served.defaults.items():
        version = model.bundle.version
        if name in before and before[name] != version:
            log.info("%s: version %s answers now, in place of %s (%s)", name, version, before[name], model.digest)
    for name in before.keys() - served.defaults.keys():
        log.info("%s is not served any more", name)
