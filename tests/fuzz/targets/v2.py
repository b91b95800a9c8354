"""V2 bodies: JSON, with or without binary tensors after it, for a vector model and an image model.

The first byte of an input, a digit, chooses the model. Where an empty line follows the JSON, binary tensors follow it.
"""

import json
import math

from in_process import Response

from fuzz.application import send

MODELS = ("iris", "mnist")
LENGTH = "Inference-Header-Content-Length"
WORDS = (
    b'{"inputs":[{"name":"features","shape":[1,4],"datatype":"FP32","data":[5.1,3.5,1.4,0.2]}]}',
    b'{"inputs":[{"name":"features","shape":[1,4],"datatype":"FP32","parameters":{"binary_data_size":16}}]}\n\n',
    b'{"inputs":[{"name":"image","shape":[1,28,28],"datatype":"UINT8","parameters":{"binary_data_size":784}}]}\n\n',
    b'"outputs":[{"name":"probabilities","parameters":{"binary_data":true}}]',
    b'"outputs":[{"name":"probabilities","parameters":{"classification":2}}]',
    b'"name":"background"',
    b'"parameters":{"binary_data_output":true}',
    b'"shared_memory_region":"a"',
    b'"id":"a"',
    b'"data":[[',
    b'"BYTES"',
    b'"FP64"',
    b"2147483647",
    b"1e39",
    b"null",
    b"true",
    b"\n\n",
)


def run(data: bytes) -> None:
    """Send the body; each tensor of the response must have as many values as its shape says."""
    model = MODELS[(data[0] - ord("0")) % len(MODELS) if data else 0]
    text, separator, tensors = data[1:].partition(b"\n\n")
    headers = {LENGTH.replace("-", "_"): str(len(text))} if separator else {}
    response = send(f"/v2/models/{model}/infer", text + tensors, **headers)
    if response.status == 200:
        check_outputs(response)


def check_outputs(response: Response) -> None:
    """Assert that the outputs fit their shapes, and binary outputs their sizes."""
    length = int(response.headers.get(LENGTH.lower(), len(response.body)))
    left = len(response.body) - length
    for output in json.loads(response.body[:length])["outputs"]:
        count = math.prod(output["shape"])
        assert count, output
        if "data" in output:
            assert len(output["data"]) == count, output
            continue
        size = output["parameters"]["binary_data_size"]
        assert output["datatype"] == "BYTES" or size == 4 * count, output
        left -= size
    assert left == 0, response
