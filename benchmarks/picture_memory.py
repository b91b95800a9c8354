"""Peak memory of decoding and normalising one picture, beside the estimate that is reserved for it.

Each picture is decoded in a process of its own, because memory that was used once may stay with a process.
"""

import contextlib
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

from benchmarks.large_pictures import LARGE_PICTURES
from service.errors import PayloadTooLarge, RequestError
from service.images.decoding import open_image
from service.images.limits import PixelBudget
from service.images.network_input import read_digit
from service.settings import Settings
from service.worker.memory import LARGEST_SHARE
from training.normaliser import segmenter

SIDES = (8000, 7000, 6000, 5200, 4600, 4000, 3600, 3200, 2000)  # pixels: the largest that is accepted is measured
MIB = 2**20


def measure(words: str) -> None:
    """Print a table: for each format and mode the largest accepted picture, its estimate, and the measured peak.

    Only for the pictures whose name contains the words.
    """
    settings = Settings()
    limit = int(settings.memory_budget_bytes * LARGEST_SHARE)
    print("| picture | pixels | file, KiB | estimate, MiB | peak, MiB |\n| --- | --- | --- | --- | --- |")
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "picture"
        for name, draw in LARGE_PICTURES.items():
            if words not in name:
                continue
            for side, file in _accepted(draw, settings.max_image_pixels, limit):
                path.write_bytes(file)
                ((estimate, peak),) = peak_memory([path])
                size = f"{side}x{side} | {len(file) / 1024:,.0f}"
                print(f"| {name} | {size} | {estimate / MIB:.0f} | {peak / MIB:.0f} |", flush=True)
                break


def _accepted(draw: Callable[[int], bytes], max_pixels: int, limit: int) -> Iterator[tuple[int, bytes]]:
    for side in SIDES:
        file = draw(side)
        with contextlib.suppress(PayloadTooLarge):
            if open_image(file, PixelBudget(max_pixels)).memory <= limit:
                yield side, file


def peak_memory(paths: Iterable[Path]) -> list[tuple[int, int]]:
    """For each picture the estimate, and by how much a process that decodes it grows, in bytes."""
    command = (sys.executable, "-m", "benchmarks.picture_memory", *map(str, paths))
    lines = subprocess.run(command, capture_output=True, text=True, check=True).stdout.splitlines()
    return [(int(estimate), int(peak)) for estimate, peak in map(str.split, lines)]


def _decode_each(paths: list[Path]) -> None:
    _read_small_picture()  # imports, and the memory that the libraries keep
    for path in paths:
        child = os.fork()
        if not child:
            _read_small_picture()  # a fork does not map the pages of libraries that its parent has mapped: 12 MiB
            _decode(path)
            os._exit(0)
        os.waitpid(child, 0)


def _read_small_picture() -> None:
    small = next(iter(LARGE_PICTURES.values()))(64)
    read_digit(open_image(small, PixelBudget(10**6)), segmenter())


def _decode(path: Path) -> None:
    """Print the estimate for a picture, and by how much this process grows while it decodes it."""
    file = path.read_bytes()
    Path("/proc/self/clear_refs").write_text("5")  # the peak is now what is used now
    before = _status("VmRSS")
    opened = open_image(file, PixelBudget(10**9))
    estimate = opened.memory
    with contextlib.suppress(RequestError):  # the digit may be cut off or blank
        read_digit(opened, segmenter())
    print(estimate, _status("VmHWM") - before, flush=True)


def _status(field: str) -> int:
    """A field of this process's status, in bytes."""
    (line,) = (line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith(field))
    return int(line.split()[1]) * 1024


if __name__ == "__main__":
    _decode_each([Path(argument) for argument in sys.argv[1:]])
