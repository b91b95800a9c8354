"""What `:predict` reads and returns whatever the model is, for the OpenAPI document of the service.

The types that requests are checked with, and that responses are made of, are those of each model.
"""

from typing import Any

import msgspec

from service.http.body import FORM
from service.http.messages import JSON
from service.protocols.openapi import merged
from service.protocols.v1.image_requests import ImageForm
from service.protocols.v1.options import BodyParameters
from service.protocols.v1.responses import (
    Classification,
    Classifications,
    ItemError,
    MixturePrediction,
    Mixtures,
    Regression,
    Regressions,
)


class PredictRequest(msgspec.Struct):
    """Instances to predict, of one model.

    An instance is a row of numbers, an object of features by name, an image file in base64 (alone, or as `b64` of an
    object), or an array of pixels. `signature_name` is ignored.
    """

    instances: list[Any]
    signature_name: str | None = None
    parameters: BodyParameters | None = None


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
