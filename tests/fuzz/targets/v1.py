"""V1 bodies: JSON and CSV for a vector model, JSON for an image model, and bodies without a media type for both.

The first byte of an input, a digit, chooses model and media type; the rest is the body.
"""

import math

from fuzz.application import send

KINDS = (
    ("iris", "application/json"),
    ("iris", "text/csv"),
    ("mnist", "application/json"),
    ("iris", "text/plain"),
    ("mnist", "text/plain"),
)
WORDS = (
    b'0{"instances":[[5.1,3.5,1.4,0.2]]}',
    b'{"instances":[',
    b'"signature_name":"serving_default"',
    b'{"sepal length (cm)":5.1,"sepal width (cm)":3.5,"petal length (cm)":1.4,"petal width (cm)":0.2}',
    b"1sepal length (cm),sepal width (cm),petal length (cm),petal width (cm)\n",
    b"5.1,3.5,1.4,0.2\n",
    b'{"b64":"',
    b"null",
    b"true",
    b"NaN",
    b"-Infinity",
    b"1e400",
    b"3.5e38",
    b"-0.0",
    b"9007199254740993",
    b"255",
    b"256",
    b"\xef\xbb\xbf",
    b"\\ud800",
)


def run(data: bytes) -> None:
    """Send the body; a prediction must have one of the labels, and probabilities of which the sum is 1."""
    model, media_type = KINDS[(data[0] - ord("0")) % len(KINDS) if data else 0]
    response = send(f"/v1/models/{model}:predict", data[1:], Content_Type=media_type)
    if response.status != 200:
        return
    predictions = response.json()["predictions"]
    assert predictions
    for prediction in predictions:
        probabilities = prediction["probabilities"]
        assert prediction["probability"] == probabilities[prediction["label"]] == max(probabilities.values())
        assert math.isclose(sum(probabilities.values()), 1, abs_tol=1e-4)
