"""Everything that can go wrong, as one tree; the HTTP status is on the class.

    DigitalisError
    ├── StartError                  the process does not start, and says why
    │   ├── SettingsError               a DIGITALIS_* variable is unknown or its value is bad
    │   ├── BundleError                 a bundle is missing, damaged, or gives other answers than it should
    │   └── DeviceUnavailable           the device or runtime that was asked for cannot be had
    └── RequestError                one request is answered with `{"error": ...}`
        ├── BadRequest             400  malformed
        ├── ModelNotFound          404
        ├── ReportNotFound         404  the bundle holds no page for people
        ├── PayloadTooLarge        413  over a limit
        ├── UnsupportedMediaType   415
        ├── UnusableInput          422  understood, but nothing can be done with it (a blank image)
        ├── NotSupported           501  known to the protocol, and not here
        └── InferenceFailed        500  ours: logged, and the client is told nothing of the inside

A message says what was wrong, where, and what would be right.
"""

from typing import ClassVar


class DigitalisError(Exception):
    """The root: whatever this project raises on purpose."""


class StartError(DigitalisError):
    """The process cannot start; the message is for the operator."""


class SettingsError(StartError):
    """A `DIGITALIS_*` variable is unknown or its value is bad."""


class BundleError(StartError):
    """A bundle is missing, damaged, or gives other answers than its golden examples."""


class DeviceUnavailable(StartError):
    """The device or the runtime that was asked for cannot be had."""


class RequestError(DigitalisError):
    """One request cannot be answered; `status` is what HTTP says."""

    status: ClassVar[int] = 500


class BadRequest(RequestError):
    """The request is malformed."""

    status = 400


class ModelNotFound(RequestError):
    """No model of this name, or no such version of it."""

    status = 404


class ReportNotFound(RequestError):
    """The model's bundle holds no report."""

    status = 404


class PayloadTooLarge(RequestError):
    """The request is over one of the limits."""

    status = 413


class UnsupportedMediaType(RequestError):
    """What the Content-Type or the Content-Encoding says is not taken."""

    status = 415


class UnusableInput(RequestError):
    """Understood, but there is no answer to it (a blank image, numbers that overflow)."""

    status = 422


class NotSupported(RequestError):
    """The protocol knows it, and this service does not have it."""

    status = 501


class InferenceFailed(RequestError):
    """The model failed on input that it should have answered."""
