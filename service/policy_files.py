"""The files beside the versions that say which one answers, as far as they have changed."""

import logging
from collections.abc import Container, Iterable, Mapping
from pathlib import Path

from service.errors import BundleError
from service.inference.version_folders import policy_folder
from service.inference.version_policy import FileState, VersionPolicy, file_state, read_policy
from service.shared_state import PolicyRecord

log = logging.getLogger(__name__)


def changed_policies(
    models_dir: Path,
    names: Iterable[str],
    records: Mapping[str, PolicyRecord],
    seen: dict[str, FileState | None],
    at_once: Container[str],
    *,
    is_start: bool = False,
) -> dict[str, PolicyRecord]:
    """New records of these models; while a file cannot be read, what it said before holds.

    A file counts when two looks have seen it in the same state, as somebody may be writing it; each notes it in `seen`.
    Those of the models `at_once` count now. Raises `BundleError` at a start, for a file that has never been read and
    cannot be.
    """
    changed = {}
    for name in names:
        folder, record = policy_folder(models_dir, name), records.get(name, PolicyRecord())
        try:
            found = file_state(folder)
            is_settled = name in at_once or (name in seen and seen[name] == found)
            seen[name] = found
            if found == record.file_state or not is_settled or not folder.is_dir():  # or its volume is away
                continue
            changed[name] = PolicyRecord(read_policy(folder) if found else VersionPolicy(), found)
            log.info("%s: %s", name, _in_words(changed[name].policy))
        except (BundleError, OSError) as error:
            if is_start and name not in records:
                raise
            if str(error) != record.error:
                log.error("%s; what it said before still holds", error)  # noqa: TRY400 - the message says all
            changed[name] = PolicyRecord(record.policy, record.file_state, str(error))
    return changed


def _in_words(policy: VersionPolicy) -> str:
    default = f"version {policy.version} is pinned" if policy.version else "the newest version is to answer"
    canary = f", version {policy.canary} gets {policy.canary_share:g} of the requests" if policy.canary else ""
    return f"{default}{canary}"
