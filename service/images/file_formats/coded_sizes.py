"""How large the pictures in an AV1 or HEVC bitstream are, which a decoder believes rather than the boxes around it."""

from collections.abc import Iterator

SEQUENCE_HEADER, FRAME_HEADERS = 1, (3, 6, 7)  # types of OBUs
SPS, FIRST_PARAMETER_SET = 33, 32  # types of NAL units: those below have slices of pictures
MAX_UNITS = 4096
Size = tuple[int, int]


class Bits:
    """Bytes, read by the bit."""

    def __init__(self, data: bytes) -> None:
        self._value, self._left = int.from_bytes(data), 8 * len(data)

    def read(self, count: int) -> int:
        """An unsigned number of so many bits."""
        self._left -= count
        if self._left < 0:
            raise ValueError("one of its pictures has a header that ends too soon")
        return self._value >> self._left & (1 << count) - 1

    def exp_golomb(self) -> int:
        """An unsigned number as HEVC writes those of any size."""
        zeros = 0
        while not self.read(1):
            zeros += 1
        return (1 << zeros) - 1 + self.read(min(zeros, 32))


def av1_sizes(data: memoryview) -> tuple[list[Size], int]:
    """The largest size that each sequence header allows, and how many frames there are."""
    sizes, frames = [], 0
    for kind, content in _obus(data):
        if kind == SEQUENCE_HEADER:
            sizes.append(_sequence_size(Bits(bytes(content[:64]))))
        frames += kind in FRAME_HEADERS
    return sizes, frames


def _obus(data: memoryview) -> Iterator[tuple[int, memoryview]]:
    at = 0
    for _ in range(MAX_UNITS):
        if at >= len(data):
            return
        header = data[at]
        at += 2 if header & 0b100 else 1  # has an extension
        size = len(data) - at
        if header & 0b10:  # has a size
            size = shift = 0
            for _ in range(8):
                byte, at = data[at], at + 1
                size |= (byte & 0x7F) << shift
                shift += 7
                if not byte & 0x80:
                    break
        yield header >> 3 & 15, data[at : at + size]
        at += size
    raise ValueError(f"one of its pictures has over {MAX_UNITS:,} parts")


def _sequence_size(bits: Bits) -> Size:
    """Of a sequence header (AV1 specification, section 5.5.1)."""
    bits.read(4)  # profile, and whether it is a still picture
    if bits.read(1):  # the short header of still pictures
        bits.read(5)
    else:
        if bits.read(1):
            raise ValueError("one of its pictures has timing, as a video")
        has_delay = bits.read(1)
        for _ in range(bits.read(5) + 1):
            bits.read(12)
            if bits.read(5) > 7:  # a level that has tiers
                bits.read(1)
            if has_delay and bits.read(1):
                bits.read(4)
    width_bits, height_bits = bits.read(4) + 1, bits.read(4) + 1
    width, height = bits.read(width_bits) + 1, bits.read(height_bits) + 1
    # A frame may have any size that fits into these bits.
    if width_bits > max(1, (width - 1).bit_length()) or height_bits > max(1, (height - 1).bit_length()):
        raise ValueError("one of its pictures has room for larger frames")
    return width, height


def hevc_sizes(units: list[memoryview]) -> tuple[list[Size], int]:
    """The size in each sequence parameter set, and how many pictures begin."""
    if len(units) > MAX_UNITS:
        raise ValueError(f"one of its pictures has over {MAX_UNITS:,} parts")
    sizes = [_parameter_set_size(bytes(unit[:256])) for unit in units if _type(unit) == SPS]
    pictures = sum(_type(unit) < FIRST_PARAMETER_SET and unit[2] >= 0x80 for unit in units if len(unit) > 2)
    return sizes, pictures


def split_units(data: memoryview, length_size: int) -> list[memoryview]:
    """NAL units, each behind its length."""
    units, at = [], 0
    while at + length_size <= len(data):
        end = at + length_size + int.from_bytes(data[at : at + length_size])
        units.append(data[at + length_size : end])
        at = end
        if len(units) > MAX_UNITS:
            break
    return units


def _type(unit: memoryview) -> int:
    return unit[0] >> 1 & 63 if len(unit) else FIRST_PARAMETER_SET


def _parameter_set_size(unit: bytes) -> Size:
    """Of a sequence parameter set (ITU-T H.265, section 7.3.2.2)."""
    bits = Bits(unit[2:].replace(b"\0\0\3", b"\0\0"))
    bits.read(4)
    sub_layers = bits.read(3)
    bits.read(1 + 96)
    flags = [(bits.read(1), bits.read(1)) for _ in range(sub_layers)]
    if sub_layers:
        bits.read(2 * (8 - sub_layers))
    for has_profile, has_level in flags:
        bits.read(88 * has_profile + 8 * has_level)
    bits.exp_golomb()
    if bits.exp_golomb() == 3:  # 4:4:4
        bits.read(1)
    return bits.exp_golomb(), bits.exp_golomb()
