"""From a request to the bytes of its response: the application's, or the worker's own where the request is rejected."""

import itertools
import logging
import sys
from typing import NamedTuple
from wsgiref.types import WSGIApplication

from service.worker.options import WorkerOptions
from service.worker.request_head import Rejected
from service.worker.wsgi import ParsedRequest, error_bytes, run_wsgi, serialize

SUCCESS = b"HTTP/1.1 2"

log = logging.getLogger("gunicorn.error")


class Response(NamedTuple):
    """Its bytes, and whether it is the last one of its connection."""

    content: bytes
    is_last: bool

    @property
    def is_success(self) -> bool:
        """Whether its status is 2xx."""
        return self.content.startswith(SUCCESS)


class Responder:
    """While it is `draining`, each response is the last one of its connection.

    It drains when it is told to, after `max_requests`, and when a request has timed out. Safe to use from several
    threads.
    """

    def __init__(self, application: WSGIApplication, options: WorkerOptions) -> None:
        self.draining = False
        self.max_requests = sys.maxsize
        self._application = application
        self._options = options
        self._numbers = itertools.count(1)  # gives each number once, also to several threads

    def respond(self, request: ParsedRequest) -> Response:
        """Run the application."""
        self._count_request()
        try:
            response = run_wsgi(self._application, request.environ)
            if self.draining:
                request = request._replace(keep_alive=False)
            return Response(serialize(response, request), not request.keep_alive)
        except Exception:
            log.exception("the application failed at %s", request.environ["PATH_INFO"])
            return Response(error_bytes(Rejected("500 Internal Server Error", "internal error")), is_last=True)

    def reject(self, request: ParsedRequest, rejection: Rejected) -> Response:
        """Respond in the application's place."""
        if self.draining:
            request = request._replace(keep_alive=False)
        try:
            headers = self._options.on_response(self._application, request.environ, int(rejection.status[:3]))
            content = error_bytes(rejection, headers, request)
        except Exception:
            log.exception("the hook on_response failed")
            content = error_bytes(rejection, (), request)
        return Response(content, not request.keep_alive)

    def _count_request(self) -> None:
        number = next(self._numbers)
        if number == self.max_requests:
            self.draining = True
            log.info("max_requests is reached: this worker is replaced after %d requests", number)
