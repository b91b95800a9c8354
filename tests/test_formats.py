"""Formats beside the usual six: samples get the labels of their PNG files, and hostile files are not read."""

import io
import struct
import tracemalloc
from typing import Any

import numpy as np
import pytest
from camera_turns import TURNS, stored
from conftest import SAMPLES
from in_process import open_app, post
from PIL import Image

from benchmarks.large_pictures import icon, seven
from service.errors import BadRequest, PayloadTooLarge
from service.http.routing import DigitalisApp
from service.images import heic
from service.images.decoding import decode_image, open_image
from service.images.file_formats.heif import AVIF_BRANDS, BRANDS, HEIC_BRANDS
from service.images.limits import PixelBudget

BUDGET = 64_000_000
SEVEN = Image.open(SAMPLES / "7.png").convert("L")
SIZ, COD = b"\xff\x51", b"\xff\x52"
FRAME_HEADER, PADDING, HAS_SIZE = 3, 15, 2  # types of the units of AV1, and a flag in their first byte
FORMATS: dict[str, tuple[str, str, dict[str, Any]]] = {
    "PGM": ("PPM", "L", {}),
    "PPM": ("PPM", "RGB", {}),
    "JP2": ("JPEG2000", "L", {}),
    "J2K in colour": ("JPEG2000", "RGB", {"no_jp2": True, "irreversible": True}),
    "AVIF": ("AVIF", "RGB", {}),
    "HEIC": ("HEIF", "RGB", {}),
    "ICO": ("ICO", "RGBA", {"sizes": [(240, 240)]}),
}


def encoded(image: Image.Image, file_format: str, **options: Any) -> bytes:
    file = io.BytesIO()
    image.save(file, file_format, **options)
    return file.getvalue()


@pytest.fixture(scope="module")
def app() -> DigitalisApp:
    return open_app("digits")


def label(app: DigitalisApp, file: bytes) -> str:
    response = post(app, "/v1/models/digits:predict", file, {"Content-Type": "image/any"})
    assert response.status == 200, response.body
    return str(response.json()["predictions"][0]["label"])


@pytest.mark.parametrize("digit", range(10))
@pytest.mark.parametrize("name", FORMATS)
def test_a_sample_gets_its_label_in_every_format(app: DigitalisApp, name: str, digit: int) -> None:
    (path,) = SAMPLES.glob(f"{digit}.*")
    file_format, mode, options = FORMATS[name]
    if name == "HEIC" and not heic.IS_INSTALLED:
        pytest.skip("pillow-heif is not installed: the extra heic")
    with Image.open(path) as sample:
        assert label(app, path.read_bytes()) == str(digit)
        upright = Image.fromarray(decode_image(path.read_bytes(), PixelBudget(BUDGET)).pixels)
        assert sample.size == upright.size
    assert label(app, encoded(upright.convert(mode), file_format, **options)) == str(digit)


def patched(file: bytes, marker: bytes, offset: int, content: bytes) -> bytes:
    """A JPEG 2000 file with other bytes so far behind a marker."""
    at = file.index(marker) + offset
    return file[:at] + content + file[at + len(content) :]


@pytest.mark.parametrize("side", [1281, 1300, 2001, 2560, 5003])
@pytest.mark.parametrize("tiles", [{}, {"tile_size": (500, 300)}], ids=["one tile", "tiles"])
def test_a_large_jpeg_2000_is_decoded_at_a_reduced_size_of_any_remainder(side: int, tiles: dict[str, Any]) -> None:
    large = SEVEN.resize((side, side + 3))
    picture = decode_image(encoded(large, "JPEG2000", **tiles), PixelBudget(BUDGET * 2))
    assert (picture.width, picture.height) == large.size
    height, width = picture.pixels.shape
    assert 640 <= width < 1281
    smaller = np.asarray(large.resize((width, height), Image.Resampling.BOX)).astype(int)
    assert np.abs(picture.pixels - smaller).mean() < 1


def test_a_jpeg_2000_that_begins_elsewhere_is_decoded_in_full() -> None:
    large = SEVEN.resize((1300, 1300))
    file = encoded(large, "JPEG2000", offset=(7, 5), tile_size=(2000, 2000))
    assert np.array_equal(decode_image(file, PixelBudget(BUDGET)).pixels, np.asarray(large))


