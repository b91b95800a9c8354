"""A model: a bundle opened by a runtime."""

import logging
import time
from pathlib import Path

import msgspec

from service.bundle.features import check_values, has_special_features
from service.bundle.golden import check_golden
from service.bundle.loading import Contents, bundle_digest, load_bundle
from service.bundle.manifest import MANIFEST, REPORT, Bundle
from service.bundle.signature import Arrays, NotFinite, SignatureMismatch
from service.errors import (
    BadRequest,
    BundleError,
    InferenceFailed,
    ReportNotFound,
    ServiceOverloaded,
    UnprocessableInput,
    one_line,
)
from service.images.normaliser import NORMALISER
from service.inference.batching import BatchingOptions, BatchingRuntime, Wait, wait_for
from service.inference.model_key import model_key
from service.inference.placement import place
from service.inference.runtimes import Runtime
from service.inference.version_folders import is_of_one_model, model_id_of
from service.settings import Settings

log = logging.getLogger(__name__)

MAX_REASON = 200  # characters of what a runtime says


def read_bundle(folder: Path, settings: Settings) -> tuple[Bundle, Contents]:
    """Read and check the files of one version folder, and give the bundle the name under which it is served."""
    is_alone = is_of_one_model(folder, settings.models_dir)
    identity = model_id_of(folder, settings.models_dir)
    bundle, contents = load_bundle(folder, settings.public_key, identity, settings.models_dir if is_alone else None)
    if settings.model_name and is_alone:
        bundle = msgspec.structs.replace(bundle, name=settings.model_name)
    return bundle, contents


class Model:
    """Checks the inputs against the signature, runs them, and checks the outputs."""

    def __init__(self, bundle: Bundle, runtime: Runtime, digest: str = "", report: bytes | None = None) -> None:
        self.bundle = bundle
        self.id = bundle.id
        self.runtime = runtime
        self.digest = digest
        self.key = model_key(self.id, digest)
        self.load_seconds = 0.0
        self.batching: BatchingRuntime | None = None
        self._report = report
        self._has_special_features = has_special_features(bundle.features)

    @classmethod
    def open(cls, folder: Path, settings: Settings) -> "Model":
        """Open one version folder: schema, checksums, normaliser, runtime, golden examples; raises `StartError`."""
        started = time.perf_counter()
        bundle, contents = read_bundle(folder, settings)
        try:
            _check_normaliser(bundle)
            model = cls(bundle, place(bundle, contents, settings), bundle_digest(contents), contents.get(REPORT))
            check_golden(bundle.signature, contents, model.predict, f"{model.runtime.name} ({model.runtime.device})")
            model.batch(settings)
            model.load_seconds = time.perf_counter() - started
        except BundleError as error:
            raise BundleError(f"{folder}/{error}") from error
        return model

    def predict(self, inputs: Arrays, wait: Wait = wait_for) -> Arrays:
        """The outputs by name for inputs by name, all as the bundle's signature specifies.

        `wait` is how the caller waits for other requests that run as one batch with this one, if the model is batched.

        Raises `BadRequest` for inputs that do not match the signature, `UnprocessableInput` for numbers so large that
        the network overflows, `InferenceFailed` for any failure of the runtime.
        """
        bundle, signature = self.bundle, self.bundle.signature
        try:
            signature.check_inputs(inputs, finite=not self._has_special_features)
            if self._has_special_features:
                check_values(bundle.features, inputs["features"])
        except SignatureMismatch as mismatch:
            raise BadRequest(f"{bundle.name}: {mismatch}") from None
        try:
            outputs = self.batching.run(inputs, wait) if self.batching else self.runtime.run(inputs)
            signature.check_outputs(outputs)
        except ServiceOverloaded:
            raise
        except NotFinite:
            raise UnprocessableInput(f"{bundle.name} has no finite output for such large numbers") from None
        except Exception as error:
            if bundle.takes_tensors:  # of which more may be wrong than the signature says, such as an index
                log.warning("%s failed on %s", self.id, self.runtime.device, exc_info=error)
                raise UnprocessableInput(
                    f"{bundle.name} cannot be run with {_shown(inputs)}: {_reason(error)}"
                ) from None
            # The inputs were valid, so that any other failure is the service's.
            raise InferenceFailed(f"{self.id} failed on {self.runtime.device}") from error
        return outputs

    def batch(self, settings: Settings) -> None:
        """Let requests wait for others, to run as one batch, if the settings say so for this model.

        Raises `BundleError` if its rows have no fixed shape.
        """
        if (options := settings.batching.get(self.bundle.name)) is not None:
            if not self.bundle.signature.has_fixed_rows:
                raise BundleError(
                    f"{MANIFEST}: an input has dimensions of any size, so that requests cannot be one batch; "
                    f"leave {self.bundle.name} out of DIGITALIS_BATCHING"
                )
            self.batching = BatchingRuntime(self.runtime, BatchingOptions(*options))

    def close(self) -> None:
        """Called when no new request gets this model; those that have it are still answered."""
        if self.batching:
            self.batching.close()

    def report(self) -> bytes:
        """The bundle's HTML report; raises `ReportNotFound` if it has none."""
        if self._report is None:
            raise ReportNotFound(f"{self.id} has no report: its bundle contains none")
        return self._report


def _shown(inputs: Arrays) -> str:
    """The shapes of inputs, for a message."""
    return ", ".join(f"{name} {list(array.shape)}" for name, array in inputs.items())


def _reason(error: Exception) -> str:
    """What a runtime says: the end of it, as the places in its own source come first."""
    return one_line(error)[-MAX_REASON:]


def _check_normaliser(bundle: Bundle) -> None:
    """Raise `BundleError` unless this service has the version of the normaliser that the network was trained with."""
    if bundle.normaliser != (NORMALISER if bundle.reads_digits else None):
        needed = f"this service has {NORMALISER!r}" if bundle.reads_digits else "only a model of digits has one"
        raise BundleError(f"{MANIFEST}: normaliser {bundle.normaliser!r}: {needed}; export the bundle again")
