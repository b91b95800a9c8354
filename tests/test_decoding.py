"""What no request of the corpus shows: modes of images, and a whole camera's picture."""

import contextlib
import io
import struct

import numpy as np
import pytest
from conftest import SAMPLES
from PIL import Image

from service.errors import BadRequest, PayloadTooLarge
from service.images import normaliser as digits
from service.images.decoding import Budget, decode_image

SEVEN = Image.open(SAMPLES / "7.png")


def encoded(image: Image.Image, kind: str = "PNG", **options: object) -> bytes:
    file = io.BytesIO()
    image.save(file, kind, **options)
    return file.getvalue()


def sixteen_bit() -> Image.Image:
    return Image.fromarray(np.asarray(SEVEN).astype(np.uint16) * 257)


def with_alpha(ink: tuple[int, int, int]) -> Image.Image:
    image = Image.new("RGBA", SEVEN.size, (*ink, 0))
    image.putalpha(SEVEN)
    return image


MODES = {
    "L": encoded(SEVEN),
    "RGB": encoded(SEVEN.convert("RGB")),
    "palette": encoded(SEVEN.convert("P")),
    "1-bit": encoded(SEVEN.convert("1", dither=Image.Dither.NONE)),
    "16-bit PNG": encoded(sixteen_bit()),
    "16-bit TIFF": encoded(sixteen_bit(), "TIFF"),
    "32-bit TIFF": encoded(Image.fromarray(np.asarray(SEVEN).astype(np.int32)), "TIFF"),
    "float TIFF": encoded(Image.fromarray(np.asarray(SEVEN).astype(np.float32) / 255), "TIFF"),
    "grey and alpha": encoded(SEVEN.convert("LA")),
    "black ink on transparent paper": encoded(with_alpha((0, 0, 0))),
    "white ink on transparent paper": encoded(with_alpha((255, 255, 255))),
    "transparent palette": encoded(with_alpha((0, 0, 0)).quantize(method=Image.Quantize.FASTOCTREE)),
    "CMYK JPEG": encoded(SEVEN.convert("CMYK"), "JPEG", quality=95),
    "grey JPEG": encoded(SEVEN, "JPEG", quality=95),
    "progressive JPEG": encoded(SEVEN.convert("RGB"), "JPEG", quality=95, progressive=True),
    "WebP": encoded(SEVEN.convert("RGB"), "WEBP", quality=95),
    "WebP with alpha": encoded(with_alpha((0, 0, 0)), "WEBP", lossless=True),
    "BMP": encoded(SEVEN, "BMP"),
    "GIF": encoded(SEVEN, "GIF"),
    "animated GIF, first frame": encoded(
        SEVEN, "GIF", save_all=True, append_images=[Image.new("L", SEVEN.size, 255)], duration=100
    ),
    "TIFF of two pages, first page": encoded(
        SEVEN, "TIFF", save_all=True, append_images=[Image.new("L", SEVEN.size, 255)]
    ),
}


@pytest.mark.parametrize("data", MODES.values(), ids=MODES)
def test_the_same_digit_in_any_mode_is_the_same_picture(data: bytes) -> None:
    expected = digits.normalise(np.asarray(SEVEN)).astype(int)
    found = digits.normalise(decode_image(data, Budget(10**6)).grey)
    assert np.abs(found - expected).mean() < 3


@pytest.mark.parametrize("kind", ["PNG", "WEBP", "TIFF"])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_exif_orientation_is_honoured(orientation: int, kind: str) -> None:
    stored = {  # how a camera held that way stores the picture: the inverse of what a viewer must do
        1: None,
        2: Image.Transpose.FLIP_LEFT_RIGHT,
        3: Image.Transpose.ROTATE_180,
        4: Image.Transpose.FLIP_TOP_BOTTOM,
        5: Image.Transpose.TRANSPOSE,
        6: Image.Transpose.ROTATE_90,
        7: Image.Transpose.TRANSVERSE,
        8: Image.Transpose.ROTATE_270,
    }[orientation]
    exif = Image.Exif()
    exif[0x0112] = orientation
    upright = SEVEN.crop((30, 0, 210, 240))
    image = upright if stored is None else upright.transpose(stored)
    options = {"lossless": True} if kind == "WEBP" else {}
    picture = decode_image(encoded(image, kind, exif=exif, **options), Budget(10**6))
    assert np.array_equal(picture.grey, np.asarray(upright))
    assert (picture.width, picture.height, picture.orientation) == (180, 240, orientation)


@pytest.mark.parametrize(("said", "taken"), [((6, 1), 6), ((13, 2), 1), ((6, 0), 1)])
def test_an_exif_orientation_stored_as_a_fraction_is_a_whole_number_or_none(said: tuple[int, int], taken: int) -> None:
    entry = struct.pack("<HHIIIII", 0x0112, 5, 1, 26, 0, *said)  # a RATIONAL, where a SHORT belongs
    exif = b"Exif\0\0II*\0" + struct.pack("<IH", 8, 1) + entry
    orientation = decode_image(encoded(SEVEN, "JPEG", exif=exif), Budget(10**6)).orientation
    assert (orientation, type(orientation)) == (taken, int)


def test_a_twelve_megapixel_photograph_passes() -> None:
    photograph = encoded(SEVEN.resize((4000, 3000)).convert("RGB"), "JPEG")
    assert digits.is_normalised(digits.normalise(decode_image(photograph, Budget(64_000_000)).grey))


def test_too_many_pixels_are_refused_before_they_are_decoded() -> None:
    with pytest.raises(PayloadTooLarge, match="240x240 pixels: at most 57,599"):
        decode_image(encoded(SEVEN), Budget(240 * 240 - 1))
    assert decode_image(encoded(SEVEN), Budget(240 * 240)).grey.shape == (240, 240)


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "WEBP", "BMP", "GIF", "TIFF"])
def test_a_file_that_is_cut_or_scrambled_anywhere_is_read_or_refused(kind: str) -> None:
    data = encoded(SEVEN.convert("RGB"), kind)
    random = np.random.default_rng(0)
    for _ in range(60):
        damaged = bytearray(data[: random.integers(1, len(data))] if random.random() < 0.5 else data)
        for at in random.integers(0, len(damaged), 8):
            damaged[at] = random.integers(0, 256)
        with contextlib.suppress(BadRequest, PayloadTooLarge):
            picture = decode_image(bytes(damaged), Budget(10**6))
            assert picture.grey.dtype == np.uint8
            assert picture.grey.ndim == 2
