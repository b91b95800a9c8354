"""The V1 protocol of TensorFlow Serving and KServe."""

from typing import Any

from flask import Blueprint, Response, request

from service.bundle import Bundle
from service.decoding import decode
from service.encoding import encode
from service.errors import BadRequest
from service.repository import Model
from service.routes import answer, models, settings
from service.routes.body import read_body

v1 = Blueprint("v1", __name__, url_prefix="/v1/models")

TENSORFLOW_DTYPES = {"UINT8": "DT_UINT8", "FP32": "DT_FLOAT"}


@v1.post("/<model:name>:predict")
@v1.post("/<model:name>/versions/<model:version>:predict")
def predict(name: str, version: str | None = None) -> Response:
    """Classify every instance of the body."""
    model = models().find(name, version)
    show, abstain = shows_ink(model.bundle), abstains(model.bundle)
    decoded = decode(read_body(), model.bundle, settings(), show=show)
    outputs = model.predict(decoded.inputs)
    return answer(encode(model.bundle, decoded, outputs, abstain=abstain))


@v1.get("")
def list_models() -> Response:
    """The names, as KServe lists them."""
    return answer({"models": models().names()})


@v1.get("/<model:name>")
@v1.get("/<model:name>/versions/<model:version>")
def status(name: str, version: str | None = None) -> Response:
    """All that a client wants to know: TensorFlow Serving's status, KServe's readiness, and the bundle's own facts."""
    model = models().find(name, version)
    versions = models().versions(name)
    return answer(_status(model, versions, shown=versions if version is None else [version]))


@v1.get("/<model:name>/metadata")
@v1.get("/<model:name>/versions/<model:version>/metadata")
def metadata(name: str, version: str | None = None) -> Response:
    """TensorFlow Serving's metadata, and where the bundle came from."""
    bundle = models().find(name, version).bundle
    return answer(
        {
            "model_spec": {"name": bundle.name, "signature_name": "", "version": bundle.version},
            "metadata": {"signature_def": {"signature_def": {"serving_default": _signature_def(bundle)}}},
            "origin": {
                "recipe": bundle.recipe,
                "seed": bundle.seed,
                "data": bundle.data,
                "libraries": bundle.libraries,
                "created": bundle.created,
            },
        }
    )


@v1.get("/<model:name>/report")
@v1.get("/<model:name>/versions/<model:version>/report")
def report(name: str, version: str | None = None) -> Response:
    """The bundle's page for people. It comes with the bundle, so the browser is told to run nothing in it."""
    page = Response(models().find(name, version).report(), content_type="text/html; charset=utf-8")
    page.headers["Content-Security-Policy"] = "default-src 'none'; img-src data:; style-src 'unsafe-inline'; sandbox"
    return page


def shows_ink(bundle: Bundle) -> bool:
    """Whether `?debug=ink` asks to be shown what the network saw; raises `BadRequest` where that cannot be."""
    asked = request.args.getlist("debug")
    for value in asked:
        if value != "ink":
            raise BadRequest(f"debug={value}: the only one is debug=ink, which shows what the network saw of a picture")
    if asked and not bundle.takes_images:
        raise BadRequest(f"debug=ink: {bundle.name} takes no pictures")
    return bool(asked)


def abstains(bundle: Bundle) -> bool:
    """Whether an unsure answer shall have no label: `?abstain=true`, or the setting where a request does not say.

    Raises `BadRequest` where that cannot be asked for; the setting is for the models that have thresholds.
    """
    asked = request.args.getlist("abstain")
    for value in asked:
        if value not in ("true", "false"):
            raise BadRequest(f"abstain={value}: true (an unsure answer has no label) or false")
    if len(set(asked)) > 1:
        raise BadRequest("abstain is asked for, and not: send it once")
    if "true" in asked and bundle.abstention is None:
        raise BadRequest(f"abstain=true: {bundle.name} has no thresholds below which an answer is unsure")
    return asked[0] == "true" if asked else settings().abstain


def _status(model: Model, versions: list[str], shown: list[str]) -> dict[str, Any]:
    bundle = model.bundle
    ok = {"error_code": "OK", "error_message": ""}
    return {
        "name": bundle.name,
        "ready": True,
        "version": bundle.version,
        "versions": versions,
        "model_version_status": [{"version": v, "state": "AVAILABLE", "status": ok} for v in shown],
        "task": bundle.task,
        "signature": bundle.signature,
        "labels": bundle.labels,
        "features": bundle.features,
        "targets": bundle.targets,
        "metrics": bundle.metrics,
        "abstention": bundle.abstention,
        "runtime": model.runtime.name,
        "device": model.runtime.device,
        "digest": model.digest,
    }


def _signature_def(bundle: Bundle) -> dict[str, Any]:
    def tensors(side: str) -> dict[str, Any]:
        return {
            spec.name: {
                "name": f"{spec.name}:0",
                "dtype": TENSORFLOW_DTYPES[spec.datatype],
                "tensor_shape": {
                    "dim": [{"size": str(size), "name": ""} for size in spec.shape],
                    "unknown_rank": False,
                },
            }
            for spec in getattr(bundle.signature, side)
        }

    method = "tensorflow/serving/predict"
    return {"inputs": tensors("inputs"), "outputs": tensors("outputs"), "method_name": method, "defaults": {}}
