"""The boxes of AVIF and HEIC files: items, where they are, and what is said of them (ISO/IEC 14496-12, 23008-12)."""

import struct
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import NamedTuple

MAX_BOXES = 4000  # in one other; a photo of a phone has a hundred
MAX_ITEMS = 1000  # of which a photo of a phone has fifty: its tiles
MAX_EXTENTS = 64  # of one item


class Box(NamedTuple):
    """Its type, and where its content begins and ends in the file."""

    kind: bytes
    start: int
    end: int


@dataclass
class Item:
    """A picture or what belongs to one; `type_at` is where its type is in the file."""

    kind: bytes
    type_at: int
    extents: list[tuple[int, int]] = field(default_factory=list)  # first and last byte in the file
    properties: list[Box] = field(default_factory=list)

    @property
    def size(self) -> int:
        """Its bytes in all."""
        return sum(max(0, end - start) for start, end in self.extents)

    def read(self, data: memoryview) -> memoryview:
        """Its bytes; raises `ValueError` if there are more than in the file, as its parts overlap."""
        if self.size > len(data):
            raise ValueError("one of its items is larger than the file")
        if len(self.extents) == 1:
            (start, end), *_ = self.extents
            return data[start:end]
        return memoryview(b"".join(data[start:end] for start, end in self.extents))

    def find(self, kind: bytes) -> Box | None:
        """Its property of this type; raises `ValueError` if there are several."""
        found = [box for box in self.properties if box.kind == kind]
        if len(found) > 1:
            raise ValueError(f"one of its items has {kind.decode('latin1')} several times")
        return found[0] if found else None


@dataclass
class Items:
    """All items by their number, which of them is shown, and what others refer to: (kind, from) to numbers."""

    primary: int
    items: dict[int, Item]
    references: dict[tuple[bytes, int], list[int]]


def read_boxes(data: memoryview, start: int, end: int) -> Iterator[Box]:
    """The boxes in a part of the file; raises `ValueError` if one ends beyond it."""
    at = start
    for _ in range(MAX_BOXES):
        if at >= end:
            return
        length, kind = struct.unpack_from(">I4s", data, at)
        header = 8
        if length == 1:
            (length,), header = struct.unpack_from(">Q", data, at + 8), 16
        box_end = at + length if length else end
        if box_end > end == len(data):
            raise ValueError("it is truncated")
        if box_end < at + header or box_end > end:
            raise ValueError(f"its box {kind.decode('latin1')!r} does not fit into it")
        yield Box(kind, at + header, box_end)
        at = box_end
    raise ValueError(f"it has over {MAX_BOXES:,} boxes in one")


def read_items(data: memoryview, meta: Box) -> Items:
    """What the box `meta` says."""
    boxes = {box.kind: box for box in read_boxes(data, meta.start + 4, meta.end)}
    if not {b"pitm", b"iinf", b"iloc", b"iprp"} <= boxes.keys():
        raise ValueError("it does not say what and where its picture is")
    items = {number: Item(kind, at) for number, kind, at in _infos(data, boxes[b"iinf"])}
    idat = boxes.get(b"idat")
    _read_locations(data, boxes[b"iloc"], items, idat.start if idat else 0)
    _read_properties(data, boxes[b"iprp"], items)
    version = data[boxes[b"pitm"].start]
    primary = _number(data, boxes[b"pitm"].start + 4, 4 if version else 2)
    references = _references(data, boxes[b"iref"]) if b"iref" in boxes else {}
    return Items(primary, items, references)


def _number(data: memoryview, at: int, size: int) -> int:
    return int.from_bytes(data[at : at + size])


def _infos(data: memoryview, iinf: Box) -> Iterator[tuple[int, bytes, int]]:
    """Number, type and the place of the type of each item."""
    at = iinf.start + (8 if data[iinf.start] else 6)
    for count, box in enumerate(read_boxes(data, at, iinf.end)):
        if count >= MAX_ITEMS:
            raise ValueError(f"it has over {MAX_ITEMS:,} items")
        version = data[box.start]
        if box.kind == b"infe" and version >= 2:
            size = 4 if version == 3 else 2
            type_at = box.start + 4 + size + 2
            yield _number(data, box.start + 4, size), bytes(data[type_at : type_at + 4]), type_at


def _read_locations(data: memoryview, iloc: Box, items: dict[int, Item], idat: int) -> None:
    version, sizes = data[iloc.start], _number(data, iloc.start + 4, 2)
    offset_size, length_size, base_size, index_size = (sizes >> shift & 15 for shift in (12, 8, 4, 0))
    number_size, index_size = (4 if version == 2 else 2), index_size if version else 0
    at = iloc.start + 6
    count, at = _number(data, at, number_size), at + number_size
    for _ in range(min(count, MAX_ITEMS)):
        number, at = _number(data, at, number_size), at + number_size
        method = 0
        if version:
            method, at = _number(data, at, 2) & 15, at + 2
        base, at = _number(data, at + 2, base_size), at + 2 + base_size
        extents, at = _number(data, at, 2), at + 2
        if extents > MAX_EXTENTS or method > 1:
            raise ValueError("one of its items is in too many parts, or made from others")
        for _ in range(extents):
            start = base + _number(data, at + index_size, offset_size) + (idat if method else 0)
            length = _number(data, at + index_size + offset_size, length_size)
            at += index_size + offset_size + length_size
            if number in items:
                items[number].extents.append((start, start + length if length else len(data)))


def _read_properties(data: memoryview, iprp: Box, items: dict[int, Item]) -> None:
    boxes = list(read_boxes(data, iprp.start, iprp.end))
    properties = [found for box in boxes if box.kind == b"ipco" for found in read_boxes(data, box.start, box.end)]
    for ipma in (box for box in boxes if box.kind == b"ipma"):
        version, flags = data[ipma.start], data[ipma.start + 3]
        number_size, index_size = (4 if version else 2), (2 if flags & 1 else 1)
        at = ipma.start + 8
        for _ in range(min(_number(data, ipma.start + 4, 4), MAX_ITEMS)):
            number, count = _number(data, at, number_size), data[at + number_size]
            at += number_size + 1
            if at + count * index_size > ipma.end:
                raise ValueError("it has properties that are cut short")
            for _ in range(count):
                index = _number(data, at, index_size) & (0x7FFF if index_size == 2 else 0x7F)
                at += index_size
                if number in items and 0 < index <= len(properties):
                    items[number].properties.append(properties[index - 1])


def _references(data: memoryview, iref: Box) -> dict[tuple[bytes, int], list[int]]:
    size = 4 if data[iref.start] else 2
    found: dict[tuple[bytes, int], list[int]] = {}
    for box in read_boxes(data, iref.start + 4, iref.end):
        count = _number(data, box.start + size, 2)
        if box.start + 2 * size + 2 + (count - 1) * size > box.end:
            raise ValueError("it has references that are cut short")
        start = box.start + size + 2
        numbers = [_number(data, at, size) for at in range(start, start + count * size, size)]
        found.setdefault((box.kind, _number(data, box.start, size)), []).extend(numbers)
    return found
