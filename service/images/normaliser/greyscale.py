"""Colour to grey, so that the ink has contrast: yellow ink is as bright as white paper, but dark in blue."""

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from service.images.normaliser.segmentation import Grey

SAMPLE_SIDE = 64  # pixels: the channel is chosen from a sample of this size
MIN_CHROMA = 32  # of 255: with less between a pixel's channels there is no colour
MIN_CONTRAST_GAIN = 2.0  # another channel replaces luma if the ink has this many times the contrast in it
NOISE_FLOOR = 8.0  # of 255: variation of the background below this does not matter
LUMA = (0.299, 0.587, 0.114)
CHANNELS = np.array([LUMA, [1, 0, 0], [0, 1, 0], [0, 0, 1]], np.float32).T  # luma, red, green, blue
SATURATION = 4  # its index after those
MAX_SATURATION_SIDE = 640  # pixels: saturation is computed from a reduced picture if it is larger


def to_greyscale(image: Image.Image) -> Grey:
    """An RGB picture -> UINT8 [height, width]: its luma, or a channel in which the ink has twice the contrast.

    That may be red, green or blue, or saturation, which is the same in light and shadow.
    """
    small = image.resize((min(image.width, SAMPLE_SIDE), min(image.height, SAMPLE_SIDE)), Image.Resampling.NEAREST)
    sample = np.asarray(small).reshape(-1, 3)
    highest, lowest = sample.max(axis=1), sample.min(axis=1)
    chroma = highest - lowest
    if int(chroma.max()) < MIN_CHROMA:
        return np.asarray(image.convert("L"))
    saturation = chroma * np.float32(255) / np.maximum(highest, 1)
    best = _best_channel(np.column_stack([sample @ CHANNELS, saturation]))
    if best == SATURATION:
        factor = -(-max(image.size) // MAX_SATURATION_SIDE)
        return np.asarray((image.reduce(factor) if factor > 1 else image).convert("HSV").getchannel("S"))
    return np.asarray(image.getchannel(best - 1) if best else image.convert("L"))


def _best_channel(channels: NDArray[np.float32]) -> int:
    """The index in [pixels, channels] of the channel in which the extreme 0.5 % are farthest from the median.

    Relative to the spread of the middle half, as ink is rare and paper is even.
    """
    ranked = np.sort(channels, axis=0)
    low, lower, middle, upper, high = (
        ranked[int(quantile * (len(ranked) - 1))] for quantile in (0.005, 0.25, 0.5, 0.75, 0.995)
    )
    contrast = np.maximum(high - middle, middle - low)
    score = np.where(contrast >= contrast[0], contrast / (upper - lower + NOISE_FLOOR), 0)
    best = int(score.argmax())
    return best if score[best] > MIN_CONTRAST_GAIN * score[0] else 0
