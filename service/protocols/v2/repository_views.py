"""The routes of V2's model repository extension: the index, and loading and unloading, where the settings allow it."""

import flask
import msgspec

from service.errors import (
    BadRequest,
    ModelNotFound,
    NotSupported,
    PayloadTooLarge,
    ServiceOverloaded,
    UnsupportedMediaType,
)
from service.http.access import requires
from service.http.body import read_decompressed
from service.http.messages import JSON
from service.http.routing import current_app
from service.protocols.openapi import describe, hidden
from service.protocols.parsing import decode_json
from service.protocols.v2.metadata import IndexEntry, index_of

repository = flask.Blueprint("repository", __name__, url_prefix="/repository")

BODY_ERRORS = (BadRequest, PayloadTooLarge, UnsupportedMediaType, ServiceOverloaded)


class IndexRequest(msgspec.Struct):
    """The body of an index request: `ready` asks for the versions that are ready only."""

    ready: bool = False


class ControlRequest(msgspec.Struct):
    """The body of a request to load or unload; Triton's parameters are accepted if they change nothing here."""

    parameters: dict[str, bool] = {}


INDEX_DECODER = msgspec.json.Decoder(IndexRequest)
CONTROL_DECODER = msgspec.json.Decoder(ControlRequest)


@repository.post("/index")
@requires("predict")
@describe(list[IndexEntry], {JSON: IndexRequest}, BODY_ERRORS)
def index() -> flask.Response:
    """Every version of every model. `{"ready": true}` in the body asks for those that are ready only."""
    body = read_decompressed(current_app.request_of(flask.request.environ))
    wanted = decode_json(body, INDEX_DECODER) if body else IndexRequest()
    return flask.jsonify(index_of(current_app.models, ready_only=wanted.ready))


@repository.post("/models/<model:name>/load")
@requires("admin")
@hidden
def load(name: str) -> flask.Response:
    """Open the versions of a model that are in its folder now, in all workers, and close those that are gone.

    The response comes when all workers have done so. It is 400 if a version cannot be opened: the model is then
    served as before.
    """
    _read_control()
    if not (current_app.updates.control.check_folder(name) or name in current_app.models.names()):
        raise ModelNotFound(f"no model {name!r} in the folder of the models")
    current_app.updates.control.request(name, load=True)
    if failed := current_app.updates.control.failures(name):
        reasons = "; ".join(f"{version}: {reason}" for version, reason in sorted(failed.items()))
        raise BadRequest(f"{name} is not loaded as it is in its folder: {reasons}")
    return flask.jsonify({})


@repository.post("/models/<model:name>/unload")
@requires("admin")
@hidden
def unload(name: str) -> flask.Response:
    """Close all versions of a model, in all workers, until it is loaded, or the service is reloaded or restarted."""
    _read_control()
    if name not in current_app.models.names():
        raise current_app.models.not_found(name)
    current_app.updates.control.request(name, load=False)
    return flask.jsonify({})


def _read_control() -> None:
    """Check the body of a request to load or unload; raises `NotSupported` where the settings do not allow it."""
    if not current_app.settings.repository_api:
        raise NotSupported(
            f"{flask.request.path}: loading and unloading over HTTP is off; DIGITALIS_REPOSITORY_API=true turns it on, "
            "and new versions in the folder of the models are opened without it"
        )
    if not current_app.updates.is_following:
        raise NotSupported("loading and unloading needs the service's own worker: python -m service")
    body = read_decompressed(current_app.request_of(flask.request.environ))
    for parameter in decode_json(body, CONTROL_DECODER).parameters if body else ():
        if parameter != "unload_dependents":  # there are none
            raise BadRequest(f"parameter {parameter!r}: models come from their folder alone, as they are there")
