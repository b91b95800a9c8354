"""The models by name and version, and which of the versions answers requests that name none."""

import difflib
import itertools
from collections.abc import Iterable, Iterator, Mapping
from typing import NamedTuple

from service.bundle.manifest import ModelId
from service.errors import BundleError, ModelNotFound, ModelUnavailable, RequestError
from service.inference.model import Model
from service.inference.model_key import id_of
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


class Answering(NamedTuple):
    """The keys of the versions that answer requests without one, by model: the defaults, and the canaries."""

    defaults: Mapping[str, str]
    canaries: Mapping[str, str]


class Failure(NamedTuple):
    """Why a version cannot be opened: for clients, and for the operator, with what libraries say."""

    reason: str
    detail: str


class ModelRepository:
    """The models of one moment, by name and version; what changes is another repository.

    `failures` are those of the versions that cannot be opened. `policies` say which version is to answer requests that
    name none, `answering` which do.
    Canaries of the repository `before` go on counting. `unloaded` models are not served.
    """

    def __init__(
        self,
        models: Iterable[Model],
        failures: Mapping[ModelId, Failure] | None = None,
        policies: Mapping[str, VersionPolicy] | None = None,
        *,
        answering: Answering = Answering({}, {}),  # noqa: B008 - never changed
        before: "ModelRepository | None" = None,
        unloaded: Iterable[str] = (),
    ) -> None:
        self._versions: dict[str, dict[str, Model]] = {}
        for model in sorted(models, key=lambda model: _newest_first(model.id)):
            self._versions.setdefault(model.bundle.name, {})[model.bundle.version] = model
        self._failures = dict(sorted((failures or {}).items(), key=lambda item: _newest_first(item[0])))
        self.policies = policies or {}
        self.unloaded = frozenset(unloaded)
        self.defaults: dict[str, Model] = {}
        self.canaries: dict[str, Canary] = {}
        for name, versions in self._versions.items():
            by_key = {model.key: model for model in versions.values()}
            self.defaults[name] = by_key.get(answering.defaults.get(name, "")) or self._substitute(name, answering)
            share = self.policy(name).canary_share
            if share and (canary := by_key.get(answering.canaries.get(name, ""))):
                counting = before.canaries.get(name) if before else None
                is_same = counting is not None and (counting.model, counting.share) == (canary, share)
                self.canaries[name] = counting if counting and is_same else Canary(canary, share)

    def _substitute(self, name: str, answering: Answering) -> Model:
        """What answers in place of a default that is not here: another content of it, or the newest but the canary."""
        versions = self._versions[name]
        version = id_of(answering.defaults.get(name, "")).version
        others = [model for model in versions.values() if model.bundle.version != self.policy(name).canary]
        return versions.get(version) or next(iter(others), next(iter(versions.values())))

    @property
    def unavailable(self) -> dict[ModelId, str]:
        """The versions that cannot be opened, with the reason."""
        return {model_id: failure.reason for model_id, failure in self._failures.items()}

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
        for model_id, failure in self._failures.items():
            if model_id.name not in self._versions:
                raise BundleError(f"no version of {model_id.name} can be opened: {failure.detail}")
        for name in self._versions:
            if self.policy(name).version and (problem := self.policy_problem(name)):
                raise BundleError(f"{self.policy(name).source}: {problem}")

    def policy_problem(self, name: str) -> str:
        """What the policy of a model asks for, and there is not; empty if there is."""
        policy, versions = self.policy(name), self._versions.get(name, {})
        for version in (policy.version, policy.canary):
            if version and version not in versions:
                return f"version {version} of {name} is not open: the versions that are open are {', '.join(versions)}"
        return ""

    def not_found(self, name: str, version: str | None = None) -> RequestError:
        """Why there is no such model, or no such version of it."""
        for model_id, reason in self.unavailable.items():
            if model_id.name == name and version in (None, model_id.version):
                return ModelUnavailable(f"{model_id} cannot be opened: {reason}")
        if name in self._versions:
            versions = ", ".join(self._versions[name])
            return ModelNotFound(f"no version {version!r} of {name}: the versions are {versions}")
        if name in self.unloaded:
            return ModelUnavailable(f"{name} is unloaded: POST /v2/repository/models/{name}/load opens it again")
        close = difflib.get_close_matches(name[:MAX_COMPARED].lower(), self._versions, n=1)
        hint = f"did you mean {close[0]}? " if close else ""
        return ModelNotFound(f"no model {name!r}: {hint}the models are {', '.join(self._versions)}")


def _newest_first(model_id: ModelId) -> tuple[str, int]:
    return model_id.name, -int(model_id.version)
