"""The part of a recipe that says which folder of pictures it is trained on, and what the network gets of each."""

from typing import Annotated

import msgspec
from msgspec import Meta

from service.bundle.manifest import IMAGE_SHAPE, MAX_SIDE, Preprocess
from training.recipes.table import HeldOutFraction

Side = Annotated[int, Meta(ge=4, le=MAX_SIDE)]


class Pictures(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """A folder with a folder of pictures for each class."""

    path: str
    labels: Annotated[tuple[str, ...], Meta(min_length=2)]
    """The classes, which are the names of the folders."""
    preprocess: Preprocess = Preprocess("fit")
    """As uploads will be preprocessed."""
    side: Side = IMAGE_SHAPE[0]
    """Height and width in pixels of what the network gets."""
    colour: bool = False
    """Whether that is in colour."""
    held_out: HeldOutFraction = 0.2
    """Fraction of the pictures that the metrics are computed on; they are drawn by the seed."""
    source: str = ""
    """Where the pictures are from; the folder, if that is not said."""
    licence: str = "not stated"

    def __post_init__(self) -> None:
        if self.preprocess.method == "digit" and (self.colour or self.side != IMAGE_SHAPE[0]):
            raise ValueError("preprocess 'digit' makes grey images of 28x28 pixels")
        if self.colour and self.preprocess.ink != "kept":
            raise ValueError("ink is made dark or light of grey pictures alone")

    @property
    def shape(self) -> tuple[int, ...]:
        """Of an image: height and width, and 3 in colour."""
        return (self.side, self.side, 3) if self.colour else (self.side, self.side)
