"""How long requests take, learned from earlier ones of the same method, path, and about the same size.

What a request takes is measured as a share: a request that took 60 ms while three ran has taken 20 ms of the worker. So
the estimates stay the same however many requests run at once.
"""

from service.worker.wsgi import ParsedRequest

UNKNOWN_QUICK_BITS = 16  # of its body's size: a larger one of unknown duration is not taken for quick
UNKNOWN_QUICK, UNKNOWN_SLOW = 0.001, 0.02  # seconds, estimated where nothing is known
WEIGHT_OF_MORE, WEIGHT_OF_LESS = 0.2, 0.5  # of the latest measurement in an estimate: the first one is often too long
MAX_ESTIMATES = 1000  # kinds that are remembered

Kind = tuple[str, str, int]  # a method, a path, and the power of two of the body's size


class Estimates:
    """Seconds by kind of request."""

    def __init__(self) -> None:
        self._seconds: dict[Kind, float] = {}

    def kind(self, request: ParsedRequest) -> Kind:
        """Requests of the same kind are expected to take the same time."""
        received = request.body.received if request.body else 0
        return request.environ["REQUEST_METHOD"], request.environ["PATH_INFO"], received.bit_length()

    def seconds(self, kind: Kind) -> float:
        """What a request of this kind takes if it runs alone."""
        found = self._seconds.get(kind)
        if found is None:
            return UNKNOWN_QUICK if kind[2] <= UNKNOWN_QUICK_BITS else UNKNOWN_SLOW
        return found

    def learn(self, kind: Kind, seconds: float, running: float) -> None:
        """A request has taken so long, while so many ran at once on average, itself included."""
        found, before = seconds / running, self._seconds.get(kind)
        if before is not None:
            self._seconds[kind] = before + (WEIGHT_OF_MORE if found > before else WEIGHT_OF_LESS) * (found - before)
            return
        if len(self._seconds) >= MAX_ESTIMATES:
            self._seconds.pop(next(iter(self._seconds)), None)  # the oldest; another thread may be faster
        self._seconds[kind] = found