@pytest.mark.parametrize("mode", ["RGB", "LA"])
def test_colours_of_more_than_8_bits_in_jpeg_2000_are_not_read_as_white_would_be_black(mode: str) -> None:
    """Pillow 13 reads 65535 of 16 bits as 256 of 8, which is 0."""
    file = encoded(SEVEN.convert(mode), "JPEG2000")
    components = len(mode)
    deep = bytearray(file)
    for box in (file.index(SIZ) + 40 + 3 * i for i in range(components)):
        deep[box] = 11
    with pytest.raises(BadRequest, match="an unsupported kind of JPEG 2000: colours of 12 bits: save it as PNG"):
        open_image(bytes(deep), PixelBudget(BUDGET))


def test_signed_samples_of_jpeg_2000_are_not_read_as_zero_would_be_grey() -> None:
    file = patched(encoded(SEVEN, "JPEG2000"), SIZ, 40, b"\x87")
    with pytest.raises(BadRequest, match="an unsupported kind of JPEG 2000: signed samples"):
        open_image(file, PixelBudget(BUDGET))


def test_the_memory_of_a_jpeg_2000_counts_its_blocks_layers_tiles_and_segments() -> None:
    plain = encoded(SEVEN.resize((2000, 2000)), "JPEG2000", no_jp2=True)
    memory = open_image(plain, PixelBudget(BUDGET)).memory
    for changed in (
        patched(plain, COD, 6, b"\x10\0"),  # 4096 layers
        patched(plain, COD, 10, b"\0\0"),  # blocks of 4x4
        patched(plain, COD, 12, b"\x04"),  # a segment for each pass
        patched(plain, SIZ, 22, struct.pack(">II", 20, 20)),  # 10,000 tiles
    ):
        assert open_image(changed, PixelBudget(BUDGET)).memory > memory + 10 * 2**20


def test_a_jpeg_2000_whose_boxes_say_another_size_is_rejected() -> None:
    file = patched(encoded(SEVEN, "JPEG2000"), b"ihdr", 4, struct.pack(">II", 100, 100))
    with pytest.raises(BadRequest, match="another size than its codestream"):
        open_image(file, PixelBudget(BUDGET))


def test_the_largest_picture_of_an_icon_is_read_whichever_is_first() -> None:
    file = encoded(SEVEN, "ICO", sizes=[(16, 16), (240, 240), (32, 32)])
    assert decode_image(file, PixelBudget(BUDGET)).pixels.shape == (240, 240)


@pytest.mark.parametrize("depth", [1, 4, 8, 24, 32])
@pytest.mark.parametrize("side", [30, 240])
def test_the_bitmap_of_an_icon_is_read_at_any_depth(depth: int, side: int) -> None:
    pixels = decode_image(icon(depth, side), PixelBudget(BUDGET)).pixels
    expected = np.asarray(seven(side)).astype(int)
    assert np.abs(pixels - expected).max() <= (8 if depth == 4 else 127 if depth == 1 else 0)
    assert np.abs(pixels - expected).mean() < 2


@pytest.mark.parametrize("depth", [1, 4, 8, 24, 32])
def test_the_bitmap_of_an_icon_is_expanded_once_it_is_decoded_and_not_before(depth: int) -> None:
    file = icon(depth, 1024)
    tracemalloc.start()
    opened = [open_image(file, PixelBudget(BUDGET)) for _ in range(20)]
    held, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert held < 20 * 10_000
    assert opened[0].memory > 20 * 1024**2


@pytest.mark.parametrize(
    ("file", "message"),
    [
        (icon(1, 240)[:4000], "it is truncated"),
        (icon(8, 240)[: 22 + 32] + struct.pack("<I", 16) + icon(8, 240)[22 + 36 :], "not among the 16 of its palette"),
    ],
    ids=["half of it", "a short palette"],
)
def test_a_damaged_bitmap_of_an_icon_is_rejected(file: bytes, message: str) -> None:
    with pytest.raises(BadRequest, match=message):
        decode_image(file, PixelBudget(BUDGET))


