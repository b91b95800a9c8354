"""Pictures of what is no digit, made by code: letters, scribbles, upside-down digits, parts of photographs.

Half of the fonts and of the other kinds were looked at when the detector was chosen; the others tell how good it is.
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
from training.augmentation.ood_negatives import fonts as training_fonts
from training.augmentation.ood_negatives import lettered, stroked

Random = np.random.Generator

LETTERS = "ACEFHKMNPRUVWXYadefhkmnprtuvwxy"  # those that nobody takes for a digit: no O I l S Z B b q g, and so on
UPSIDE_DOWN = (3, 4, 7)  # and no digit then
SYMBOLS = ("D050000L", "Standard")  # fonts that have other pictures where letters should be
REGULAR = ("regular", "roman", "book", "medium")


@dataclass(frozen=True)
class Stranger:
    """One picture of what is no digit: its kind, whether it is kept for the report, and an image file's bytes."""

    kind: str
    kept: bool
    file: bytes


def strangers(fonts: Path, digits: dict[int, NDArray[np.uint8]], each: int, seed: int) -> Iterator[Stranger]:
    """`each` letters of every font family in a folder, 4 * `each` pictures of every other kind.

    `digits` are MNIST images, UINT8 [n, 28, 28], by what they show: of each that is turned, 2 * `each`.
    """
    for i, (name, font) in enumerate(families(fonts).items()):
        random = np.random.default_rng([seed, i])
        for _ in range(each):
            yield Stranger(f"letters: {name}", _is_kept(name), _png(_letter(font, random)))
    for i, (kind, drawn) in enumerate(KINDS.items()):
        random = np.random.default_rng([seed, 1000 + i])
        for _ in range(4 * each):
            yield Stranger(kind, bool(i % 2), _png(drawn(random)))
    for i, digit in enumerate(UPSIDE_DOWN):
        for image in digits[digit][: 2 * each]:
            yield Stranger(f"{digit} upside down", bool(i % 2), _png(Image.fromarray(255 - image[::-1, ::-1])))


def families(fonts: Path) -> dict[str, Path]:
    """The plainest file of each family that has all the letters, by the family's name; none that training has seen."""
    seen = {_family(path) for path in training_fonts()}
    found: dict[str, list[Path]] = {}
    for path in sorted([*fonts.rglob("*.ttf"), *fonts.rglob("*.otf")]):
        if (family := _family(path)) not in {*seen, *SYMBOLS} and _has_letters(path):
            found.setdefault(family, []).append(path)
    plainest = {name: min(paths, key=_plainness) for name, paths in found.items()}
    return dict(sorted(plainest.items()))


def _family(path: Path) -> str:
    return str(ImageFont.truetype(str(path)).getname()[0]).split(" ")[0]


def _plainness(path: Path) -> tuple[bool, int, str]:
    return not path.stem.lower().endswith(REGULAR), len(path.stem), path.stem


def _has_letters(path: Path) -> bool:
    """Whether each letter is drawn, and not as the box that stands for what is missing."""
    try:
        font = ImageFont.truetype(str(path), 40)
        drawn = [bytes(font.getmask(letter)) for letter in LETTERS]
    except OSError:
        return False
    return all(map(any, drawn)) and bytes(font.getmask("\uffff")) not in drawn


def _is_kept(name: str) -> bool:
    """Half of the names, the same ones wherever this runs."""
    return hashlib.sha256(name.encode()).digest()[0] % 2 == 1


def _letter(font: Path, random: Random) -> Image.Image:
    letter = LETTERS[random.integers(len(LETTERS))]
    return lettered(letter, font, int(random.integers(60, 120)), random.uniform(-8, 8))


def _drawn(paths: list[NDArray[np.float64]], random: Random) -> Image.Image:
    return stroked(paths, int(random.integers(8, 24)) / 2)


def _curves(random: Random) -> Image.Image:
    points = random.random((int(random.integers(7, 14)), 2))
    return _drawn([np.array(smooth([tuple(point) for point in points]))], random)


def _zigzag(random: Random) -> Image.Image:
    turns = int(random.integers(6, 12))
    path = np.column_stack([np.linspace(0, 1, turns), np.arange(turns) % 2 + random.normal(0, 0.1, turns)])
    return _drawn([path.clip(0, 1)], random)


def _hatching(random: Random) -> Image.Image:
    lines = [np.array([[random.random(), 0], [random.random(), 1]]) for _ in range(int(random.integers(3, 6)))]
    lines += [np.array([[0, random.random()], [1, random.random()]]) for _ in range(int(random.integers(2, 5)))]
    return _drawn(lines, random)


def _spiral(random: Random) -> Image.Image:
    angle = np.linspace(0, 2 * np.pi * random.uniform(2, 3.5), 160)
    radius = angle / angle[-1] / 2
    return _drawn([0.5 + np.column_stack([radius * np.cos(angle), radius * np.sin(angle)])], random)


def _photograph(random: Random) -> Image.Image:
    image = Image.fromarray(load_sample_images().images[random.integers(2)])
    side = int(random.integers(40, 300))
    left, top = int(random.integers(image.width - side)), int(random.integers(image.height - side))
    return image.crop((left, top, left + side, top + side))


KINDS: dict[str, Callable[[Random], Image.Image]] = {
    "curves": _curves,
    "zigzags": _zigzag,
    "hatching": _hatching,
    "photographs": _photograph,
    "spirals": _spiral,
}


def _png(image: Image.Image) -> bytes:
    file = io.BytesIO()
    image.save(file, "PNG")
    return file.getvalue()
