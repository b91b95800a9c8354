"""Images: files of every format, decoded and normalised, and pictures of any pixels, normalised.

An input is a file; or it is the word `grey`, one byte each for width, height and magnification (each less one), and
pixels, which are repeated if they are too few. The checksums of a PNG file are corrected: otherwise they would reject
nearly every change.
"""

import base64
import io
import struct
import zlib

import numpy as np
from PIL import Image

from fuzz.application import send

Image.init()  # imports the module of each format now, so that it is instrumented

PNG = b"\x89PNG\r\n\x1a\n"
GREY = b"grey"
GREY_HEAD = 7  # bytes before the pixels
WORDS = (
    PNG, b"IHDR", b"PLTE", b"tRNS", b"IDAT", b"IEND", b"eXIf", b"iTXt", b"zTXt", b"acTL", b"fcTL", b"fdAT",
    b"\xff\xd8\xff", b"JFIF", b"Exif\x00\x00", b"\xff\xc0", b"\xff\xc2", b"\xff\xda", b"\xff\xe1", b"\xff\xee",
    b"GIF89a", b"\x21\xf9\x04", b"\x21\xff\x0bNETSCAPE2.0",
    b"BM", b"\x28\x00\x00\x00", b"RIFF", b"WEBPVP8 ", b"VP8L", b"VP8X", b"ALPH", b"ANMF",
    b"II*\x00", b"MM\x00*", b"II+\x00", GREY,
    b"P1 ", b"P2 ", b"P5 ", b"P6 ", b"# \n", b"\x00\x00\x01\x00",
    b"\xff\x4f\xff\x51", b"\xff\x52", b"\xff\x53", b"\xff\x90", b"\xff\x93", b"jp2h", b"jp2c", b"ihdr", b"pclr",
    b"ftypavif", b"meta", b"iloc", b"iinf", b"infe", b"iprp", b"ipco", b"ipma", b"ispe", b"av1C", b"auxC", b"iref",
    b"dimg",
)  # fmt: skip


def run(data: bytes) -> None:
    """Send the picture to a digit model; if there is a prediction, it says where the digit was found."""
    response = send("/v1/models/mnist:predict?debug=ink", file_of(data), Content_Type="image/any")
    if response.status != 200:
        return
    (prediction,) = response.json()["predictions"]
    ink = prediction["ink"]
    left, top, width, height = ink["box"]
    assert 0 <= left < left + width <= ink["width"], ink
    assert 0 <= top < top + height <= ink["height"], ink
    seen_left, seen_top, seen_width, seen_height = ink["mask_box"]
    assert seen_left <= left < left + width <= seen_left + seen_width <= ink["width"], ink
    assert seen_top <= top < top + height <= seen_top + seen_height <= ink["height"], ink
    with Image.open(io.BytesIO(base64.b64decode(ink["png"].partition(",")[2]))) as shown:
        assert (shown.size, shown.mode) == ((28, 28), "L")


def file_of(data: bytes) -> bytes:
    """The image file of an input."""
    if data.startswith(PNG):
        return with_checksums(data)
    if data.startswith(GREY) and len(data) > GREY_HEAD:
        width, height, times = (byte % most + 1 for byte, most in zip(data[4:7], (64, 64, 16), strict=True))
        pixels = np.resize(np.frombuffer(data, np.uint8, offset=GREY_HEAD), (height, width))
        file = io.BytesIO()
        Image.fromarray(pixels.repeat(times, axis=0).repeat(times, axis=1)).save(file, "BMP")
        return file.getvalue()
    return data


def with_checksums(png: bytes) -> bytes:
    """The same PNG file, with correct checksums as far as its chunks can be told."""
    parts, at = [PNG], len(PNG)
    while at + 12 <= len(png):
        (length,) = struct.unpack_from(">I", png, at)
        chunk = png[at + 4 : at + 8 + length]
        parts += [png[at : at + 4], chunk, struct.pack(">I", zlib.crc32(chunk))]
        at += 12 + length
    return b"".join(parts) + png[at:]
