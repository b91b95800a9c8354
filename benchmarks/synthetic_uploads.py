"""Render synthetic uploads: a digit on a sheet of paper, as a camera, a scanner or a browser would send it."""

import io
from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFilter

from samples.draw import PATHS, smooth

Floats = NDArray[np.float64]
Random = np.random.Generator
Colour = tuple[float, float, float]
"""RGB, 0 to 255."""

OVERSAMPLING = 3


@dataclass(frozen=True)
class UploadStyle:
    """How a digit is drawn, on which paper, and how the sheet is captured. The default is a clean dark digit."""

    side: int = 400
    """Pixels; the image is square."""
    digit_size: float = 0.6
    """The digit's longest side, as a fraction of the image's."""
    position: tuple[float, float] = (0.5, 0.5)
    """Of the digit, from (0, 0), the top left corner, to (1, 1)."""
    stroke_width: float = 0.09
    """As a fraction of the digit's longest side, as `stroke_gap` is."""
    stroke_gap: float = 0.0
    """Distance by which the strokes after the first are moved away from it."""
    ink_colour: Colour = (25, 25, 30)
    paper_colour: Colour = (245, 244, 240)
    ruling: int = 0
    """0: none, 1: ruled (horizontal lines), 2: squared (horizontal and vertical lines)."""
    line_colour: Colour = (150, 170, 210)
    line_spacing: float = 0.35
    """As a fraction of the digit's longest side, as `line_width` is."""
    line_width: float = 0.012
    light_falloff: float = 0.0
    """How much darker the far corner is, 0 to 1."""
    vignette: float = 0.0
    """How much darker the corners are than the centre, 0 to 1."""
    shadow: float = 0.0
    """Darkness of a shadow with an edge, 0 to 1."""
    rotation: float = 0.0
    """Degrees, at most, in either direction."""
    perspective: float = 0.0
    """How far each corner is moved inwards at most, as a fraction of the side."""
    border_width: int = 0
    """Pixels of a dark border, such as a scanner's lid leaves at the top and the sides."""
    blur_radius: float = 0.0
    """Pixels."""
    noise_sigma: float = 0.0
    """Standard deviation of the noise, in grey levels."""
    jpeg_quality: int = 0
    """1 to 100; 0 writes a PNG."""
    postprocess: Callable[[Image.Image], Image.Image] = field(default=lambda image: image)
    """Applied to the finished image before it is encoded."""


def upscale_mnist(image: NDArray[np.uint8], side: int, stroke_width: float) -> Floats:
    """Upscale an MNIST image [28, 28] to a smooth coverage mask, 0 to 1, with `side` pixels on its longest side.

    The threshold follows `stroke_width`, so that the strokes are about as wide as those of `draw_strokes`.
    """
    rows, columns = (np.flatnonzero((image > 60).any(axis=axis)) for axis in (1, 0))
    box = Image.fromarray(image).crop((columns[0] - 1, rows[0] - 1, columns[-1] + 2, rows[-1] + 2))
    scale = side / max(box.size)
    large = box.resize((max(1, round(box.width * scale)), max(1, round(box.height * scale))), Image.Resampling.BICUBIC)
    blurred = np.asarray(large.filter(ImageFilter.GaussianBlur(scale / 3)), float) / 255
    threshold = float(np.clip(0.75 - 2.5 * stroke_width, 0.3, 0.62))
    return np.clip((blurred - threshold) * max(4.0, scale / 2) + 0.5, 0, 1)


def draw_strokes(random: Random, digit: int, side: int, stroke_width: float, stroke_gap: float) -> Floats:
    """Draw a digit from its pen paths, randomly distorted: a coverage mask, 0 to 1, `side` pixels on its longest side.

    With a gap, the strokes after the first are moved away from it.
    """
    width = max(1.0, stroke_width * side * OVERSAMPLING)
    affine = np.eye(2) + random.normal(0, 0.07, (2, 2)) + [[0, -abs(random.normal(0, 0.15))], [0, 0]]
    image = Image.new("L", (round(side * OVERSAMPLING * 1.6),) * 2)
    draw = ImageDraw.Draw(image)
    for number, path in enumerate(PATHS[digit]):
        knots = np.array(path) + random.normal(0, 0.02, (len(path), 2)) - 0.5
        if stroke_gap and number:
            knots = knots + np.sign(knots[-1] - knots[0] + 1e-9) * stroke_gap
        curve = np.array(smooth([tuple(knot) for knot in knots]))
        points = [tuple(point) for point in (curve @ affine.T + 0.8) * side * OVERSAMPLING]
        draw.line(points, fill=255, width=max(1, round(width)), joint="curve")
        for x, y in points:
            draw.ellipse((x - width / 2, y - width / 2, x + width / 2, y + width / 2), fill=255)
    box = image.crop(image.getbbox())
    scale = side / max(box.size)
    small = box.resize((max(1, round(box.width * scale)), max(1, round(box.height * scale))), Image.Resampling.BOX)
    return np.asarray(small, float) / 255


