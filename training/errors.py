"""The errors of `python -m training`. A command that fails with one leaves no unfinished bundle in `models/`.

TrainingError
├── BadRecipe            the recipe contradicts itself or its data set
├── DataUnavailable      the data is missing and cannot be downloaded, or it is damaged
├── Diverged             the loss is NaN or infinite
├── BelowThreshold       the network does not reach the acceptance threshold of its recipe
├── CannotImport         a file of another program cannot be served
└── VerificationFailed   an exported file does not compute what the network computes
"""

from service.errors import DigitalisError


class TrainingError(DigitalisError):
    """The command failed; the message is for the person who ran it."""


class BadRecipe(TrainingError):
    """The recipe contradicts itself or its data set."""


class DataUnavailable(TrainingError):
    """The data is missing and cannot be downloaded, or it is damaged."""


class Diverged(TrainingError):
    """The loss is NaN or infinite."""


class BelowThreshold(TrainingError):
    """The network does not reach the acceptance threshold of its recipe."""


class CannotImport(TrainingError):
    """A file of another program cannot be served; the message says why, and what would be right."""


class VerificationFailed(TrainingError):
    """An exported file does not compute what the network computes."""
