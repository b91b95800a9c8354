"""What is taken out of image files before Pillow reads them, and large PNG files decoded in bands."""

import io
import re
import struct
import zlib

import numpy as np
import pytest
from conftest import SAMPLES
from PIL import Image, PngImagePlugin

from service.errors import BadRequest, PayloadTooLarge, UnprocessableInput
from service.images.decoding import decode_image, open_image
from service.images.file_formats import extract_image_data
from service.images.file_formats.png import Header, write_png
from service.images.limits import PixelBudget
from service.images.orientation import read_orientation
from service.images.png_bands import can_decode_in_bands, decode_png_bands

SEVEN = Image.open(SAMPLES / "7.png").convert("L")
WIDTH, HEIGHT = 37, 53
CHANNELS = {"L": 0, "LA": 4, "RGB": 2, "RGBA": 6, "P": 3}
SAMPLES_PER_PIXEL = {"L": 1, "LA": 2, "RGB": 3, "RGBA": 4, "P": 1}
XMP = b'<x:xmpmeta><rdf:Description tiff:Orientation="6"/></x:xmpmeta>'


def encoded(image: Image.Image, file_format: str, **options: object) -> bytes:
    file = io.BytesIO()
    image.save(file, file_format, **options)
    return file.getvalue()


def random_png(mode: str, depth: int = 8) -> bytes:
    """Random bytes in rows that use all five filters: whatever they are, they are a picture."""
    random = np.random.default_rng(0)
    rows = random.integers(0, 256, (HEIGHT, 1 + WIDTH * SAMPLES_PER_PIXEL[mode] * depth // 8), np.uint8)
    rows[:, 0] = random.integers(0, 5, HEIGHT)
    header = Header(WIDTH, HEIGHT, depth, CHANNELS[mode], 0, 0, 0).encode()
    palette = random.integers(0, 256, 768, np.uint8).tobytes()
    tables: list[tuple[bytes, list[bytes | memoryview]]] = [(b"IHDR", [header])]
    if mode == "P":
        tables += [(b"PLTE", [palette]), (b"tRNS", [palette[:256]])]
    return write_png([*tables, (b"IDAT", [zlib.compress(rows.tobytes())]), (b"IEND", [])])


def joined(bands: list[Image.Image]) -> np.ndarray:
    return np.concatenate([np.asarray(band) for band in bands])


@pytest.mark.parametrize("rows", [1, 7, HEIGHT - 1, HEIGHT, 1000])
@pytest.mark.parametrize("mode", CHANNELS)
def test_bands_of_a_png_are_the_picture_that_pillow_decodes(mode: str, rows: int) -> None:
    file = random_png(mode)
    assert can_decode_in_bands(file)
    with Image.open(io.BytesIO(file)) as whole:
        expected = np.asarray(whole.convert("RGBA"))
    bands = list(decode_png_bands(file, rows))
    assert sum(band.height for band in bands) == HEIGHT
    assert np.array_equal(joined([band.convert("RGBA") for band in bands]), expected)


@pytest.mark.parametrize("mode", ["L", "LA", "RGB", "RGBA"])
def test_bands_of_a_16_bit_png_have_the_upper_bytes_of_its_samples(mode: str) -> None:
    file = random_png(mode, depth=16)
    with Image.open(io.BytesIO(file)) as whole:
        expected = np.asarray(whole) >> 8 if mode == "L" else np.asarray(whole)
    bands = [band.convert("RGBA") if mode == "LA" else band for band in decode_png_bands(file, 7)]
    assert np.array_equal(joined(bands), expected)


def test_a_png_that_ends_too_soon_is_rejected_in_bands_too() -> None:
    file = random_png("RGB")
    stream = zlib.decompress(file[41:-16])[:-100]
    header = Header(WIDTH, HEIGHT, 8, 2, 0, 0, 0).encode()
    short = write_png([(b"IHDR", [header]), (b"IDAT", [zlib.compress(stream)]), (b"IEND", [])])
    with pytest.raises(ValueError, match="truncated"):
        list(decode_png_bands(short, 7))


def test_a_picture_of_any_size_is_the_same_in_bands_and_as_a_whole() -> None:
    """In bands because it is large; as a whole because it is interlaced, or in another format."""
    large = SEVEN.resize((4400, 4400)).convert("RGB")
    in_bands = decode_image(encoded(large, "PNG", compress_level=1), PixelBudget(10**8))
    whole = decode_image(encoded(large, "BMP"), PixelBudget(10**8))
    assert in_bands.pixels.shape == (2200, 2200)
    assert (in_bands.width, in_bands.height) == (4400, 4400)
    assert np.array_equal(in_bands.pixels, whole.pixels)


@pytest.mark.parametrize("file_format", ["PNG", "JPEG", "GIF", "TIFF"])
def test_metadata_is_left_out_and_the_pixels_stay(file_format: str) -> None:
    secret = b"left out" * 1000
    text = PngImagePlugin.PngInfo()
    text.add_text("Comment", secret.decode(), zip=False)
    options: dict[str, dict[str, object]] = {
        "PNG": {"pnginfo": text, "icc_profile": secret},
        "JPEG": {"comment": secret, "icc_profile": secret},
        "GIF": {"comment": secret},
        "TIFF": {"icc_profile": secret},
    }
    file = encoded(SEVEN, file_format, **options[file_format])
    extracted = extract_image_data(file)
    with Image.open(io.BytesIO(file)) as original, Image.open(io.BytesIO(extracted.file)) as image:
        assert not {"icc_profile", "comment", "Comment"} & image.info.keys()
        assert np.array_equal(np.asarray(image.convert("RGB")), np.asarray(original.convert("RGB")))


@pytest.mark.parametrize("file_format", ["PNG", "JPEG", "WEBP"])
def test_the_xmp_orientation_is_applied_if_there_is_no_exif(file_format: str) -> None:
    text = PngImagePlugin.PngInfo()
    text.add_itxt("XML:com.adobe.xmp", XMP.decode())
    file = encoded(
        SEVEN.crop((0, 0, 200, 240)), file_format, **({"pnginfo": text} if file_format == "PNG" else {"xmp": XMP})
    )
    picture = decode_image(file, PixelBudget(10**6))
    assert (picture.orientation, picture.width, picture.height) == (6, 240, 200)


def test_the_exif_data_that_imagemagick_writes_as_text_is_read() -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    text = PngImagePlugin.PngInfo()
    text.add_text("Raw profile type exif", f"\nexif\n{len(exif.tobytes())}\n{exif.tobytes().hex()}\n", zip=True)
    assert decode_image(encoded(SEVEN, "PNG", pnginfo=text), PixelBudget(10**6)).orientation == 6


@pytest.mark.parametrize(
    "exif", [b"", b"II*\0", b"MM\0*\0\0\0\x08", b"II*\0" + struct.pack("<IH", 8, 65535), b"\xff" * 99]
)
def test_damaged_exif_data_is_taken_for_none(exif: bytes) -> None:
    assert read_orientation(exif, b"") == 1


def test_a_file_of_which_part_of_the_metadata_is_damaged_is_still_read() -> None:
    exif = b"Exif\0\0II*\0" + struct.pack("<IH", 8, 65535)
    assert decode_image(encoded(SEVEN, "JPEG", exif=exif), PixelBudget(10**6)).orientation == 1


@pytest.mark.parametrize(
    ("size", "error", "message"),
    [
        ((32_769, 200), PayloadTooLarge, "32769x200 pixels: at most 32,768 on a side"),
        ((2, 1001), UnprocessableInput, "2x1001 pixels: no digit has this shape; one side may be 500 times the other"),
    ],
)
def test_a_picture_of_an_impossible_shape_is_rejected(
    size: tuple[int, int], error: type[Exception], message: str
) -> None:
    with pytest.raises(error, match=message):
        open_image(encoded(Image.new("L", size), "PNG"), PixelBudget(10**9))


def test_only_usual_compressions_of_tiff_are_read() -> None:
    for compression in ("raw", "tiff_lzw", "tiff_adobe_deflate", "packbits", "jpeg"):
        assert decode_image(encoded(SEVEN, "TIFF", compression=compression), PixelBudget(10**6)).pixels.shape == (
            240,
            240,
        )
    with pytest.raises(BadRequest, match="an unsupported kind of TIFF: compression 50000; LZW"):
        open_image(encoded(SEVEN, "TIFF", compression="zstd"), PixelBudget(10**6))


def test_a_big_tiff_is_read() -> None:
    file = encoded(SEVEN, "TIFF", big_tiff=True)
    assert file[2] == 43
    assert np.array_equal(decode_image(file, PixelBudget(10**6)).pixels, np.asarray(SEVEN))


JPEG = encoded(SEVEN, "JPEG", quality=85)
END_MISSING = "the file has no end marker: a part of it may be missing"


@pytest.mark.parametrize(
    "file",
    [JPEG[:-1], JPEG[:-2], encoded(SEVEN, "JPEG", progressive=True)[:-100], encoded(SEVEN, "PNG")[:-12]],
    ids=["half of the JPEG's end", "the JPEG's end", "details of a progressive JPEG", "the PNG's end"],
)
def test_a_file_without_its_end_is_read_with_a_warning(file: bytes) -> None:
    assert decode_image(file, PixelBudget(10**6)).warnings == (END_MISSING,)


def test_a_whole_file_is_read_without_a_warning() -> None:
    for file_format in ("JPEG", "PNG", "GIF"):
        assert decode_image(encoded(SEVEN, file_format), PixelBudget(10**6)).warnings == ()


@pytest.mark.parametrize("mode", ["L", "RGB", "CMYK"])
def test_the_last_rows_of_a_jpeg_are_filled_like_those_above_if_they_are_few(mode: str) -> None:
    whole = encoded(SEVEN.convert(mode), "JPEG", quality=85, subsampling=0)
    expected = decode_image(whole, PixelBudget(10**6)).pixels
    picture = decode_image(whole[: -len(whole) // 50], PixelBudget(10**6))
    (warning,) = picture.warnings
    assert re.fullmatch(r"the file ends too soon: [\d.]+% of its rows are missing, at the bottom", warning)
    assert np.abs(picture.pixels.astype(int) - expected).max() < 30
    with pytest.raises(BadRequest, match=r"it is truncated: [2-4].% of its rows are missing"):
        decode_image(whole[: -len(whole) // 4], PixelBudget(10**6))


def test_zeros_in_place_of_the_rest_of_a_jpeg_are_missing_rows() -> None:
    with pytest.raises(BadRequest, match="of its rows are missing"):
        decode_image(JPEG[: len(JPEG) // 2] + bytes(len(JPEG) // 2), PixelBudget(10**6))


@pytest.mark.parametrize(
    "options", [{}, {"optimize": True}, {"subsampling": 0}, {"quality": 95}, {"restart_marker_rows": 1}]
)
@pytest.mark.parametrize("mode", ["L", "RGB", "CMYK"])
def test_a_whole_jpeg_file_of_any_kind_is_read_without_a_warning(mode: str, options: dict[str, int]) -> None:
    for size in ((8, 8), (9, 17), (240, 240), (1500, 1300)):
        file = encoded(SEVEN.resize(size).convert(mode), "JPEG", **options)
        assert decode_image(file, PixelBudget(10**7)).warnings == ()


def test_the_padding_of_a_camera_before_the_end_of_a_jpeg_file_is_no_damage() -> None:
    for padding in (b"\xff", bytes(1000), b"\0\xff\0\xff"):
        assert decode_image(JPEG[:-2] + padding + JPEG[-2:], PixelBudget(10**6)).warnings == ()


NOISE = np.random.default_rng(0).integers(0, 30, (400, 400)).astype(np.uint8)
SCANNED = encoded(Image.fromarray(np.asarray(SEVEN.resize((400, 400))) // 2 + NOISE), "JPEG", quality=85)
HALF = len(SCANNED) // 2


@pytest.mark.parametrize(
    "damaged",
    [
        SCANNED[:HALF] + SCANNED[HALF - 1000 :],
        SCANNED[:HALF] + SCANNED[HALF + 1000 :],
        SCANNED[: HALF - 2000] + bytes(2000) + SCANNED[HALF:],
        SCANNED[: HALF // 4] + SCANNED[-HALF // 4 :],
        SCANNED[:HALF] + b"\xff\xe5" + SCANNED[HALF + 2 :],
    ],
    ids=["a block twice", "a block lost", "zeros", "most of it lost", "a marker that cannot be there"],
)
def test_a_jpeg_whose_data_do_not_end_with_its_rows_is_not_read_without_a_word(damaged: bytes) -> None:
    try:
        (warning,) = decode_image(damaged, PixelBudget(10**6)).warnings
    except BadRequest as error:
        assert "of its rows are missing" in str(error)  # noqa: PT017 - it may be either, by the picture
    else:
        assert warning.startswith("the file seems damaged, its digit may be another: its data end ")


@pytest.mark.parametrize("options", [{}, {"progressive": True}], ids=["sequential", "progressive"])
@pytest.mark.parametrize(
    ("changed", "to", "said"),
    [
        (b"\n", b"\r\n", "a carriage return was put before each line feed"),
        (b"\r", b"", "its carriage returns were taken out or replaced"),
        (b"\r", b"\n", "its carriage returns were taken out or replaced"),
        (b"\n", b"", "its line feeds were taken out or replaced"),
    ],
)
def test_a_jpeg_whose_line_breaks_were_changed_is_rejected(
    changed: bytes, to: bytes, said: str, options: dict[str, int]
) -> None:
    whole = encoded(Image.open(io.BytesIO(SCANNED)), "JPEG", **options)
    scan = whole.index(b"\xff\xda")
    scan += 2 + whole[scan + 3]
    with pytest.raises(BadRequest, match=f"a damaged image: {said}: read and send the file as bytes, not as text"):
        decode_image(whole[:scan] + whole[scan:].replace(changed, to), PixelBudget(10**6))


def test_a_jpeg_whose_bytes_became_question_marks_is_rejected() -> None:
    text = SCANNED.decode("cp1252", "replace").encode("cp1252", "replace")
    with pytest.raises(BadRequest, match="its bytes that are no characters were taken out or replaced"):
        decode_image(text, PixelBudget(10**6))


def test_white_space_before_a_picture_is_left_out_with_a_warning() -> None:
    picture = decode_image(b"\r\n " + encoded(SEVEN, "PNG"), PixelBudget(10**6))
    assert picture.warnings == ("white space before the file's first byte was left out",)
    assert np.array_equal(picture.pixels, np.asarray(SEVEN))


@pytest.mark.parametrize("file_format", ["PNG", "JPEG", "GIF", "WEBP", "BMP", "TIFF"])
@pytest.mark.parametrize(
    "encoding", ["utf-8", "latin-1", "cp1252"], ids=["decoded as UTF-8", "as Latin-1", "as Windows-1252"]
)
def test_a_picture_that_was_taken_for_text_is_told_from_a_damaged_one(file_format: str, encoding: str) -> None:
    text = encoded(SEVEN, file_format).decode(encoding, "replace").encode()
    with pytest.raises(BadRequest, match=r"(replaced as no|encoded as) UTF-8.*: read and send the file as bytes"):
        decode_image(text, PixelBudget(10**6))
