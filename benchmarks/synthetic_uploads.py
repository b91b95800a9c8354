"""A digit on a sheet of paper, and the sheet as a camera, a scanner or a browser sends it: made by code."""

import io
from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFilter

from samples.draw import PATHS, smooth

Floats = NDArray[np.float64]
Random = np.random.Generator


@dataclass(frozen=True)
class Paper:
    """One sheet and how it was written on and taken. Lengths are parts of the digit's height or, `page`, of the page's.

    `ink` and `paper` are RGB, 0 to 255; `pen` is the stroke's width; `lines` are ruling (1) or squares (2) of
    `line_ink`, `line_gap` apart; `light` is how much darker the far corner is, and `shadow` the darkness of a part
    with an edge; `quality` is JPEG's, 0 for PNG.
    """

    side: int = 400
    size: float = 0.6
    place: tuple[float, float] = (0.5, 0.5)
    pen: float = 0.09
    ink: tuple[float, float, float] = (25, 25, 30)
    paper: tuple[float, float, float] = (245, 244, 240)
    gap: float = 0.0
    lines: int = 0
    line_ink: tuple[float, float, float] = (150, 170, 210)
    line_gap: float = 0.35
    line_pen: float = 0.012
    light: float = 0.0
    vignette: float = 0.0
    shadow: float = 0.0
    turn: float = 0.0
    perspective: float = 0.0
    frame: int = 0
    blur: float = 0.0
    noise: float = 0.0
    quality: int = 0
    end: Callable[[Image.Image], Image.Image] = field(default=lambda image: image)


def enlarged(image: NDArray[np.uint8], side: int, pen: float) -> Floats:
    """An MNIST image as a smooth shape, 0 to 1, its longest side `side` pixels, about as thick as the pen."""
    rows, columns = (np.flatnonzero((image > 60).any(axis=axis)) for axis in (1, 0))
    box = Image.fromarray(image).crop((columns[0] - 1, rows[0] - 1, columns[-1] + 2, rows[-1] + 2))
    scale = side / max(box.size)
    large = box.resize((max(1, round(box.width * scale)), max(1, round(box.height * scale))), Image.Resampling.BICUBIC)
    soft = np.asarray(large.filter(ImageFilter.GaussianBlur(scale / 3)), float) / 255
    cut = float(np.clip(0.75 - 2.5 * pen, 0.3, 0.62))
    return np.clip((soft - cut) * max(4.0, scale / 2) + 0.5, 0, 1)


def penned(random: Random, digit: int, side: int, pen: float, gap: float) -> Floats:
    """A pen's paths with an unsteady hand; with a gap, the strokes after the first stay apart from it."""
    over = 3
    width = max(1.0, pen * side * over)
    hand = np.eye(2) + random.normal(0, 0.07, (2, 2)) + [[0, -abs(random.normal(0, 0.15))], [0, 0]]
    image = Image.new("L", (round(side * over * 1.6),) * 2)
    draw = ImageDraw.Draw(image)
    for number, path in enumerate(PATHS[digit]):
        knots = np.array(path) + random.normal(0, 0.02, (len(path), 2)) - 0.5
        if gap and number:
            knots = knots + np.sign(knots[-1] - knots[0] + 1e-9) * gap
        dots = [tuple(dot) for dot in (np.array(smooth([tuple(k) for k in knots])) @ hand.T + 0.8) * side * over]
        draw.line(dots, fill=255, width=max(1, round(width)), joint="curve")
        for x, y in dots:
            draw.ellipse((x - width / 2, y - width / 2, x + width / 2, y + width / 2), fill=255)
    box = image.crop(image.getbbox())
    scale = side / max(box.size)
    small = box.resize((max(1, round(box.width * scale)), max(1, round(box.height * scale))), Image.Resampling.BOX)
    return np.asarray(small, float) / 255


