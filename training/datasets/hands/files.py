"""The files of a data set: downloaded if they are missing, and checked by SHA-256 when they are read."""

import hashlib
import http.client
import shutil
import subprocess
import tempfile
import urllib.request
import zipfile
import zlib
from collections.abc import Collection, Sequence
from pathlib import Path

from training.errors import DataUnavailable

TIMEOUT = 60  # seconds without an answer
DOWNLOAD_ERRORS = (OSError, http.client.HTTPException, zipfile.BadZipFile, zlib.error, subprocess.CalledProcessError)


def download(url: str, root: str, entries: Collection[str], folder: Path) -> None:
    """Download a ZIP archive and move `entries`, files or folders below `root` in it, to a folder.

    Files that the archive contains compressed, with the ending `.Z`, are uncompressed. An entry appears in the folder
    only when it is complete. Raises one of `DOWNLOAD_ERRORS`.
    """
    with tempfile.TemporaryFile() as file:
        with urllib.request.urlopen(url, timeout=TIMEOUT) as response:  # noqa: S310  # nosec B310 - a constant
            shutil.copyfileobj(response, file)
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=folder, prefix=".download-") as staging:
            wanted = [f"{root}{entry}" for entry in entries]
            with zipfile.ZipFile(file) as archive:
                archive.extractall(staging, [name for name in archive.namelist() if _is_wanted(name, wanted)])
            for compressed in Path(staging).rglob("*.Z"):  # Python has no decoder of this format
                subprocess.run(("gzip", "-d", str(compressed)), check=True, capture_output=True)  # noqa: S603, S607
            for entry in entries:
                Path(staging, root, entry).rename(folder / entry)


def _is_wanted(name: str, wanted: list[str]) -> bool:
    """Whether a file of an archive is one of the wanted files, compressed or not, or lies in a wanted folder."""
    return name.removesuffix(".Z") in wanted or name.startswith(tuple(f"{folder}/" for folder in wanted))


def read_checked(folder: Path, paths: Sequence[str], sha256: str) -> list[bytes]:
    """The contents of files below a folder.

    `sha256` is that of the list which the command `sha256sum` prints for these paths in this order: it covers names
    and contents. Raises `DataUnavailable` if it is another one, or if a file is missing.
    """
    contents: list[bytes] = []
    listing = hashlib.sha256()
    for path in paths:
        try:
            content = (folder / path).read_bytes()
        except OSError as error:
            raise DataUnavailable(f"{folder / path} cannot be read: {error.strerror}") from error
        contents.append(content)
        listing.update(f"{hashlib.sha256(content).hexdigest()}  {path}\n".encode())
    if listing.hexdigest() != sha256:
        raise DataUnavailable(
            f"{folder.absolute()} is damaged, or another version: the list of the SHA-256 of {len(contents)} file(s), "
            f"{_shown(paths)}, has the SHA-256 {listing.hexdigest()}, expected {sha256}"
        )
    return contents


def _shown(paths: Sequence[str]) -> str:
    """The first and the last of some paths."""
    return " to ".join(dict.fromkeys((*paths[:1], *paths[-1:]))) or "none"
