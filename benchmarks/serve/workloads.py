"""The workloads: the request that is sent, and how a response to it is checked before the measurement starts."""

import json
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from io import BytesIO
from pathlib import Path

import numpy as np
from PIL import Image

IRIS_PATH = "/v1/models/iris:predict"
IRIS_ROW = "one Iris row, JSON"
SETOSA = [5.1, 3.5, 1.4, 0.2]
MIN_SETOSA_PROBABILITY = 0.9
BATCH_SIZE = 256  # images
IMAGE_BATCH = f"{BATCH_SIZE} images, V2 binary tensor"
UPLOADS = ("240x240 PNG", "240x240 JPEG", "1-megapixel JPEG", "12-megapixel JPEG")
BOUNDARY = "digitalis-benchmark"
SAMPLES = Path(__file__).parents[2] / "samples"


@dataclass(frozen=True)
class Workload:
    """One request, and `is_correct`, which checks the body of a response to it."""

    name: str
    path: str
    content_type: str
    body: bytes
    is_correct: Callable[[bytes], bool]
    headers: str = ""

    @property
    def request(self) -> bytes:
        """The HTTP/1.1 request, head and body."""
        head = f"POST {self.path} HTTP/1.1\r\nHost: x\r\nContent-Type: {self.content_type}\r\n{self.headers}"
        return f"{head}Content-Length: {len(self.body)}\r\n\r\n".encode() + self.body


def iris_rows(rows: int = 1) -> Workload:
    """Rows of Iris features as V1 JSON. A prediction may be a list of probabilities or an object with a label."""
    body = json.dumps({"instances": [SETOSA] * rows}).encode()

    def is_correct(response: bytes) -> bool:
        first, *others = json.loads(response)["predictions"]
        is_setosa = first[0] > MIN_SETOSA_PROBABILITY if isinstance(first, list) else first["label"] == "setosa"
        return is_setosa and len(others) == rows - 1

    name = IRIS_ROW if rows == 1 else f"{rows:,} Iris rows, JSON"
    return Workload(name, IRIS_PATH, "application/json", body, is_correct)


def iris_row_v2() -> Workload:
    """One Iris row as V2 JSON, for servers that support no other protocol."""
    tensor = {"name": "features", "shape": [1, len(SETOSA)], "datatype": "FP32", "data": SETOSA}
    body = json.dumps({"inputs": [tensor]}).encode()

    def is_correct(response: bytes) -> bool:
        return bool(json.loads(response)["outputs"][0]["data"][0] > MIN_SETOSA_PROBABILITY)

    return Workload(IRIS_ROW, "/v2/models/iris/infer", "application/json", body, is_correct)


def png_form() -> Workload:
    """One 28x28 PNG in a multipart form. The sample is already normalised, so that every server can classify it."""
    from service.images.decoding import decode_image
    from service.images.limits import PixelBudget
    from training.normaliser import normalise

    file = BytesIO()
    image = normalise(decode_image((SAMPLES / "3.png").read_bytes(), PixelBudget(10**8)).pixels)
    Image.fromarray(image).save(file, "PNG")

    def is_correct(response: bytes) -> bool:
        return bool(json.loads(response)["predictions"][0]["label"] == "3")

    return _form("one PNG, multipart form", file.getvalue(), "image/png", is_correct)


def upload(name: str) -> Workload:
    """A picture of a digit as people send them. Whether a server reads it right is not checked: some only resize."""
    from benchmarks.preprocessing_latency import typical_uploads

    def is_digit(response: bytes) -> bool:
        return json.loads(response)["predictions"][0]["label"] in set("0123456789")

    file = typical_uploads()[name]
    return _form(f"{name}, multipart form", file, f"image/{name.rpartition(' ')[2].lower()}", is_digit)


def _form(name: str, file: bytes, content_type: str, is_correct: Callable[[bytes], bool]) -> Workload:
    head = f'--{BOUNDARY}\r\nContent-Disposition: form-data; name="image"; filename="digit"\r\n'
    body = f"{head}Content-Type: {content_type}\r\n\r\n".encode() + file + f"\r\n--{BOUNDARY}--\r\n".encode()
    form_type = f"multipart/form-data; boundary={BOUNDARY}"
    return Workload(name, "/v1/models/mnist-deep:predict", form_type, body, is_correct)


def image_batch(rows: int = BATCH_SIZE) -> tuple[Workload, np.ndarray]:
    """A batch of random images as a V2 binary tensor, with binary output; and the images, UINT8 [rows, 28, 28]."""
    batch = np.random.default_rng(0).integers(0, 256, (rows, 28, 28), np.uint8)
    size = {"binary_data_size": batch.nbytes}
    tensor = {"name": "image", "shape": list(batch.shape), "datatype": "UINT8", "parameters": size}
    output = {"name": "probabilities", "parameters": {"binary_data": True}}
    head = json.dumps({"inputs": [tensor], "outputs": [output]}).encode()

    def is_correct(response: bytes) -> bool:
        probabilities = np.frombuffer(response[-4 * 10 * rows :], np.float32)
        return abs(float(probabilities.sum()) - rows) < rows / 1000

    workload = Workload(
        f"{rows:,} images, V2 binary tensor",
        "/v2/models/mnist-deep/infer",
        "application/octet-stream",
        head + batch.tobytes(),
        is_correct,
        f"Inference-Header-Content-Length: {len(head)}\r\n",
    )
    return workload, batch


WORKLOADS: dict[str, Callable[[], Workload]] = {
    "row": iris_rows,
    "row, V2": iris_row_v2,
    "rows": partial(iris_rows, 1000),
    "form": png_form,
    "tensor": lambda: image_batch()[0],
    **{name: partial(upload, name) for name in UPLOADS},
}
"""All workloads; a `Server` lists by these keys which ones it supports."""
