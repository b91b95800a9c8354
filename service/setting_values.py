"""What the text of a setting may be: each parser returns its value, or raises `ValueError` with what is expected."""

import dataclasses
import ipaddress
import math
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

from service.errors import SettingsError
from service.worker.memory import LARGEST_SHARE, MemoryBudget

EVERY_INTERFACE = "0.0.0.0"  # noqa: S104  # nosec B104
SECRET = "DIGITALIS_API_KEYS"  # noqa: S105 - a name, whose value is in no message
MIN_HEARTBEAT_TIMEOUT = 3  # seconds
MAX_BATCH = 256  # rows of requests that run as one batch
SEGMENT = re.compile(r"[A-Za-z0-9_~.-]+")
OWN_PATHS = {"docs", "invocations", "metrics", "openapi.json", "page", "ping", "v1", "v2"}  # how the service's begin
# As browsers write it (RFC 6454, 6.2). "null", which they write for local files and frames in a sandbox, is no origin.
HOST = r"[a-z0-9_-]+(\.[a-z0-9_-]+)*|\[[0-9a-f:.]+\]"
USUAL_PORT = r"http://.*:80|https://.*:443"
ORIGIN = re.compile(rf"(?!({USUAL_PORT})$)[a-z][a-z0-9+.-]*://({HOST})(:[1-9][0-9]{{0,4}})?")


def setting(default: Any, parse: Callable[[str], Any], shown: str, meaning: str) -> Any:
    """A field of the settings: its default (or what makes it), its parser, and what is said of it."""
    metadata = {"parse": parse, "shown": shown, "meaning": meaning}
    if callable(default):
        return dataclasses.field(default_factory=default, metadata=metadata)
    return dataclasses.field(default=default, metadata=metadata)


def parsed(name: str, text: str, parse: Callable[[str], Any]) -> Any:
    """The value of a variable; raises `SettingsError`, which names it and what is expected."""
    try:
        return parse(text)
    except ValueError as expected:
        shown = name if name == SECRET else f"{name}={text!r}"
        raise SettingsError(f"{shown}: expected {expected}") from None


def address(text: str) -> str:
    """`host:port`."""
    host, _, number = text.rpartition(":")
    if not (host and _is_port(number)):
        raise ValueError("host:port, such as 127.0.0.1:8000 or [::]:8000")
    return text


def port(text: str) -> str:
    """The number of a TCP port."""
    if not _is_port(text):
        raise ValueError("the number of a port, from 1 to 65535")
    return text


def with_port(bind: str | None, number: str) -> str:
    """An address with another port; where there is none, every interface, as who sets a port alone is outside."""
    host = bind.rpartition(":")[0] if bind else EVERY_INTERFACE
    return f"{host}:{number}"


def _is_port(text: str) -> bool:
    return bool(re.fullmatch("[1-9][0-9]{0,4}", text)) and int(text) < 65536


def root_path(text: str) -> str:
    """A path under which a proxy has the service; empty for none."""
    if not text:
        return text
    before, *segments = text.split("/")
    if before or not segments or not all(SEGMENT.fullmatch(one) and one.strip(".") for one in segments):
        raise ValueError("a path such as /ml/digits, of letters, digits and . _ ~ -, that does not end with a slash")
    if segments[0] in OWN_PATHS:  # where the proxy strips it, nobody could tell which of the two a path begins with
        raise ValueError(f"a path that begins with none of the service's own: {', '.join(sorted(OWN_PATHS))}")
    return text


def origins(text: str) -> tuple[str, ...]:
    """Origins as browsers write them, or `*` alone for any."""
    found = tuple(one.strip() for one in text.split(","))
    for one in found if found != ("*",) else ():
        if not ORIGIN.fullmatch(one):
            raise ValueError(
                "origins with commas between them, such as https://app.example.org,http://localhost:3000, or *; "
                f"{one!r} is no origin: scheme and host in lower case, a port unless it is the usual one, and no path"
            )
    return found


def is_loopback(bind: str) -> bool:
    """Whether nobody but processes of this machine reaches an address, or a socket in the file system."""
    if bind.startswith(("unix:", "fd://")):
        return True
    host = bind.rpartition(":")[0].strip("[]")
    try:
        return host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def count(text: str) -> int:
    """A positive integer."""
    if not re.fullmatch("[1-9][0-9]{0,11}", text):
        raise ValueError("an integer from 1 up")
    return int(text)


