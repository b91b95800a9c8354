"""How many bytes decoding a picture takes at its peak, from its header: what Pillow, its libraries and we hold at once.

`python -m benchmarks memory` measures the same for every format and mode.
"""

from typing import Any

from PIL import BmpImagePlugin, GifImagePlugin, Image, JpegImagePlugin, TiffImagePlugin, WebPImagePlugin

from service.images.deep_colours import has_deep_colours
from service.images.file_formats import Codestream, ImageData
from service.images.greyscale_picture import BAND_PIXELS, DEEP_MODES, reduction_factor

ONE_BYTE_MODES = ("1", "L", "P")
TWO_BYTE_MODES = ("I;16", "I;16B", "I;16L", "I;16N")
BYTES_PER_PIXEL = 4  # of all other modes, RGB included
YCBCR, JPEG_COMPRESSION = 6, 7  # values of tags of TIFF
GREY_COPIES = 3  # of the greyscale picture: Pillow's, the pieces of it as bytes, and the pieces joined
ICON_BYTES = 10  # of a pixel beside the picture: the index of its colour as NumPy needs it, the colour, and its opacity
HEIF_TABLE_BYTES = 2  # of a pixel
BAND_BYTES = 32  # for each pixel of a band
SEGMENTER_BYTES = 2**21  # of one run of the network that finds the ink


def stored_bytes(mode: str, pixels: int) -> int:
    """What Pillow takes to store a picture."""
    if mode in ONE_BYTE_MODES:
        return pixels
    return pixels * (2 if mode in TWO_BYTE_MODES else BYTES_PER_PIXEL)


def is_run_length_encoded(image: Image.Image) -> bool:
    """Whether it is a BMP file that Pillow decodes in Python."""
    return isinstance(image, BmpImagePlugin.BmpImageFile) and image.tile[0].codec_name == "bmp_rle"


def decoding_memory(image: Image.Image, full_size: tuple[int, int], data: ImageData, *, in_bands: bool) -> int:
    """The bytes at the peak, for a picture that Pillow has opened, and that it will decode at `image.size`.

    `full_size` is the size in the file, and `data` what was extracted of it. `in_bands`: it is never in memory as a
    whole.
    """
    pixels = image.width * image.height
    stored = 0 if in_bands else stored_bytes(image.mode, pixels)
    is_decoded_twice = has_deep_colours(image) and not in_bands
    while_decoding = stored * (1 + is_decoded_twice) + _decoder_bytes(image, full_size, data)
    afterwards = stored + _greyscale_bytes(image, pixels, in_bands=in_bands)
    return BAND_BYTES * min(pixels, BAND_PIXELS) + SEGMENTER_BYTES + max(while_decoding, afterwards)


def _greyscale_bytes(image: Image.Image, pixels: int, *, in_bands: bool) -> int:
    """Beyond the stored picture: what it is converted to, reduced, and the greyscale picture."""
    is_deep = image.mode in DEEP_MODES and not in_bands
    is_transparent = image.has_transparency_data and not is_deep
    factor = reduction_factor(image.size, is_transparent=is_transparent)
    reduced = pixels // factor**2
    if is_deep:
        return pixels + (GREY_COPIES * reduced if factor > 1 else 0)
    if is_transparent:  # converted, premultiplied, flattened, its alpha and its luma
        return 14 * reduced + GREY_COPIES * reduced
    is_grey = image.mode in ("1", "L", *DEEP_MODES)
    is_converted = factor > 1 or image.mode not in ("L", "RGB")
    converted = stored_bytes("L" if is_grey else "RGB", reduced) if is_converted else 0
    return converted + (GREY_COPIES - is_grey) * reduced


def _decoder_bytes(image: Image.Image, full_size: tuple[int, int], data: ImageData) -> int:
    """What the decoder of the format holds beside the stored picture."""
    pixels = image.width * image.height
    if isinstance(image, JpegImagePlugin.JpegImageFile):
        return _coefficient_bytes(image, full_size) if data.has_several_scans else 0
    if isinstance(image, WebPImagePlugin.WebPImageFile):
        return 2 * BYTES_PER_PIXEL * pixels  # libwebp's canvas, and the one of the frame before
    if data.coded_pixel_bytes:  # the bitstream's picture, its decoder's tables, and a copy as Pillow stores it
        return int(pixels * (data.coded_pixel_bytes + HEIF_TABLE_BYTES + len(image.getbands())))
    if data.codestream:
        return _tile_bytes(data.codestream, pixels)
    if isinstance(image, TiffImagePlugin.TiffImageFile):
        return _strip_bytes(image)
    # Of GIF the indices of colours; of run-length encoded BMP Pillow expands the runs into bytes first.
    indices = 2 * is_run_length_encoded(image) + isinstance(image, GifImagePlugin.GifImageFile)
    return pixels * (ICON_BYTES if data.bitmap else indices)


def _coefficient_bytes(image: JpegImagePlugin.JpegImageFile, full_size: tuple[int, int]) -> int:
    """What libjpeg keeps: all coefficients of whole blocks of 8x8, in 2 bytes each, until it has seen the last scan."""
    across, down = (max(factors) for factors in zip(*((h, v) for _, h, v, _ in image.layer), strict=True))
    width, height = full_size
    units = -(-width // (8 * across)) * -(-height // (8 * down))
    blocks: int = units * sum(h * v for _, h, v, _ in image.layer)
    return 2 * 64 * blocks


def _tile_bytes(codestream: Codestream, pixels: int) -> int:
    """What OpenJPEG keeps of a tile: its samples in 4 bytes each, then as they are, and where its coefficients are."""
    sample = 1 if codestream.depth <= 8 else 2 if codestream.depth <= 16 else 4
    tile_pixels = min(pixels, codestream.tile[0] * codestream.tile[1])
    return codestream.structure + codestream.components * (4 + sample) * tile_pixels


def _strip_bytes(image: TiffImagePlugin.TiffImageFile) -> int:
    """What libtiff decodes at a time: a strip or a tile, which may be the whole picture."""
    if not image.use_load_libtiff:
        return 0
    tags: dict[int, Any] = dict(image.tag_v2)
    width, height = image.size
    rows = min(height, tags.get(TiffImagePlugin.ROWSPERSTRIP, height))
    if TiffImagePlugin.TILEWIDTH in tags:
        width, rows = tags[TiffImagePlugin.TILEWIDTH], tags.get(TiffImagePlugin.TILELENGTH, height)
    strip_bits: int = width * rows * _bits_per_pixel(tags)
    return strip_bits // 8


def _bits_per_pixel(tags: dict[int, Any]) -> int:
    if tags.get(TiffImagePlugin.PHOTOMETRIC_INTERPRETATION) == YCBCR:
        bits = 8 * BYTES_PER_PIXEL  # libtiff converts it to RGBA
    else:
        samples = tags.get(TiffImagePlugin.BITSPERSAMPLE, (1,))
        bits = max(sum(samples), samples[0] * tags.get(TiffImagePlugin.SAMPLESPERPIXEL, 1))
    is_jpeg = tags.get(TiffImagePlugin.COMPRESSION) == JPEG_COMPRESSION  # it may be progressive: all coefficients
    return bits + (2 * 8 * tags.get(TiffImagePlugin.SAMPLESPERPIXEL, 1) if is_jpeg else 0)
