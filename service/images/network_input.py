"""An image file to what the network takes: decoded, then preprocessed as its bundle says."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from service.bundle.manifest import Preprocess
from service.errors import UnprocessableInput
from service.images.decoding import EncodedImage, Geometry
from service.images.fitting import fit
from service.images.normaliser import NormalisedDigit, SegmentFunction, normalise_with_report


@dataclass(frozen=True)
class NetworkInput:
    """`image` UINT8 [height, width] or [height, width, 3]; and how it was made, unless the client sent it as an array.

    Of a digit 0 is paper, and 255 is ink. `warnings` are what is doubtful about the file.
    """

    image: NDArray[np.uint8]
    geometry: Geometry | None = None
    normalised: NormalisedDigit | None = None
    warnings: tuple[str, ...] = ()


def read_digit(encoded: EncodedImage, segment: SegmentFunction) -> NetworkInput:
    """Decode and normalise an image file.

    Raises what `EncodedImage.decode` raises, and `UnprocessableInput` if it does not show exactly one digit.
    """
    decoded = encoded.decode()
    normalised = normalise_with_report(decoded.pixels, segment)
    return NetworkInput(normalised.image, decoded.geometry, normalised, warnings=decoded.warnings)


def read_picture(encoded: EncodedImage, preprocess: Preprocess, shape: tuple[int, ...]) -> NetworkInput:
    """Decode an image file, and make an image of this shape of it: height, width, and 3 for colours.

    Raises what `EncodedImage.decode` raises, and `UnprocessableInput` if it must have this size and does not.
    """
    decoded = encoded.decode(colour=len(shape) == 3)
    height, width = shape[:2]
    if preprocess.method == "fit":
        fitted = fit(decoded.pixels, (height, width), preprocess.ink)
        return NetworkInput(fitted, decoded.geometry, warnings=decoded.warnings)
    if decoded.pixels.shape != shape:
        raise UnprocessableInput(f"{decoded.width}x{decoded.height} pixels, expected {width}x{height}")
    return NetworkInput(decoded.pixels, decoded.geometry, warnings=decoded.warnings)
