"""How hands elsewhere write: ones with a flag, sevens with a bar. MNIST's writers, all American, rarely do.

A distortion of another kind: one stroke, about as wide as a pen's, is added to an image of MNIST.
"""

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image, ImageDraw
from torch import Tensor

from service.digits import normalise
from service.errors import UnusableInput

FLAGGED, BARRED = 1, 7
ONES = 0.65  # of the images are ones, the others sevens
FLAG = (0.2, 0.45)  # of the one's height: how long its flag is
ANGLE = (25, 70)  # degrees between the one's stroke and its flag
BAR = (0.3, 0.5)  # of the seven's height: how long its bar is
WIDTH = (0.8, 1.1)  # of the one's own stroke
BAR_WIDTH = (1.8, 2.6)  # pixels
INK = 100  # of 255: what counts as the stroke
FINER = 8

Grey = NDArray[np.uint8]
Floats = NDArray[np.float64]
Random = np.random.Generator


def hands(images: Tensor, digits: Tensor, count: int, seed: int) -> tuple[Tensor, Tensor]:
    """`count` images made of some of MNIST's `images`: UINT8 [n, 28, 28], and what they show, INT64 [n]."""
    random = np.random.default_rng(seed)
    pictures = images.cpu().numpy()
    places = {digit: np.flatnonzero(digits.cpu().numpy() == digit) for digit in (FLAGGED, BARRED)}
    found: list[Grey] = []
    shown: list[int] = []
    while len(found) < count:
        digit = FLAGGED if random.random() < ONES else BARRED
        try:
            found.append(_with_stroke(pictures[random.choice(places[digit])], digit, random))
        except UnusableInput:
            continue
        shown.append(digit)
    return torch.from_numpy(np.stack(found)).to(images.device), torch.tensor(shown, device=digits.device)


def _with_stroke(image: Grey, digit: int, random: Random) -> Grey:
    rows, columns = np.nonzero(image > INK)
    if not rows.size:
        raise UnusableInput("no ink")
    height = float(np.ptp(rows)) + 1
    top, bottom = (np.array([columns[rows == row].mean(), row]) + 0.5 for row in (rows.min(), rows.max()))
    down = (bottom - top) / np.linalg.norm(bottom - top) if height > 1 else np.array([0.0, 1.0])
    width = len(rows) / height * random.uniform(*WIDTH) if digit == FLAGGED else random.uniform(*BAR_WIDTH)
    if digit == FLAGGED:
        angle = np.deg2rad(random.uniform(*ANGLE))
        turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
        ends = top, top + turn @ down * height * random.uniform(*FLAG)
    else:
        row = round(rows.min() + height * random.uniform(0.4, 0.6))
        middle = np.array([columns[rows == row].mean() if (rows == row).any() else columns.mean(), row]) + 0.5
        half = np.array([1.0, random.normal(0, 0.12)]) * height * random.uniform(*BAR) / 2
        ends = middle - half, middle + half
    return normalise(255 - np.maximum(image, _stroke(*ends, width)))


def _stroke(start: Floats, end: Floats, width: float) -> Grey:
    """One straight stroke with round ends, on a 28x28 field."""
    field = Image.new("L", (28 * FINER, 28 * FINER))
    draw = ImageDraw.Draw(field)
    draw.line([tuple(start * FINER), tuple(end * FINER)], fill=255, width=round(width * FINER))
    for x, y in (start * FINER, end * FINER):
        radius = width * FINER / 2
        draw.ellipse((x - radius, y - radius, x + radius, y + radius), fill=255)
    return np.asarray(field.reduce(FINER))
