"""Decoding of image files: pixel formats, EXIF orientation, limits, and damaged files."""

import io
import struct
import zlib
from collections.abc import Callable

import numpy as np
import pytest
from camera_turns import TURNS, stored
from conftest import SAMPLES
from PIL import Image, ImageFile

from service.errors import BadRequest, PayloadTooLarge
from service.images.decoding import Geometry, decode_image, open_image
from service.images.file_formats.png import Header, write_png
from service.images.limits import PixelBudget
from service.images.network_input import read_digit
from service.images.normaliser import is_normalised
from training.normaliser import normalise, segmenter

SEVEN = Image.open(SAMPLES / "7.png")


def encoded(image: Image.Image, file_format: str = "PNG", **options: object) -> bytes:
    file = io.BytesIO()
    image.save(file, file_format, **options)
    return file.getvalue()


def sixteen_bit(factor: int = 257) -> Image.Image:
    """Samples of 16 bits that are 0 to 255 times the factor: 4 for a camera of 10 bits, 16 for one of 12."""
    return Image.fromarray(np.asarray(SEVEN).astype(np.uint16) * factor)


def deep_png(factor: int, opacity: int | None = None, *, grey: bool = False) -> bytes:
    """Colours of 16 bits, or grey, that are 0 to 255 times the factor."""
    channels = [np.asarray(SEVEN).astype(np.uint16) * factor] * (1 if grey else 3)
    if opacity is not None:
        channels.append(np.full_like(channels[0], opacity))
    samples = np.dstack(channels).astype(">u2")
    rows = b"".join(b"\0" + row.tobytes() for row in samples)
    colour_type = 2 * (not grey) + 4 * (opacity is not None)
    header = Header(*SEVEN.size, 16, colour_type, 0, 0, 0).encode()
    return write_png([(b"IHDR", [header]), (b"IDAT", [zlib.compress(rows)]), (b"IEND", [])])


def deep_tiff(factor: int, order: str) -> bytes:
    """The same, uncompressed."""
    samples = np.repeat(np.asarray(SEVEN).astype(f"{order}u2")[:, :, np.newaxis] * factor, 3, 2).astype(f"{order}u2")
    at = 8 + 2 + 9 * 12 + 4
    values = [(256, 240), (257, 240), (258, at), (259, 1), (262, 2), (273, at + 6), (277, 3), (278, 240)]
    entries = [struct.pack(f"{order}HHIHH", tag, 3, 1, value, 0) for tag, value in values]
    entries[2] = struct.pack(f"{order}HHII", 258, 3, 3, at)
    entries.append(struct.pack(f"{order}HHII", 279, 4, 1, samples.nbytes))
    directory = struct.pack(f"{order}H", 9) + b"".join(entries)
    magic = b"II*\0" if order == "<" else b"MM\0*"
    bits = struct.pack(f"{order}3H", 16, 16, 16)
    return magic + struct.pack(f"{order}I", 8) + directory + bytes(4) + bits + samples.tobytes()


def mask(most: int) -> Image.Image:
    """Numbers of 0 to the most in 8 bits, as masks of segmentation have them."""
    return SEVEN.point(lambda level: round(level * most / 255))


def sixteen_bit_pgm(maxval: int) -> bytes:
    samples = np.asarray(SEVEN).astype(np.uint32) * maxval // 255
    return b"P5\n# of a camera\n240 240\n%d\n" % maxval + samples.astype(">u2").tobytes()


def pgm_text() -> bytes:
    return b"P2 240 240 # in rows\n255\n" + b"\n".join(
        b" ".join(b"%d" % one for one in row) for row in np.asarray(SEVEN)
    )


def with_alpha(ink: tuple[int, int, int]) -> Image.Image:
    image = Image.new("RGBA", SEVEN.size, (*ink, 0))
    image.putalpha(SEVEN)
    return image


