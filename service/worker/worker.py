"""The Gunicorn worker: one process, its threads, and what is done once a second.

The threads take turns as the leader, which reads from all connections and runs complete requests (`leader` explains
why). The process's main thread is the watchdog: it promotes a follower when the leader's request outlasts one tick,
and times out requests that are stuck.
"""

import os
import resource
import sys
import threading
import time
from collections.abc import Callable
from typing import Any, ClassVar
from wsgiref.types import WSGIApplication

from gunicorn.errors import ConfigError
from gunicorn.workers import base

from service.worker.balancing import ConnectionCounts, map_counts
from service.worker.event_loop import EventLoop
from service.worker.leader import InFlight, LeaderElection
from service.worker.options import WorkerOptions
from service.worker.request_runner import RequestRunner
from service.worker.siblings import DrainDecision, Siblings

WATCHDOG_INTERVAL = 0.02  # seconds that a request may take before another thread becomes the leader
HOUSEKEEPING_INTERVAL = 1.0  # seconds
DRAIN_GRACE = 2.0  # seconds that idle connections stay open after SIGTERM, for a request that is on its way
SWITCH_INTERVAL = 0.0002  # seconds for which a thread may keep the interpreter while others wait for it, the leader too
SPARE_DESCRIPTORS = 64  # of a process, beside those of its connections
MAX_START = 600.0  # seconds that a worker may take to open its application
LEADERLESS_LIMIT = 5.0  # seconds without housekeeping after which a worker with stuck threads has no leader left


class UnsupportedConfiguration(ConfigError, RuntimeError):  # type: ignore[misc]  # Gunicorn is not typed
    """A Gunicorn option that this worker does not have. Gunicorn prints a RuntimeError without its traceback."""


