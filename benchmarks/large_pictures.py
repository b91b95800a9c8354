"""A drawn seven of any size, in every format and mode that the service reads."""

import io
import struct
import zlib
from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
from PIL import Image, ImageDraw

from service.images import heic
from service.images.file_formats.png import Header, write_png

Draw = Callable[[int], bytes]  # from the side in pixels to a file
DEFLATED = ("L", "RGB", "RGBA", "F")
ADAM7 = ((0, 0, 8, 8), (0, 4, 8, 8), (4, 0, 8, 4), (0, 2, 4, 4), (2, 0, 4, 2), (0, 1, 2, 2), (1, 0, 2, 1))


def seven(side: int) -> Image.Image:
    """Black on white, in greyscale."""
    image = Image.new("L", (side, side), 255)
    points = [(0.3 * side, 0.25 * side), (0.7 * side, 0.25 * side), (0.45 * side, 0.8 * side)]
    ImageDraw.Draw(image).line(points, 0, max(1, side // 16))
    return image


def _in_mode(mode: str, side: int) -> Image.Image:
    image = seven(side)
    match mode:
        case "I" | "F":
            return Image.fromarray(np.asarray(image, np.int32 if mode == "I" else np.float32))
        case "I;16":
            return Image.fromarray(np.asarray(image, np.uint16) * np.uint16(257))
        case "P":
            return image.convert("RGB").quantize(8) if side < 1000 else _coloured_palette(image)
        case "LA" | "RGBA":
            transparent = image.convert(mode)
            transparent.putalpha(image.point(lambda level: 255 - level))
            return transparent
    return image.convert(mode)


def _coloured_palette(image: Image.Image) -> Image.Image:
    palette = image.convert("P")
    palette.putpalette([level for i in range(256) for level in (i, i, max(0, i - 1))])
    return palette


def _saved(mode: str, file_format: str, side: int, **options: Any) -> bytes:
    file = io.BytesIO()
    _in_mode(mode, side).save(file, file_format, **options)
    return file.getvalue()


def _single_strip(mode: str, compression: str, side: int) -> bytes:
    return _saved(mode, "TIFF", side, compression=compression, tiffinfo={278: side})


def _animated(mode: str, file_format: str, side: int) -> bytes:
    frame = _in_mode(mode, side)
    file = io.BytesIO()
    frame.save(file, file_format, save_all=True, append_images=[Image.new(mode, frame.size)], duration=100)
    return file.getvalue()


def _png(colour_type: int, depth: int, side: int, *, interlaced: bool = False, most: int = 255) -> bytes:
    """What Pillow cannot write: 16-bit colours, and interlaced files; of 16 bits both bytes are alike, 0 to `most`."""
    channels = {0: 1, 2: 3, 4: 2, 6: 4}[colour_type]
    grey = np.asarray(seven(side)) // np.uint8(255 // most)
    packer = zlib.compressobj(1)
    packed = []
    for top, left, down, across in ADAM7 if interlaced else ((0, 0, 1, 1),):
        for row in grey[top::down, left::across]:
            samples = np.repeat(row, channels)
            packed.append(packer.compress(b"\0" + (samples if depth == 8 else np.repeat(samples, 2)).tobytes()))
    pixels = b"".join([*packed, packer.flush()])
    header = Header(side, side, depth, colour_type, 0, 0, int(interlaced))
    return write_png([(b"IHDR", [header.encode()]), (b"IDAT", [pixels]), (b"IEND", [])])


def _run_length_bmp(side: int) -> bytes:
    """Every row of it is one colour, and a run has at most 255 pixels."""
    runs = b"".join(struct.pack("BB", min(255, side - start), 1) for start in range(0, side, 255))
    pixels = (runs + b"\0\0") * side + b"\0\1"
    palette = bytes([0, 0, 200, 0]) + bytes([255, 255, 254, 0])
    header = struct.pack("<IiiHHIIiiII", 40, side, side, 1, 8, 1, len(pixels), 0, 0, 2, 0)
    return (
        struct.pack("<2sIHHI", b"BM", 54 + len(palette) + len(pixels), 0, 0, 54 + len(palette))
        + header
        + palette
        + pixels
    )


def icon(depth: int, side: int) -> bytes:
    """A bitmap in an icon, of 1, 4, 8, 24 or 32 bits a pixel, with nothing transparent; a side of up to 1024 pixels."""
    grey = np.asarray(seven(side))[::-1]
    match depth:
        case 1:
            rows = np.packbits(grey > 127, axis=1)
        case 4:
            rows = np.bitwise_or(grey[:, ::2] & 0xF0, grey[:, 1::2] >> 4, dtype=np.uint8)
        case _:
            rows = np.repeat(grey, depth // 8, axis=1)
    words = np.pad(rows, ((0, 0), (0, -rows.shape[1] % 4)))
    levels = np.linspace(0, 255, 1 << depth if depth <= 8 else 0).astype(np.uint8)
    palette = np.stack((levels, levels, levels, 0 * levels), axis=1).tobytes()
    header = struct.pack("<IiiHHIIiiII", 40, side, 2 * side, 1, depth, 0, 0, 0, 0, 0, 0)
    bitmap = header + palette + words.tobytes() + bytes(-(-side // 32) * 4 * side)
    return struct.pack("<HHHBBBBHHII", 0, 1, 1, 0, 0, 0, 0, 1, depth, len(bitmap), 22) + bitmap


def _in_modes(file_format: str, *modes: str, note: str = "", **options: Any) -> dict[str, Draw]:
    name = FORMAT_NAMES.get(file_format, file_format)
    return {f"{name} {mode}{note}": partial(_saved, mode, file_format, **options) for mode in modes}


def _netpbm(kind: int, maxval: int, side: int) -> bytes:
    """What Pillow writes otherwise: text, and samples of 16 bits."""
    grey = np.asarray(seven(side)).astype(np.uint32) * maxval // 255
    samples = np.repeat(grey, 3, axis=1) if kind in (3, 6) else grey
    head = b"P%d\n%d %d\n%d\n" % (kind, side, side, maxval)
    if kind in (5, 6):
        return head + samples.astype(np.uint8 if maxval < 256 else ">u2").tobytes()
    return head + b"\n".join(b" ".join(b"%d" % one for one in row) for row in samples.tolist())


FORMAT_NAMES = {"WEBP": "WebP", "JPEG2000": "JPEG 2000", "PPM": "Netpbm", "HEIF": "HEIC"}
LARGE_PICTURES: dict[str, Draw] = {
    **_in_modes("PNG", "1", "L", "LA", "P", "RGB", "RGBA", "I;16", compress_level=1),
    **_in_modes("PNG", "P", note=", transparent", transparency=0, compress_level=1),
    "PNG RGB, 16 bits": partial(_png, 2, 16),
    "PNG RGBA, 16 bits": partial(_png, 6, 16),
    "PNG RGB, 16 bits, 10 in use": partial(_png, 2, 16, most=3),
    "PNG L, mask": partial(_png, 0, 8, most=1),
    "PNG RGB, mask": partial(_png, 2, 8, most=1),
    "PNG L, interlaced": partial(_png, 0, 8, interlaced=True),
    "PNG RGB, interlaced": partial(_png, 2, 8, interlaced=True),
    "PNG RGBA, interlaced": partial(_png, 6, 8, interlaced=True),
    **_in_modes("JPEG", "L", "RGB", "CMYK"),
    **_in_modes("JPEG", "L", "RGB", "CMYK", note=", progressive", progressive=True),
    **_in_modes("JPEG", "RGB", note=" 4:4:4, progressive", progressive=True, subsampling=0),
    **_in_modes("WEBP", "RGB", "RGBA", method=0),
    **_in_modes("WEBP", "RGB", "RGBA", note=", lossless", lossless=True, method=0, quality=0),
    "WebP RGB, animated": partial(_animated, "RGB", "WEBP"),
    **_in_modes("GIF", "L", "P"),
    **_in_modes("GIF", "P", note=", transparent", transparency=0),
    "GIF P, animated": partial(_animated, "P", "GIF"),
    **_in_modes("BMP", "1", "L", "P", "RGB", "RGBA"),
    "BMP P, run-length": _run_length_bmp,
    **_in_modes("TIFF", "1", "L", "LA", "P", "RGB", "RGBA", "CMYK", "I;16", "I", "F"),
    **_in_modes("TIFF", "L", "RGB", "I", "F", note=", LZW", compression="tiff_lzw"),
    **{f"TIFF {mode}, deflate, one strip": partial(_single_strip, mode, "tiff_adobe_deflate") for mode in DEFLATED},
    "TIFF RGB, JPEG, one strip": partial(_single_strip, "RGB", "jpeg"),
    **_in_modes("TIFF", "1", note=", group 4", compression="group4"),
    **_in_modes("PPM", "1", "L", "RGB"),
    "Netpbm L, 10 bits": partial(_netpbm, 5, 1023),
    "Netpbm L, text": partial(_netpbm, 2, 255),
    "Netpbm RGB, text": partial(_netpbm, 3, 255),
    **_in_modes("JPEG2000", "L", "LA", "RGB", "RGBA", "I;16"),
    **_in_modes("JPEG2000", "L", "RGB", "I;16", note=", one resolution", num_resolutions=1),
    **_in_modes("JPEG2000", "L", "RGB", note=", tiles", tile_size=(256, 256)),
    **_in_modes("AVIF", "L", "RGB", "RGBA", speed=10),
    **_in_modes("AVIF", "RGB", note=" 4:4:4", speed=10, subsampling="4:4:4"),
    **({} if not heic.IS_INSTALLED else _in_modes("HEIF", "L", "RGB", "RGBA")),
    **({} if not heic.IS_INSTALLED else _in_modes("HEIF", "RGB", note=", tiles", tile_size=512)),
    **_in_modes("JPEG2000", "L", note=", small blocks", codeblock_size=(4, 4)),
    **_in_modes("JPEG2000", "L", note=", small precincts", codeblock_size=(4, 4), precinct_size=(32, 32)),
}
