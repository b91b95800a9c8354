"""The Open Inference Protocol, REST, with Triton's extensions for binary tensors and for classification."""

import gzip
import zlib

import msgspec
from flask import Blueprint, Response, request

from service.decoding.body import JSON, decode_json
from service.decoding.tensors import InferRequest, decode
from service.encoding.description import (
    IndexEntry,
    ModelConfig,
    ModelDescription,
    ModelReady,
    ServerMetadata,
    Statistics,
    config_of,
    metadata_of,
    statistics_of,
)
from service.encoding.status import Names
from service.encoding.tensors import Buffer, InferResponse, encode
from service.errors import (
    BadRequest,
    ModelNotFound,
    NotSupported,
    PayloadTooLarge,
    UnsupportedMediaType,
    UnusableInput,
)
from service.examples import v2_request
from service.routes import ENCODER, answer, models, settings, telemetry, watch
from service.routes.body import read_bytes
from service.routes.openapi import Parameter, described

v2 = Blueprint("v2", __name__, url_prefix="/v2")


class IndexRequest(msgspec.Struct):
    """What may be asked of the index: with `ready` the versions that are ready, which all are."""

    ready: bool = False


BINARY = "application/octet-stream"
JSON_LENGTH = "Inference-Header-Content-Length"
TAKES = {JSON: InferRequest, BINARY: None}
GIVES = {JSON: InferResponse, BINARY: None}
REFUSED = (BadRequest, ModelNotFound, PayloadTooLarge, UnsupportedMediaType, UnusableInput, NotSupported)
LENGTH = Parameter(JSON_LENGTH, "header", {"type": "integer", "minimum": 0}, "bytes of JSON before binary tensors")
INDEX = msgspec.json.Decoder(IndexRequest)
FASTEST = 1  # of zlib's levels: answers are small, and latency counts


@v2.post("/models/<model:name>/infer")
@v2.post("/models/<model:name>/versions/<model:version>/infer")
@described(GIVES, TAKES, REFUSED, lambda _: [LENGTH], v2_request)
def infer(name: str, version: str | None = None) -> Response:
    """Run the tensors of the body."""
    model = models().find(name, version)
    watched = watch(model, "v2")
    body = read_bytes()
    watched.read()
    inference = decode(body, request.headers.get(JSON_LENGTH), model.bundle, settings())
    watched.decoded()
    outputs = model.predict(inference.inputs)
    watched.predicted(inference.inputs, outputs)
    response, behind = encode(model.bundle, inference, outputs)
    return _compressed(_tensors(ENCODER.encode(response), behind))


@v2.get("")
@v2.get("/")
@described(ServerMetadata)
def server() -> Response:
    """What this server is, and which of the protocol's extensions it speaks."""
    return answer(ServerMetadata())


@v2.get("/models")
@described(Names)
def list_models() -> Response:
    """The names, as V1 lists them."""
    return answer(Names(models().names()))


@v2.get("/models/<model:name>")
@v2.get("/models/<model:name>/versions/<model:version>")
@described(ModelDescription, refuses=[ModelNotFound])
def metadata(name: str, version: str | None = None) -> Response:
    """What the model takes and gives."""
    return answer(metadata_of(models().find(name, version), models().versions(name)))


@v2.get("/models/<model:name>/ready")
@v2.get("/models/<model:name>/versions/<model:version>/ready")
@described(ModelReady, refuses=[ModelNotFound])
def model_ready(name: str, version: str | None = None) -> Response:
    """A model that is found is open, and has given its golden answers."""
    return answer(ModelReady(models().find(name, version).bundle.name))


@v2.get("/models/<model:name>/config")
@v2.get("/models/<model:name>/versions/<model:version>/config")
@described(ModelConfig, refuses=[ModelNotFound])
def config(name: str, version: str | None = None) -> Response:
    """What of Triton's model configuration has a meaning here."""
    return answer(config_of(models().find(name, version), settings().max_rows, settings().workers))


@v2.get("/models/stats")
@v2.get("/models/<model:name>/stats")
@v2.get("/models/<model:name>/versions/<model:version>/stats")
@described(Statistics, refuses=[ModelNotFound])
def statistics(name: str | None = None, version: str | None = None) -> Response:
    """What all workers have answered since the service started, by model and version."""
    names = models().names() if name is None else [name]
    versions = [(one, v) for one in names for v in ([version] if version else models().versions(one))]
    found = [models().find(*title) for title in versions]
    return answer(Statistics([statistics_of(model, telemetry()) for model in found]))


@v2.post("/repository/index")
@described(list[IndexEntry], {JSON: IndexRequest}, [BadRequest, PayloadTooLarge, UnsupportedMediaType])
def index() -> Response:
    """Every version of every model. `{"ready": true}` in the body asks for those that are ready, which all are."""
    if data := read_bytes():
        decode_json(data, INDEX)
    return answer([IndexEntry(*title) for title in models().titles()])


@v2.post("/repository/models/<model:what>/load")
@v2.post("/repository/models/<model:what>/unload")
@v2.route("/systemsharedmemory/<path:what>", methods=["GET", "POST"])
@v2.route("/cudasharedmemory/<path:what>", methods=["GET", "POST"])
@v2.route("/trace/setting", methods=["GET", "POST"])
@v2.route("/models/<model:what>/trace/setting", methods=["GET", "POST"])
@v2.route("/logging", methods=["GET", "POST"])
def not_here(**_path: str) -> Response:
    """What Triton has, and this service does not."""
    there_is_no = "shared memory, trace or log setting, and no loading or unloading over HTTP"
    raise NotSupported(f"{request.path} is not here: there is no {there_is_no}")


def _tensors(text: bytes, behind: list[Buffer]) -> Response:
    if not behind:
        return Response(text, content_type=JSON)
    response = Response(b"".join([text, *behind]), content_type=BINARY)
    response.headers[JSON_LENGTH] = str(len(text))
    return response


def _compressed(response: Response) -> Response:
    """As the request's Accept-Encoding likes it best: `deflate` is zlib's form, as HTTP has it."""
    response.headers["Vary"] = "Accept-Encoding"
    if "Accept-Encoding" not in request.headers:
        return response
    match request.accept_encodings.best_match(["gzip", "deflate", "identity"]):
        case "gzip" as encoding:
            response.set_data(gzip.compress(response.get_data(), FASTEST, mtime=0))
        case "deflate" as encoding:
            response.set_data(zlib.compress(response.get_data(), FASTEST))
        case _:
            return response
    response.headers["Content-Encoding"] = encoding
    return response
