"""An image file to what the network takes: decoded, then normalised."""

import threading
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from service.images.decoding import DecodedImage, PixelBudget, decode_image
from service.images.normaliser import NormalisedDigit, normalise_with_report

DECODE_SLOTS = threading.BoundedSemaphore(2)  # in one process: decoding a large picture takes hundreds of megabytes


@dataclass(frozen=True)
class NetworkInput:
    """`image` UINT8 [28, 28], 0 = paper, 255 = ink; and how it was made, unless the client sent it as an array."""

    image: NDArray[np.uint8]
    decoded: DecodedImage | None = None
    normalised: NormalisedDigit | None = None


def read_image(data: bytes, budget: PixelBudget) -> NetworkInput:
    """Decode and normalise an image file, waiting for a slot.

    Raises what `decode_image` raises, and `UnprocessableInput` if it does not show exactly one digit.
    """
    with DECODE_SLOTS:
        decoded = decode_image(data, budget)
        normalised = normalise_with_report(decoded.grey)
    return NetworkInput(normalised.image, decoded, normalised)
