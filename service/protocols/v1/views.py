"""The V1 protocol of TensorFlow Serving and KServe."""

from flask import Blueprint

from service.bundle.manifest import Bundle
from service.errors import (
    BadRequest,
    ModelNotFound,
    PayloadTooLarge,
    ReportNotFound,
    UnsupportedMediaType,
    UnusableInput,
)
from service.http.body import read_body
from service.http.messages import Answer, Asked, answer
from service.protocols.examples import v1_request
from service.protocols.openapi import Media, Parameter, described
from service.protocols.parsing import JSON
from service.protocols.v1.metadata import ModelMetadata, ModelStatus, Names, metadata_of, status_of
from service.protocols.v1.requests import decode, media_types
from service.protocols.v1.responses import answers_of, encode

v1 = Blueprint("v1", __name__, url_prefix="/v1/models")

REFUSED = (BadRequest, ModelNotFound, PayloadTooLarge, UnsupportedMediaType, UnusableInput)
DEBUG = Parameter("debug", "query", {"enum": ["ink"]}, "show what the network saw of each picture")
ABSTAIN = Parameter("abstain", "query", {"enum": ["true", "false"]}, "whether an unsure answer has no label")


def _options(bundle: Bundle) -> list[Parameter]:
    return [DEBUG] * bundle.takes_images + [ABSTAIN] * (bundle.abstention is not None)


def _gives(bundle: Bundle) -> Media:
    return {JSON: answers_of(bundle)}


@v1.post("/<model:name>:predict")
@v1.post("/<model:name>/versions/<model:version>:predict")
@described(_gives, media_types, REFUSED, _options, v1_request)
def predict(asked: Asked, name: str, version: str | None = None) -> Answer:
    """Classify every instance of the body."""
    model = asked.models.find(name, version)
    watched = asked.watch(model, "v1")
    show, abstain, body = shows_ink(asked, model.bundle), abstains(asked, model.bundle), read_body(asked)
    watched.read()
    decoded = decode(body, model.bundle, asked.settings, show=show)
    watched.decoded()
    outputs = model.predict(decoded.inputs)
    watched.predicted(decoded.inputs, outputs)
    return answer(encode(model.bundle, decoded, outputs, abstain=abstain))


@v1.get("")
@described(Names)
def list_models(asked: Asked) -> Answer:
    """The names, as KServe lists them."""
    return answer(Names(asked.models.names()))


@v1.get("/<model:name>")
@v1.get("/<model:name>/versions/<model:version>")
@described(ModelStatus, refuses=[ModelNotFound])
def status(asked: Asked, name: str, version: str | None = None) -> Answer:
    """All that a client wants to know: TensorFlow Serving's status, KServe's readiness, and the bundle's own facts."""
    model = asked.models.find(name, version)
    versions = asked.models.versions(name)
    return answer(status_of(model, versions, shown=versions if version is None else [version]))


@v1.get("/<model:name>/metadata")
@v1.get("/<model:name>/versions/<model:version>/metadata")
@described(ModelMetadata, refuses=[ModelNotFound])
def metadata(asked: Asked, name: str, version: str | None = None) -> Answer:
    """TensorFlow Serving's metadata, and where the bundle came from."""
    return answer(metadata_of(asked.models.find(name, version).bundle))


@v1.get("/<model:name>/report")
@v1.get("/<model:name>/versions/<model:version>/report")
@described({"text/html": str}, refuses=[ModelNotFound, ReportNotFound])
def report(asked: Asked, name: str, version: str | None = None) -> Answer:
    """The bundle's page for people. It comes with the bundle, so the browser is told to run nothing in it."""
    policy = "default-src 'none'; img-src data:; style-src 'unsafe-inline'; sandbox"
    page = asked.models.find(name, version).report()
    return Answer(page, "text/html; charset=utf-8", headers=(("Content-Security-Policy", policy),))


def shows_ink(asked: Asked, bundle: Bundle) -> bool:
    """Whether `?debug=ink` asks to be shown what the network saw; raises `BadRequest` where that cannot be."""
    values = asked.query("debug")
    for value in values:
        if value != "ink":
            raise BadRequest(f"debug={value}: the only one is debug=ink, which shows what the network saw of a picture")
    if values and not bundle.takes_images:
        raise BadRequest(f"debug=ink: {bundle.name} takes no pictures")
    return bool(values)


def abstains(asked: Asked, bundle: Bundle) -> bool:
    """Whether an unsure answer shall have no label: `?abstain=true`, or the setting where a request does not say.

    Raises `BadRequest` where that cannot be asked for; the setting is for the models that have thresholds.
    """
    values = asked.query("abstain")
    for value in values:
        if value not in ("true", "false"):
            raise BadRequest(f"abstain={value}: true (an unsure answer has no label) or false")
    if len(set(values)) > 1:
        raise BadRequest("abstain is asked for, and not: send it once")
    if "true" in values and bundle.abstention is None:
        raise BadRequest(f"abstain=true: {bundle.name} has no thresholds below which an answer is unsure")
    return values[0] == "true" if values else asked.settings.abstain
