"""What one upload costs, step by step: decode, normalise, infer; on one core, the median of many."""

import io
import statistics
import time
from collections.abc import Callable
from functools import partial

import numpy as np
from PIL import Image

from benchmarks.synthetic_uploads import Paper, penned, photographed
from benchmarks.uploads import opened
from service.images import normaliser as digits
from service.images.decoding import Budget, decode_image


def files() -> dict[str, bytes]:
    """The same kinds of upload for everybody: drawn by code, from a seed."""
    random = np.random.default_rng(7)
    small = Image.open(io.BytesIO(photographed(penned(random, 3, 17, 0.1, 0), Paper(side=28), random)))
    made = {"28x28 PNG": _saved(small.convert("L"), "PNG")}
    canvas = Paper(side=420, quality=85)
    made["420x420 JPEG"] = photographed(penned(random, 5, 250, 0.1, 0), canvas, random)
    for name, side, lines in (("1-megapixel photo", 1000, 0), ("the same, on squared paper", 1000, 2)):
        sheet = Paper(side=side, lines=lines, light=0.4, vignette=0.3, turn=8, noise=5, quality=85)
        made[name] = photographed(penned(random, 7, side // 2, 0.06, 0), sheet, random)
    large = Image.open(io.BytesIO(made["1-megapixel photo"])).resize((4000, 3000), Image.Resampling.BICUBIC)
    made["12-megapixel photo"] = _saved(large, "JPEG")
    return made


def measure(rounds: int, model_name: str) -> None:
    """Print the milliseconds of each step."""
    model = opened(model_name)
    print("| upload | bytes | decode, ms | normalise, ms | infer, ms |\n| --- | --- | --- | --- | --- |")
    for name, file in files().items():
        picture = decode_image(file, Budget(10**9))
        image = digits.normalise(picture.grey)[None]
        steps: tuple[Callable[[], object], ...] = (
            partial(decode_image, file, Budget(10**12)),
            partial(digits.normalise, picture.grey),
            partial(model.predict, {"image": image}),
        )
        times = [_median(step, rounds) for step in steps]
        print(f"| {name} | {len(file):,} | {' | '.join(f'{taken:.3f}' for taken in times)} |")


def _median(step: Callable[[], object], rounds: int) -> float:
    step()
    taken = []
    for _ in range(rounds):
        started = time.perf_counter()
        step()
        taken.append(time.perf_counter() - started)
    return statistics.median(taken) * 1000


def _saved(image: Image.Image, kind: str) -> bytes:
    file = io.BytesIO()
    image.save(file, kind, quality=88)
    return file.getvalue()
