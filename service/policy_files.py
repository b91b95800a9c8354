"""The files beside the versions that say which one answers, as far as they have changed."""

import logging
from collections.abc import Container, Iterable, Mapping
from pathlib import Path

from service.errors import BundleError
from service.inference.open_models import served_id
from service.inference.version_folders import is_of_one_model
from service.inference.version_policy import FileState, VersionPolicy, file_state, read_policy
from service.settings import Settings
from service.shared_state import PolicyRecord, State

log = logging.getLogger(__name__)


class PolicyFiles:
    """Those of the models that the latest look has found.

    A file counts when two looks have seen it in the same state, as somebody may be writing it; but one of a model that
    has had none is read at once.
    """

    def __init__(self, settings: Settings, folders: Iterable[Path]) -> None:
        self._settings = settings
        self._seen: dict[str, FileState | None] = {}
        self.find(folders)

    def find(self, folders: Iterable[Path]) -> None:
        """Note where the policies of these version folders may lie: beside them."""
        models_dir = self._settings.models_dir
        places = {
            served_id(folder, self._settings).name: models_dir if is_of_one_model(folder, models_dir) else folder.parent
            for folder in folders
        }
        self._places = {name: place for name, place in places.items() if name not in self._settings.versions}

    def versions(self) -> set[str]:
        """What lies in these folders, such as `iris/4`."""
        return {f"{name}/{path.name}" for name, place in self._places.items() for path in place.glob("*")}

    def changed(
        self, state: State, reloads: int, names: Container[str], asked: Container[str], *, is_start: bool
    ) -> dict[str, PolicyRecord]:
        """New records of these models. Where the settings say not to look, of those asked for, or all after a reload.

        While a file cannot be read, what it said before holds. Raises `BundleError` at a start for one that has never
        been read, and cannot be.
        """
        places = {name: place for name, place in self._places.items() if name in names}
        at_once = asked
        if not self._settings.models_poll_seconds:
            if state.policies_read != reloads:
                at_once = places
            else:
                places = {one: place for one, place in places.items() if one in asked or one not in state.policies}
        found = {name: self._changed(name, place, state.policies, at_once, is_start) for name, place in places.items()}
        return {name: record for name, record in found.items() if record}

    def _changed(
        self,
        name: str,
        place: Path,
        records: Mapping[str, PolicyRecord],
        at_once: Container[str],
        is_start: bool,  # noqa: FBT001
    ) -> PolicyRecord | None:
        record = records.get(name)
        try:
            found = file_state(place)
            is_settled = record is None or name in at_once or (name in self._seen and self._seen[name] == found)
            self._seen[name] = found
            if record and found == record.file_state:
                return PolicyRecord(record.policy, found) if record.error else None  # it is as it was before
            if not is_settled:
                return None
            changed = PolicyRecord(read_policy(place) if found else VersionPolicy(), found)
        except BundleError as error:
            if is_start and record is None:
                raise
            before = record or PolicyRecord()
            if str(error) != before.error:
                log.error("%s; what it said before still holds", error)  # noqa: TRY400 - the message says all
            return PolicyRecord(before.policy, before.file_state, str(error))
        if found or record:
            log.info("%s: %s", name, _in_words(changed.policy))
        return changed


def _in_words(policy: VersionPolicy) -> str:
    default = f"version {policy.version} is pinned" if policy.version else "the newest version is to answer"
    canary = f", version {policy.canary} gets {policy.canary_share:g} of the requests" if policy.canary else ""
    return f"{default}{canary}"
