"""The routes of the V2 protocol: inference on the fast path, everything else as ordinary Flask views."""

import gzip
import zlib
from collections.abc import Sequence

import flask
from werkzeug.datastructures import Accept
from werkzeug.http import parse_accept_header

from service.errors import (
    BadRequest,
    ModelNotFound,
    ModelUnavailable,
    NotSupported,
    PayloadTooLarge,
    ServiceOverloaded,
    UnprocessableInput,
    UnsupportedMediaType,
)
from service.http.access import requires
from service.http.body import read_decompressed
from service.http.messages import ENCODER, JSON, Request, Response, made_by
from service.http.routing import current_app, fast_path
from service.protocols.openapi import ByModel, MediaTypes, Parameter, describe, hidden
from service.protocols.parsing import ModelNames
from service.protocols.v2.metadata import (
    ModelConfig,
    ModelMetadata,
    ModelReady,
    ServerMetadata,
    Statistics,
    config_of,
    metadata_of,
    statistics_of,
)
from service.protocols.v2.repository_views import repository
from service.protocols.v2.requests import InferRequest, decode, example
from service.protocols.v2.responses import Buffer, InferResponse, encode

v2 = flask.Blueprint("v2", __name__, url_prefix="/v2")
v2.register_blueprint(repository)


BINARY = "application/octet-stream"
JSON_LENGTH = "Inference-Header-Content-Length"
# Binary tensors are in the documents of the models only: a generated client would not know which of the two it gets.
INFER_REQUEST = ByModel[MediaTypes]({JSON: InferRequest}, lambda _: {JSON: InferRequest, BINARY: None})
INFER_RESPONSE = ByModel[MediaTypes]({JSON: InferResponse}, lambda _: {JSON: InferResponse, BINARY: None})
MODEL_ERRORS = (ModelNotFound, ModelUnavailable)
INFER_ERRORS = (
    *MODEL_ERRORS,
    BadRequest,
    PayloadTooLarge,
    UnsupportedMediaType,
    UnprocessableInput,
    NotSupported,
    ServiceOverloaded,
)
LENGTH = Parameter(JSON_LENGTH, "header", {"type": "integer", "minimum": 0}, "bytes of JSON before binary tensors")
INFER_PARAMETERS = ByModel[Sequence[Parameter]]((), lambda _: [LENGTH])
ENCODINGS = ("gzip", "deflate", "identity")  # in order of preference
COMPRESSION_LEVEL = 1  # zlib's fastest: responses are small, and latency matters


@v2.post("/models/<model:name>/infer")
@v2.post("/models/<model:name>/versions/<model:version>/infer")
@fast_path
@requires("predict")
@describe(INFER_RESPONSE, INFER_REQUEST, INFER_ERRORS, INFER_PARAMETERS, example)
def infer(request: Request, name: str, version: str | None = None) -> Response:
    """Run the tensors of the body.

    They may be binary too, in both directions: the document of a model says how.
    """
    model = request.models.find_for_prediction(name, version)
    timer = request.timer_for(model, "v2")
    body = read_decompressed(request)
    timer.mark_read()
    decoded = decode(body, request.header(JSON_LENGTH), model.bundle, request)
    timer.mark_decoded()
    outputs = model.predict(decoded.inputs, request.wait)
    timer.mark_predicted(decoded.inputs, outputs)
    header, tensors = encode(model.bundle, decoded, outputs)
    response = _with_tensors(ENCODER.encode(header), tensors)
    return _compressed(request, response._replace(headers=(*response.headers, *made_by(model))))


@v2.get("")
@v2.get("/")
@requires("open")
@describe(ServerMetadata)
def server() -> flask.Response:
    """Name and version of the server, and the protocol's extensions that it implements."""
    return flask.jsonify(ServerMetadata())


@v2.get("/models")
@requires("predict")
@describe(ModelNames)
def list_models() -> flask.Response:
    """The names of the models, as V1 lists them."""
    return flask.jsonify(ModelNames(current_app.models.names()))


@v2.get("/models/<model:name>")
@v2.get("/models/<model:name>/versions/<model:version>")
@requires("predict")
@describe(ModelMetadata, errors=MODEL_ERRORS)
def metadata(name: str, version: str | None = None) -> flask.Response:
    """The inputs and outputs of a model."""
    models = current_app.models
    return flask.jsonify(metadata_of(models.find(name, version), models.versions(name)))


@v2.get("/models/<model:name>/ready")
@v2.get("/models/<model:name>/versions/<model:version>/ready")
@requires("open")
@describe(ModelReady, errors=MODEL_ERRORS)
def model_ready(name: str, version: str | None = None) -> flask.Response:
    """Whether a model is ready. Every model that is found has been opened, and has passed its golden examples."""
    return flask.jsonify(ModelReady(current_app.models.find(name, version).bundle.name))


@v2.get("/models/<model:name>/config")
@v2.get("/models/<model:name>/versions/<model:version>/config")
@requires("predict")
@describe(ModelConfig, errors=MODEL_ERRORS)
def config(name: str, version: str | None = None) -> flask.Response:
    """The fields of Triton's model configuration that apply to this service."""
    model, settings = current_app.models.find(name, version), current_app.settings
    return flask.jsonify(config_of(model, settings.max_rows, settings.workers))


@v2.get("/models/stats")
@v2.get("/models/<model:name>/stats")
@v2.get("/models/<model:name>/versions/<model:version>/stats")
@requires("metrics")
@describe(Statistics, errors=MODEL_ERRORS)
def statistics(name: str | None = None, version: str | None = None) -> flask.Response:
    """The statistics of all workers since the service started, by model and version."""
    models, counters = current_app.models, current_app.middleware.counters.shared
    if name is None:
        found = list(models)
    else:
        found = [models.find(name, one) for one in ([version] if version else models.versions(name))]
    return flask.jsonify(Statistics([statistics_of(model, counters) for model in found]))


@v2.route("/systemsharedmemory/<path:name>", methods=["GET", "POST"])
@v2.route("/cudasharedmemory/<path:name>", methods=["GET", "POST"])
@v2.route("/trace/setting", methods=["GET", "POST"])
@v2.route("/models/<model:name>/trace/setting", methods=["GET", "POST"])
@v2.route("/logging", methods=["GET", "POST"])
@requires("admin")
@hidden
def not_implemented(**_name: str) -> flask.Response:
    """Extensions of Triton that this service does not implement."""
    missing = "no shared memory, and no trace or log settings"
    raise NotSupported(f"{flask.request.path} is not implemented: this service has {missing}")


def _with_tensors(header: bytes, tensors: list[Buffer]) -> Response:
    """A response of JSON alone, or of JSON followed by binary tensors."""
    if not tensors:
        return Response(header + b"\n")
    return Response(b"".join([header, *tensors]), BINARY, headers=((JSON_LENGTH, str(len(header))),))


def _compressed(request: Request, response: Response) -> Response:
    """As the request's Accept-Encoding prefers; `deflate` is the zlib format, as in HTTP."""
    headers = (*response.headers, ("Vary", "Accept-Encoding"))
    accept = request.header("Accept-Encoding")
    encoding = parse_accept_header(accept, Accept).best_match(ENCODINGS) if accept else None
    if encoding == "gzip":
        body = gzip.compress(response.body, COMPRESSION_LEVEL, mtime=0)
    elif encoding == "deflate":
        body = zlib.compress(response.body, COMPRESSION_LEVEL)
    else:
        return response._replace(headers=headers)
    return response._replace(body=body, headers=(*headers, ("Content-Encoding", encoding)))
