"""What `:predict` reads and returns whatever the model is, for the OpenAPI document of the service.

The types that requests are checked with, and that responses are made of, are those of each model.
"""

from typing import Annotated, Any

import msgspec
from msgspec import Meta

from service.http.body import FORM
from service.http.messages import JSON
from service.protocols.openapi import merged
from service.protocols.v1.image_requests import ImageForm
from service.protocols.v1.responses import (
    Classification,
    Classifications,
    ItemError,
    MixturePrediction,
    Mixtures,
    Regression,
    Regressions,
)


class Parameters(msgspec.Struct):
    """What a body may say as `parameters`; they win over the query. `format` is in the document of each model."""

    abstain: Annotated[bool | None, Meta(description="as the query parameter")] = None


class PredictRequest(msgspec.Struct):
    """Instances to predict, of one model.

    An instance is a row of numbers, an object of features by name, an image file in base64 (alone, or as `b64` of an
    object), or an array of pixels. `signature_name` is ignored.
    """

    instances: list[Any]
    signature_name: str | None = None
    parameters: Parameters | None = None


Prediction: Any = merged(
    "Prediction",
    """One prediction; its fields depend on the model's task.

    A classifier gives `label` (null if it is `unsure` and the request said `abstain`), its `probability` and all
    `probabilities`, 0 to 1; a regression `values`, in real units; a mixture the other fields. `warnings` say what is
    doubtful. With `?errors=item` an instance that could not be read has an `error`, and nothing else. Models of which
    only the signature is known give lists, see their own document, as do all with `?format=scores`.
    """,
    Classification,
    Regression,
    MixturePrediction,
    ItemError,
    probabilities=dict[str, float],  # a list only with `format`, which changes the types: in a model's own document
    values=dict[str, float],
)
PredictResponse = msgspec.defstruct(
    "PredictResponse",
    [("predictions", list[Prediction])],
    bases=(merged("PredictResponse", "", Classifications, Regressions, Mixtures),),
    namespace={"__doc__": "One prediction for each instance, in the order of the instances."},
    kw_only=True,
)

REQUEST_BODY: dict[str, Any] = {JSON: PredictRequest, FORM: ImageForm, "application/octet-stream": None}
RESPONSE: dict[str, Any] = {JSON: PredictResponse}