def render_upload(mask: Floats, style: UploadStyle, random: Random) -> bytes:
    """Place a digit's coverage mask on the sheet, capture the sheet, and encode it as a PNG or JPEG file."""
    side = style.side
    sheet = _draw_sheet(style, random)
    room = np.array([side - mask.shape[0], side - mask.shape[1]])
    top, left = np.clip((room * style.position).astype(int), 0, None)
    coverage = np.zeros((side, side))
    coverage[top : top + mask.shape[0], left : left + mask.shape[1]] = mask[: side - top, : side - left]
    sheet = sheet * (1 - coverage[..., None]) + np.array(style.ink_colour) * coverage[..., None]
    image = Image.fromarray(sheet.round().clip(0, 255).astype(np.uint8))
    if style.rotation or style.perspective:
        image = _rotate_and_warp(image, style, random)
    sheet = np.asarray(image, float) * _illumination(style, random)[..., None]
    if style.border_width:
        sheet[:, : style.border_width] = sheet[: style.border_width] = random.uniform(0, 90)
        if random.random() < 0.5:
            sheet[:, -style.border_width :] = sheet[-style.border_width :] = random.uniform(0, 90)
    image = Image.fromarray(sheet.clip(0, 255).astype(np.uint8)).filter(ImageFilter.GaussianBlur(style.blur_radius))
    sheet = np.asarray(image, float) + random.normal(0, style.noise_sigma, (side, side, 1))
    image = style.postprocess(Image.fromarray(sheet.clip(0, 255).astype(np.uint8)))
    file = io.BytesIO()
    image.save(file, "JPEG" if style.jpeg_quality else "PNG", quality=style.jpeg_quality or 75)
    return file.getvalue()


def _draw_sheet(style: UploadStyle, random: Random) -> Floats:
    """The paper with its ruling, RGB [side, side, 3]."""
    sheet = np.broadcast_to(np.array(style.paper_colour, float), (style.side, style.side, 3)).copy()
    spacing = style.line_spacing * style.side * style.digit_size
    width = max(1, round(style.line_width * style.side * style.digit_size))
    first = random.uniform(0, spacing)
    for start in np.arange(first, style.side, spacing).astype(int):
        if style.ruling:
            sheet[start : start + width] = style.line_colour
        if style.ruling > 1:
            sheet[:, start : start + width] = style.line_colour
    return sheet


def _illumination(style: UploadStyle, random: Random) -> Floats:
    """The brightness of each pixel, 0 to 1, [side, side]."""
    y, x = np.mgrid[-1 : 1 : style.side * 1j, -1 : 1 : style.side * 1j]
    angle = random.uniform(0, 2 * np.pi)
    along = x * np.cos(angle) + y * np.sin(angle)
    light = 1 - style.light_falloff * (along + 1.4) / 2.8 - style.vignette * (x**2 + y**2) / 2
    edge = along + 0.15 * np.sin(3 * (y - x)) - random.uniform(-0.5, 0.5)
    return np.asarray(light * (1 - style.shadow / (1 + np.exp(-edge * random.uniform(8, 40)))))


def _rotate_and_warp(image: Image.Image, style: UploadStyle, random: Random) -> Image.Image:
    """Rotate the image and apply a random perspective transform."""
    fill = tuple(round(level) for level in style.paper_colour)
    rotated = image.rotate(random.uniform(-style.rotation, style.rotation), Image.Resampling.BICUBIC, fillcolor=fill)
    w = style.side
    corners = np.array([(0, 0), (w, 0), (w, w), (0, w)], float)
    moved = corners + random.uniform(0, style.perspective * w, (4, 2)) * np.where(corners > 0, -1, 1)
    equations, targets = [], []
    for (x, y), (u, v) in zip(corners, moved, strict=True):
        equations += [[x, y, 1, 0, 0, 0, -u * x, -u * y], [0, 0, 0, x, y, 1, -v * x, -v * y]]
        targets += [u, v]
    coefficients = np.linalg.solve(np.array(equations), np.array(targets))
    return rotated.transform((w, w), Image.Transform.PERSPECTIVE, tuple(coefficients), Image.Resampling.BICUBIC)
