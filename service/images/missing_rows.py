"""The rows that a JPEG file which ends too soon, or is damaged, has no data of: libjpeg leaves them grey."""

import numpy as np
from PIL import Image

MAX_MISSING = 0.1  # of the rows: a picture of which more is missing may have lost a part of its digit
GREY = {
    "L": (128,),
    "RGB": (128,),
    "CMYK": (127, 128),
}  # of each channel, where there are no data; CMYK may be inverted
EDGE = 8  # pixels at the right: a row of blocks of which a part is missing counts as missing
ROWS_ABOVE = 8  # whose median stands for what is missing


def fill_missing_rows(image: Image.Image, cause: str = "it is truncated") -> int:
    """Give the rows that are missing at the bottom of a picture the colour of those above; returns how many there were.

    Raises `ValueError` with the cause if they are too many.
    """
    width, height = image.size
    edge = np.asarray(image.crop((max(0, width - EDGE), 0, width, height))).reshape(height, -1)
    there = np.flatnonzero(~np.isin(edge, GREY[image.mode]).all(axis=1))
    missing = height - 1 - int(there[-1]) if len(there) else height
    if missing > MAX_MISSING * height:
        raise ValueError(f"{cause}: {missing / height:.0%} of its rows are missing")
    if missing:
        first = height - missing
        above = np.asarray(image.crop((0, max(0, first - ROWS_ABOVE), width, first)))
        colour = np.median(above.reshape(-1, len(image.getbands())), axis=0)
        image.paste(tuple(int(level) for level in colour), (0, first, width, height))
    return missing
