"""A corpus of synthetic uploads, one style per difficulty, on which the ink normaliser was developed.

Half of the digits are MNIST training images, upscaled; the others, and all with broken strokes, are drawn from the pen
paths of `samples/`, with random distortion. Each of `STYLES` varies one difficulty; "phone photo" combines them.
"""

from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from benchmarks.synthetic_uploads import Colour, Random, UploadStyle, draw_strokes, render_upload, upscale_mnist

StyleSampler = Callable[[Random], UploadStyle]
ImageTransform = Callable[[Image.Image], Image.Image]
MnistArrays = tuple[NDArray[np.uint8], NDArray[np.int64]]
"""Images UINT8 [n, 28, 28] and labels INT64 [n]."""


def generate_corpus(count: int, seed: int, mnist: MnistArrays | None = None) -> Iterator[tuple[str, int, bytes]]:
    """Generate `count` digits of each of `STYLES`: the style's name, the digit, and the bytes of an image file.

    `mnist` are MNIST's training images; without them, all digits are drawn from pen paths.
    """
    for number, (name, sample_style) in enumerate(STYLES.items()):
        random = np.random.default_rng([seed, number])
        for i in range(count):
            digit = i % 10
            style = sample_style(random)
            side = round(style.side * style.digit_size)
            if mnist and not (style.stroke_gap or i // 10 % 2):
                chosen = random.choice(np.flatnonzero(mnist[1] == digit))
                mask = upscale_mnist(mnist[0][chosen], side, style.stroke_width)
            else:
                mask = draw_strokes(random, digit, side, style.stroke_width, style.stroke_gap)
            yield name, digit, render_upload(mask, style, random)


def _plain(random: Random) -> UploadStyle:
    side = int(random.integers(120, 600))
    size = random.uniform(0.4, 0.8)
    position = tuple(random.uniform(0.2, 0.8, 2))
    grey = random.uniform(225, 255)
    stroke_width = random.uniform(0.04, 0.12)
    return UploadStyle(
        side=side, digit_size=size, position=position, stroke_width=stroke_width, paper_colour=(grey,) * 3
    )


def _vary(**samplers: Callable[[Random], Any]) -> StyleSampler:
    """The plain style, with a sampler for each field that differs from it."""
    return lambda random: replace(_plain(random), **{name: sample(random) for name, sample in samplers.items()})


def _uniform(low: float, high: float) -> Callable[[Random], float]:
    return lambda random: float(random.uniform(low, high))


def _integer(low: int, high: int) -> Callable[[Random], int]:
    """Uniform over `low` to `high`, both included."""
    return lambda random: int(random.integers(low, high + 1))


def _line_colour(random: Random) -> Colour:
    red, blue = random.uniform(130, 200), random.uniform(190, 225)
    return (red, red + 15, blue)


def _colour(low: float, high: float) -> Callable[[Random], tuple[float, ...]]:
    return lambda random: tuple(random.uniform(low, high, 3))


def _bright_colour(random: Random) -> Colour:
    colours = [
        (200, 30, 30),
        (20, 60, 190),
        (20, 130, 60),
        (240, 140, 20),
        (160, 40, 170),
        (60, 170, 220),
        (240, 200, 40),
    ]
    red, green, blue = colours[random.integers(len(colours))]
    return (red, green, blue)


def _position_at_edge(random: Random) -> tuple[float, float]:
    one, other = random.permutation([float(random.integers(2)), random.uniform(0, 1)])
    return (one, other)


def _downscale(mode: str, low: int, high: int) -> Callable[[Random], ImageTransform]:
    """Downscale to `low` to `high` pixels a side, in a Pillow mode: "L" is greyscale, "1" is black and white."""

    def sample(random: Random) -> ImageTransform:
        side = int(random.integers(low, high + 1))
        return lambda image: (
            image.convert("L").resize((side, side), Image.Resampling.BOX).convert(mode, dither=Image.Dither.NONE)
        )

    return sample


def _stretch(random: Random) -> ImageTransform:
    """Crop to the ink and stretch to a black and white square, as some older data sets did."""
    side = int(random.integers(16, 33))

    def stretch(image: Image.Image) -> Image.Image:
        ink = image.convert("L").point(lambda level: 255 * (level < 128))
        left, top, right, bottom = ink.getbbox() or (0, 0, *image.size)
        margin = max(0, (bottom - top) // 3 - (right - left)) // 2  # without it, a one would become a black square
        box = image.convert("L").crop((max(0, left - margin), top, min(image.width, right + margin), bottom))
        return box.resize((side, side), Image.Resampling.BOX).convert("1", dither=Image.Dither.NONE)

    return stretch


def _transparent_background(_random: Random) -> ImageTransform:
    def add_alpha(image: Image.Image) -> Image.Image:
        transparent = image.convert("RGBA")
        transparent.putalpha(image.convert("L").point(lambda level: 255 - level))
        return transparent

    return add_alpha


def _phone_photo(random: Random) -> UploadStyle:
    return replace(
        _plain(random),
        side=int(random.integers(500, 1100)),
        digit_size=random.uniform(0.25, 0.7),
        stroke_width=random.uniform(0.03, 0.1),
        ink_colour=_bright_colour(random) if random.random() < 0.3 else tuple(random.uniform(10, 90, 3)),
        paper_colour=tuple(random.uniform(190, 250) + random.uniform(-12, 12, 3)),
        ruling=int(random.choice([0, 0, 1, 2])),
        line_colour=_line_colour(random),
        light_falloff=random.uniform(0, 0.5),
        vignette=random.uniform(0, 0.35),
        shadow=random.choice([0, random.uniform(0.2, 0.55)]),
        rotation=15,
        perspective=0.06,
        blur_radius=random.uniform(0, 2),
        noise_sigma=random.uniform(0, 10),
        jpeg_quality=int(random.integers(30, 90)),
    )


STYLES: dict[str, StyleSampler] = {
    "plain": _plain,
    "uneven light": _vary(light_falloff=_uniform(0.3, 0.65), vignette=_uniform(0.1, 0.45)),
    "shadow": _vary(shadow=_uniform(0.3, 0.65), light_falloff=_uniform(0, 0.3)),
    "ruled": _vary(
        ruling=_integer(1, 1), line_colour=_line_colour, line_spacing=_uniform(0.25, 0.9), rotation=_uniform(0, 8)
    ),
    "squared": _vary(
        ruling=_integer(2, 2), line_colour=_line_colour, line_spacing=_uniform(0.15, 0.5), rotation=_uniform(0, 8)
    ),
    "coloured ink": _vary(ink_colour=_bright_colour),
    "coloured paper": _vary(paper_colour=_colour(130, 255), ink_colour=_colour(0, 70)),
    "rotated": _vary(rotation=_uniform(10, 15), perspective=_uniform(0.03, 0.1)),
    "blurred": _vary(blur_radius=_uniform(2, 6)),
    "noisy": _vary(noise_sigma=_uniform(10, 35)),
    "jpeg": _vary(jpeg_quality=_integer(5, 20)),
    "pencil": _vary(ink_colour=_colour(170, 195), stroke_width=_uniform(0.015, 0.04), noise_sigma=_uniform(1, 5)),
    "marker": _vary(stroke_width=_uniform(0.16, 0.26)),
    "small": _vary(side=_integer(500, 1000), digit_size=_uniform(0.06, 0.15)),
    "at the edge": _vary(position=_position_at_edge),
    "dark border": _vary(border_width=_integer(3, 14)),
    "broken strokes": _vary(stroke_gap=_uniform(0.02, 0.06)),
    "tiny": _vary(digit_size=_uniform(0.7, 0.98), postprocess=_downscale("L", 8, 16), stroke_width=_uniform(0.1, 0.14)),
    "bilevel": _vary(
        digit_size=_uniform(0.6, 0.95), postprocess=_downscale("1", 16, 40), stroke_width=_uniform(0.08, 0.14)
    ),
    "stretched": _vary(postprocess=_stretch, stroke_width=_uniform(0.08, 0.14)),
    "transparent": _vary(postprocess=_transparent_background),
    "light on dark": _vary(
        ink_colour=_colour(200, 255),
        paper_colour=_colour(0, 70),
        light_falloff=_uniform(0, 0.5),
        noise_sigma=_uniform(0, 8),
    ),
    "phone photo": _phone_photo,
}