FILES = {
    "L": encoded(SEVEN),
    "RGB": encoded(SEVEN.convert("RGB")),
    "palette": encoded(SEVEN.convert("P")),
    "1-bit": encoded(SEVEN.convert("1", dither=Image.Dither.NONE)),
    "16-bit PNG": encoded(sixteen_bit()),
    "16-bit TIFF": encoded(sixteen_bit(), "TIFF"),
    "16-bit PNG of 8 bits": encoded(sixteen_bit(1)),
    "16-bit PNG of 10 bits": encoded(sixteen_bit(4)),
    "16-bit TIFF of 12 bits": encoded(sixteen_bit(16), "TIFF"),
    "16-bit TIFF of 0 and 1": encoded(Image.fromarray((np.asarray(SEVEN) >= 128).astype(np.uint16)), "TIFF"),
    "16-bit TIFF with an offset": encoded(Image.fromarray(np.asarray(SEVEN).astype(np.uint16) * 4 + 30000), "TIFF"),
    "float TIFF with an offset": encoded(Image.fromarray(np.asarray(SEVEN) / np.float32(10_000) + 0.5), "TIFF"),
    "float TIFF far from zero": encoded(Image.fromarray(np.asarray(SEVEN) / np.float32(10) + 1e5), "TIFF"),
    **{f"16-bit colour PNG of {n} times 8 bits": deep_png(n) for n in (1, 4, 16, 64, 257)},
    **{f"16-bit colour TIFF of {n} times 8 bits, {order}": deep_tiff(n, order) for n in (1, 4, 257) for order in "<>"},
    **{f"16-bit grey PNG with opacity, {n} times 8 bits": deep_png(n, opacity=65535, grey=True) for n in (1, 4, 257)},
    "16-bit grey PNG with opacity of 8 bits": deep_png(1, opacity=255, grey=True),
    "16-bit colour PNG with opacity of 16 bits": deep_png(1, opacity=65535),
    "16-bit colour PNG with opacity of 8 bits": deep_png(1, opacity=255),
    **{f"mask of 0 to {most}": encoded(mask(most)) for most in (1, 3, 7, 15)},
    "mask in colour": encoded(mask(1).convert("RGB")),
    "mask of one colour": encoded(Image.merge("RGB", [mask(1), mask(0), mask(0)])),
    "mask as palette": encoded(mask(1).convert("P")),
    "mask as BMP": encoded(mask(1), "BMP"),
    "mask as PGM": encoded(mask(1), "PPM"),
    "mask of 2 and 3": encoded(mask(1).point(lambda level: level + 2)),
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
    "PGM": encoded(SEVEN, "PPM"),
    "PPM": encoded(SEVEN.convert("RGB"), "PPM"),
    "PBM": encoded(SEVEN.convert("1", dither=Image.Dither.NONE), "PPM"),
    "PGM as text": pgm_text(),
    "PBM as text": b"P1 240 240\n" + bytes(48 + (np.asarray(SEVEN) < 128).astype(np.uint8)),
    "PGM of 16 bits": sixteen_bit_pgm(65535),
    "PGM of 10 bits": sixteen_bit_pgm(1023),
    "JP2": encoded(SEVEN, "JPEG2000"),
    "J2K in colour": encoded(SEVEN.convert("RGB"), "JPEG2000", no_jp2=True),
    "JP2 with alpha": encoded(with_alpha((0, 0, 0)), "JPEG2000"),
    "JP2 in tiles": encoded(SEVEN, "JPEG2000", tile_size=(64, 64)),
    "JP2 of 16 bits": encoded(sixteen_bit(), "JPEG2000"),
    "JP2 of 16 bits with 12 in use": encoded(sixteen_bit(16), "JPEG2000"),
    "AVIF": encoded(SEVEN, "AVIF", quality=95),
    "AVIF in colour": encoded(SEVEN.convert("RGB"), "AVIF"),
    "AVIF with alpha": encoded(with_alpha((0, 0, 0)), "AVIF", quality=95),
    "animated AVIF": encoded(SEVEN, "AVIF", save_all=True, append_images=[Image.new("L", SEVEN.size, 255)], quality=95),
    "ICO of a PNG file": encoded(SEVEN, "ICO", sizes=[(16, 16), (240, 240)]),
    "ICO of a bitmap": encoded(SEVEN.convert("RGB"), "ICO", sizes=[(240, 240)], bitmap_format="bmp"),
    "ICO of a transparent bitmap": encoded(with_alpha((0, 0, 0)), "ICO", sizes=[(240, 240)], bitmap_format="bmp"),
    "TIFF of two pages, first page": encoded(
        SEVEN, "TIFF", save_all=True, append_images=[Image.new("L", SEVEN.size, 255)]
    ),
}


@pytest.mark.parametrize("file", FILES.values(), ids=FILES)
def test_a_digit_in_any_pixel_format_gives_the_same_network_input(file: bytes) -> None:
    expected = normalise(np.asarray(SEVEN)).astype(int)
    network_input = normalise(decode_image(file, PixelBudget(10**6)).pixels)
    assert np.abs(network_input - expected).mean() < 3


@pytest.mark.parametrize("file_format", ["PNG", "WEBP", "TIFF", "AVIF"])
@pytest.mark.parametrize("orientation", TURNS)
def test_the_exif_orientation_is_applied(orientation: int, file_format: str) -> None:
    exif = Image.Exif()
    exif[0x0112] = orientation
    upright = SEVEN.crop((30, 0, 210, 240))
    exactly: dict[str, dict[str, object]] = {"WEBP": {"lossless": True}, "AVIF": {"quality": 100}}
    options = exactly.get(file_format, {})
    picture = decode_image(encoded(stored(upright, orientation), file_format, exif=exif, **options), PixelBudget(10**6))
    assert np.abs(picture.pixels.astype(int) - np.asarray(upright)).max() <= 3 * (file_format == "AVIF")
    assert (picture.width, picture.height, picture.orientation) == (180, 240, orientation)


