"""Which version of each model answers requests that name none: decided for all workers at each change of the state."""

from collections.abc import Mapping

from service.inference.version_policy import VersionPolicy
from service.shared_state import State


def agree(state: State, fixed: Mapping[str, VersionPolicy]) -> None:
    """Set `state.defaults` and `state.canaries`, by what the workers have open and the policies.

    A version answers as soon as all workers that have the model have it open. Where the one that a policy asks for is
    not open everywhere, the one that answers now goes on. The policies of the settings are `fixed`.
    """
    names = {key.partition("/")[0] for worker in state.workers.values() for key in worker.open}
    if not names:  # no worker is there now: the next one goes on with what answered before
        return
    policies = {name: policy_of(name, state, fixed) for name in sorted(names)}
    state.defaults = {name: _choose(name, state, policy) for name, policy in policies.items()}
    state.canaries = {
        name: key
        for name, policy in policies.items()
        for key in open_everywhere(name, state)
        if version_of(key) == policy.canary and key != state.defaults[name]
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


def version_of(key: str) -> str:
    """The version in a key such as `iris/4@0123456789abcdef`."""
    return key.partition("@")[0].rpartition("/")[2]


def version_number(key: str) -> int:
    """The same as a number."""
    return int(version_of(key))


def _choose(name: str, state: State, policy: VersionPolicy) -> str:
    everywhere, now = open_everywhere(name, state), state.defaults.get(name, "")
    if policy.version:
        wanted = [key for key in everywhere if version_of(key) == policy.version]
    else:
        wanted = [key for key in everywhere if version_of(key) != policy.canary] or everywhere
        if _is_damaged(now, name, state) and version_number(now) > max(map(version_number, wanted), default=0):
            return now
    if wanted:
        return wanted[-1]
    if now in everywhere:
        return now
    anywhere = [key for worker in state.workers.values() for key in _keys(name, worker.open)]
    return everywhere[-1] if everywhere else now if now in anywhere else max(anywhere, key=version_number)


def _is_damaged(key: str, name: str, state: State) -> bool:
    """Whether workers have it open, and all the others could not open it any more: it is no reason to go back."""
    has_it = [key in worker.open for worker in state.workers.values() if _keys(name, worker.open)]
    could_not = [key.partition("@")[0] in worker.failed for worker in state.workers.values() if key not in worker.open]
    return any(has_it) and bool(could_not) and all(could_not)


def _keys(name: str, keys: list[str]) -> list[str]:
    return [key for key in keys if key.partition("/")[0] == name]
