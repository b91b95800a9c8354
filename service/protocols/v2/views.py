"""The Open Inference Protocol, REST, with Triton's extensions for binary tensors and for classification."""

import gzip
import zlib

import msgspec
from flask import Blueprint
from werkzeug.datastructures import Accept
from werkzeug.http import parse_accept_header

from service.errors import (
    BadRequest,
    ModelNotFound,
    NotSupported,
    PayloadTooLarge,
    UnsupportedMediaType,
    UnusableInput,
)
from service.http.body import read_bytes
from service.http.messages import ENCODER, Answer, Asked, answer
from service.protocols.examples import v2_request
from service.protocols.openapi import Parameter, described, undescribed
from service.protocols.parsing import JSON, decode_json
from service.protocols.v1.metadata import Names
from service.protocols.v2.metadata import (
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
from service.protocols.v2.requests import InferRequest, decode
from service.protocols.v2.responses import Buffer, InferResponse, encode

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
ENCODINGS = ("gzip", "deflate", "identity")  # as we like them
FASTEST = 1  # of zlib's levels: answers are small, and latency counts


@v2.post("/models/<model:name>/infer")
@v2.post("/models/<model:name>/versions/<model:version>/infer")
@described(GIVES, TAKES, REFUSED, lambda _: [LENGTH], v2_request)
def infer(asked: Asked, name: str, version: str | None = None) -> Answer:
    """Run the tensors of the body."""
    model = asked.models.find(name, version)
    watched = asked.watch(model, "v2")
    body = read_bytes(asked)
    watched.read()
    inference = decode(body, asked.header(JSON_LENGTH), model.bundle, asked.settings)
    watched.decoded()
    outputs = model.predict(inference.inputs)
    watched.predicted(inference.inputs, outputs)
    response, behind = encode(model.bundle, inference, outputs)
    return _compressed(asked, _tensors(ENCODER.encode(response), behind))


@v2.get("")
@v2.get("/")
@described(ServerMetadata)
def server(_asked: Asked) -> Answer:
    """What this server is, and which of the protocol's extensions it speaks."""
    return answer(ServerMetadata())


@v2.get("/models")
@described(Names)
def list_models(asked: Asked) -> Answer:
    """The names, as V1 lists them."""
    return answer(Names(asked.models.names()))


@v2.get("/models/<model:name>")
@v2.get("/models/<model:name>/versions/<model:version>")
@described(ModelDescription, refuses=[ModelNotFound])
def metadata(asked: Asked, name: str, version: str | None = None) -> Answer:
    """What the model takes and gives."""
    return answer(metadata_of(asked.models.find(name, version), asked.models.versions(name)))


@v2.get("/models/<model:name>/ready")
@v2.get("/models/<model:name>/versions/<model:version>/ready")
@described(ModelReady, refuses=[ModelNotFound])
def model_ready(asked: Asked, name: str, version: str | None = None) -> Answer:
    """A model that is found is open, and has given its golden answers."""
    return answer(ModelReady(asked.models.find(name, version).bundle.name))


@v2.get("/models/<model:name>/config")
@v2.get("/models/<model:name>/versions/<model:version>/config")
@described(ModelConfig, refuses=[ModelNotFound])
def config(asked: Asked, name: str, version: str | None = None) -> Answer:
    """What of Triton's model configuration has a meaning here."""
    return answer(config_of(asked.models.find(name, version), asked.settings.max_rows, asked.settings.workers))


@v2.get("/models/stats")
@v2.get("/models/<model:name>/stats")
@v2.get("/models/<model:name>/versions/<model:version>/stats")
@described(Statistics, refuses=[ModelNotFound])
def statistics(asked: Asked, name: str | None = None, version: str | None = None) -> Answer:
    """What all workers have answered since the service started, by model and version."""
    names = asked.models.names() if name is None else [name]
    versions = [(one, v) for one in names for v in ([version] if version else asked.models.versions(one))]
    found = [asked.models.find(*title) for title in versions]
    return answer(Statistics([statistics_of(model, asked.telemetry) for model in found]))


@v2.post("/repository/index")
@described(list[IndexEntry], {JSON: IndexRequest}, [BadRequest, PayloadTooLarge, UnsupportedMediaType])
def index(asked: Asked) -> Answer:
    """Every version of every model. `{"ready": true}` in the body asks for those that are ready, which all are."""
    if data := read_bytes(asked):
        decode_json(data, INDEX)
    return answer([IndexEntry(*title) for title in asked.models.titles()])


@v2.post("/repository/models/<model:what>/load")
@v2.post("/repository/models/<model:what>/unload")
@v2.route("/systemsharedmemory/<path:what>", methods=["GET", "POST"])
@v2.route("/cudasharedmemory/<path:what>", methods=["GET", "POST"])
@v2.route("/trace/setting", methods=["GET", "POST"])
@v2.route("/models/<model:what>/trace/setting", methods=["GET", "POST"])
@v2.route("/logging", methods=["GET", "POST"])
@undescribed
def not_here(asked: Asked, **_path: str) -> Answer:
    """What Triton has, and this service does not."""
    there_is_no = "shared memory, trace or log setting, and no loading or unloading over HTTP"
    raise NotSupported(f"{asked.path} is not here: there is no {there_is_no}")


def _tensors(text: bytes, behind: list[Buffer]) -> Answer:
    if not behind:
        return Answer(text)
    return Answer(b"".join([text, *behind]), BINARY, headers=((JSON_LENGTH, str(len(text))),))


def _compressed(asked: Asked, given: Answer) -> Answer:
    """As the request's Accept-Encoding likes it best: `deflate` is zlib's form, as HTTP has it."""
    headers = (*given.headers, ("Vary", "Accept-Encoding"))
    accepted = asked.header("Accept-Encoding")
    encoding = parse_accept_header(accepted, Accept).best_match(ENCODINGS) if accepted else None
    if encoding not in ("gzip", "deflate"):
        return given._replace(headers=headers)
    body = gzip.compress(given.body, FASTEST, mtime=0) if encoding == "gzip" else zlib.compress(given.body, FASTEST)
    return given._replace(body=body, headers=(*headers, ("Content-Encoding", encoding)))
