"""The normaliser: any picture of one digit to 28x28, as MNIST's images were made, or the reason why it cannot.

MNIST's makers scaled the ink to fit a 20x20 box, keeping its proportions and smoothing its edges, and placed it on a
28x28 field with its centre of mass in the middle (LeCun, Bottou, Bengio, Haffner, "Gradient-based learning applied to
document recognition", 1998, section III.A). A network that was trained on such images reads only such images.

    greyscale       colour to grey, so that the ink has contrast
    segmentation    where the ink of the digit is, as a network sees it, or why there is none, or more than one
    mnist_geometry  stroke width, bounding box, contrast and position as in MNIST

The network is the segmenter, in `segmenter/`; `service.inference.segmenter` opens it.
"""

from dataclasses import dataclass

import numpy as np
from PIL import Image

from service.images.normaliser.greyscale import to_greyscale
from service.images.normaliser.mnist_geometry import FIELD, fit_mnist_geometry, is_normalised
from service.images.normaliser.segmentation import Box, Grey, LocatedDigit, SegmentFunction, locate_digit

__all__ = [
    "NORMALISER",
    "NormalisedDigit",
    "SegmentFunction",
    "is_normalised",
    "normalise",
    "normalise_with_report",
    "to_greyscale",
]

NORMALISER = "ink-3"  # its version, which manifests name: another one gives a network other images
DIGIT_ASPECT = 0.7  # width to height of handwritten digits, roughly


@dataclass(frozen=True)
class NormalisedDigit:
    """The image that the network gets, and what was done to make it.

    `image` is UINT8 [28, 28], 0 = paper, 255 = ink; `box` is the digit's left, top, width and height in the picture, in
    pixels. `mask` is the ink that was found, UINT8 [height, width], in the `mask_box` of the picture.
    """

    image: Grey
    box: Box
    mask: Grey
    mask_box: Box
    inverted: bool = False
    already_normalised: bool = False


def normalise(grey: Grey, segment: SegmentFunction) -> Grey:
    """UINT8 [height, width] of either polarity -> UINT8 [28, 28], 0 = paper, 255 = ink.

    A picture that has MNIST's geometry already comes back unchanged. Raises `UnprocessableInput` if there is no digit
    in it, or more than one.
    """
    return normalise_with_report(grey, segment).image


def normalise_with_report(grey: Grey, segment: SegmentFunction) -> NormalisedDigit:
    """As `normalise`, with a report of what was done."""
    if is_normalised(grey):
        whole = (0, 0, FIELD, FIELD)
        return NormalisedDigit(grey, whole, grey, whole, already_normalised=True)
    found = locate_digit(grey, segment)
    image = fit_mnist_geometry(_in_proportion(found, grey.shape))
    return NormalisedDigit(image, found.box, found.segmented.ink, found.part, inverted=found.segmented.light_ink > 0.5)


def _in_proportion(found: LocatedDigit, shape: tuple[int, ...]) -> Grey:
    """The digit's ink with the proportions that it has in the picture.

    Ink that touches all four sides of a square picture was stretched to it: it is made narrow again.
    """
    height, width = found.ink.shape
    wide, high = found.size
    if shape[0] == shape[1] and found.fills(shape):
        wide = DIGIT_ASPECT * high
    scale = max(height, width) / max(wide, high)
    size = max(1, round(wide * scale)), max(1, round(high * scale))
    if size == (width, height):
        return found.ink
    return np.asarray(Image.fromarray(found.ink).resize(size, Image.Resampling.BILINEAR))
