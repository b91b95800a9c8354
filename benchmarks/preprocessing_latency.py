"""Latency of each step for one uploaded image on one core: decode, normalise, infer."""

import io
import statistics
import time
from collections.abc import Callable
from functools import partial

import numpy as np
from PIL import Image

from benchmarks.synthetic_uploads import UploadStyle, draw_strokes, render_upload
from benchmarks.uploads import open_model
from service.images.decoding import decode_image
from service.images.limits import PixelBudget
from training import normaliser


def sample_files() -> dict[str, bytes]:
    """Synthetic uploads of several sizes, by description; from a fixed seed, so that they are the same everywhere."""
    random = np.random.default_rng(7)
    small = Image.open(io.BytesIO(render_upload(draw_strokes(random, 3, 17, 0.1, 0), UploadStyle(side=28), random)))
    files = {"28x28 PNG": _image_bytes(small.convert("L"), "PNG")}
    canvas = UploadStyle(side=420, jpeg_quality=85)
    files["420x420 JPEG"] = render_upload(draw_strokes(random, 5, 250, 0.1, 0), canvas, random)
    for name, side, ruling in (("1-megapixel photo", 1000, 0), ("the same, on squared paper", 1000, 2)):
        photo = UploadStyle(
            side=side, ruling=ruling, light_falloff=0.4, vignette=0.3, rotation=8, noise_sigma=5, jpeg_quality=85
        )
        files[name] = render_upload(draw_strokes(random, 7, side // 2, 0.06, 0), photo, random)
    large = Image.open(io.BytesIO(files["1-megapixel photo"])).resize((4000, 3000), Image.Resampling.BICUBIC)
    files["12-megapixel photo"] = _image_bytes(large, "JPEG")
    return files


def typical_uploads() -> dict[str, bytes]:
    """A digit on a canvas, as PNG and JPEG, and photos, by the names of `benchmarks.serve.workloads.UPLOADS`."""
    random = np.random.default_rng(7)
    canvas = render_upload(draw_strokes(random, 3, 145, 0.1, 0), UploadStyle(side=240, jpeg_quality=90), random)
    photos = sample_files()
    return {
        "240x240 PNG": _image_bytes(Image.open(io.BytesIO(canvas)).convert("L"), "PNG"),
        "240x240 JPEG": canvas,
        "1-megapixel JPEG": photos["1-megapixel photo"],
        "12-megapixel JPEG": photos["12-megapixel photo"],
    }


def measure(rounds: int, model_name: str) -> None:
    """Print the median milliseconds of each step for each file."""
    model = open_model(model_name)
    print("| upload | bytes | decode, ms | normalise, ms | infer, ms |\n| --- | --- | --- | --- | --- |")
    for name, file in sample_files().items():
        picture = decode_image(file, PixelBudget(10**9))
        image = normaliser.normalise(picture.pixels)[None]
        steps: tuple[Callable[[], object], ...] = (
            partial(decode_image, file, PixelBudget(10**12)),
            partial(normaliser.normalise, picture.pixels),
            partial(model.predict, {"image": image}),
        )
        times = [_median_ms(step, rounds) for step in steps]
        print(f"| {name} | {len(file):,} | {' | '.join(f'{milliseconds:.3f}' for milliseconds in times)} |")


def _median_ms(step: Callable[[], object], rounds: int) -> float:
    step()  # warm-up
    seconds = []
    for _ in range(rounds):
        started = time.perf_counter()
        step()
        seconds.append(time.perf_counter() - started)
    return statistics.median(seconds) * 1000


def _image_bytes(image: Image.Image, image_format: str) -> bytes:
    file = io.BytesIO()
    image.save(file, image_format, quality=88)
    return file.getvalue()
