"""The workers of the service: which is killed, and what another one, which is never killed, holds."""

import os
import signal
import sys
from pathlib import Path

from running_service import RunningService, wait_until

from benchmarks.serve.servers import anonymous_megabytes
from soak.journal import Journal

LOG_TAIL = 5000  # characters that are printed if a worker has died


class Workers:
    """Two workers that are ready. The first stays for the whole run, the other is killed again and again."""

    def __init__(self, server: RunningService, journal: Journal) -> None:
        self._server = server
        self._journal = journal
        self._server.wait_for_workers(2)
        self._lasting, self._youngest = server.workers()
        self._ready_count = 2

    def kill_youngest(self) -> None:
        """Kill a worker, and wait until its successor is ready; meanwhile the other one has all the load."""
        with self._journal.overload():
            self._ready_count += 1
            self._journal.kills.append(self._journal.clock())
            os.kill(self._youngest, signal.SIGKILL)
            self._server.wait_for_workers(self._ready_count)
            wait_until(lambda: len(self._server.workers()) == 2, "two workers")
            self._youngest = self._server.workers()[-1]
        self.check()

    def check(self) -> None:
        """Record a failure if an exception was logged; end the soak if a worker has gone that was not killed."""
        if (found := set(self._server.workers())) != {self._lasting, self._youngest}:
            end = self._server.log()[-LOG_TAIL:]
            sys.exit(
                f"FAILED: the workers are {found} instead of {self._lasting} and {self._youngest}; the log:\n{end}"
            )
        if (tracebacks := self._server.log().count("Traceback")) > 0:
            self._journal.fail("log", f"{tracebacks} tracebacks: {self._server.log().partition('Traceback')[2][:2000]}")

    def memory(self) -> float:
        """What the worker that is never killed holds of its own, in MB: no files, such as libraries."""
        return anonymous_megabytes(self._lasting)

    def descriptors(self) -> int:
        """How many file descriptors that worker has."""
        return len(list(Path(f"/proc/{self._lasting}/fd").iterdir()))