def heartbeat(text: str) -> int:
    """Seconds between the heartbeats of a worker."""
    seconds = count(text)
    if seconds < MIN_HEARTBEAT_TIMEOUT:
        raise ValueError(f"an integer from {MIN_HEARTBEAT_TIMEOUT} up, as workers report once a second")
    return seconds


def keepalive(text: str) -> int:
    """Seconds for which a connection without a request stays open."""
    if not re.fullmatch("[1-9][0-9]{0,3}", text):
        raise ValueError("an integer from 1 to 9999")
    return int(text)


def seconds(text: str) -> int:
    """Whole seconds, 0 too."""
    if not re.fullmatch("0|[1-9][0-9]{0,3}", text):
        raise ValueError("an integer from 0 to 9999")
    return int(text)


def poll_seconds(text: str) -> float:
    """Seconds between two looks at something; 0 for never."""
    if not re.fullmatch(r"0|[1-9][0-9]{0,3}(\.[0-9]{1,3})?|0\.[1-9][0-9]{0,2}", text):
        raise ValueError("a number of seconds from 0.1 up, or 0")
    return float(text)


def choice(*choices: str) -> Callable[[str], str]:
    """A parser of these words."""

    def parse(text: str) -> str:
        if text not in choices:
            raise ValueError(f"one of {', '.join(choices)}")
        return text

    return parse


def boolean(text: str) -> bool:
    """`true` or `false`; 1 and 0 say the same."""
    if text not in ("false", "true", "0", "1"):
        raise ValueError("true or false")
    return text in ("true", "1")


def device(text: str) -> str:
    """`auto`, `cpu`, `cuda`, `cuda:N`."""
    if not re.fullmatch("auto|cpu|cuda(:[0-9]+)?", text):
        raise ValueError("auto, cpu, cuda, or cuda:N such as cuda:0")
    return text


def share(text: str) -> float:
    """A share of a whole, over 0."""
    if not re.fullmatch(r"0?\.[0-9]{1,4}|1(\.0*)?", text) or not float(text):
        raise ValueError("a number over 0 and up to 1, such as 0.5")
    return float(text)


def rows_by_model(text: str) -> dict[str, int | None]:
    """Numbers of rows by model, None for `never`."""
    found: dict[str, int | None] = {}
    for item in text.split(","):
        name, _, rows = item.strip().partition("=")
        if not (name and re.fullmatch("never|[1-9][0-9]{0,8}", rows)):
            raise ValueError("name=rows or name=never for models or versions, such as mnist=16,iris=never,xor/1=512")
        found[name] = None if rows == "never" else int(rows)
    return found


def batching(text: str) -> dict[str, tuple[int, float]]:
    """By model the rows of a batch, and the seconds that a request may wait for others."""
    found = {}
    for item in text.split(","):
        name, _, size = item.strip().partition("=")
        matched = re.fullmatch(r"([1-9][0-9]{0,2}):([0-9]{1,3})ms", size)
        if not (name and matched and 2 <= int(matched[1]) <= MAX_BATCH):
            raise ValueError(f"name=rows:delay, such as wide=32:2ms, with 2 to {MAX_BATCH} rows")
        found[name] = int(matched[1]), int(matched[2]) / 1000
    return found


def model_name(text: str) -> str:
    """The name of a model, without a version."""
    if not re.fullmatch("[^/:,=*]+", text):
        raise ValueError("the name of a model, without a version, such as iris")
    return text


def folder(text: str) -> Path:
    """A folder, which need not exist."""
    if not text:
        raise ValueError("a folder")
    return Path(text)


def bodies_do_not_fit(max_body_bytes: int, memory_budget_bytes: int) -> str:
    """Why the largest body would never get memory, with the budget that would be right; empty if it would."""
    for_bodies = MemoryBudget(memory_budget_bytes).for_bodies
    if max_body_bytes <= for_bodies:
        return ""
    needed = math.ceil(max_body_bytes / (1 - LARGEST_SHARE))
    return (
        f"DIGITALIS_MAX_BODY_BYTES is {max_body_bytes}, and the bodies of a worker may take {for_bodies} of "
        f"DIGITALIS_MEMORY_BUDGET_BYTES ({memory_budget_bytes}): set that to {needed} or more"
    )
