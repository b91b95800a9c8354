"""What the processes of the service know of each other's models: one document in memory that all of them share.

It is changed under a lock that the kernel frees when a process ends, and a change is visible at once or not at all: the
new document is written beside the old one, and then one number says which of the two is valid.
"""

import contextlib
import fcntl
import mmap
import os
import struct
import tempfile
import threading
from collections.abc import Iterator

import msgspec

from service.inference.version_policy import VersionPolicy

HEADER_BYTES = mmap.PAGESIZE
HALF_BYTES = 32 * 2**20  # for one document; what is not used takes no memory
LENGTH = struct.Struct("<q")  # before a document
LOCK_AT = 0
ALIVE_AT = 2**40  # a process locks the byte at this offset plus its id, for as long as it lives


class WorkerModels(msgspec.Struct):
    """The versions that one worker has open, each as `iris/4@<digest>`, and those that it cannot open, with reasons.

    `lacking` are versions that others served when it started, and that it could not get. `handled` is the number of the
    latest request to load or unload that it has carried out.
    """

    open: list[str] = []
    failed: dict[str, str] = {}
    lacking: list[str] = []
    handled: int = 0


class PolicyRecord(msgspec.Struct):
    """The policy of a model, the state of its file (None: there is none), and what is wrong with the file now."""

    policy: VersionPolicy = VersionPolicy()
    file_state: tuple[int, int, int] | None = None
    error: str = ""


class CounterPart(msgspec.Struct):
    """Where the counters of a version are, how many; and since when no worker has it open (None: one has)."""

    start: int
    size: int
    unused_since: float | None = None


class State(msgspec.Struct):
    """The document; `workers` by process id, `counters` by version and content."""

    workers: dict[int, WorkerModels] = {}
    policies: dict[str, PolicyRecord] = {}
    defaults: dict[str, str] = {}
    """Of each model the version and content that answers requests that name no version."""
    canaries: dict[str, str] = {}
    """The same of the canaries."""
    policies_read: int = 0
    """How many reloads there had been when all policy files were read."""
    unloaded: dict[str, int] = {}
    """The models that were unloaded over HTTP, and how many reloads there had been."""
    requests: dict[str, int] = {}
    """The number of the latest request to load or unload each model."""
    counters: dict[str, CounterPart] = {}
    counters_end: int = 0

    @property
    def latest_request(self) -> int:
        """The number of the latest request to load or unload; 0 if there was none."""
        return max(self.requests.values(), default=0)

    def requested_since(self, number: int) -> set[str]:
        """The models that were to be loaded or unloaded after the request of this number."""
        return {name for name, latest in self.requests.items() if latest > number}


class SharedState:
    """The document; created before the fork. A worker calls `join` once."""

    def __init__(self) -> None:
        self._file = memory_file()
        os.truncate(self._file, HEADER_BYTES + 2 * HALF_BYTES)
        self._header = memoryview(mmap.mmap(self._file, HEADER_BYTES)).cast("q")
        self._threads = threading.Lock()  # the file's lock is of a process, so that it does not exclude other threads
        self._write(State(), 0)

    @property
    def generation(self) -> int:
        """The number of the document: another one after each change."""
        return self._header[0]

    def join(self) -> None:
        """Count this process among those that are alive, until it ends."""
        fcntl.lockf(self._file, fcntl.LOCK_EX, 1, ALIVE_AT + os.getpid())

    def is_alive(self, process: int) -> bool:
        """Whether a process that has joined still lives."""
        if process == os.getpid():
            return True
        try:
            fcntl.lockf(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB, 1, ALIVE_AT + process)
        except OSError:
            return True
        fcntl.lockf(self._file, fcntl.LOCK_UN, 1, ALIVE_AT + process)
        return False

    @property
    def reloads(self) -> int:
        """How many times the workers have been replaced at a signal."""
        return self._header[1]

    def count_reload(self) -> None:
        """Called by the parent, which must not wait for the lock: a worker that is stopped may hold it."""
        self._header[1] += 1

    def unloaded(self, state: State) -> set[str]:
        """The models that were unloaded since the last reload."""
        return {name for name, reloads in state.unloaded.items() if reloads == self.reloads}

    def read(self) -> tuple[State, int]:
        """The document and its number; it never waits."""
        while True:
            generation = self.generation
            content = self._content(generation)
            if generation == self.generation:  # otherwise it may have been overwritten meanwhile
                return msgspec.msgpack.decode(content, type=State), generation

    @contextlib.contextmanager
    def change(self) -> Iterator[State]:
        """The document, to be changed while no other process changes it."""
        with self._threads:
            fcntl.lockf(self._file, fcntl.LOCK_EX, 1, LOCK_AT)
            try:
                content = self._content(self.generation)
                state = msgspec.msgpack.decode(content, type=State)
                yield state
                if msgspec.msgpack.encode(state) != content:
                    self._write(state, self.generation + 1)
            finally:
                fcntl.lockf(self._file, fcntl.LOCK_UN, 1, LOCK_AT)

    def _content(self, generation: int) -> bytes:
        start = HEADER_BYTES + generation % 2 * HALF_BYTES
        (length,) = LENGTH.unpack(os.pread(self._file, LENGTH.size, start))
        return os.pread(self._file, length, start + LENGTH.size)

    def _write(self, state: State, generation: int) -> None:
        content = msgspec.msgpack.encode(state)
        if len(content) > HALF_BYTES - LENGTH.size:
            raise MemoryError(f"the state of the models takes {len(content):,} bytes")
        os.pwrite(self._file, LENGTH.pack(len(content)) + content, HEADER_BYTES + generation % 2 * HALF_BYTES)
        self._header[0] = generation


def memory_file() -> int:
    """The descriptor of a file without a name, in memory where the system has such files."""
    if hasattr(os, "memfd_create"):
        return os.memfd_create("digitalis")
    with tempfile.TemporaryFile() as file:
        return os.dup(file.fileno())
