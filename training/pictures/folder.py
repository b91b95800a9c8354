"""The picture files in a folder: a folder for each class, with pictures at any depth in it."""

from collections.abc import Sequence
from pathlib import Path

from training.errors import DataUnavailable

SUFFIXES = (".png", ".jpg", ".jpeg", ".webp", ".bmp", ".gif", ".tif", ".tiff", ".jp2", ".ppm", ".pgm", ".pbm")
PARTS = {"train", "training", "test", "testing", "val", "valid", "validation"}


def class_folders(path: Path) -> list[str]:
    """The names of the folders, numbers in their order; raises `DataUnavailable` unless they are classes."""
    try:
        names = [folder.name for folder in path.iterdir() if folder.is_dir() and not folder.name.startswith(".")]
    except OSError as error:
        raise DataUnavailable(f"{path}: {error.strerror}") from None
    if names and {name.lower() for name in names} <= PARTS:
        raise DataUnavailable(
            f"{path}: {', '.join(sorted(names))} are parts of a data set, and not classes: name one of them, such as "
            f"{path / max(names)}; held-out pictures are drawn from it"
        )
    if len(names) < 2:
        found = f"only {names[0]!r}" if names else "none"
        raise DataUnavailable(f"{path}: expected a folder of pictures for each class, found {found}")
    return sorted(names, key=lambda name: (not name.isdecimal(), int(name) if name.isdecimal() else 0, name))


def picture_files(path: Path, labels: Sequence[str]) -> tuple[list[tuple[int, Path]], list[Path]]:
    """The class and the path of each picture, in order; and files that are none, by their names.

    Raises `DataUnavailable` for a class without a folder, or without a picture in it.
    """
    pictures: list[tuple[int, Path]] = []
    others: list[Path] = []
    for label, name in enumerate(labels):
        folder = path / name
        if not folder.is_dir():
            raise DataUnavailable(f"{folder}: no such folder, and {name!r} is a class (path of the recipe's pictures)")
        files = sorted(file for file in folder.rglob("*") if file.is_file() and not file.name.startswith("."))
        found = [(label, file) for file in files if file.suffix.lower() in SUFFIXES]
        if not found:
            raise DataUnavailable(f"{folder}: no picture in it: their names end in {', '.join(SUFFIXES)}")
        pictures += found
        others += [file for file in files if file.suffix.lower() not in SUFFIXES]
    return pictures, others
