"""Which version of each model answers requests that name none: decided for all workers at each change of the state."""

from collections.abc import Mapping

from service.inference.model_key import id_of
from service.inference.version_policy import VersionPolicy
from service.shared_state import State


def agree(state: State, fixed: Mapping[str, VersionPolicy]) -> None:
    """Set `state.defaults` and `state.canaries`, by what the workers have open and the policies.

    A version answers as soon as all workers that have the model have it open. Where the one that a policy asks for is
    not open everywhere, the one that answers now goes on. The policies of the settings are `fixed`.
    """
    if not state.workers:  # the next one goes on with what answered before
        return
    names = sorted({id_of(key).name for worker in state.workers.values() for key in worker.open})
    policies = {name: policy_of(name, state, fixed) for name in names}
    state.defaults = {name: _choose(name, state, policy) for name, policy in policies.items()}
    state.canaries = {
        name: key
        for name, policy in policies.items()
        for key in open_everywhere(name, state)
        if id_of(key).version == policy.canary != id_of(state.defaults[name]).version
    }


def policy_of(name: str, state: State, fixed: Mapping[str, VersionPolicy]) -> VersionPolicy:
    """The policy of a model: that of the settings, or else of its file."""
    if name in fixed:
        return fixed[name]
    record = state.policies.get(name)
    return record.policy if record else VersionPolicy()


def open_everywhere(name: str, state: State) -> list[str]:
    """The keys of a model that all workers with the model have open: the newest version and content last."""
    of_workers = [keys for worker in state.workers.values() if (keys := _keys(name, worker.open))]
    if not of_workers:
        return []
    everywhere = set.intersection(*map(set, of_workers))
    return sorted((key for key in of_workers[0] if key in everywhere), key=version_number)  # stable: content in order


def version_number(key: str) -> int:
    """The version in a key as a number; 0 for an empty key."""
    return int(id_of(key).version or 0)


def _choose(name: str, state: State, policy: VersionPolicy) -> str:
    """The key of the version that answers: first which version, then which content of it."""
    now = state.defaults.get(name, "")
    of_workers = [{id_of(key).version for key in _keys(name, worker.open)} for worker in state.workers.values()]
    everywhere = sorted(set.intersection(*filter(None, of_workers)), key=int)
    version = _version(everywhere, now, policy, is_kept=_is_kept(name, now, state))
    anywhere = [key for worker in state.workers.values() for key in _keys(name, worker.open)]
    if not version:
        return now if now in anywhere else max(anywhere, key=version_number)
    common = [key for key in open_everywhere(name, state) if id_of(key).version == version]
    if common:
        return common[-1]
    return now if id_of(now).version == version else [key for key in anywhere if id_of(key).version == version][-1]


def _version(everywhere: list[str], now: str, policy: VersionPolicy, *, is_kept: bool) -> str:
    """The version, of those that all workers have; empty if there is none."""
    current = id_of(now).version
    if policy.version:
        wanted = [version for version in everywhere if version == policy.version]
        keeps = current == policy.version
    else:
        wanted = [version for version in everywhere if version != policy.canary]
        keeps = current != policy.canary and not [version for version in wanted if int(version) > version_number(now)]
    if is_kept and keeps:
        return current
    if wanted:
        return wanted[-1]
    if current in everywhere or is_kept:
        return current
    return everywhere[-1] if everywhere else ""


def _is_kept(name: str, key: str, state: State) -> bool:
    """Whether workers have this version open, and all the others could not get it: it is no reason to go back."""
    workers = [worker for worker in state.workers.values() if _keys(name, worker.open)]
    without = [worker for worker in workers if id_of(key) not in map(id_of, worker.open)]
    version = str(id_of(key))
    has_it = len(workers) > len(without)
    return has_it and bool(without) and all(version in worker.failed or version in worker.lacking for worker in without)


def _keys(name: str, keys: list[str]) -> list[str]:
    return [key for key in keys if id_of(key).name == name]
