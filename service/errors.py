"""The exceptions that reach an operator or a client, as one tree; the HTTP status is on the class.

    DigitalisError
    ├── StartError                  the process cannot start, and says why
    │   ├── SettingsError               a DIGITALIS_* variable is unknown or its value is invalid
    │   ├── BundleError                 a bundle is missing, damaged, or fails its golden examples
    │   └── DeviceUnavailable           the requested device or runtime is not available
    └── RequestError                one request gets the error response `{"error": ...}`
        ├── BadRequest             400  malformed
        ├── Unauthorized           401  without a valid API key, where one is needed
        ├── Forbidden              403  with a key that has another scope
        ├── ModelNotFound          404
        ├── ReportNotFound         404  the bundle has no report
        ├── PayloadTooLarge        413  over a limit
        ├── UnsupportedMediaType   415
        ├── UnprocessableInput     422  well-formed, but there is no prediction for it (a blank image)
        ├── NotSupported           501  part of the protocol, not implemented here
        ├── ServiceOverloaded      503  no memory is free for it now; the response has Retry-After
        ├── ModelUnavailable       503  its bundle cannot be opened: an operator has to replace it
        ├── ShuttingDown           503  readiness, after SIGTERM
        └── InferenceFailed        500  a fault of the service: logged, the response carries the request id only

A message says what was wrong, where, and what would be right.
"""

from typing import ClassVar


def one_line(error: BaseException | str | None) -> str:
    """What a library's exception says, which may have several lines, as a part of a message."""
    return " ".join(str(error).split())


class DigitalisError(Exception):
    """The base of all exceptions of this project."""


class StartError(DigitalisError):
    """The process cannot start; the message is for the operator."""


class SettingsError(StartError):
    """A `DIGITALIS_*` variable is unknown or its value is invalid."""


class BundleError(StartError):
    """A bundle or the segmenter is missing, damaged, or its outputs differ from its golden examples."""


class DeviceUnavailable(StartError):
    """The requested device or runtime is not available."""


class RequestError(DigitalisError):
    """One request cannot be handled; `status` is the HTTP status of the response.

    `retry_after` is the number of seconds after which the client may try again, if that would help.
    """

    status: ClassVar[int] = 500
    retry_after: ClassVar[int | None] = None


class BadRequest(RequestError):
    """The request is malformed."""

    status = 400


class Unauthorized(RequestError):
    """There is no valid API key, and one is needed."""

    status = 401


class Forbidden(RequestError):
    """The API key has not the scope that the path needs."""

    status = 403


class ModelNotFound(RequestError):
    """There is no model of this name, or no such version of it."""

    status = 404


class ReportNotFound(RequestError):
    """The model's bundle has no report."""

    status = 404


class PayloadTooLarge(RequestError):
    """The request is over one of the limits."""

    status = 413


class UnsupportedMediaType(RequestError):
    """The Content-Type or the Content-Encoding is not supported."""

    status = 415


class UnprocessableInput(RequestError):
    """The input is well-formed, but there is no prediction for it (a blank image, numbers that overflow)."""

    status = 422


class NotSupported(RequestError):
    """The protocol defines it, but this service does not implement it."""

    status = 501


class ModelUnavailable(RequestError):
    """The model, or this version of it, is there but cannot be opened."""

    status = 503


class ShuttingDown(RequestError):
    """The service is about to end; requests are served until then, but should be sent elsewhere."""

    status = 503


class ServiceOverloaded(RequestError):
    """The request would be handled at another time: others take the memory that it needs."""

    status = 503
    retry_after = 1


class InferenceFailed(RequestError):
    """The model failed on valid input."""

    status = 500