def test_an_icon_whose_png_file_is_larger_than_it_says_is_checked_as_that_file() -> None:
    file = encoded(SEVEN, "ICO", sizes=[(240, 240)])
    huge = encoded(SEVEN.resize((9000, 9000)), "PNG")
    icon = file[:14] + struct.pack("<II", len(huge), 22) + huge
    with pytest.raises(PayloadTooLarge, match="9000x9000 pixels: at most 64,000,000"):
        open_image(icon, PixelBudget(BUDGET))


@pytest.mark.parametrize(
    ("file", "message"),
    [
        (b"P2 28 28 255\n" + b"9" * 10**6, "samples over its largest value, 255"),
        (b"P2 28 28 255\n" + b"# a comment\n" * 10**5, "100,000 comments: at most 10,000"),
        (b"P5 " + b"#\n" * 2**16 + b"28 28 255\n" + bytes(784), "comments of over 65,536 bytes"),
        (b"P5 28 28 255\n" + bytes(783), "783 of 784 samples"),
        (b"P5 28 28 65536\n" + bytes(9999), "no largest value of 1 to 65535"),
        (b"P5 99999999999 28 255\n", "no width and height"),
        (b"P1 2 2\n0 1 2 0", "something else than 0 and 1"),
        (b"P3 1 1 255\n1 -2 3", "something else than numbers"),
    ],
)
def test_a_hostile_netpbm_file_is_rejected(file: bytes, message: str) -> None:
    with pytest.raises(BadRequest, match=message):
        decode_image(file, PixelBudget(BUDGET))


def heic_file(image: Image.Image, orientation: int = 1) -> bytes:
    pillow_heif = pytest.importorskip("pillow_heif", reason="pillow-heif is not installed: the extra heic")
    exif = Image.Exif()
    exif[0x0112] = orientation
    file = io.BytesIO()
    pillow_heif.from_pillow(image).save(file, quality=-1, exif=exif.tobytes())
    return file.getvalue()


@pytest.mark.parametrize("orientation", TURNS)
def test_a_heic_file_is_turned_as_it_says(orientation: int) -> None:
    upright = SEVEN.convert("RGB").crop((30, 0, 210, 240))
    picture = decode_image(heic_file(stored(upright, orientation), orientation), PixelBudget(BUDGET))
    assert np.array_equal(picture.pixels, np.asarray(upright.convert("L")))
    assert (picture.width, picture.height) == (180, 240)


@pytest.mark.parametrize("brand", sorted(BRANDS - {*AVIF_BRANDS}))
def test_a_hostile_heic_file_of_any_brand_is_rejected_before_it_is_decoded(brand: bytes) -> None:
    file = heic_file(SEVEN)
    at = file.index(b"ispe") + 8
    file = file[:8] + brand + file[12:at] + struct.pack(">II", 64, 64) + file[at + 8 :]
    with pytest.raises(BadRequest, match=r"has \d+x\d+ pixels, and not 64x64"):
        open_image(file, PixelBudget(BUDGET))


@pytest.mark.parametrize("brand", HEIC_BRANDS)
def test_a_heic_file_is_named_whatever_its_name_says_where_it_cannot_be_read(
    app: DigitalisApp, monkeypatch: pytest.MonkeyPatch, brand: bytes
) -> None:
    monkeypatch.setattr(heic, "IS_INSTALLED", False)
    file = b"\0\0\0\x18ftyp" + brand + b"\0\0\0\0mif1heic"
    response = post(app, "/v1/models/digits:predict", file, {"Content-Type": "image/jpeg"})
    assert response.status == 400
    expected = "it is a HEIC file: pip install 'digitalis-service[heic]', or send JPEG or PNG"
    assert response.json()["error"].endswith(expected)


def avif_with(kind: bytes, offset: int, content: bytes) -> bytes:
    """An AVIF file with other bytes so far behind the beginning of the type of a box."""
    file = encoded(SEVEN, "AVIF")
    at = file.index(kind) + offset
    return file[:at] + content + file[at + len(content) :]


