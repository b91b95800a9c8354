"""The routes of the V1 protocol: prediction on the fast path, everything else as ordinary Flask views."""

import flask

from service.bundle.manifest import Bundle
from service.bundle.signature import Arrays
from service.errors import (
    BadRequest,
    ModelNotFound,
    ModelUnavailable,
    PayloadTooLarge,
    ReportNotFound,
    ServiceOverloaded,
    UnprocessableInput,
    UnsupportedMediaType,
)
from service.http.access import requires
from service.http.body import read_body
from service.http.messages import JSON, Request, Response, json_bytes, made_by
from service.http.page_headers import PAGE_HEADERS
from service.http.routing import current_app, fast_path
from service.protocols.openapi import ByModel, MediaTypes, describe
from service.protocols.parsing import ModelNames
from service.protocols.v1.every_model import REQUEST_BODY, RESPONSE
from service.protocols.v1.metadata import (
    ModelStatus,
    TensorFlowServingMetadata,
    VersionStatus,
    metadata_of,
    status_of,
    traffic_of,
    version_statuses,
)
from service.protocols.v1.options import PARAMETERS, described_parameters, read_options
from service.protocols.v1.requests import decode, example, media_types
from service.protocols.v1.responses import encode, response_type

v1 = flask.Blueprint("v1", __name__, url_prefix="/v1/models")

MODEL_ERRORS = (ModelNotFound, ModelUnavailable)
PREDICT_ERRORS = (
    *MODEL_ERRORS,
    BadRequest,
    PayloadTooLarge,
    UnsupportedMediaType,
    UnprocessableInput,
    ServiceOverloaded,
)


def _predict_response(bundle: Bundle) -> MediaTypes:
    return {JSON: response_type(bundle)}


@v1.post("/<model:name>:predict")
@v1.post("/<model:name>/versions/<model:version>:predict")
@fast_path
@requires("predict")
@describe(
    ByModel(RESPONSE, _predict_response),
    ByModel(REQUEST_BODY, media_types),
    PREDICT_ERRORS,
    ByModel(PARAMETERS, described_parameters),
    example,
)
def predict(request: Request, name: str, version: str | None = None) -> Response:
    """Predict every instance of the body.

    Models of images take image files, in a form or as the body (also as `image/png`, `image/jpeg` and so on), and in
    JSON as base64; models of features take rows, in JSON or as `text/csv`. The document of a model has its own types.
    """
    model = request.models.find_for_prediction(name, version)
    timer = request.timer_for(model, "v1")
    options = read_options(request, model.bundle)
    body = read_body(request)
    timer.mark_read()
    decoded = decode(body, model.bundle, request, options)
    timer.mark_decoded()
    outputs: Arrays = {}
    if decoded.inputs:  # at least one instance could be read
        outputs = model.predict(decoded.inputs, request.wait)
        timer.mark_predicted(decoded.inputs, outputs)
    return Response(json_bytes(encode(model.bundle, decoded, outputs, options)), headers=made_by(model))


@v1.get("")
@requires("predict")
@describe(ModelNames)
def list_models() -> flask.Response:
    """The names of the models, as KServe lists them."""
    return flask.jsonify(ModelNames(current_app.models.names()))


@v1.get("/<model:name>")
@v1.get("/<model:name>/versions/<model:version>")
@requires("predict")
@describe(ModelStatus, errors=MODEL_ERRORS)
def status(name: str, version: str | None = None) -> flask.Response:
    """Status, versions, task, signature, labels, features and metrics of a model."""
    models = current_app.models
    model = models.find(name, version)
    statuses = version_statuses(models, name) if version is None else [VersionStatus(version)]
    traffic = traffic_of(models, name, current_app.updates.control.policy_problem(name))
    workers = current_app.updates.control.workers()
    return flask.jsonify(status_of(model, models.versions(name), statuses, traffic, workers.get(str(model.id), 0)))


@v1.get("/<model:name>/metadata")
@v1.get("/<model:name>/versions/<model:version>/metadata")
@requires("predict")
@describe(TensorFlowServingMetadata, errors=MODEL_ERRORS)
def metadata(name: str, version: str | None = None) -> flask.Response:
    """TensorFlow Serving's metadata, and the origin of the bundle."""
    return flask.jsonify(metadata_of(current_app.models.find(name, version).bundle))


@v1.get("/<model:name>/report")
@v1.get("/<model:name>/versions/<model:version>/report")
@requires("predict")
@describe({"text/html": str}, errors=[*MODEL_ERRORS, ReportNotFound])
def report(name: str, version: str | None = None) -> flask.Response:
    """The bundle's HTML report. It comes with the bundle, so the browser is told to run no script in it."""
    policy = "default-src 'none'; img-src data:; style-src 'unsafe-inline'; frame-ancestors 'none'; sandbox"
    page = current_app.models.find(name, version).report()
    return flask.Response(page, mimetype="text/html", headers=PAGE_HEADERS | {"Content-Security-Policy": policy})
