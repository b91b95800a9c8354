"""Which version answers requests that name none: the newest, a pinned one, and a canary for a share of them.

By the setting `DIGITALIS_VERSIONS`, such as `iris=4,mnist=8+9:0.1`, or by the file `serving.toml` beside the versions
of a model, which is read again when it changes; the setting wins.

    version = 8           # without it, the newest that opens
    canary = 9
    canary_share = 0.1    # of the requests that name no version
"""

import re
import tomllib
from pathlib import Path
from typing import Annotated

import msgspec
from msgspec import Meta

from service.errors import BundleError

FILE = "serving.toml"
MAX_BYTES = 65536

FileState = tuple[int, int, int]  # modified at, size and inode
VersionNumber = Annotated[int, Meta(ge=1, le=999_999_999)]


class VersionPolicy(msgspec.Struct, frozen=True):
    """`version` is pinned, or None for the newest; `canary` gets `canary_share` of what names no version.

    `source` is where the policy is from; empty for the default.
    """

    version: str | None = None
    canary: str | None = None
    canary_share: float = 0.0
    source: str = ""


class _ServingFile(msgspec.Struct, forbid_unknown_fields=True):
    version: VersionNumber | msgspec.UnsetType = msgspec.UNSET
    canary: VersionNumber | msgspec.UnsetType = msgspec.UNSET
    canary_share: Annotated[float, Meta(ge=0, le=1)] | msgspec.UnsetType = msgspec.UNSET


def file_state(model_folder: Path) -> FileState | None:
    """What changes when the file of a model does; None if there is none. Raises `BundleError` if that is unknown."""
    try:
        found = (model_folder / FILE).stat()
    except FileNotFoundError:
        return None
    except OSError as error:
        raise BundleError(f"{model_folder.name}/{FILE}: {error.strerror}") from None
    return found.st_mtime_ns, found.st_size, found.st_ino


def read_policy(model_folder: Path) -> VersionPolicy:
    """The policy in the file of a model; raises `BundleError`, which says what is wrong with the file."""
    source = f"{model_folder.name}/{FILE}"
    path = model_folder / FILE
    try:
        is_ours = path.is_file() and path.resolve().is_relative_to(model_folder.resolve())
    except (OSError, RuntimeError):
        is_ours = False
    if not is_ours:
        raise BundleError(f"{source}: it is not a regular file of this folder")
    try:
        with path.open("rb") as file:
            found = msgspec.convert(tomllib.loads(file.read(MAX_BYTES).decode()), _ServingFile)
    except OSError as error:
        raise BundleError(f"{source}: {error.strerror}") from None
    except RecursionError:
        raise BundleError(f"{source}: nested too deeply") from None
    except ValueError as error:  # of TOML, of UTF-8, and of msgspec
        raise BundleError(f"{source}: {error}") from None
    if (found.canary is msgspec.UNSET) != (found.canary_share is msgspec.UNSET):
        raise BundleError(f"{source}: canary and canary_share belong together, such as canary = 9, canary_share = 0.1")
    version, canary = (str(number) if number else None for number in (found.version, found.canary))
    if canary and canary == version:
        raise BundleError(f"{source}: version and canary are both {canary}")
    return VersionPolicy(version, canary, found.canary_share or 0.0, source)


POLICY = re.compile(r"([^=]+)=([1-9][0-9]{0,8})(?:\+([1-9][0-9]{0,8}):(0|0?\.[0-9]{1,6}|1(?:\.0*)?))?")


def parse_policies(text: str) -> dict[str, VersionPolicy]:
    """The policies of a setting by the models' names; raises `ValueError` with what is expected."""
    found = {}
    for item in text.split(","):
        matched = POLICY.fullmatch(item.strip())
        if not matched or matched[2] == matched[3]:
            raise ValueError("name=version, or name=version+canary:share, such as iris=4,mnist=8+9:0.1")
        name, version, canary, share = matched.groups()
        if name in found:
            raise ValueError(f"each model once: {name} is there twice")
        found[name] = VersionPolicy(version, canary, float(share or 0), "DIGITALIS_VERSIONS")
    return found
