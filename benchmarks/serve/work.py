"""What is asked of each server, as bytes, and how its answer is checked before the clock starts."""

import json
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from io import BytesIO
from pathlib import Path

import numpy as np
from PIL import Image

PREDICT = "/v1/models/iris:predict"
AN_IRIS = "an Iris row, JSON"
SURE = 0.9  # of a setosa
ROW = [5.1, 3.5, 1.4, 0.2]
BATCH = 256  # images
TENSOR = f"{BATCH} images, V2 binary"
BOUNDARY = "digitalis-benchmark"
SAMPLES = Path(__file__).parents[2] / "samples"


@dataclass(frozen=True)
class Work:
    """A request, and whether the body of an answer to it is right."""

    name: str
    path: str
    content_type: str
    body: bytes
    is_right: Callable[[bytes], bool]
    headers: str = ""

    @property
    def request(self) -> bytes:
        """As it goes over the wire."""
        head = f"POST {self.path} HTTP/1.1\r\nHost: x\r\nContent-Type: {self.content_type}\r\n{self.headers}"
        return f"{head}Content-Length: {len(self.body)}\r\n\r\n".encode() + self.body


def iris(rows: int = 1) -> Work:
    """So many rows of irises, as V1's JSON. Some servers give what the network gives, others name it."""
    body = json.dumps({"instances": [ROW] * rows}).encode()

    def is_right(found: bytes) -> bool:
        first, *others = json.loads(found)["predictions"]
        surely = first[0] > SURE if isinstance(first, list) else first["label"] == "setosa"
        return surely and len(others) == rows - 1

    return Work(AN_IRIS if rows == 1 else f"{rows:,} Iris rows, JSON", PREDICT, "application/json", body, is_right)


def iris_v2() -> Work:
    """The same row as V2's JSON, for servers that speak nothing else."""
    tensor = {"name": "features", "shape": [1, len(ROW)], "datatype": "FP32", "data": ROW}
    body = json.dumps({"inputs": [tensor]}).encode()

    def is_right(found: bytes) -> bool:
        return bool(json.loads(found)["outputs"][0]["data"][0] > SURE)

    return Work(AN_IRIS, "/v2/models/iris/infer", "application/json", body, is_right)


def png() -> Work:
    """One PNG of 28x28, in a form: drawn by us, and as the network saw it."""
    from service.images.decoding import Budget, decode_image
    from service.images.normaliser import normalise

    file = BytesIO()
    image = normalise(decode_image((SAMPLES / "3.png").read_bytes(), Budget(10**8)).grey)
    Image.fromarray(image).save(file, "PNG")
    head = f'--{BOUNDARY}\r\nContent-Disposition: form-data; name="image"; filename="3.png"\r\n'
    body = f"{head}Content-Type: image/png\r\n\r\n".encode() + file.getvalue() + f"\r\n--{BOUNDARY}--\r\n".encode()
    kind = f"multipart/form-data; boundary={BOUNDARY}"

    def is_right(found: bytes) -> bool:
        return bool(json.loads(found)["predictions"][0]["label"] == "3")

    return Work("one PNG, a form", "/v1/models/mnist-deep:predict", kind, body, is_right)


def tensor() -> tuple[Work, np.ndarray]:
    """A batch of images as V2's binary tensor, the answer likewise; and the images, UINT8 [256, 28, 28]."""
    batch = np.random.default_rng(0).integers(0, 256, (BATCH, 28, 28), np.uint8)
    size = {"binary_data_size": batch.nbytes}
    asked = {"name": "image", "shape": list(batch.shape), "datatype": "UINT8", "parameters": size}
    wanted = {"name": "probabilities", "parameters": {"binary_data": True}}
    head = json.dumps({"inputs": [asked], "outputs": [wanted]}).encode()
    work = Work(
        TENSOR,
        "/v2/models/mnist-deep/infer",
        "application/octet-stream",
        head + batch.tobytes(),
        lambda found: abs(float(np.frombuffer(found[-40 * BATCH :], np.float32).sum()) - BATCH) < BATCH / 1000,
        f"Inference-Header-Content-Length: {len(head)}\r\n",
    )
    return work, batch


KINDS: dict[str, Callable[[], Work]] = {
    "row": iris,
    "row, V2": iris_v2,
    "rows": partial(iris, 1000),
    "form": png,
    "tensor": lambda: tensor()[0],
}
"""The work that a server may say it can do."""
