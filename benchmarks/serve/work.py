"""What is asked of each server, as bytes, and how its answer is checked before the clock starts."""

import json
from collections.abc import Callable
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path

import numpy as np
from PIL import Image

ROW = [5.1, 3.5, 1.4, 0.2]
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
    """So many rows of irises, as V1's JSON."""
    body = json.dumps({"instances": [ROW] * rows}).encode()
    name = "an Iris row, JSON" if rows == 1 else f"{rows:,} Iris rows, JSON"
    return Work(name, "/v1/models/iris:predict", "application/json", body, lambda found: _iris_is_right(found, rows))


def _iris_is_right(body: bytes, rows: int) -> bool:
    """KServe's own servers give what the network gives; others name it."""
    predictions = json.loads(body)["predictions"]
    first = predictions[0]
    return len(predictions) == rows and (first[0] > 0.9 if isinstance(first, list) else first["label"] == "setosa")


def png() -> Work:
    """One PNG of 28x28, in a form: drawn by us, and as the network saw it."""
    from service.decoding.images import Budget, decode_image
    from service.digits import normalise

    file = BytesIO()
    image = normalise(decode_image((SAMPLES / "3.png").read_bytes(), Budget(10**8)).grey)
    Image.fromarray(image).save(file, "PNG")
    head = f'--{BOUNDARY}\r\nContent-Disposition: form-data; name="image"; filename="3.png"\r\n'
    body = f"{head}Content-Type: image/png\r\n\r\n".encode() + file.getvalue() + f"\r\n--{BOUNDARY}--\r\n".encode()
    kind = f"multipart/form-data; boundary={BOUNDARY}"

    def is_right(found: bytes) -> bool:
        return bool(json.loads(found)["predictions"][0]["label"] == "3")

    return Work("one PNG, a form", "/v1/models/mnist-deep:predict", kind, body, is_right)


def tensor(images: int) -> tuple[Work, np.ndarray]:
    """So many images as V2's binary tensor, the answer likewise; and the images, UINT8 [n, 28, 28]."""
    batch = np.random.default_rng(0).integers(0, 256, (images, 28, 28), np.uint8)
    size = {"binary_data_size": batch.nbytes}
    asked = {"name": "image", "shape": list(batch.shape), "datatype": "UINT8", "parameters": size}
    wanted = {"name": "probabilities", "parameters": {"binary_data": True}}
    head = json.dumps({"inputs": [asked], "outputs": [wanted]}).encode()
    work = Work(
        f"{images} images, V2 binary",
        "/v2/models/mnist-deep/infer",
        "application/octet-stream",
        head + batch.tobytes(),
        lambda found: abs(float(np.frombuffer(found[-40 * images :], np.float32).sum()) - images) < images / 1000,
        f"Inference-Header-Content-Length: {len(head)}\r\n",
    )
    return work, batch
