"""A file as Pillow reads it: at most so many times, and the data of a JPEG file so that damage is noticed.

libjpeg reads damaged data as if they were others, and Pillow keeps what it says of them to itself. But mostly the rows
of such data end elsewhere than the data do. So the decoder first gets the data without their last byte, with which no
whole picture is complete, then the rest. Whether it asks for more tells where its rows ended.
"""

import io

MAX_READS = 250_000  # of a file, by Pillow's own code: it reads some formats byte by byte
PADDING = b"\xff\0" * 16  # ones, which are no code: a whole picture is complete, while of others a few blocks are read
FILL = b"\0\xff"  # bytes with which some cameras fill a file up
MAX_FILL = 2**16  # bytes
TOO_MANY, TOO_FEW = 1, 3  # pieces that the decoder takes where there are too many data, and too few


class ImageReader(io.BytesIO):
    """A file that may be read `MAX_READS` times."""

    def __init__(self, file: bytes) -> None:
        super().__init__(file)
        self._file, self._reads = file, 0
        self._scan_end = self._pieces = 0

    def read_scan(self, end: int) -> None:
        """From now on give a JPEG file with one scan, which ends at `end`, in pieces to its decoder."""
        self._scan_end = end

    def scan_damage(self) -> str:
        """What is wrong with the data of a scan that was decoded; empty if nothing is seen."""
        if not self._scan_end or self._pieces not in (TOO_MANY, TOO_FEW):
            return ""
        return f"its data end {'after' if self._pieces == TOO_MANY else 'before'} its last row"

    def read(self, size: int | None = -1, /) -> bytes:
        """So many bytes, or the next piece of a scan; raises `ValueError` if it was called too often."""
        self._reads += 1
        if self._reads > MAX_READS:
            raise ValueError("it consists of too many small parts")
        return self._piece() if self._scan_end else super().read(size)

    def _piece(self) -> bytes:
        self._pieces += 1
        end, file = self._scan_end, self._file
        if self._pieces == TOO_FEW:
            return file[end:]
        start = max(0, end - MAX_FILL)
        last = start + max(0, len(file[start:end].rstrip(FILL)) - 1)
        if self._pieces == 1:
            return file[:last]
        return file[last:end] + PADDING if self._pieces < TOO_FEW else b""
