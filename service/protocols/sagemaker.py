"""The two paths by which SageMaker asks a container whether it is ready, and for predictions: aliases of others.

https://docs.aws.amazon.com/sagemaker/latest/dg/your-algorithms-inference-code.html
"""

import flask

from service.errors import ModelNotFound
from service.http.access import requires
from service.http.messages import Request, Response
from service.http.routing import fast_path
from service.protocols.health import v2_readiness
from service.protocols.openapi import hidden
from service.protocols.v1.views import predict

sagemaker = flask.Blueprint("sagemaker", __name__)


@sagemaker.get("/ping")
@requires("open")
@hidden
def ping() -> flask.Response:
    """Whether to send requests, as `GET /v2/health/ready` says it."""
    return v2_readiness()


@sagemaker.post("/invocations")
@fast_path
@requires("predict")
@hidden
def invocations(request: Request) -> Response:
    """Predict every instance of the body, as `:predict` of the default model does."""
    return predict.fast_view(request, default_model(request))


def default_model(request: Request) -> str:
    """The name in the settings, or that of the only model; raises `ModelNotFound` if there are several."""
    models = request.models
    names = sorted({*models.names(), *(model_id.name for model_id in models.unavailable)})
    found = request.settings.default_model or (names[0] if len(names) == 1 else None)
    if found is None:
        raise ModelNotFound(
            "/invocations does not say which model is meant: set DIGITALIS_DEFAULT_MODEL to one of "
            f"{', '.join(names)}; or send POST /v1/models/<name>:predict"
        )
    return found
