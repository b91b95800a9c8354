"""Strangers: pictures that are no digits, from which a network learns what it does not know.

After Hendrycks, Mazeika, Dietterich, "Deep anomaly detection with outlier exposure", 2019. All are made here: letters
of the fonts that come with matplotlib, strokes drawn at random, and digits mirrored or turned.
"""

from collections.abc import Callable
from pathlib import Path

import matplotlib as mpl
import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont
from torch import Tensor

from service.digits import normalise
from service.errors import UnusableInput

LETTERS = "ACEFGHJKLMNPRTUVWXYadefhkmnprtuvwxy&#@?%+=*"  # without O I S Z and other twins of digits
FONTS = ("DejaVuSans", "DejaVuSerif", "DejaVuSansMono", "STIXGeneral", "cmr10", "cmss10", "cmtt10", "cmmi10", "cmb10")
STYLES = ("", "-Bold", "-Oblique", "-Italic")
TURNED = {0: (), 1: (1,), 2: (1, 3), 3: (1, 3), 4: (1, 3), 5: (1, 3), 6: (1,), 7: (1, 3), 8: (), 9: (3,)}
MIRRORED = (3, 6, 7, 9)  # and no digits then
SIDE = 120  # pixels of a drawing

Grey = NDArray[np.uint8]
Random = np.random.Generator


def strangers(images: Tensor, digits: Tensor, count: int, seed: int) -> Tensor:
    """`count` pictures as the ink normaliser gives them, UINT8 [n, 28, 28]; some are made of MNIST's `images`."""
    random = np.random.default_rng(seed)
    altered = _altered(images.cpu().numpy(), digits.cpu().numpy(), random)
    drawn: tuple[Callable[[], Grey], ...] = (lambda: _letter(random), lambda: _strokes(random), altered)
    found: list[Grey] = []
    while len(found) < count:
        picture = drawn[random.choice(3, p=(0.4, 0.3, 0.3))]()
        try:
            found.append(normalise(picture))
        except UnusableInput:
            continue
    return torch.from_numpy(np.stack(found)).to(images.device)


def fonts() -> list[Path]:
    """The files of matplotlib's fonts."""
    folder = Path(mpl.get_data_path()) / "fonts/ttf"
    return [path for name in FONTS for style in STYLES if (path := folder / f"{name}{style}.ttf").exists()]


def _letter(random: Random) -> Grey:
    page = Image.new("L", (SIDE, SIDE), 255)
    found = fonts()
    font = ImageFont.truetype(found[random.integers(len(found))], int(random.integers(50, 90)))
    letter = LETTERS[random.integers(len(LETTERS))]
    ImageDraw.Draw(page).text((SIDE / 2, SIDE / 2), letter, fill=0, font=font, anchor="mm")
    return np.asarray(page.rotate(random.uniform(-15, 15), Image.Resampling.BICUBIC, fillcolor=255))


def _strokes(random: Random) -> Grey:
    """Straight lines and arcs, three to seven, each beginning where the one before it ends or anywhere."""
    page = Image.new("L", (2 * SIDE, 2 * SIDE), 255)
    draw = ImageDraw.Draw(page)
    width = int(random.integers(8, 22))
    start = random.uniform(0.15, 0.85, 2)
    for _ in range(int(random.integers(3, 8))):
        end = random.uniform(0.15, 0.85, 2)
        bend = (start + end) / 2 + random.normal(0, random.choice([0.0, 0.25]), 2)
        at = np.linspace(0, 1, 24)[:, None]
        curve = (1 - at) ** 2 * start + 2 * at * (1 - at) * bend + at**2 * end
        draw.line([tuple(dot) for dot in curve * 2 * SIDE], fill=0, width=width, joint="curve")
        start = end if random.random() < 0.6 else random.uniform(0.15, 0.85, 2)
    return np.asarray(page.resize((SIDE, SIDE), Image.Resampling.BOX))


def _altered(images: Grey, digits: NDArray[np.int64], random: Random) -> Callable[[], Grey]:
    """Digits turned by a quarter, or mirrored, where that makes no digit."""
    turns = [(digit, quarters, False) for digit, all_quarters in TURNED.items() for quarters in all_quarters]
    ways = turns + [(digit, 0, True) for digit in MIRRORED]
    places = [np.flatnonzero(digits == digit) for digit in range(10)]

    def draw() -> Grey:
        digit, quarters, mirrored = ways[random.integers(len(ways))]
        image = images[random.choice(places[digit])]
        return 255 - np.ascontiguousarray(image[:, ::-1] if mirrored else np.rot90(image, quarters))

    return draw
