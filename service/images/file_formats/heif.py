"""AVIF and HEIC: the still picture of a file, once its pictures are known to have the sizes that its boxes say."""

from service.images.file_formats.coded_sizes import av1_sizes, hevc_sizes, split_units
from service.images.file_formats.heif_boxes import Box, Item, Items, read_boxes, read_items
from service.images.file_formats.image_data import ImageData, UnsupportedKind

MAX_META_BYTES = 2**17
MAX_FRAMES = 4  # of one coded picture: layers
MAX_MARGIN = 64  # pixels by which a coded picture may be larger than the picture, as it consists of whole blocks
MAX_CODED = 3  # times the pixels of the picture: tiles that are cut off at the edges, and opacity
SMALL = 2**20  # pixels of small pictures, whose tiles may be larger than they are
AV1, HEVC, GRID = b"av01", b"hvc1", b"grid"
# Brands, by which the box at the beginning of a file says what it is; `mif1` and `msf1` may be coded either way.
HEIC_SEQUENCES = (b"hevc", b"hevx", b"hevm", b"hevs")
HEIC_BRANDS = (b"heic", b"heix", b"heim", b"heis", *HEIC_SEQUENCES)
AVIF_BRANDS = (b"avif", b"avis")
EITHER_BRANDS = (b"mif1", b"msf1")
BRANDS = frozenset((*HEIC_BRANDS, *AVIF_BRANDS, *EITHER_BRANDS))
SEQUENCES, STILL = (b"avis", b"msf1", *HEIC_SEQUENCES), b"mif1"
ALPHA = (b"urn:mpeg:mpegB:cicp:systems:auxiliary:alpha", b"urn:mpeg:hevc:2015:auxid:1")
LEFT_OUT = b"skip"  # in place of the types of items that are no pictures: text and profiles


def extract_heif(data: bytes | memoryview) -> ImageData:
    """The same file without its animation, EXIF data and text, in which nothing else moves."""
    view = memoryview(data)
    boxes = list(read_boxes(view, 0, len(view)))
    metas = [box for box in boxes if box.kind == b"meta"]
    if len(metas) != 1 or metas[0].end - metas[0].start > MAX_META_BYTES:
        raise UnsupportedKind("an animation without a still picture, or a large table of contents")
    items = read_items(view, metas[0])
    pixel_bytes = _check(view, items)
    file = bytearray(view)
    for box in boxes:
        if box.kind == b"moov":
            file[box.start - 4 : box.start] = b"free"
        if box.kind == b"ftyp":
            _write_still_brands(file, box)
    for item in items.items.values():
        if item.kind not in (AV1, HEVC, GRID):
            file[item.type_at : item.type_at + 4] = LEFT_OUT
    return ImageData(bytes(file), coded_pixel_bytes=pixel_bytes)


def _write_still_brands(file: bytearray, ftyp: Box) -> None:
    for at in (ftyp.start, *range(ftyp.start + 8, ftyp.end - 3, 4)):
        if bytes(file[at : at + 4]) in SEQUENCES:
            file[at : at + 4] = STILL if at > ftyp.start else (b"avif" if file[at : at + 4] == b"avis" else b"heic")


def _check(data: memoryview, items: Items) -> float:
    """Raise `ValueError` for pictures of other sizes; returns the bytes of a pixel as it is decoded."""
    if items.primary not in items.items:
        raise ValueError("it does not have the picture that it says it shows")
    shown = items.items[items.primary]
    width, height = _size(data, shown)
    numbers = [items.primary, *_alpha(data, items)]
    for number in numbers:
        _check_grid(data, items.items[number])
    coded = [items.items[one] for number in numbers for one in _parts(items, number) if one in items.items]
    if sum(item.size for item in coded) > 2 * len(data):
        raise ValueError("its pictures share their bytes")
    pixels, pixel_bytes = 0, 0.0
    for item in coded:
        own = _size(data, item)
        pixels += own[0] * own[1]
        pixel_bytes = max(pixel_bytes, _check_coded(data, item, own))
    if not coded or pixels > MAX_CODED * width * height + SMALL * len(numbers):
        raise ValueError(f"it has pictures of {pixels:,} pixels for one of {width}x{height}")
    has_copies = len(coded) > len(numbers)  # tiles beside the picture that they become
    return pixel_bytes * (1 + has_copies) + (len(numbers) - 1)


