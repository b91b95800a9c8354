"""The path under which a proxy has the service, such as `/ml/digits`: whether the proxy strips it or not."""

from collections.abc import Callable, Iterable
from typing import Any
from wsgiref.types import WSGIEnvironment

from service.observability.middleware import Application


class RootPath:
    """A WSGI application around another one, for which the root path is `SCRIPT_NAME`, and no part of `PATH_INFO`."""

    def __init__(self, application: Application, root_path: str) -> None:
        self._application = application
        self._root_path = root_path

    def __call__(self, environ: WSGIEnvironment, start_response: Callable[..., Any]) -> Iterable[bytes]:
        """Handle one request."""
        self.strip(environ)
        return self._application(environ, start_response)

    def strip(self, environ: WSGIEnvironment) -> None:
        """Move the root path out of the path of a request, if the proxy has left it there."""
        root_path, path = self._root_path, environ.get("PATH_INFO", "")
        environ["SCRIPT_NAME"] = root_path
        if path.startswith(root_path) and path[len(root_path) : len(root_path) + 1] in ("/", ""):
            environ["PATH_INFO"] = path[len(root_path) :] or "/"