@pytest.mark.parametrize(("fraction", "expected"), [((6, 1), 6), ((13, 2), 1), ((6, 0), 1)])
def test_an_exif_orientation_stored_as_a_fraction_is_used_only_if_it_is_an_integer(
    fraction: tuple[int, int], expected: int
) -> None:
    entry = struct.pack("<HHIIIII", 0x0112, 5, 1, 26, 0, *fraction)  # a RATIONAL instead of a SHORT
    exif = b"Exif\0\0II*\0" + struct.pack("<IH", 8, 1) + entry
    orientation = decode_image(encoded(SEVEN, "JPEG", exif=exif), PixelBudget(10**6)).orientation
    assert (orientation, type(orientation)) == (expected, int)


@pytest.mark.parametrize("factor", [1, 4, 16, 257])
@pytest.mark.parametrize("make", [deep_png, lambda factor: deep_tiff(factor, ">")], ids=["PNG", "TIFF"])
def test_colours_of_16_bits_are_scaled_as_grey_of_16_bits_is(make: Callable[[int], bytes], factor: int) -> None:
    grey = decode_image(encoded(sixteen_bit(factor)), PixelBudget(10**6)).pixels
    assert np.abs(decode_image(make(factor), PixelBudget(10**6)).pixels.astype(int) - grey).max() <= 1


@pytest.mark.parametrize("level", [0, 1, 15, 16, 255])
def test_a_picture_of_one_level_stays_as_it_is(level: int) -> None:
    for mode in ("L", "RGB"):
        blank = Image.new("L", (50, 40), level).convert(mode)
        assert np.all(decode_image(encoded(blank), PixelBudget(10**6)).pixels == level)


def test_a_dark_picture_with_a_few_lighter_pixels_stays_as_it_is() -> None:
    dark = mask(15).resize((300, 300))
    dark.putpixel((298, 297), 16)
    assert np.array_equal(decode_image(encoded(dark), PixelBudget(10**6)).pixels, np.asarray(dark))


@pytest.mark.parametrize(
    ("samples", "said"),
    [
        (np.asarray(SEVEN, np.float32) / 127.5 - 1, "its samples are -1 to 1: 0 to 1, 255 or 65535 is expected"),
        (np.asarray(SEVEN, np.int32) - 300, "its samples are -300 to -45: 0 to 1, 255 or 65535 is expected"),
        (np.full((20, 20), np.nan, np.float32), r"some of its samples are infinite or no number \(NaN\)"),
    ],
)
def test_deep_samples_of_no_usual_range_are_said_to_be_unsupported_and_not_damaged(
    samples: np.ndarray, said: str
) -> None:
    with pytest.raises(BadRequest, match=f"^an unsupported kind of TIFF: {said}: save it as PNG$"):
        decode_image(encoded(Image.fromarray(samples), "TIFF"), PixelBudget(10**6))


def test_a_12_megapixel_photo_is_accepted() -> None:
    photo = encoded(SEVEN.resize((4000, 3000)).convert("RGB"), "JPEG")
    assert is_normalised(normalise(decode_image(photo, PixelBudget(64_000_000)).pixels))


def test_nothing_of_a_picture_stays_in_memory_once_it_is_normalised() -> None:
    encoded_image = open_image(FILES["RGB"], PixelBudget(10**6))
    network_input = read_digit(encoded_image, segmenter())
    with pytest.raises(ValueError, match="closed image"):
        encoded_image.image.getpixel((0, 0))
    arrays = [value for value in vars(network_input).values() if isinstance(value, np.ndarray)]
    assert [array.shape for array in arrays] == [(28, 28)]
    assert network_input.geometry == Geometry(240, 240, 240, 240, 1)


def test_too_many_pixels_are_rejected_before_they_are_decoded(monkeypatch: pytest.MonkeyPatch) -> None:
    file = encoded(SEVEN)
    assert decode_image(file, PixelBudget(240 * 240)).pixels.shape == (240, 240)
    monkeypatch.setattr(ImageFile.ImageFile, "load", lambda _image: pytest.fail("the pixels were decoded"))
    with pytest.raises(PayloadTooLarge, match="240x240 pixels: at most 57,599"):
        decode_image(file, PixelBudget(240 * 240 - 1))


@pytest.mark.parametrize("file_format", ["PNG", "JPEG", "WEBP", "BMP", "GIF", "TIFF", "JPEG2000", "PPM", "ICO", "AVIF"])
def test_a_truncated_or_corrupted_file_is_decoded_or_rejected(file_format: str) -> None:
    file = encoded(SEVEN.convert("RGB"), file_format)
    random = np.random.default_rng(0)
    rejected = 0
    for _ in range(60):
        damaged = bytearray(file[: random.integers(1, len(file))] if random.random() < 0.5 else file)
        for offset in random.integers(0, len(damaged), 8):
            damaged[offset] = random.integers(0, 256)
        try:
            picture = decode_image(bytes(damaged), PixelBudget(10**6))
        except (BadRequest, PayloadTooLarge):
            rejected += 1
            continue
        assert picture.pixels.dtype == np.uint8
        assert picture.pixels.ndim == 2
    assert rejected > 0