def _alpha(data: memoryview, items: Items) -> list[int]:
    """The numbers of the items that are the opacity of the picture, or of one of its tiles."""
    found, shown = [], {items.primary, *_parts(items, items.primary)}
    for (kind, number), targets in items.references.items():
        item = items.items.get(number)
        auxiliary = item.find(b"auxC") if item and kind == b"auxl" and shown & {*targets} else None
        if auxiliary and bytes(data[auxiliary.start + 4 : auxiliary.end]).startswith(ALPHA):
            found.append(number)
    return found


def _check_grid(data: memoryview, item: Item) -> None:
    """Raise `ValueError` if the tiles of a grid make up a picture of another size."""
    if item.kind != GRID:
        return
    content = item.read(data)
    side = 4 if content[1] & 1 else 2
    width, height = (int.from_bytes(content[at : at + side]) for at in (4, 4 + side))
    if (width, height) != _size(data, item):
        raise ValueError(f"its tiles make up {width}x{height} pixels")


def _parts(items: Items, number: int) -> list[int]:
    """A coded picture, or the tiles of a grid."""
    kind = items.items[number].kind
    if kind == GRID:
        return items.references.get((b"dimg", number), [])
    if kind not in (AV1, HEVC):
        raise UnsupportedKind(f"a picture of the type {kind.decode('latin1')!r}")
    return [number]


def _size(data: memoryview, item: Item) -> tuple[int, int]:
    box = item.find(b"ispe")
    if box is None:
        raise ValueError("one of its pictures has no size")
    return int.from_bytes(data[box.start + 4 : box.start + 8]), int.from_bytes(data[box.start + 8 : box.start + 12])


def _check_coded(data: memoryview, item: Item, size: tuple[int, int]) -> float:
    """Raise `ValueError` if the bitstream has another size, or frames beside the first; returns bytes of a pixel."""
    configuration = item.find(b"av1C" if item.kind == AV1 else b"hvcC")
    if configuration is None or item.kind not in (AV1, HEVC):
        raise ValueError("one of its pictures does not say how it is coded")
    content = data[configuration.start : configuration.end]
    if item.kind == AV1:
        sizes, frames = av1_sizes(item.read(data))
        sizes += av1_sizes(content[4:])[0]
        samples, deep = _av1_samples(content[2]), bool(content[2] & 0x40)
    else:
        sizes, frames = hevc_sizes([*_parameter_sets(content), *split_units(item.read(data), (content[21] & 3) + 1)])
        samples, deep = (1, 1.5, 2, 3)[content[16] & 3], bool(content[17] & 7)
    if not sizes or frames > MAX_FRAMES:
        raise ValueError(f"one of its pictures has {frames} frames")
    for coded in sizes:
        if any(found > said + MAX_MARGIN for found, said in zip(coded, size, strict=True)):
            raise ValueError(f"one of its pictures has {coded[0]}x{coded[1]} pixels, and not {size[0]}x{size[1]}")
    return samples * (1 + deep)


def _av1_samples(flags: int) -> float:
    """For each pixel: one if monochrome, and two of colour for one, two or four."""
    if flags & 0x10:
        return 1
    return 1.5 if flags & 0b1100 == 0b1100 else 2 if flags & 0b1000 else 3


def _parameter_sets(content: memoryview) -> list[memoryview]:
    """The NAL units of an hvcC box."""
    units, at = [], 23
    for _ in range(content[22]):
        count, at = int.from_bytes(content[at + 1 : at + 3]), at + 3
        for _ in range(min(count, 64)):
            end = at + 2 + int.from_bytes(content[at : at + 2])
            units.append(content[at + 2 : end])
            at = end
    return units
