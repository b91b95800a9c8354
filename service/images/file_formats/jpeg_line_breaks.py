"""Whether a JPEG file went through a program that took it for text, and changed line breaks or odd characters in it.

Entropy-coded data contain any byte, about once in 256. So in some kilobytes there are line feeds behind other bytes
than carriage returns, both of them are there, and so are the five bytes that Windows-1252 has no character for.
"""

SEARCHED = 2**16  # bytes of the scan
MIN_LINES = 4  # line feeds from which it is no chance that each follows a carriage return
MIN_FOLLOWING = 3  # different bytes behind them: pixels that are all alike repeat the same few bytes
# Each of these bytes, which are like line breaks, is there so often where it is no chance that a line break is missing.
LIKE_LINE_BREAKS = (b"\x09", b"\x0b", b"\x0c", b"\x0e", b"\x0f", b"\x11", b"\x12")
MIN_LIKE = 12
NO_CHARACTERS = b"\x81\x8d\x8f\x90\x9d"
BINARY = "read and send the file as bytes, not as text"


def check_line_breaks(scan: memoryview) -> None:
    """Raises `ValueError` if the line breaks in entropy-coded data were changed."""
    data = bytes(scan[:SEARCHED])
    line_feeds, returns = data.count(b"\n"), data.count(b"\r")
    if line_feeds >= MIN_LINES and returns >= line_feeds and data.count(b"\r\n") == line_feeds:
        if len({*data.split(b"\r\n")[1:]}) < MIN_FOLLOWING:
            return
        raise ValueError(f"a carriage return was put before each line feed: {BINARY}")
    is_replaced = not any(byte in data for byte in NO_CHARACTERS)
    if line_feeds and returns and not is_replaced:
        return
    if all(data.count(byte) >= MIN_LIKE for byte in LIKE_LINE_BREAKS):
        lost = "bytes that are no characters" if is_replaced else "carriage returns" if line_feeds else "line feeds"
        raise ValueError(f"its {lost} were taken out or replaced: {BINARY}")
