"""What holds for every valid request, tried with random ones; the same ones each time."""

import csv
import gzip
import io
import json
import zlib
from itertools import pairwise
from typing import Any
from unittest.mock import patch

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from in_process import Response, open_app, post
from numpy.typing import NDArray
from stepped_worker import SteppedWorker, echo

from service.bundle.manifest import Bundle
from service.http.messages import JSON
from service.http.routing import DigitalisApp
from service.worker.options import WorkerOptions

LENGTH = "Inference-Header-Content-Length"
CLASSIFIERS = ["iris", "breast-cancer", "mnist-deep"]  # three classes, two, ten
REGRESSIONS = ["diabetes", "linnerud"]  # one value, three
MODELS = [*CLASSIFIERS, *REGRESSIONS]
MAX_BATCH = 300

few = settings(max_examples=10, deadline=None, derandomize=True, database=None)
many = settings(max_examples=50, deadline=None, derandomize=True, database=None)
rows_of_iris = st.lists(st.lists(st.floats(-100, 100), min_size=4, max_size=4), min_size=1, max_size=20)


@pytest.fixture(scope="module")
def apps() -> tuple[DigitalisApp, DigitalisApp]:
    """The application on both runtimes: ONNX Runtime and TorchScript."""
    return open_app(*MODELS), open_app(*MODELS, runtime="torchscript")


def bundle_of(app: DigitalisApp, model: str) -> Bundle:
    return app.models.find(model).bundle


def batches(bundle: Bundle) -> st.SearchStrategy[NDArray[Any]]:
    """Up to 300 rows: images of any pixels; features within their training range, or half of it above or below."""
    if bundle.takes_images:
        return st.integers(1, MAX_BATCH).flatmap(lambda rows: arrays(np.uint8, (rows, 28, 28)))
    low = np.array([feature.minimum for feature in bundle.features])
    high = np.array([feature.maximum for feature in bundle.features])
    positions = st.integers(1, MAX_BATCH).flatmap(
        lambda rows: arrays(np.float32, (rows, len(low)), elements=st.floats(-0.5, 1.5, width=32))
    )
    return positions.map(lambda at: (low + at * (high - low)).astype(np.float32))


def checked(response: Response) -> Response:
    assert response.status == 200, response.body
    return response


def predict(app: DigitalisApp, model: str, batch: NDArray[Any]) -> list[dict[str, Any]]:
    """The predictions of V1."""
    body = json.dumps({"instances": batch.tolist()}).encode()
    response = post(app, f"/v1/models/{model}:predict", body, {"Content-Type": JSON})
    predictions: list[dict[str, Any]] = checked(response).json()["predictions"]
    return predictions


def infer(app: DigitalisApp, model: str, batch: NDArray[Any], *, binary: bool) -> NDArray[np.float32]:
    """The first output of V2; with `binary`, input and output are binary tensors."""
    bundle = bundle_of(app, model)
    (spec, output) = bundle.signature.inputs[0], bundle.signature.outputs[0]
    tensor: dict[str, Any] = {"name": spec.name, "shape": batch.shape, "datatype": spec.datatype}
    tensor |= {"parameters": {"binary_data_size": batch.nbytes}} if binary else {"data": batch.ravel().tolist()}
    outputs = [{"name": output.name, "parameters": {"binary_data": binary}}]
    text = json.dumps({"inputs": [tensor], "outputs": outputs}).encode()
    body, headers = (text + batch.tobytes(), {LENGTH: str(len(text))}) if binary else (text, {})
    response = checked(post(app, f"/v2/models/{model}/infer", body, headers))
    length = int(response.headers.get(LENGTH.lower(), len(response.body)))
    (described,) = json.loads(response.body[:length])["outputs"]
    values = np.frombuffer(response.body[length:], np.float32) if binary else np.array(described["data"], np.float32)
    return values.reshape(described["shape"])


# Both protocols and both runtimes.


@pytest.mark.parametrize("model", MODELS)
@few
@given(data=st.data())
def test_v1_and_v2_agree_on_both_runtimes(
    apps: tuple[DigitalisApp, DigitalisApp], model: str, data: st.DataObject
) -> None:
    batch = data.draw(batches(bundle_of(apps[0], model)))
    expected = infer(apps[0], model, batch, binary=False)
    for app in apps:
        predictions = predict(app, model, batch)
        for found in (infer(app, model, batch, binary=True), numbers(predictions)):
            np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-5)
        if model in CLASSIFIERS:
            labels = bundle_of(app, model).labels
            assert [one["label"] for one in predictions] == [labels[i] for i in expected.argmax(axis=1)]


def numbers(predictions: list[dict[str, Any]]) -> NDArray[np.float32]:
    """The probabilities or values of all predictions."""
    rows = [[*one["values" if "values" in one else "probabilities"].values()] for one in predictions]
    return np.array(rows, np.float32)


@pytest.mark.parametrize("model", MODELS)
@few
@given(data=st.data())
def test_a_binary_output_is_equal_to_the_output_in_json(
    apps: tuple[DigitalisApp, DigitalisApp], model: str, data: st.DataObject
) -> None:
    batch = data.draw(batches(bundle_of(apps[0], model)))
    in_json, binary = (infer(apps[0], model, batch, binary=binary) for binary in (False, True))
    np.testing.assert_array_equal(in_json, binary)


