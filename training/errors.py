"""What can go wrong while a bundle is made; nothing is written to `models/` then.

TrainingError
├── BadRecipe            the recipe contradicts itself or its data set
├── DataUnavailable      the data is not there and cannot be downloaded, or it is damaged
├── Diverged             the loss is no number any more
├── BelowBar             the network is not as good as its recipe demands
└── VerificationFailed   an exported file does not do what the network does
"""

from service.errors import DigitalisError


class TrainingError(DigitalisError):
    """The command failed; the message is for the person who gave it."""


class BadRecipe(TrainingError):
    """The recipe contradicts itself or its data set."""


class DataUnavailable(TrainingError):
    """The data is not there and cannot be downloaded, or it is damaged."""


class Diverged(TrainingError):
    """The loss is no number any more."""


class BelowBar(TrainingError):
    """The network is not as good as its recipe demands."""


class VerificationFailed(TrainingError):
    """An exported file does not do what the network does."""
