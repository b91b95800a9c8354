"""What the views ask of all workers together: who has what open, what failed, and to load and unload a model."""

import threading
import time

from service.errors import BundleError, ModelUnavailable, ServiceOverloaded
from service.inference.model_key import id_of
from service.inference.open_models import served_id
from service.inference.version_folders import scan
from service.settings import Settings
from service.shared_state import SharedState

MAX_WAIT = 30.0  # seconds that a request to load or unload waits for all workers
CHECK_SECONDS = 0.05  # between two looks whether they are done


class ModelControl:
    """Reads the state that the workers share, and writes requests to load and unload into it."""

    def __init__(self, settings: Settings, shared: SharedState) -> None:
        self._settings = settings
        self._shared = shared
        self._requesting = threading.Lock()

    def workers(self) -> dict[str, int]:
        """How many workers have each version open, by its name, such as `iris/4`."""
        found: dict[str, int] = {}
        for worker in self._shared.read()[0].workers.values():
            for version in {str(id_of(key)) for key in worker.open}:
                found[version] = found.get(version, 0) + 1
        return found

    def policy_problem(self, name: str) -> str:
        """What is wrong with the file of a model's policy; empty if nothing is."""
        record = self._shared.read()[0].policies.get(name)
        return record.error if record and name not in self._settings.versions else ""

    def failures(self, name: str) -> dict[str, str]:
        """The versions of a model that some worker cannot open, such as `iris/6`, with the reason."""
        workers = self._shared.read()[0].workers.values()
        failed = {version: reason for worker in workers for version, reason in worker.failed.items()}
        return {version: reason for version, reason in failed.items() if version.partition("/")[0] == name}

    def check_folder(self, name: str) -> bool:
        """Whether there is a version of this model; raises `ModelUnavailable` if the folder cannot be read now."""
        try:
            found = scan(self._settings.models_dir)
        except BundleError:
            raise ModelUnavailable("the folder of the models is empty, or cannot be read now") from None
        return any(served_id(folder, self._settings).name == name for folder in found.folders)

    def request(self, name: str, *, load: bool) -> None:
        """Let all workers open or close a model, and wait until they have; raises `ServiceOverloaded` if they do not.

        It stays closed, whatever is in its folder, until it is asked for again or the service is reloaded. One request
        waits at a time in each worker, as it occupies a thread.
        """
        if not self._requesting.acquire(blocking=False):
            raise ServiceOverloaded("another model is being loaded or unloaded: try again in a second")
        try:
            self._wait_for(self._write(name, load=load), name)
        finally:
            self._requesting.release()

    def _write(self, name: str, *, load: bool) -> int:
        with self._shared.change() as state:
            state.requests[name] = number = state.latest_request + 1
            if load:
                state.unloaded.pop(name, None)
            else:
                state.unloaded[name] = self._shared.reloads
        return number

    def _wait_for(self, number: int, name: str) -> None:
        deadline = time.monotonic() + MAX_WAIT
        while any(worker.handled < number for worker in self._shared.read()[0].workers.values()):
            if time.monotonic() > deadline:
                raise ServiceOverloaded(f"not all workers have answered within {MAX_WAIT:.0f} s: {name} may follow")
            time.sleep(CHECK_SECONDS)
