"""What makes digits hard to read, one by one: the corpus that the ink normaliser was developed on beside uploads.

Half of the digits are MNIST training images, smoothed to the page's size, half are a pen's paths (those of `samples/`)
with an unsteady hand. Each of `PAPERS` lays them down under one difficulty; the last one mixes them all, as a
telephone does.
"""

from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from benchmarks.synthetic_uploads import Paper, Random, enlarged, penned, photographed

Draw = Callable[[Random], Paper]
Mnist = tuple[NDArray[np.uint8], NDArray[np.int64]]  # images [n, 28, 28] and labels [n]


def corpus(count: int, seed: int, mnist: Mnist | None = None) -> Iterator[tuple[str, int, bytes]]:
    """`count` digits of each of `PAPERS`: its name, the digit, and the bytes of an image file.

    `mnist` are MNIST's training images; without them, all digits are a pen's.
    """
    for number, (name, drawn) in enumerate(PAPERS.items()):
        random = np.random.default_rng([seed, number])
        for i in range(count):
            digit = i % 10
            paper = drawn(random)
            side = round(paper.side * paper.size)
            if mnist and not (paper.gap or i // 10 % 2):
                chosen = random.choice(np.flatnonzero(mnist[1] == digit))
                glyph = enlarged(mnist[0][chosen], side, paper.pen)
            else:
                glyph = penned(random, digit, side, paper.pen, paper.gap)
            yield name, digit, photographed(glyph, paper, random)


def _plain(random: Random) -> Paper:
    side = int(random.integers(120, 600))
    size = random.uniform(0.4, 0.8)
    place = tuple(random.uniform(0.2, 0.8, 2))
    grey = random.uniform(225, 255)
    return Paper(side=side, size=size, place=place, pen=random.uniform(0.04, 0.12), paper=(grey,) * 3)


def _with(**drawn: Callable[[Random], Any]) -> Draw:
    """Plain paper with some of its fields drawn otherwise."""
    return lambda random: replace(_plain(random), **{name: draw(random) for name, draw in drawn.items()})


def _between(low: float, high: float) -> Callable[[Random], float]:
    return lambda random: float(random.uniform(low, high))


def _whole(low: int, high: int) -> Callable[[Random], int]:
    return lambda random: int(random.integers(low, high + 1))


def _line_ink(random: Random) -> tuple[float, float, float]:
    red, blue = random.uniform(130, 200), random.uniform(190, 225)
    return (red, red + 15, blue)


def _colour(low: float, high: float) -> Callable[[Random], tuple[float, ...]]:
    return lambda random: tuple(random.uniform(low, high, 3))


def _bright_ink(random: Random) -> tuple[float, float, float]:
    inks = [(200, 30, 30), (20, 60, 190), (20, 130, 60), (240, 140, 20), (160, 40, 170), (60, 170, 220), (240, 200, 40)]
    red, green, blue = inks[random.integers(len(inks))]
    return (red, green, blue)


def _rim(random: Random) -> tuple[float, float]:
    one, other = random.permutation([float(random.integers(2)), random.uniform(0, 1)])
    return (one, other)


def _in_mode(mode: str, low: int, high: int) -> Callable[[Random], Callable[[Image.Image], Image.Image]]:
    def drawn(random: Random) -> Callable[[Image.Image], Image.Image]:
        side = int(random.integers(low, high + 1))
        return lambda image: (
            image.convert("L").resize((side, side), Image.Resampling.BOX).convert(mode, dither=Image.Dither.NONE)
        )

    return drawn


def _stretched(random: Random) -> Callable[[Image.Image], Image.Image]:
    """Cut out at the ink's edges and stretched to a square of black and white, as old collections were."""
    side = int(random.integers(16, 33))

    def end(image: Image.Image) -> Image.Image:
        ink = image.convert("L").point(lambda level: 255 * (level < 128))
        left, top, right, bottom = ink.getbbox() or (0, 0, *image.size)
        slim = max(0, (bottom - top) // 3 - (right - left)) // 2  # a one is not made a black square
        box = image.convert("L").crop((max(0, left - slim), top, min(image.width, right + slim), bottom))
        return box.resize((side, side), Image.Resampling.BOX).convert("1", dither=Image.Dither.NONE)

    return end


def _without_paper(_random: Random) -> Callable[[Image.Image], Image.Image]:
    def end(image: Image.Image) -> Image.Image:
        clear = image.convert("RGBA")
        clear.putalpha(image.convert("L").point(lambda level: 255 - level))
        return clear

    return end


def _telephone(random: Random) -> Paper:
    return replace(
        _plain(random),
        side=int(random.integers(500, 1100)),
        size=random.uniform(0.25, 0.7),
        pen=random.uniform(0.03, 0.1),
        ink=_bright_ink(random) if random.random() < 0.3 else tuple(random.uniform(10, 90, 3)),
        paper=tuple(random.uniform(190, 250) + random.uniform(-12, 12, 3)),
        lines=int(random.choice([0, 0, 1, 2])),
        line_ink=_line_ink(random),
        light=random.uniform(0, 0.5),
        vignette=random.uniform(0, 0.35),
        shadow=random.choice([0, random.uniform(0.2, 0.55)]),
        turn=15,
        perspective=0.06,
        blur=random.uniform(0, 2),
        noise=random.uniform(0, 10),
        quality=int(random.integers(30, 90)),
    )


PAPERS: dict[str, Draw] = {
    "plain": _plain,
    "uneven light": _with(light=_between(0.3, 0.65), vignette=_between(0.1, 0.45)),
    "shadow": _with(shadow=_between(0.3, 0.65), light=_between(0, 0.3)),
    "ruled": _with(lines=_whole(1, 1), line_ink=_line_ink, line_gap=_between(0.25, 0.9), turn=_between(0, 8)),
    "squared": _with(lines=_whole(2, 2), line_ink=_line_ink, line_gap=_between(0.15, 0.5), turn=_between(0, 8)),
    "coloured ink": _with(ink=_bright_ink),
    "coloured paper": _with(paper=_colour(130, 255), ink=_colour(0, 70)),
    "turned": _with(turn=_between(10, 15), perspective=_between(0.03, 0.1)),
    "blurred": _with(blur=_between(2, 6)),
    "noisy": _with(noise=_between(10, 35)),
    "jpeg": _with(quality=_whole(5, 20)),
    "pencil": _with(ink=_colour(170, 195), pen=_between(0.015, 0.04), noise=_between(1, 5)),
    "marker": _with(pen=_between(0.16, 0.26)),
    "small": _with(side=_whole(500, 1000), size=_between(0.06, 0.15)),
    "at the edge": _with(place=_rim),
    "framed": _with(frame=_whole(3, 14)),
    "in pieces": _with(gap=_between(0.02, 0.06)),
    "tiny": _with(size=_between(0.7, 0.98), end=_in_mode("L", 8, 16), pen=_between(0.1, 0.14)),
    "bilevel": _with(size=_between(0.6, 0.95), end=_in_mode("1", 16, 40), pen=_between(0.08, 0.14)),
    "stretched": _with(end=_stretched, pen=_between(0.08, 0.14)),
    "transparent": _with(end=_without_paper),
    "light on dark": _with(ink=_colour(200, 255), paper=_colour(0, 70), light=_between(0, 0.5), noise=_between(0, 8)),
    "telephone": _telephone,
}  # fmt: skip