def avif_of_frames(count: int) -> bytes:
    """An AVIF file whose picture consists of so many empty frame headers, and of padding as long as what was there."""
    file = encoded(SEVEN, "AVIF")
    at = file.index(b"mdat") + 4
    frames = bytes([FRAME_HEADER << 3 | HAS_SIZE, 0]) * count
    padding = len(file) - at - len(frames) - 3
    size = bytes([padding & 0x7F | 0x80, padding >> 7])
    return file[:at] + frames + bytes([PADDING << 3 | HAS_SIZE]) + size + bytes(padding)


@pytest.mark.parametrize(
    ("file", "message"),
    [
        (avif_with(b"ispe", 8, struct.pack(">II", 64, 64)), "has 240x240 pixels, and not 64x64"),
        (avif_of_frames(5), "one of its pictures has 5 frames"),
        (avif_with(b"pitm", 8, b"\0\7"), "does not have the picture that it says it shows"),
        (avif_with(b"av01", 0, b"iden"), "an unsupported kind of AVIF: a picture of the type 'iden'"),
        (avif_with(b"ispe", 0, b"xxxx"), "has no size"),
        (avif_with(b"av1C", 0, b"xxxx"), "does not say how it is coded"),
        (avif_with(b"iloc", -4, b"\0\0\xff\xff"), "does not fit into it"),
        (avif_with(b"meta", 0, b"free"), "an unsupported kind of AVIF: an animation without a still picture"),
    ],
)
def test_a_hostile_avif_file_is_rejected_before_it_is_decoded(file: bytes, message: str) -> None:
    with pytest.raises(BadRequest, match=message):
        open_image(file, PixelBudget(BUDGET))


def test_the_animation_of_an_avif_file_is_left_out() -> None:
    frames = [Image.new("L", SEVEN.size, 255)] * 3
    file = encoded(SEVEN, "AVIF", save_all=True, append_images=frames, quality=95)
    opened = open_image(file, PixelBudget(BUDGET))
    assert b"moov" in file
    assert b"moov" not in opened.data.file
    assert np.abs(opened.decode().pixels.astype(int) - np.asarray(SEVEN)).mean() < 3


NOT_READ: dict[str, tuple[bytes, str]] = {
    **{f"TGA {mode}": (encoded(SEVEN.convert(mode), "TGA"), "TGA") for mode in ("L", "LA", "P", "RGB", "RGBA")},
    "TGA, run-length": (encoded(SEVEN.convert("RGB"), "TGA", compression="tga_rle"), "TGA"),
    **{f"PCX {mode}": (encoded(SEVEN.convert(mode), "PCX"), "PCX") for mode in ("1", "L", "P", "RGB")},
    "DIB": (encoded(SEVEN.convert("RGB"), "DIB"), "without the header of its file"),
    "XBM": (encoded(SEVEN.convert("1"), "XBM"), "source text"),
    "BLP": (encoded(SEVEN.convert("P"), "BLP"), "unusual format"),
    "PFM in colour": (b"PF\n2 2\n-1.0\n" + bytes(48), "PFM in colour"),
}


@pytest.mark.parametrize(("file", "name"), NOT_READ.values(), ids=NOT_READ)
def test_a_picture_of_another_format_is_named(file: bytes, name: str) -> None:
    with pytest.raises(BadRequest, match=f"^not an image in a supported format .*: it is .*{name}.*: save it as"):
        open_image(file, PixelBudget(BUDGET))


def test_a_pfm_in_grey_is_read() -> None:
    samples = np.asarray(SEVEN)[::-1] / np.float32(255)
    picture = decode_image(b"Pf\n%d %d\n-1.0\n" % SEVEN.size + samples.astype("<f4").tobytes(), PixelBudget(BUDGET))
    assert np.array_equal(picture.pixels, np.asarray(SEVEN))


def test_a_damaged_cursor_is_said_to_be_damaged() -> None:
    with pytest.raises(BadRequest, match=r"^a damaged image: "):
        decode_image(b"\0\0\2\0\1\0\x20\x20\0\0\0\0\0\0\x99\0\0\0\x16\0\0\0", PixelBudget(BUDGET))
