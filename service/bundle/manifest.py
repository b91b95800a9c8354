"""The fields of `manifest.json`, as types; `loading` checks what types cannot express."""

import math
from typing import Annotated, Any, Literal, NamedTuple

import msgspec

from service.bundle.baseline import BaselineHistogram, Fraction
from service.bundle.signature import Signature, TensorSpec

FORMAT = 4

MANIFEST = "manifest.json"
GOLDEN = "golden.json"
ONNX = "model.onnx"
TORCHSCRIPT = "model.pt"
CURVE = "curve.json"
REPORT = "report.html"

IMAGE_SHAPE = (28, 28)  # of digits
MAX_SIDE = 512  # pixels of other pictures
OOD_OUTPUT = TensorSpec("background", "FP32", (-1, 1))
"""The second output of a classifier with an out-of-distribution head: how probably an input is none of the labels."""

MIXTURE_OUTPUTS = ("weights", "means", "deviations")
"""The outputs of a mixture density network, FP32 [n, K] each: K Gaussians, whose weights add up to 1."""

Task = Literal["multiclass", "binary", "regression", "mixture", "tensors"]
"""`tensors` is a network of which nothing is known but its signature: arrays in, arrays out."""

Probability = Annotated[float, msgspec.Meta(ge=0, le=1)]


class ModelId(NamedTuple):
    """Name and version, by which models are found and counted; as text `iris/1`."""

    name: str
    version: str

    def __str__(self) -> str:
        return f"{self.name}/{self.version}"


class Column(msgspec.Struct, frozen=True, cache_hash=True, forbid_unknown_fields=True, omit_defaults=True):
    """An input feature or a regression target, named as in its data set, with its range in the training data.

    The range is left out where the training data is not known. A feature with `categories` is one of these words, and
    its number is the index of the word: the range is 0 to the last index. A feature that `may_be_missing` is NaN where
    it is; no other one may be.
    """

    name: str
    minimum: float = -math.inf
    maximum: float = math.inf
    categories: tuple[str, ...] = ()
    may_be_missing: bool = False


class Preprocess(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """How a picture that a client uploads becomes the image that a network takes; arrays are never changed.

    `digit`: the normaliser, for one handwritten digit alone: its ink as in MNIST's images, 28x28. `fit`: scaled into
    the image, proportions kept, on the colour of the picture's border; grey pictures are inverted where `ink`, which
    differs from that border, is to be dark or light. `none`: the picture must have the size of the image.
    """

    method: Literal["digit", "fit", "none"]
    ink: Literal["kept", "dark", "light"] = "kept"


class DataSource(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The data that a network was trained and evaluated on; `checksum` is the SHA-256 of its arrays."""

    name: str
    source: str
    licence: str
    checksum: str
    train_rows: int
    held_out_rows: int
    """0 if no rows were held out: the metrics are of the training rows then."""


class ImportedFile(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The file that a network was imported from: its name, its SHA-256, and what made it, such as `pytorch 2.15.0`."""

    name: str
    checksum: str
    producer: str


class Abstention(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The thresholds (0 to 1) of abstention.

    A prediction is `unsure` if the probability of its label is below `min_probability`, or if its out-of-distribution
    score, the output `background` of a network that has one, is above `max_background`.
    """

    min_probability: Probability
    max_background: Probability | None = None


class Bundle(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """A bundle, as its `manifest.json` describes it. `files` maps every other file of the folder to its SHA-256.

    One that was trained here has both `model.onnx` and `model.pt`, a recipe, and its data. One that was imported has
    one of the two files, no recipe, and baselines only if it came with samples.
    """

    format: int
    name: str
    version: str
    task: Task
    signature: Signature
    labels: tuple[str, ...] = ()
    features: tuple[Column, ...] = ()
    targets: tuple[Column, ...] = ()
    normaliser: str | None = None
    """Of an image model: the version of the normaliser that makes the images that the network was trained on."""
    preprocess: Preprocess | None = None
    """Of an image model; one that has a normaliser, and does not say more, takes a `digit`."""
    image_features: tuple[Column, ...] = ()
    """Of an image model: what is measured of an image, with its range in the training data, where that is known."""
    abstention: Abstention | None = None
    baseline: tuple[BaselineHistogram, ...] = ()
    """For each feature (or image feature), and for the confidence (or each value): a histogram of the training rows."""
    label_fractions: tuple[Fraction, ...] = ()
    """For each label, the fraction of the training rows for which the network predicts it."""
    files: dict[str, str]
    recipe: dict[str, Any] = {}
    seed: int = 0
    data: DataSource | None = None
    metrics: dict[str, float] = {}
    """On held-out data, or on the training rows if none were held out."""
    imported: ImportedFile | None = None
    libraries: dict[str, str]
    """The versions of the libraries that made it."""
    created: str
    """The date in UTC, such as 2026-11-26."""

    @property
    def id(self) -> ModelId:
        """Its name and version."""
        return ModelId(self.name, self.version)

    @property
    def takes_images(self) -> bool:
        """Whether the only input is a batch of images."""
        return self.task != "tensors" and self.signature.inputs[0].name == "image"

    @property
    def image_shape(self) -> tuple[int, ...]:
        """Of an image model: height and width in pixels, and 3 if it takes colours."""
        return self.signature.inputs[0].shape[1:]

    @property
    def preprocessing(self) -> Preprocess:
        """How a picture becomes an image."""
        return self.preprocess or Preprocess("digit")

    @property
    def reads_digits(self) -> bool:
        """Whether pictures go through the normaliser."""
        return self.takes_images and self.preprocessing.method == "digit"

    @property
    def takes_tensors(self) -> bool:
        """Whether the inputs are arrays of which only the signature is known."""
        return self.task == "tensors"
