"""OOD negatives: images of no class, on which the out-of-distribution head is trained (outlier exposure).

After Hendrycks, Mazeika, Dietterich, "Deep anomaly detection with outlier exposure", 2019. All are made by code:
letters of the fonts that come with matplotlib, random lines, spirals, mirrored or rotated digits, and textures.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import matplotlib as mpl
import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont
from torch import Tensor

from service.errors import UnprocessableInput
from training.normaliser import normalise
from training.progress import Progress

LETTERS = "ACEFGHJKLMNPRTUVWXYadefhkmnprtuvwxy&#@?%+=*"  # without O, I, S, Z and others that look like digits
FONTS = ("DejaVuSans", "DejaVuSerif", "DejaVuSansMono", "STIXGeneral", "cmr10", "cmss10", "cmtt10", "cmmi10", "cmb10")
STYLES = ("", "-Bold", "-Oblique", "-Italic")
# Digits that look like no digit when they are rotated by so many quarters, or mirrored.
NON_DIGIT_ROTATIONS = {1: (1,), 2: (1, 3), 3: (1, 2, 3), 4: (1, 3), 5: (1, 3), 6: (1,), 7: (1, 2, 3), 9: (3,)}
NON_DIGIT_MIRRORS = (3, 6, 7, 9)
CANVAS_SIDE = 160  # pixels of a picture before it is normalised

Grey = NDArray[np.uint8]
Floats = NDArray[np.float64]
Random = np.random.Generator


@dataclass(frozen=True)
class Sources:
    """What negatives are made from: font files, images UINT8 [n, 28, 28], and their classes INT64 [n]."""

    fonts: list[Path]
    images: Grey
    digits: NDArray[np.int64]


def ood_negatives(images: Tensor, digits: Tensor, count: int, seed: int, progress: Progress) -> Tensor:
    """`count` normalised images of no class, UINT8 [count, 28, 28].

    Some are transformed `images` of MNIST, UINT8 [n, 28, 28], whose classes are `digits`, INT64 [n].
    """
    random = np.random.default_rng(seed)
    sources = Sources(font_files(), images.cpu().numpy(), digits.cpu().numpy())
    return torch.from_numpy(np.stack([
        _normalised(sources, random) for _ in progress.track("drawing OOD negatives", range(count))
    ])).to(images.device)  # fmt: skip


def _normalised(sources: Sources, random: Random) -> Grey:
    """The first picture of a random kind that the normaliser accepts, UINT8 [28, 28]."""
    fractions, draw_functions = zip(*KINDS.values(), strict=True)
    while True:
        try:
            return normalise(draw_functions[random.choice(len(KINDS), p=fractions)](sources, random))
        except UnprocessableInput:
            continue


def font_files() -> list[Path]:
    """The files of matplotlib's fonts."""
    folder = Path(mpl.get_data_path()) / "fonts/ttf"
    return [path for name in FONTS for style in STYLES if (path := folder / f"{name}{style}.ttf").exists()]


def draw_text(text: str, font: Path, height: int, rotation: float) -> Image.Image:
    """Centred text, black on white, 160x160 pixels; the font height is in pixels, the rotation in degrees."""
    canvas = Image.new("L", (CANVAS_SIDE, CANVAS_SIDE), 255)
    face = ImageFont.truetype(str(font), height)
    ImageDraw.Draw(canvas).text((CANVAS_SIDE / 2, CANVAS_SIDE / 2), text, fill=0, font=face, anchor="mm")
    return canvas.rotate(rotation, Image.Resampling.BICUBIC, fillcolor=255)


def draw_paths(paths: Sequence[Floats], width: float) -> Image.Image:
    """Strokes along paths, FP64 [n, 2] in the unit square, black on white, 160x160 pixels; `width` is in pixels."""
    canvas = Image.new("L", (2 * CANVAS_SIDE, 2 * CANVAS_SIDE), 255)
    draw = ImageDraw.Draw(canvas)
    for path in paths:
        points = [tuple(point) for point in (0.15 + 0.7 * path) * 2 * CANVAS_SIDE]
        draw.line(points, fill=0, width=round(2 * width), joint="curve")
    return canvas.resize((CANVAS_SIDE, CANVAS_SIDE), Image.Resampling.BOX)


