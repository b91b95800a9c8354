"""The client that openapi-python-client has generated as `digitalis_client`: rows, pictures, tensors and errors.

Arguments: the address of the service, the version of iris, and the folder of sample pictures.
"""

import base64
import sys
from pathlib import Path

from digitalis_client import Client
from digitalis_client.api.service import read_metrics
from digitalis_client.api.v1 import v1_list_models, v1_metadata, v1_predict, v1_predict_version, v1_report, v1_status
from digitalis_client.api.v2 import v2_config, v2_index, v2_infer, v2_infer_version, v2_readiness, v2_statistics
from digitalis_client.models import (
    ErrorBody,
    ImageForm,
    IndexRequest,
    InferInput,
    InferInputDatatype,
    InferOutput,
    InferRequest,
    PredictRequest,
    V1PredictAbstain,
    V1PredictDebug,
)
from digitalis_client.types import UNSET, File

ADDRESS, IRIS_VERSION, SAMPLES = sys.argv[1:]
client = Client(f"http://{ADDRESS}", raise_on_unexpected_status=True)


def rows() -> None:
    by_name = {"sepal length (cm)": 6.3, "sepal width (cm)": 3.3, "petal length (cm)": 6.0, "petal width (cm)": 2.5}
    body = PredictRequest(instances=[[5.1, 3.5, 1.4, 0.2], by_name])
    for response in (
        v1_predict.sync("iris", client=client, body=body),
        v1_predict_version.sync("iris", IRIS_VERSION, client=client, body=body),
    ):
        first, second = response.predictions
        assert (first.label, second.label) == ("setosa", "virginica")
        assert first.probabilities["setosa"] == first.probability > 0.9
        assert first.unsure is UNSET


def other_tasks() -> None:
    response = v1_predict.sync("linnerud", client=client, body=PredictRequest(instances=[[5, 162, 60]]))
    assert response.predictions[0].values is not UNSET
    assert response.predictions[0].label is UNSET
    response = v1_predict.sync("arc", client=client, body=PredictRequest(instances=[[0.5]]))
    assert response.predictions[0].deviation > 0
    assert len(response.predictions[0].weights) == 3


def pictures() -> None:
    path = Path(SAMPLES, "3.png")
    with path.open("rb") as form, path.open("rb") as raw:
        bodies = [
            ImageForm(File(form, "3.png", "image/png")),
            File(raw),
            PredictRequest(instances=[{"b64": base64.b64encode(path.read_bytes()).decode()}]),
        ]
        for body in bodies:
            response = v1_predict.sync("digits", client=client, body=body, debug=V1PredictDebug.INK)
            (prediction,) = response.predictions
            assert prediction.label == "3"
            assert prediction.ink.png.startswith("data:image/png")
            assert len(prediction.ink.box) == 4


def no_label() -> None:
    noise = [[(row * column) % 7 * 40 for column in range(28)] for row in range(28)]
    body = PredictRequest(instances=[noise])
    (prediction,) = v1_predict.sync("digits", client=client, body=body, abstain=V1PredictAbstain.TRUE).predictions
    assert prediction.label is None
    assert prediction.unsure


def tensors() -> None:
    features = InferInput("features", [1, 4], InferInputDatatype.FP32, data=[5.1, 3.5, 1.4, 0.2])
    body = InferRequest([features], id="7", outputs=[InferOutput("probabilities")])
    for response in (
        v2_infer.sync("iris", client=client, body=body),
        v2_infer_version.sync("iris", IRIS_VERSION, client=client, body=body),
    ):
        (output,) = response.outputs
        assert response.id == "7"
        assert output.shape == [1, 3]
        assert output.data[0] > 0.9


def errors() -> None:
    wrong = v1_predict.sync("iris", client=client, body=PredictRequest(instances=[[1, 2]]))
    assert isinstance(wrong, ErrorBody)
    assert "array of length 4" in wrong.error
    unknown = v1_predict.sync("lily", client=client, body=PredictRequest(instances=[[1, 2]]))
    assert "no model 'lily'" in unknown.error


def metadata() -> None:
    assert "iris" in v1_list_models.sync(client=client).models
    for model in ("iris", "digits", "linnerud", "arc"):
        assert v1_status.sync(model, client=client).name == model
        assert v1_metadata.sync(model, client=client).model_spec.name == model
        assert v2_config.sync(model, client=client).name == model
        assert "<html" in v1_report.sync(model, client=client)
    assert v1_status.sync("digits", client=client).abstention.min_probability > 0
    assert v1_status.sync("iris", client=client).abstention is None
    assert v2_readiness.sync(client=client).ready
    assert len(v2_index.sync(client=client, body=IndexRequest(ready=True))) >= 4
    assert v2_statistics.sync(client=client).model_stats
    assert "digitalis_" in read_metrics.sync(client=client)


for check in (rows, other_tasks, pictures, no_label, tensors, errors, metadata):
    check()
