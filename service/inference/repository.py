"""The models by name and version, and which of the versions answers requests that name none."""

import difflib
import itertools
from collections.abc import Iterable, Iterator, Mapping

from service.bundle.manifest import ModelId
from service.errors import BundleError, ModelNotFound, ModelUnavailable, RequestError
from service.inference.model import Model
from service.inference.version_policy import VersionPolicy

MAX_COMPARED = 100  # characters of an unknown name: comparing takes time in proportion to their square


class Canary:
    """A version that gets an exact share of the requests, evenly among the others."""

    def __init__(self, model: Model, share: float) -> None:
        self.model = model
        self.share = share
        self._requests = itertools.count()  # one step of it is not interrupted by other threads

    def is_next(self) -> bool:
        """Whether this request is for it."""
        number = next(self._requests)
        return int((number + 1) * self.share) > int(number * self.share)


class ModelRepository:
    """The models of one moment, by name and version; what changes is another repository.

    `unavailable` has the versions that cannot be opened, with the reason; `policies` which version answers requests
    that name none. `settled` are the versions that may do so, by default all: another worker may not have the others
    yet. Where a pinned version is not there, the version of `before` goes on. `unloaded` models are not served.
    """

    def __init__(
        self,
        models: Iterable[Model],
        unavailable: Mapping[ModelId, str] | None = None,
        policies: Mapping[str, VersionPolicy] | None = None,
        settled: Mapping[str, set[str]] | None = None,
        before: Mapping[str, str] | None = None,
        unloaded: Iterable[str] = (),
    ) -> None:
        self._versions: dict[str, dict[str, Model]] = {}
        for model in sorted(models, key=lambda model: _newest_first(model.id)):
            self._versions.setdefault(model.bundle.name, {})[model.bundle.version] = model
        self.unavailable = dict(sorted((unavailable or {}).items(), key=lambda item: _newest_first(item[0])))
        self.policies = policies or {}
        self.unloaded = frozenset(unloaded)
        self.defaults: dict[str, Model] = {}
        self.canaries: dict[str, Canary] = {}
        self.settled = {name: (settled or {}).get(name) or set(versions) for name, versions in self._versions.items()}
        for name, versions in self._versions.items():
            self._choose(name, versions, (before or {}).get(name))

    def _choose(self, name: str, versions: Mapping[str, Model], before: str | None) -> None:
        """The default of a model, and its canary."""
        policy = self.policy(name)
        candidates = [version for version in versions if version in self.settled[name]]
        if policy.version is None:
            chosen = next((version for version in candidates if version != policy.canary), candidates[0])
        else:
            chosen = policy.version if policy.version in candidates else before or ""
        if chosen in versions:
            self.defaults[name] = versions[chosen]
        if policy.canary in candidates and policy.canary != chosen and policy.canary_share:
            self.canaries[name] = Canary(versions[policy.canary], policy.canary_share)

    def __iter__(self) -> Iterator[Model]:
        """Every model: sorted by name, the newest version of each first."""
        return (model for versions in self._versions.values() for model in versions.values())

    def model_ids(self) -> list[ModelId]:
        """Name and version of each model, in the order of iteration."""
        return [model.id for model in self]

    def names(self) -> list[str]:
        """The names of the models, sorted."""
        return list(self._versions)

    def versions(self, name: str) -> list[str]:
        """The versions of one model that are open, the newest first; raises `ModelNotFound`, `ModelUnavailable`."""
        if name not in self._versions:
            raise self.not_found(name, None)
        return list(self._versions[name])

    def policy(self, name: str) -> VersionPolicy:
        """Which version of a model is to answer requests that name none."""
        return self.policies.get(name, VersionPolicy())

    def get(self, model_id: ModelId) -> Model | None:
        """One version, or None."""
        return self._versions.get(model_id.name, {}).get(model_id.version)

    def find(self, name: str, version: str | None = None) -> Model:
        """One model, by default its default version.

        Raises `ModelNotFound`, which lists what there is, and `ModelUnavailable`, with the reason.
        """
        found = self.defaults.get(name) if version is None else self._versions.get(name, {}).get(version)
        if found is None:
            raise self.not_found(name, version)
        return found

    def find_for_prediction(self, name: str, version: str | None = None) -> Model:
        """As `find`; but a canary gets its share of the requests that name no version."""
        if version is None and name in self.canaries and self.canaries[name].is_next():
            return self.canaries[name].model
        return self.find(name, version)

    def check_every_model_opens(self) -> None:
        """Raise `BundleError` for the first model of which no version, or not the pinned one, can be opened."""
        for model_id, reason in self.unavailable.items():
            if model_id.name not in self._versions:
                raise BundleError(f"no version of {model_id.name} can be opened: {reason}")
        for name in self._versions:
            if name not in self.defaults:
                raise BundleError(self._pinned(name))

    def not_found(self, name: str, version: str | None = None) -> RequestError:
        """Why there is no such model, or no such version of it."""
        for model_id, reason in self.unavailable.items():
            if model_id.name == name and version in (None, model_id.version):
                return ModelUnavailable(f"{model_id} cannot be opened: {reason}")
        if name in self._versions:
            if version is None:
                return ModelUnavailable(self._pinned(name))
            versions = ", ".join(self._versions[name])
            return ModelNotFound(f"no version {version!r} of {name}: the versions are {versions}")
        if name in self.unloaded:
            return ModelUnavailable(f"{name} is unloaded: POST /v2/repository/models/{name}/load opens it again")
        close = difflib.get_close_matches(name[:MAX_COMPARED].lower(), self._versions, n=1)
        hint = f"did you mean {close[0]}? " if close else ""
        return ModelNotFound(f"no model {name!r}: {hint}the models are {', '.join(self._versions)}")

    def _pinned(self, name: str) -> str:
        """Why a model with versions has no default one."""
        policy = self.policies[name]
        versions = ", ".join(self._versions[name])
        return f"{policy.source} pins version {policy.version} of {name}: the versions that are open are {versions}"


def _newest_first(model_id: ModelId) -> tuple[str, int]:
    return model_id.name, -int(model_id.version)
