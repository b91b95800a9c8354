"""Colour to grey, so that the ink stands out: yellow ink is as bright as white paper, and dark in blue."""

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from service.images.normaliser.paper import Grey

SAMPLED = 64  # pixels a side are looked at
COLOURLESS = 32  # of 255: with less between a pixel's channels there is no colour to see
BETTER = 2.0  # so many times more must the ink stand out of the light and shade for another grey than luma
GRAIN = 8.0  # of 255: what varies less is as good as even
MIXES = np.array([[0.299, 0.587, 0.114], [1, 0, 0], [0, 1, 0], [0, 0, 1]], np.float32).T  # luma and each channel
LARGEST = 640  # pixels a side: saturation is computed of no larger a picture


def greyed(image: Image.Image) -> Grey:
    """An RGB picture -> UINT8 [height, width]: its luma, or that in which the ink stands out twice as much.

    That may be a channel (yellow ink is as bright as white paper, and dark in blue), or saturation, which is the same
    in light and shadow; of a large picture, it is a reduced one.
    """
    small = image.resize((min(image.width, SAMPLED), min(image.height, SAMPLED)), Image.Resampling.NEAREST)
    sample = np.asarray(small).reshape(-1, 3)
    highest, lowest = sample.max(axis=1), sample.min(axis=1)
    chroma = highest - lowest
    if int(chroma.max()) < COLOURLESS:
        return np.asarray(image.convert("L"))
    saturation = chroma * np.float32(255) / np.maximum(highest, 1)
    best = _clearest(np.column_stack([sample @ MIXES, saturation]))
    if best == len(MIXES[0]):
        factor = -(-max(image.size) // LARGEST)
        return np.asarray((image.reduce(factor) if factor > 1 else image).convert("HSV").getchannel("S"))
    return np.asarray(image.getchannel(best - 1) if best else image.convert("L"))


def _clearest(greys: NDArray[np.float32]) -> int:
    """Of several greys of the same pixels [n, greys], the one in which a few stand out most from the rest."""
    ranked = np.sort(greys, axis=0)
    low, lower, middle, upper, high = (
        ranked[int(share * (len(ranked) - 1))] for share in (0.005, 0.25, 0.5, 0.75, 0.995)
    )
    contrast = np.maximum(high - middle, middle - low)
    standing_out = np.where(contrast >= contrast[0], contrast / (upper - lower + GRAIN), 0)
    best = int(standing_out.argmax())
    return best if standing_out[best] > BETTER * standing_out[0] else 0
