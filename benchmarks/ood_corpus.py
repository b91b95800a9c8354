"""A corpus of out-of-distribution (OOD) images for the digit models: letters, scribbles, upside-down digits, photos.

Half of the fonts and of the other kinds are the development half: they were looked at when the OOD head was designed.
The other half is held out and measures how well it works.
"""

import hashlib
import io
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageFont
from sklearn.datasets import load_sample_images

from samples.draw import smooth
from training.augmentation.ood_negatives import draw_paths, draw_text
from training.augmentation.ood_negatives import font_files as training_fonts

Random = np.random.Generator

LETTERS = "ACEFHKMNPRUVWXYadefhkmnprtuvwxy"  # without those that look like a digit: O I l S Z B b q g and others
UPSIDE_DOWN_DIGITS = (3, 4, 7)  # digits that are no digit when they are turned upside down
SYMBOL_FONTS = ("D050000L", "Standard")  # font families with symbols in the place of letters
REGULAR_STYLES = ("regular", "roman", "book", "medium")


@dataclass(frozen=True)
class OodImage:
    """One OOD image: its kind, whether it belongs to the held-out half, and the bytes of a PNG file."""

    kind: str
    held_out: bool
    file: bytes


def generate_ood_images(fonts: Path, digits: dict[int, NDArray[np.uint8]], count: int, seed: int) -> Iterator[OodImage]:
    """Generate `count` letters of every font family in a folder, and 4 * `count` images of every other kind.

    `digits` are MNIST images, UINT8 [n, 28, 28], by label; 2 * `count` of each of `UPSIDE_DOWN_DIGITS` are turned.
    """
    for i, (name, font) in enumerate(font_families(fonts).items()):
        random = np.random.default_rng([seed, i])
        for _ in range(count):
            yield OodImage(f"letters: {name}", _is_held_out(name), _png_bytes(_letter(font, random)))
    for i, (kind, draw) in enumerate(OOD_KINDS.items()):
        random = np.random.default_rng([seed, 1000 + i])
        for _ in range(4 * count):
            yield OodImage(kind, bool(i % 2), _png_bytes(draw(random)))
    for i, digit in enumerate(UPSIDE_DOWN_DIGITS):
        for image in digits[digit][: 2 * count]:
            turned = Image.fromarray(255 - image[::-1, ::-1])
            yield OodImage(f"{digit} upside down", bool(i % 2), _png_bytes(turned))


def font_families(fonts: Path) -> dict[str, Path]:
    """The regular font file of each family in a folder, by family name.

    Families without all of `LETTERS`, symbol fonts, and the fonts used in training are left out.
    """
    excluded = {*(_family_name(path) for path in training_fonts()), *SYMBOL_FONTS}
    found: dict[str, list[Path]] = {}
    for path in sorted([*fonts.rglob("*.ttf"), *fonts.rglob("*.otf")]):
        if (family := _family_name(path)) not in excluded and _has_letters(path):
            found.setdefault(family, []).append(path)
    regular = {name: min(paths, key=_regular_first) for name, paths in found.items()}
    return dict(sorted(regular.items()))


def _family_name(path: Path) -> str:
    return str(ImageFont.truetype(str(path)).getname()[0]).split(" ")[0]


def _regular_first(path: Path) -> tuple[bool, int, str]:
    """A sort key: regular styles first, then short file names."""
    return not path.stem.lower().endswith(REGULAR_STYLES), len(path.stem), path.stem


def _has_letters(path: Path) -> bool:
    """Whether the font has a glyph for each of `LETTERS`, other than its placeholder for missing characters."""
    try:
        font = ImageFont.truetype(str(path), 40)
        glyphs = [bytes(font.getmask(letter)) for letter in LETTERS]
    except OSError:
        return False
    return all(map(any, glyphs)) and bytes(font.getmask("\uffff")) not in glyphs


def _is_held_out(family: str) -> bool:
    """Assign half of the families to the held-out half, by a hash that is the same on every machine."""
    return hashlib.sha256(family.encode()).digest()[0] % 2 == 1


def _letter(font: Path, random: Random) -> Image.Image:
    letter = LETTERS[random.integers(len(LETTERS))]
    return draw_text(letter, font, int(random.integers(60, 120)), random.uniform(-8, 8))


def _draw_paths(paths: list[NDArray[np.float64]], random: Random) -> Image.Image:
    return draw_paths(paths, int(random.integers(8, 24)) / 2)


def _curves(random: Random) -> Image.Image:
    points = random.random((int(random.integers(7, 14)), 2))
    return _draw_paths([np.array(smooth([tuple(point) for point in points]))], random)


def _zigzag(random: Random) -> Image.Image:
    corners = int(random.integers(6, 12))
    path = np.column_stack([np.linspace(0, 1, corners), np.arange(corners) % 2 + random.normal(0, 0.1, corners)])
    return _draw_paths([path.clip(0, 1)], random)


def _hatching(random: Random) -> Image.Image:
    lines = [np.array([[random.random(), 0], [random.random(), 1]]) for _ in range(int(random.integers(3, 6)))]
    lines += [np.array([[0, random.random()], [1, random.random()]]) for _ in range(int(random.integers(2, 5)))]
    return _draw_paths(lines, random)


def _spiral(random: Random) -> Image.Image:
    angle = np.linspace(0, 2 * np.pi * random.uniform(2, 3.5), 160)
    radius = angle / angle[-1] / 2
    return _draw_paths([0.5 + np.column_stack([radius * np.cos(angle), radius * np.sin(angle)])], random)


def _photo_crop(random: Random) -> Image.Image:
    image = Image.fromarray(load_sample_images().images[random.integers(2)])
    side = int(random.integers(40, 300))
    left, top = int(random.integers(image.width - side)), int(random.integers(image.height - side))
    return image.crop((left, top, left + side, top + side))


OOD_KINDS: dict[str, Callable[[Random], Image.Image]] = {
    "curves": _curves,
    "zigzags": _zigzag,
    "hatching": _hatching,
    "photographs": _photo_crop,
    "spirals": _spiral,
}


def _png_bytes(image: Image.Image) -> bytes:
    file = io.BytesIO()
    image.save(file, "PNG")
    return file.getvalue()