def photographed(glyph: Floats, paper: Paper, random: Random) -> bytes:
    """The digit on its sheet, and the sheet as a camera, a scanner or a browser sends it."""
    side = paper.side
    sheet = _ruled(paper, random)
    room = np.array([side - glyph.shape[0], side - glyph.shape[1]])
    top, left = np.clip((room * paper.place).astype(int), 0, None)
    inked = np.zeros((side, side))
    inked[top : top + glyph.shape[0], left : left + glyph.shape[1]] = glyph[: side - top, : side - left]
    sheet = sheet * (1 - inked[..., None]) + np.array(paper.ink) * inked[..., None]
    image = Image.fromarray(sheet.round().clip(0, 255).astype(np.uint8))
    if paper.turn or paper.perspective:
        image = _held(image, paper, random)
    sheet = np.asarray(image, float) * _lit(paper, random)[..., None]
    if paper.frame:
        sheet[:, : paper.frame] = sheet[: paper.frame] = random.uniform(0, 90)
        if random.random() < 0.5:
            sheet[:, -paper.frame :] = sheet[-paper.frame :] = random.uniform(0, 90)
    image = Image.fromarray(sheet.clip(0, 255).astype(np.uint8)).filter(ImageFilter.GaussianBlur(paper.blur))
    sheet = np.asarray(image, float) + random.normal(0, paper.noise, (side, side, 1))
    image = paper.end(Image.fromarray(sheet.clip(0, 255).astype(np.uint8)))
    file = io.BytesIO()
    image.save(file, "JPEG" if paper.quality else "PNG", quality=paper.quality or 75)
    return file.getvalue()


def _ruled(paper: Paper, random: Random) -> Floats:
    sheet = np.broadcast_to(np.array(paper.paper, float), (paper.side, paper.side, 3)).copy()
    gap = paper.line_gap * paper.side * paper.size
    pen = max(1, round(paper.line_pen * paper.side * paper.size))
    first = random.uniform(0, gap)
    for at in np.arange(first, paper.side, gap).astype(int):
        if paper.lines:
            sheet[at : at + pen] = paper.line_ink
        if paper.lines > 1:
            sheet[:, at : at + pen] = paper.line_ink
    return sheet


def _lit(paper: Paper, random: Random) -> Floats:
    """How bright each place is, 0 to 1."""
    y, x = np.mgrid[-1 : 1 : paper.side * 1j, -1 : 1 : paper.side * 1j]
    angle = random.uniform(0, 2 * np.pi)
    along = x * np.cos(angle) + y * np.sin(angle)
    light = 1 - paper.light * (along + 1.4) / 2.8 - paper.vignette * (x**2 + y**2) / 2
    edge = along + 0.15 * np.sin(3 * (y - x)) - random.uniform(-0.5, 0.5)
    return np.asarray(light * (1 - paper.shadow / (1 + np.exp(-edge * random.uniform(8, 40)))))


def _held(image: Image.Image, paper: Paper, random: Random) -> Image.Image:
    """Turned, and seen from one side."""
    fill = tuple(round(level) for level in paper.paper)
    turned = image.rotate(random.uniform(-paper.turn, paper.turn), Image.Resampling.BICUBIC, fillcolor=fill)
    w = paper.side
    corners = np.array([(0, 0), (w, 0), (w, w), (0, w)], float)
    seen = corners + random.uniform(0, paper.perspective * w, (4, 2)) * np.where(corners > 0, -1, 1)
    rows, wanted = [], []
    for (x, y), (u, v) in zip(corners, seen, strict=True):
        rows += [[x, y, 1, 0, 0, 0, -u * x, -u * y], [0, 0, 0, x, y, 1, -v * x, -v * y]]
        wanted += [u, v]
    how = np.linalg.solve(np.array(rows), np.array(wanted))
    return turned.transform((w, w), Image.Transform.PERSPECTIVE, tuple(how), Image.Resampling.BICUBIC)
