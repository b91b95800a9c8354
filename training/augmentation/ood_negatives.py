"""Strangers: pictures that are no digits, from which a network learns what it does not know.

After Hendrycks, Mazeika, Dietterich, "Deep anomaly detection with outlier exposure", 2019. All are made here: letters
of the fonts that come with matplotlib, lines drawn at random, digits mirrored or turned, and textures.
"""

from collections.abc import Callable, Sequence
from pathlib import Path

import matplotlib as mpl
import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont
from torch import Tensor

from service.errors import UnusableInput
from service.images.normaliser import normalise
from training.progress import Progress

LETTERS = "ACEFGHJKLMNPRTUVWXYadefhkmnprtuvwxy&#@?%+=*"  # without O I S Z and other twins of digits
FONTS = ("DejaVuSans", "DejaVuSerif", "DejaVuSansMono", "STIXGeneral", "cmr10", "cmss10", "cmtt10", "cmmi10", "cmb10")
STYLES = ("", "-Bold", "-Oblique", "-Italic")
TURNED = {1: (1,), 2: (1, 3), 3: (1, 2, 3), 4: (1, 3), 5: (1, 3), 6: (1,), 7: (1, 2, 3), 9: (3,)}  # by quarters
MIRRORED = (3, 6, 7, 9)  # and no digits then
SHARES = {"letters": 0.35, "strokes": 0.2, "windings": 0.15, "altered digits": 0.2, "textures": 0.1}
SIDE = 160  # pixels of a picture

Grey = NDArray[np.uint8]
Floats = NDArray[np.float64]
Random = np.random.Generator


def strangers(images: Tensor, digits: Tensor, count: int, seed: int, progress: Progress) -> Tensor:
    """`count` pictures as the ink normaliser gives them, UINT8 [n, 28, 28]; some are made of MNIST's `images`."""
    random = np.random.default_rng(seed)
    found_fonts, pictures, shown = fonts(), images.cpu().numpy(), digits.cpu().numpy()
    drawn: tuple[Callable[[], Grey], ...] = (
        lambda: _letter(found_fonts, random),
        lambda: _strokes(random),
        lambda: _winding(random),
        lambda: _altered(pictures, shown, random),
        lambda: _texture(random),
    )
    return torch.from_numpy(np.stack([
        _normalised(drawn, random) for _ in progress.counted("drawing what is no digit", range(count))
    ])).to(images.device)  # fmt: skip


def _normalised(drawn: tuple[Callable[[], Grey], ...], random: Random) -> Grey:
    while True:
        try:
            return normalise(drawn[random.choice(len(drawn), p=tuple(SHARES.values()))]())
        except UnusableInput:
            continue


def fonts() -> list[Path]:
    """The files of matplotlib's fonts."""
    folder = Path(mpl.get_data_path()) / "fonts/ttf"
    return [path for name in FONTS for style in STYLES if (path := folder / f"{name}{style}.ttf").exists()]


def lettered(text: str, font: Path, height: int, tilt: float) -> Image.Image:
    """Black on white, in the middle of the picture; the font's height in pixels, the tilt in degrees."""
    page = Image.new("L", (SIDE, SIDE), 255)
    face = ImageFont.truetype(str(font), height)
    ImageDraw.Draw(page).text((SIDE / 2, SIDE / 2), text, fill=0, font=face, anchor="mm")
    return page.rotate(tilt, Image.Resampling.BICUBIC, fillcolor=255)


def stroked(paths: Sequence[Floats], width: float) -> Image.Image:
    """A pen's paths, each [n, 2] in a unit square, black on white; the pen's width is in pixels."""
    page = Image.new("L", (2 * SIDE, 2 * SIDE), 255)
    draw = ImageDraw.Draw(page)
    for path in paths:
        draw.line([tuple(dot) for dot in (0.15 + 0.7 * path) * 2 * SIDE], fill=0, width=round(2 * width), joint="curve")
    return page.resize((SIDE, SIDE), Image.Resampling.BOX)


def _letter(fonts: list[Path], random: Random) -> Grey:
    letter, font = LETTERS[random.integers(len(LETTERS))], fonts[random.integers(len(fonts))]
    return np.asarray(lettered(letter, font, int(random.integers(60, 120)), random.uniform(-15, 15)))


def _strokes(random: Random) -> Grey:
    """Straight lines and arcs, three to ten, each beginning where the one before it ends or, at times, anywhere."""
    start, joined = random.random(2), random.choice([0.6, 1.0])
    paths = []
    for _ in range(int(random.integers(3, 11))):
        end = random.random(2)
        bend = (start + end) / 2 + random.normal(0, random.choice([0.0, 0.3]), 2)
        at = np.linspace(0, 1, 24)[:, None]
        paths.append((1 - at) ** 2 * start + 2 * at * (1 - at) * bend + at**2 * end)
        start = end if random.random() < joined else random.random(2)
    return np.asarray(stroked(paths, random.uniform(4, 12)))


def _winding(random: Random) -> Grey:
    """Around more than once and a half, on its way out, in an ellipse that wavers."""
    angle = np.linspace(0, 2 * np.pi * random.uniform(1.6, 4), 200)
    radius = random.uniform(0, 0.35) + (angle / angle[-1]) ** random.uniform(0.6, 1.5)
    radius *= 1 + random.uniform(0, 0.1) * np.sin(random.integers(2, 6) * angle + random.uniform(0, 2 * np.pi))
    across, down = random.uniform(0.6, 1, 2) / radius.max() / 2
    turn = random.uniform(0, 2 * np.pi)
    path = np.column_stack([radius * across * np.cos(angle + turn), radius * down * np.sin(angle + turn)])
    return np.asarray(stroked([0.5 + path * random.choice([-1, 1], 2)], random.uniform(2, 8)))


def _altered(images: Grey, digits: NDArray[np.int64], random: Random) -> Grey:
    """A digit turned, or mirrored, where that makes no digit."""
    turns = [(digit, quarters) for digit, all_quarters in TURNED.items() for quarters in all_quarters]
    digit, quarters = (turns + [(digit, 0) for digit in MIRRORED])[random.integers(len(turns) + len(MIRRORED))]
    image = images[random.choice(np.flatnonzero(digits == digit))]
    return 255 - np.ascontiguousarray(np.rot90(image, quarters) if quarters else image[:, ::-1])


def _texture(random: Random) -> Grey:
    """Noise whose power falls with frequency as a photograph's does (Field, 1987), with an edge through it at times."""
    side = int(random.integers(40, SIDE))
    frequency = np.hypot(np.fft.fftfreq(side)[:, None], np.fft.rfftfreq(side))
    spectrum = np.fft.rfft2(random.normal(size=(side, side))) / np.maximum(frequency, 1 / side) ** random.uniform(1, 2)
    picture = np.fft.irfft2(spectrum, (side, side))
    picture /= picture.std()
    if random.random() < 0.5:
        down, across = np.indices((side, side)) - random.uniform(0, side, (2, 1, 1))
        slope = random.uniform(0, 2 * np.pi)
        picture += random.uniform(1, 4) * (down * np.cos(slope) + across * np.sin(slope) > 0)
    low, high = np.quantile(picture, (0.02, 0.98))
    return np.asarray(((picture - low) / (high - low)).clip(0, 1) * 255, np.uint8)
