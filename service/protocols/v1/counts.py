"""How many instances, and how many pictures among them, a request may have."""

from service.errors import BadRequest, PayloadTooLarge
from service.settings import Settings

EXTRA_LINES = 100  # of a header, or at the end


def check_rows(count: int, settings: Settings, what: str = "rows") -> None:
    """Raise for none of them, or for more than `DIGITALIS_MAX_ROWS`."""
    _check(count, settings.max_rows, "DIGITALIS_MAX_ROWS", what)


def max_lines(max_rows: int) -> int:
    """How many lines may hold so many rows: as many empty ones, a header, and some at the end."""
    return 2 * max_rows + EXTRA_LINES


def check_lines(count: int, settings: Settings) -> None:
    """Raise for more lines than `DIGITALIS_MAX_ROWS` rows may have."""
    if count > max_lines(settings.max_rows):
        raise PayloadTooLarge(f"{count} lines in one request: at most {settings.max_rows} rows (DIGITALIS_MAX_ROWS)")


def check_pictures(count: int, settings: Settings, what: str = "pictures") -> None:
    """Raise for none of them, or for more than `DIGITALIS_MAX_FILES`."""
    _check(count, settings.max_files, "DIGITALIS_MAX_FILES", what)


def _check(count: int, limit: int, setting: str, what: str) -> None:
    if count > limit:
        raise PayloadTooLarge(f"{count} {what} in one request: at most {limit} ({setting})")
    if not count:
        raise BadRequest(f"no {what}: send at least one")
