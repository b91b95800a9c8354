"""Draw the ten digits of this folder: `python samples/draw.py`. None of them comes from a data set.

Each is a smoothed path in the unit square (y points down), with its own colours, size and file format.
"""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageFilter

Point = tuple[float, float]
Colour = str | tuple[int, int, int, int]

FOLDER = Path(__file__).parent
SIDE = 240
OVERSAMPLING = 4

PATHS: dict[int, list[list[Point]]] = {
    0: [[(0.52, 0.05), (0.25, 0.25), (0.22, 0.68), (0.48, 0.95), (0.76, 0.7), (0.76, 0.28), (0.52, 0.05)]],
    1: [[(0.56, 0.05), (0.52, 0.5), (0.46, 0.95)]],
    2: [[(0.22, 0.27), (0.4, 0.06), (0.7, 0.14), (0.7, 0.42), (0.45, 0.7), (0.2, 0.92)], [(0.2, 0.92), (0.84, 0.88)]],
    3: [[(0.24, 0.14), (0.52, 0.04), (0.74, 0.2), (0.46, 0.46)],
        [(0.46, 0.46), (0.8, 0.66), (0.56, 0.94), (0.2, 0.86)]],
    4: [[(0.3, 0.08), (0.2, 0.54)], [(0.2, 0.54), (0.5, 0.53), (0.82, 0.5)], [(0.7, 0.1), (0.64, 0.5), (0.6, 0.96)]],
    5: [[(0.78, 0.06), (0.34, 0.08)], [(0.34, 0.08), (0.28, 0.42)],
        [(0.28, 0.42), (0.62, 0.42), (0.74, 0.68), (0.52, 0.93), (0.2, 0.88)]],
    6: [[(0.64, 0.05), (0.36, 0.34), (0.26, 0.7), (0.46, 0.95), (0.7, 0.76), (0.54, 0.55), (0.28, 0.72)]],
    7: [[(0.2, 0.1), (0.8, 0.08)], [(0.8, 0.08), (0.58, 0.5), (0.46, 0.95)]],
    8: [[(0.7, 0.16), (0.48, 0.05), (0.3, 0.22), (0.5, 0.46), (0.7, 0.72), (0.48, 0.95), (0.28, 0.74), (0.52, 0.46),
         (0.7, 0.16)]],
    9: [[(0.7, 0.2), (0.46, 0.06), (0.28, 0.3), (0.46, 0.48), (0.7, 0.24)], [(0.7, 0.24), (0.68, 0.6), (0.6, 0.96)]],
}  # fmt: skip


def smooth(points: Sequence[Point], steps: int = 24) -> list[Point]:
    """A Catmull-Rom curve through the points, `steps` points for each section; two points give a straight line."""
    controls = np.array([points[0], *points, points[-1]])
    curve = []
    for a, b, c, d in zip(controls, controls[1:], controls[2:], controls[3:], strict=False):
        for t in np.linspace(0, 1, steps):
            cubic = 2 * b + (c - a) * t + (2 * a - 5 * b + 4 * c - d) * t**2 + (3 * b - a - 3 * c + d) * t**3
            curve.append(cubic / 2)
    return [(float(x), float(y)) for x, y in curve]


def draw(digit: int, paper: Colour, ink: Colour, width: float, box: tuple[float, float, float]) -> Image.Image:
    """The digit in RGBA, 240x240 pixels; stroke `width` and `box` (left, top, side) are fractions of the side."""
    side = SIDE * OVERSAMPLING
    image = Image.new("RGBA", (side, side), paper)
    canvas = ImageDraw.Draw(image)
    radius = width * side / 2
    left, top, size = (fraction * side for fraction in box)
    for path in PATHS[digit]:
        curve = [(left + x * size, top + y * size) for x, y in smooth(path)]
        canvas.line(curve, fill=ink, width=round(2 * radius), joint="curve")
        for x, y in curve:
            canvas.ellipse((x - radius, y - radius, x + radius, y + radius), fill=ink)
    return image.resize((SIDE, SIDE), Image.Resampling.LANCZOS)


def main() -> None:
    """Write the ten files."""
    centre = (0.15, 0.15, 0.7)
    draw(0, "white", "black", 0.07, centre).convert("RGB").save(FOLDER / "0.png")
    draw(1, "white", "black", 0.06, (0.3, 0.1, 0.5)).convert("1").save(FOLDER / "1.gif")
    draw(2, (0, 0, 0, 0), "black", 0.07, centre).save(FOLDER / "2.png")  # transparent background
    draw(3, "white", "navy", 0.06, (0.1, 0.05, 0.6)).convert("RGB").save(FOLDER / "3.png")
    exif = Image.Exif()
    exif[0x0112] = 6  # orientation: viewers rotate the image by 90 degrees clockwise
    rotated = draw(4, "white", "dimgrey", 0.05, centre).convert("RGB").transpose(Image.Transpose.ROTATE_90)
    rotated.save(FOLDER / "4.jpg", exif=exif, quality=85)
    draw(5, "black", "white", 0.08, centre).convert("L").save(FOLDER / "5.bmp")
    draw(6, "ivory", "darkgreen", 0.05, (0.35, 0.3, 0.4)).convert("RGB").save(FOLDER / "6.webp", lossless=True)
    draw(7, "black", "white", 0.08, (0.2, 0.2, 0.6)).convert("L").save(FOLDER / "7.png")
    blurred = draw(8, "lightgrey", "dimgrey", 0.06, centre).convert("RGB").filter(ImageFilter.GaussianBlur(1.5))
    blurred.save(FOLDER / "8.jpg", quality=70)
    draw(9, "white", "crimson", 0.06, centre).convert("CMYK").save(FOLDER / "9.tiff", compression="tiff_lzw")


if __name__ == "__main__":
    main()
