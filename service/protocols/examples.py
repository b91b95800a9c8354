"""A request to try, made of what a bundle says of itself: the middle of each feature's range, or a drawn one."""

import base64
import io
from typing import Any

import numpy as np
from PIL import Image

from service.bundle.manifest import IMAGE_SHAPE, Bundle
from service.bundle.signature import Arrays


def inputs_of(bundle: Bundle) -> Arrays:
    """A batch of one, of numbers that one would type."""
    (spec,) = bundle.signature.inputs
    if bundle.takes_images:
        image = np.zeros((1, *IMAGE_SHAPE), np.uint8)
        image[0, 4:24, 13:16] = 255
        return {spec.name: image}
    row = [float(f"{(feature.minimum + feature.maximum) / 2:.3g}") for feature in bundle.features]
    return {spec.name: np.array([row], np.float64)}


def v1_request(bundle: Bundle) -> dict[str, Any]:
    """The body for `:predict`; a picture as a file."""
    (batch,) = inputs_of(bundle).values()
    if not bundle.takes_images:
        return {"instances": batch.tolist()}
    file = io.BytesIO()
    Image.fromarray(255 - batch[0]).save(file, "PNG")
    return {"instances": [{"b64": base64.b64encode(file.getvalue()).decode()}]}


def v2_request(bundle: Bundle) -> dict[str, Any]:
    """The body for `/infer`."""
    (spec,) = bundle.signature.inputs
    batch = inputs_of(bundle)[spec.name]
    data = batch.ravel().tolist()
    return {"inputs": [{"name": spec.name, "shape": list(batch.shape), "datatype": spec.datatype, "data": data}]}
