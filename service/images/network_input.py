"""An image file to what the network takes: decoded, then normalised."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from service.images.decoding import EncodedImage, Geometry
from service.images.normaliser import NormalisedDigit, SegmentFunction, normalise_with_report


@dataclass(frozen=True)
class NetworkInput:
    """`image` UINT8 [28, 28], 0 = paper, 255 = ink; and how it was made, unless the client sent it as an array."""

    image: NDArray[np.uint8]
    geometry: Geometry | None = None
    normalised: NormalisedDigit | None = None


def read_image(encoded: EncodedImage, segment: SegmentFunction) -> NetworkInput:
    """Decode and normalise an image file.

    Raises what `EncodedImage.decode` raises, and `UnprocessableInput` if it does not show exactly one digit.
    """
    decoded = encoded.decode()
    normalised = normalise_with_report(decoded.grey, segment)
    return NetworkInput(normalised.image, decoded.geometry, normalised)
