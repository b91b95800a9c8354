"""Formats that Pillow does not decode as wanted, or in more memory than there need be."""

from PIL import Image, ImageFile, Jpeg2KImagePlugin, WebPImagePlugin

from service.images.file_formats import Codestream, expand_bitmap

DRAFT_SIZE = 640  # pixels of the shorter side: larger JPEG and JPEG 2000 files are decoded at a reduced size


def decode_webp(image: WebPImagePlugin.WebPImageFile) -> Image.Image:
    """The first frame. Pillow's own `load` holds the frame four times: twice in libwebp, as bytes, and as a picture."""
    decoder, image._decoder = image._decoder, None  # noqa: SLF001 - Pillow has no other way to free it early
    frame = decoder.get_next()
    if frame is None:
        raise ValueError("its first frame cannot be decoded")
    del decoder
    return Image.frombuffer(image.rawmode, image.size, frame[0], "raw", image.rawmode, 0, 1)


def decode_icon(bitmap: memoryview) -> Image.Image:
    """The bitmap of an icon, with its opacity, from the lowest row to the highest as it is stored."""
    bgra = expand_bitmap(bitmap)
    height, width, _ = bgra.shape
    return Image.frombuffer("RGBA", (width, height), bgra, "raw", "BGRA", 0, -1)


def reduce_jpeg2000(image: Jpeg2KImagePlugin.Jpeg2KImageFile, codestream: Codestream) -> None:
    """Let a picture be decoded at a half, a quarter, ... of its size, as far as its resolutions and `DRAFT_SIZE` allow.

    Pillow's own `reduce` rounds sizes down where OpenJPEG rounds them up. Raises `ValueError` if boxes and codestream
    differ.
    """
    if image.size != codestream.size(0):
        raise ValueError("its boxes say another size than its codestream")
    halvings = 0
    while halvings < codestream.levels and min(codestream.size(halvings + 1)) >= DRAFT_SIZE:
        halvings += 1
    size = codestream.size(halvings)
    (tile,) = image.tile
    codec, _, *others = tile.args if isinstance(tile.args, tuple) else ()
    image._size = size  # noqa: SLF001 - as `reduce` does
    image.tile = [ImageFile._Tile(tile.codec_name, (0, 0, *size), tile.offset, (codec, halvings, *others))]  # noqa: SLF001