# Spellings of the same request.


@many
@given(
    rows=st.lists(
        st.lists(st.floats(width=32, allow_nan=False, allow_infinity=False), min_size=4, max_size=4), min_size=1
    )
)
def test_rows_in_json_are_decoded_to_the_same_numbers(
    apps: tuple[DigitalisApp, DigitalisApp], rows: list[list[float]]
) -> None:
    """All finite FP32 numbers; what a runtime gets is compared, before the network makes something else of it."""
    app, expected = apps[0], np.array(rows, np.float32)
    runtime = app.models.find("iris").runtime
    tensor = {"name": "features", "shape": expected.shape, "datatype": "FP32", "data": rows}
    with patch.object(runtime, "run", wraps=runtime.run) as run:
        post(app, "/v1/models/iris:predict", instances(rows), {"Content-Type": JSON})
        post(app, "/v2/models/iris/infer", json.dumps({"inputs": [tensor]}).encode(), {})
    assert run.call_count == 2
    for called in run.call_args_list:
        np.testing.assert_array_equal(called.args[0]["features"], expected)


@many
@given(rows=rows_of_iris, order=st.none() | st.permutations(range(4)), end=st.sampled_from(["\n", "\r\n", "\r"]))
def test_csv_gets_the_same_response_as_json(
    apps: tuple[DigitalisApp, DigitalisApp], rows: list[list[float]], order: list[int] | None, end: str
) -> None:
    """Without a header, or with one that names the columns in any order."""
    names = [feature.name for feature in bundle_of(apps[0], "iris").features]
    text = io.StringIO()
    writer = csv.writer(text, lineterminator=end)
    writer.writerows([] if order is None else [[names[i] for i in order]])
    writer.writerows([row[i] for i in order or range(4)] for row in rows)
    of_csv = post(apps[0], "/v1/models/iris:predict", text.getvalue().encode(), {"Content-Type": "text/csv"})
    of_json = post(apps[0], "/v1/models/iris:predict", instances(rows), {"Content-Type": JSON})
    assert checked(of_csv).body == of_json.body


@many
@given(rows=rows_of_iris, cut=st.integers(0, 100))
def test_a_compressed_body_gets_the_same_response_as_a_plain_one(
    apps: tuple[DigitalisApp, DigitalisApp], rows: list[list[float]], cut: int
) -> None:
    """Also one of two gzip members."""
    plain = instances(rows)
    expected = checked(post(apps[0], "/v1/models/iris:predict", plain, {"Content-Type": JSON})).body
    for encoding, body in (
        ("gzip", gzip.compress(plain)),
        ("gzip", gzip.compress(plain[:cut]) + gzip.compress(plain[cut:])),
        ("deflate", zlib.compress(plain)),
    ):
        headers = {"Content-Type": JSON, "Content-Encoding": encoding}
        assert post(apps[0], "/v1/models/iris:predict", body, headers).body == expected


@many
@given(rows=rows_of_iris, data=st.data())
def test_a_chunked_body_gets_the_same_response_as_one_with_a_length(
    apps: tuple[DigitalisApp, DigitalisApp], rows: list[list[float]], data: st.DataObject
) -> None:
    body = instances(rows)
    bodies = []
    for request in (with_length(body), chunked(pieces(body, data.draw(cuts(body))))):
        with SteppedWorker(apps[0], options=WorkerOptions(max_body_bytes=2**20)) as worker:
            response = worker.client().exchange(request)
        assert response.status == 200
        bodies.append(response.body)
    assert bodies[0] == bodies[1]


# The bytes of a connection.


@many
@given(bodies=st.lists(st.tuples(st.binary(max_size=50), st.booleans()), min_size=1, max_size=5), data=st.data())
def test_the_same_requests_are_received_however_their_bytes_are_split(
    bodies: list[tuple[bytes, bool]], data: st.DataObject
) -> None:
    """Requests with a length and chunked ones, in any order."""
    stream = b"".join(chunked([body] if body else []) if in_chunks else with_length(body) for body, in_chunks in bodies)
    with SteppedWorker(echo) as worker:
        client = worker.client()
        for piece in pieces(stream, data.draw(cuts(stream))):
            client.send(piece)
        responses = [client.response() for _ in bodies]
        assert not client.receive()
    assert [response and response.sent_body for response in responses] == [body.decode("latin1") for body, _ in bodies]


def instances(rows: list[list[float]]) -> bytes:
    return json.dumps({"instances": rows}).encode()


def cuts(content: bytes) -> st.SearchStrategy[list[int]]:
    """Where to split bytes, at any number of places."""
    return st.lists(st.integers(1, max(1, len(content) - 1)), max_size=20, unique=True).map(sorted)


def pieces(content: bytes, at: list[int]) -> list[bytes]:
    return [content[start:end] for start, end in pairwise([0, *at, len(content)]) if end > start]


HEAD = b"POST /v1/models/iris:predict HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"


def with_length(body: bytes) -> bytes:
    return HEAD + b"Content-Length: %d\r\n\r\n" % len(body) + body


def chunked(chunks: list[bytes]) -> bytes:
    framed = b"".join(b"%x\r\n%b\r\n" % (len(chunk), chunk) for chunk in [*chunks, b""])
    return HEAD + b"Transfer-Encoding: chunked\r\n\r\n" + framed
