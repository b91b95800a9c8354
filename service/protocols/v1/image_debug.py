"""What `?debug=ink` shows: the image that the network got for each picture, and how it was made."""

import base64

import msgspec

from service.images.decoding import Geometry, encode_png
from service.images.network_input import NetworkInput
from service.images.normaliser.segmentation import Box, Grey


class NormalisationDebug(msgspec.Struct):
    """The image that the network got, `png` as a data URI, and what the normaliser did to make it, if it is of digits.

    `width` and `height` are the file's, upright, in pixels; `box` is the digit's left, top, width and height in them;
    `mask` is a data URI of the ink that the segmenter found in `mask_box`, the part of the picture that it saw, at its
    own resolution: 32 to 128 pixels a side; both are null if the client sent an array, or if no digit is expected.
    `exif_orientation` is the file's (1: upright). A picture is `untouched` if it had MNIST's geometry already.
    """

    png: str
    untouched: bool
    width: int
    height: int
    box: Box
    mask: str | None = None
    mask_box: Box | None = None
    inverted: bool = False
    exif_orientation: int = 1


def debug_of(source: NetworkInput) -> NormalisationDebug:
    """What `?debug=ink` shows of one image."""
    png = _data_uri(source.image)
    geometry, normalised = source.geometry, source.normalised
    if geometry is None or normalised is None:  # an array, which is the network's own input; or no digit
        height, width = source.image.shape[:2]
        if geometry:
            width, height = geometry.width, geometry.height
        return NormalisationDebug(png, geometry is None, width, height, box=(0, 0, width, height))
    return NormalisationDebug(
        png,
        normalised.already_normalised,
        geometry.width,
        geometry.height,
        box=_in_file(normalised.box, geometry),
        mask=_data_uri(normalised.mask),
        mask_box=_in_file(normalised.mask_box, geometry),
        inverted=normalised.inverted,
        exif_orientation=geometry.orientation,
    )


def _data_uri(pixels: Grey) -> str:
    return "data:image/png;base64," + base64.b64encode(encode_png(pixels)).decode()


def _in_file(box: Box, geometry: Geometry) -> Box:
    """A box in pixels of the file, as a large file is decoded at a reduced size."""
    down, across = geometry.height / geometry.decoded_height, geometry.width / geometry.decoded_width
    left, top, width, height = (round(at * by) for at, by in zip(box, (across, down) * 2, strict=True))
    return left, top, width, height