def _letter(sources: Sources, random: Random) -> Grey:
    fonts = sources.fonts
    letter, font = LETTERS[random.integers(len(LETTERS))], fonts[random.integers(len(fonts))]
    return np.asarray(draw_text(letter, font, int(random.integers(60, 120)), random.uniform(-15, 15)))


def _random_strokes(random: Random) -> Grey:
    """Three to ten straight lines and arcs; each starts at the end of the previous one or at a random point."""
    start, joined = random.random(2), random.choice([0.6, 1.0])
    paths = []
    for _ in range(int(random.integers(3, 11))):
        end = random.random(2)
        bend = (start + end) / 2 + random.normal(0, random.choice([0.0, 0.3]), 2)
        t = np.linspace(0, 1, 24)[:, None]
        paths.append((1 - t) ** 2 * start + 2 * t * (1 - t) * bend + t**2 * end)
        start = end if random.random() < joined else random.random(2)
    return np.asarray(draw_paths(paths, random.uniform(4, 12)))


def _spiral(random: Random) -> Grey:
    """A wavering elliptic spiral of 1.6 to 4 turns."""
    angle = np.linspace(0, 2 * np.pi * random.uniform(1.6, 4), 200)
    radius = random.uniform(0, 0.35) + (angle / angle[-1]) ** random.uniform(0.6, 1.5)
    radius *= 1 + random.uniform(0, 0.1) * np.sin(random.integers(2, 6) * angle + random.uniform(0, 2 * np.pi))
    width, height = random.uniform(0.6, 1, 2) / radius.max() / 2
    phase = random.uniform(0, 2 * np.pi)
    path = np.column_stack([radius * width * np.cos(angle + phase), radius * height * np.sin(angle + phase)])
    return np.asarray(draw_paths([0.5 + path * random.choice([-1, 1], 2)], random.uniform(2, 8)))


def _transformed_digit(sources: Sources, random: Random) -> Grey:
    """A digit that looks like no digit after a rotation by 90, 180 or 270 degrees, or mirrored."""
    rotations = [(digit, quarters) for digit, turns in NON_DIGIT_ROTATIONS.items() for quarters in turns]
    transformations = rotations + [(digit, 0) for digit in NON_DIGIT_MIRRORS]
    digit, quarters = transformations[random.integers(len(transformations))]
    image = sources.images[random.choice(np.flatnonzero(sources.digits == digit))]
    return 255 - np.ascontiguousarray(np.rot90(image, quarters) if quarters else image[:, ::-1])


def _texture(random: Random) -> Grey:
    """Noise with the power spectrum of photographs (Field, 1987), in half of the pictures with an edge through it."""
    side = int(random.integers(40, CANVAS_SIDE))
    frequency = np.hypot(np.fft.fftfreq(side)[:, None], np.fft.rfftfreq(side))
    spectrum = np.fft.rfft2(random.normal(size=(side, side))) / np.maximum(frequency, 1 / side) ** random.uniform(1, 2)
    picture = np.fft.irfft2(spectrum, (side, side))
    picture /= picture.std()
    if random.random() < 0.5:
        y, x = np.indices((side, side)) - random.uniform(0, side, (2, 1, 1))
        direction = random.uniform(0, 2 * np.pi)
        picture += random.uniform(1, 4) * (y * np.cos(direction) + x * np.sin(direction) > 0)
    low, high = np.quantile(picture, (0.02, 0.98))
    return np.asarray(((picture - low) / (high - low)).clip(0, 1) * 255, np.uint8)


KINDS: dict[str, tuple[float, Callable[[Sources, Random], Grey]]] = {
    "letters": (0.35, _letter),
    "strokes": (0.2, lambda _, random: _random_strokes(random)),
    "spirals": (0.15, lambda _, random: _spiral(random)),
    "transformed digits": (0.2, _transformed_digit),
    "textures": (0.1, lambda _, random: _texture(random)),
}
"""The fraction of each kind of negative, and the function that draws one."""
