"""Failures that the service logs, where it does not raise them."""

import contextlib
import logging
from collections.abc import Iterator


class Failures(logging.Handler):
    """Collects what is logged as an error."""

    def __init__(self) -> None:
        super().__init__(logging.ERROR)
        self.messages: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        """Keep the message with its traceback."""
        self.messages.append(self.format(record))


@contextlib.contextmanager
def none_logged() -> Iterator[None]:
    """Assert at the end that no error was logged; other messages are not printed."""
    failures, root = Failures(), logging.getLogger()
    root.addHandler(failures)
    try:
        yield
    finally:
        root.removeHandler(failures)
    assert not failures.messages, "\n".join(failures.messages)
