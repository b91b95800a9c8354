"""Scans and drawings of one digit, dark on white, to 28x28 images."""

import io

import numpy as np
from PIL import Image
from scipy import ndimage

from service.images.normaliser.mnist_geometry import fit_mnist_geometry
from service.images.normaliser.segmentation import Grey

NO_INK, FULL_INK = 0.25, 0.8  # of full darkness: below the first is paper, above the second full ink, between an edge
DARKEST_ONE_IN = 50  # pixels: the mean darkness of those with the most is full darkness; strokes cover more
INKED = 85  # of 255: what the bounding box surrounds
SPECK = 0.03  # of the ink of the largest connected piece: a piece with less is dust, or the end of a ruled line


def image_of_scan(file: bytes) -> Grey:
    """An image file with a digit that is darker than its white paper -> UINT8 [28, 28], 0 = paper, 255 = ink."""
    return fit_mnist_geometry(crop_to_digit(ink_of(np.asarray(Image.open(io.BytesIO(file)).convert("L")))))


def ink_of(grey: Grey) -> Grey:
    """Greyscale, 255 = paper -> ink, 0 = paper; pencil becomes as dark as a pen."""
    darkness = 255 - grey.astype(np.float32)
    full = float(np.sort(darkness, axis=None)[-max(1, grey.size // DARKEST_ONE_IN) :].mean())
    ink: Grey = ((darkness - NO_INK * full) * (255 / ((FULL_INK - NO_INK) * full))).clip(0, 255).astype(np.uint8)
    return ink


def crop_to_digit(ink: Grey) -> Grey:
    """The ink within the bounding box of the digit, without specks."""
    pieces, count = ndimage.label(ink >= INKED, structure=np.ones((3, 3)))  # also joined at corners
    amounts = np.concatenate([[np.inf], ndimage.sum_labels(ink, pieces, range(1, count + 1))])
    digit = amounts >= SPECK * amounts[1:].max()  # what is in no piece stays
    clean: Grey = np.where(digit[pieces], ink, np.uint8(0))
    ((rows, columns),) = ndimage.find_objects((digit[pieces] & (pieces > 0)).astype(int))
    cropped: Grey = clean[rows, columns]
    return cropped