class Worker(base.Worker):  # type: ignore[misc]  # Gunicorn is not typed
    """A process in which Gunicorn's `threads` slow requests may run at once. A subclass sets `options`.

    Two of Gunicorn's hooks belong to it: when the service is told to end, `siblings.stop()` tells the workers so; and
    `child_exit` calls `siblings.set_ended(worker.age)`.
    """

    options: ClassVar[WorkerOptions] = WorkerOptions()
    clock = staticmethod(time.monotonic)
    _counts_memory: ClassVar["memoryview[float]"] = map_counts()  # the parent imports this module, and then forks
    siblings: ClassVar[Siblings] = Siblings()

    alive: bool  # Gunicorn's: becomes False when the process is to stop

    def __init__(self, age: int, *arguments: Any) -> None:
        """Called by Gunicorn in the parent, before the fork."""
        super().__init__(age, *arguments)
        self.siblings.set_starting(age)
        # A start may take longer than Gunicorn's timeout, and no thread can report while a library is being loaded.
        latest_start = time.monotonic() + MAX_START
        os.utime(self.tmp.fileno(), (latest_start, latest_start))  # until `notify` sets it to the present

    @classmethod
    def check_config(cls, cfg: Any, _log: Any) -> None:
        """Called by Gunicorn at the start; rejects options that this worker does not have."""
        if cfg.is_ssl:
            raise UnsupportedConfiguration("this worker has no TLS: use a proxy, or Gunicorn's own worker (-k gthread)")
        if cfg.accesslog:
            raise UnsupportedConfiguration("this worker writes no access log (access-logfile): log in the application")
        if _max_connections(cfg) < 1:
            soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
            raise UnsupportedConfiguration(
                f"this process may open {soft} files, and at most {hard}, which leaves none for connections: "
                f"it needs more than {SPARE_DESCRIPTORS} (ulimit -n)"
            )

    def run(self) -> None:
        """Called by Gunicorn in the main thread: start the other threads, and watch them until the worker is done."""
        self._start()
        self.notify()  # the start was allowed to take long
        self.siblings.set_ready(self.age)
        while not self._done.is_set():
            current = self._election.current
            time.sleep(WATCHDOG_INTERVAL)
            self._watch(current)
        if self._election.stuck_threads:
            os._exit(0)  # a thread that never ends would keep the process alive

    def _start(self) -> None:
        options, cfg = self.options, self.cfg
        self._done = threading.Event()
        self._last_housekeeping = self._draining_since = 0.0
        self._drain_decision = DrainDecision(self.siblings, self.age, options.drain_delay, self.clock)
        self._is_shutting_down = False
        counts = ConnectionCounts(self._counts_memory, self.age, self.clock)
        self._loop = EventLoop(self.sockets, self.PIPE, counts, _max_connections(cfg), options, self.clock)
        self._election = LeaderElection(
            options, cfg.threads, lambda connection: self._loop.register(connection, 0), self.clock
        )
        self._runner = RequestRunner(self.wsgi, self._loop, self._election, options)
        self._runner.responder.max_requests = self.max_requests
        sys.setswitchinterval(SWITCH_INTERVAL)
        for _ in range(self._election.total_threads):
            threading.Thread(target=self._thread_main, daemon=True).start()
        self._election.release()

    def _watch(self, current: InFlight | None) -> None:
        """One tick of the watchdog; `current` is what the leader was running at the tick before."""
        if current is not None:
            self._election.promote_follower(current)
        self._runner.time_out_stuck()
        if not self._runner.responder.draining:
            self._drain_if_due()
        is_leaderless = self.clock() - self._last_housekeeping > LEADERLESS_LIMIT
        if self._election.stuck_threads and not self._election.slow and is_leaderless:
            self._done.set()

    def _drain_if_due(self) -> None:
        """Begin to drain, unless the drain delay or younger workers are waited for."""
        is_due = self._drain_decision.is_due(told_to_end=not self.alive)  # Gunicorn's signal handlers set `alive`
        if self._drain_decision.is_shutdown and not self._is_shutting_down:
            self._is_shutting_down = True
            self._runner.responder.max_requests = sys.maxsize  # nobody would replace this worker any more
            self._call_hook(self.options.on_shutdown)
        if is_due and self._drain_decision.is_irreplaceable:
            self.alive = True
            self.log.error("the workers that were to replace this one cannot start: it goes on")
        elif is_due:
            self._runner.responder.draining = True
            self._loop.wake()

    def _call_hook(self, hook: Callable[[WSGIApplication], None]) -> None:
        try:
            hook(self.wsgi)
        except Exception:
            self.log.exception("the hook %s failed", getattr(hook, "__name__", hook))

    def _thread_main(self) -> None:
        while self._election.acquire():
            try:
                self._lead()
            except BaseException:
                self.log.exception("a thread of the worker failed: this worker is replaced")
                os._exit(1)

    def _lead(self) -> None:
        """Read and run requests until another thread is the leader, or the worker is done."""
        while not self._done.is_set():
            for connection in self._loop.poll(self._poll_timeout()):
                if not self._runner.serve(connection):
                    return
            if not self._runner.run_queued():
                return
            is_due = self.clock() - self._last_housekeeping >= HOUSEKEEPING_INTERVAL
            if (is_due or self._runner.responder.draining) and not self._housekeeping():
                return
        self._election.close()

    def _poll_timeout(self) -> float:
        if self._runner.has_runnable:
            return 0
        return HOUSEKEEPING_INTERVAL if self._runner.admission.is_empty else WATCHDOG_INTERVAL

    def _housekeeping(self) -> bool:
        """Report to Gunicorn, call the hook, expire connections. Returns whether this thread is still the leader.

        It happens once a second; while draining, after each poll, so that the worker ends soon.
        """
        now = self._last_housekeeping = self.clock()
        self.notify()
        self._call_hook(self.options.every_second)
        if self.ppid != os.getppid() and self.siblings.stops < 2:
            self.siblings.stop()  # nobody replaces the workers of a parent that is gone, nor ends their drain delay
        if not self._runner.responder.draining:
            self._loop.resume_accepting()
        elif not self._draining_since:
            self._draining_since = now
            self._loop.listeners.stop()
        keepalive = 0 if self._draining_since and now - self._draining_since > DRAIN_GRACE else self.cfg.keepalive
        self._loop.free_memory()
        for connection in self._loop.expire(keepalive):
            if not self._runner.advance(connection):
                return False
        if self._draining_since and not (self._loop.connections or self._election.slow):
            self._done.set()
        return True


def _max_connections(cfg: Any) -> int:
    """Gunicorn's `worker_connections`, or fewer if the process may not have so many file descriptors."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted: int = cfg.worker_connections + SPARE_DESCRIPTORS
    if soft == resource.RLIM_INFINITY or soft >= wanted:
        return wanted - SPARE_DESCRIPTORS
    allowed = wanted if hard == resource.RLIM_INFINITY else min(wanted, hard)
    resource.setrlimit(resource.RLIMIT_NOFILE, (allowed, hard))
    return allowed - SPARE_DESCRIPTORS
