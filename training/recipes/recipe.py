"""The fields of a recipe."""

import itertools
from collections.abc import Sequence
from typing import Annotated, Literal

import msgspec
from msgspec import Meta

from service.bundle.manifest import IMAGE_SHAPE, Preprocess, Task
from training.errors import BadRecipe
from training.recipes.gradient_descent import GradientDescent, OodHead, PositiveInt
from training.recipes.pictures import Pictures
from training.recipes.table import Table

Activation = Literal["relu", "leaky-relu", "sigmoid", "tanh", "none"]
Scaling = Literal["none", "standardised", "encoded", "unit", "centred"]
Metric = Literal["accuracy", "balanced_accuracy", "r2", "log_likelihood"]


class FixedWeights(msgspec.Struct, frozen=True, forbid_unknown_fields=True, tag_field="method", tag="fixed-weights"):
    """Fixed weights, not trained: for each layer its neurons, for each neuron its weights and, last, its bias."""

    neurons: tuple[tuple[tuple[float, ...], ...], ...]

    @classmethod
    def from_layers(cls, *layers: Sequence[tuple[float, ...]]) -> "FixedWeights":
        """One sequence of neurons for each layer, from the first layer to the last."""
        return cls(tuple(tuple(neurons) for neurons in layers))


class Acceptance(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The threshold that a network must reach before its bundle is written.

    It is evaluated on the validation rows if the recipe has any, else on held-out data, else on the training data.
    """

    metric: Metric
    """`accuracy`: 0 to 1; `balanced_accuracy`: its mean over the classes, where some are rare; `r2`: the coefficient of
    determination, 1 at best, averaged over the values; or `log_likelihood`: of a mixture, in nats."""
    threshold: Annotated[float, Meta(le=1)]
    seeds: PositiveInt = 1
    """Number of seeds over which the metric is averaged: the recipe's seed, then 0, 1, ... without it."""


class Reference(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The lecture that a recipe comes from: a row of docs/lectures.md, and the figure that the lecture reports.

    The figure is shown beside ours; seeds are not chosen by it.
    """

    row: Annotated[int, Meta(ge=1, le=18)]
    reported: str = "no figure"


class Recipe(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """How one bundle is made. It is a value: the bundle's manifest stores it in full."""

    name: str
    """The name of the bundle."""
    summary: str
    dataset: str
    """A name that `training.datasets.open_dataset` accepts; or any name, if there are a `table` or `pictures`."""
    table: Table | None = None
    """A file that is the data set."""
    pictures: Pictures | None = None
    """A folder that is the data set."""
    task: Task
    """Decides output and loss: softmax and cross-entropy (`multiclass`), sigmoid and binary cross-entropy (`binary`),
    plain values and mean squared error (`regression`), or Gaussians and their likelihood (`mixture`)."""
    layers: Annotated[tuple[PositiveInt, ...], Meta(min_length=2)]
    """Units of every layer, from the inputs to the logits: one logit for a binary task, three for each Gaussian of a
    mixture, else one per class or value."""
    convolutions: tuple[PositiveInt, ...] = ()
    """Channels of stages of two 3x3 convolutions each, with ReLU, between the inputs and the linear layers (after
    Simonyan, Zisserman, "Very deep convolutional networks", 2015): only for images of digits; with an OOD head, three
    stages."""
    activation: Activation = "relu"
    """Between the layers; `leaky-relu` has slope 0.01 below zero."""
    scaling: Scaling = "none"
    """Of vectors: none, or standardised (the targets of a regression too). Of a `table`: encoded, which is that for its
    numbers, and an input for each category. Of images: 0 to 1, or centred: -1 to 1."""
    training: GradientDescent | FixedWeights
    validation_rows: Annotated[int, Meta(ge=0)] = 0
    """The last rows of the training data, which the network is not trained on: the acceptance threshold, the
    calibration and the thresholds of abstention are evaluated on them."""
    max_unsure: Annotated[float, Meta(ge=0, le=1)] = 0.08
    """Of an image classifier: the fraction of right predictions on distorted validation images that may be below the
    threshold of confidence. Those images are harder than uploads, of which about a third as many are."""
    seed: int = 0
    """Of the initial weights, the order of the rows and the split of the data."""
    sweep_seeds: Annotated[int, Meta(ge=0)] = 0
    """Number of further networks that are trained, as one batch from seeds 0, 1, ..., to count how many converge."""
    acceptance: Acceptance
    reference: Reference | None = None

    @property
    def gradient_descent(self) -> GradientDescent:
        """How the weights are trained; raises `BadRecipe` for fixed weights."""
        if isinstance(self.training, FixedWeights):
            raise BadRecipe(f"{self.name} has fixed weights: there is nothing to train, and there are no epochs")
        return self.training

    @property
    def ood_head(self) -> OodHead | None:
        """The out-of-distribution head, if the network has one."""
        return self.training.ood_head if isinstance(self.training, GradientDescent) else None

    @property
    def linear_layers(self) -> tuple[int, ...]:
        """Units of the linear layers, from their inputs on: with convolutions, those are the last stage's channels."""
        return (self.convolutions[-1], *self.layers[1:]) if self.convolutions else self.layers

    @property
    def hidden_units(self) -> tuple[int, ...]:
        """Activations that an OOD head reads: of the last convolution at 3x3 places, and of hidden linear layers."""
        return (*(9 * channels for channels in self.convolutions[-1:]), *self.layers[1:-1])

    @property
    def ood_head_layers(self) -> tuple[int, ...]:
        """Units from all hidden activations to the one logit of the OOD head; empty without one."""
        return (sum(self.hidden_units), self.ood_head.units, 1) if self.ood_head else ()

    @property
    def stage_parameters(self) -> tuple[int, ...]:
        """Weights and biases of each stage of convolutions."""
        stages = itertools.pairwise((1, *self.convolutions))
        return tuple((9 * inputs + 1) * outputs + (9 * outputs + 1) * outputs for inputs, outputs in stages)

    @property
    def num_parameters(self) -> int:
        """Number of parameters of the exported network: weights and biases of all layers.

        Those of the OOD head are included; a teacher and batch normalisation are not exported, and are not counted.
        """
        networks = self.linear_layers, self.ood_head_layers
        linear = sum((i + 1) * o for layers in networks for i, o in itertools.pairwise(layers))
        return sum(self.stage_parameters) + linear

    @property
    def described_layers(self) -> str:
        """Such as `784-800-400-10`, or `784-conv(16-32)-10` with convolutions."""
        inputs, *units = self.layers
        stages = [f"conv({'-'.join(map(str, self.convolutions))})"] if self.convolutions else []
        return "-".join(map(str, (inputs, *stages, *units)))

    @property
    def num_features(self) -> int:
        """Numbers in the feature vector of one row; the first layer has more inputs if some are categories."""
        return len(self.table.features) if self.table else self.layers[0]

    @property
    def takes_images(self) -> bool:
        """Whether the inputs are images, and not feature vectors."""
        return self.scaling in ("unit", "centred")

    @property
    def preprocess(self) -> Preprocess | None:
        """How pictures become images; None if the inputs are feature vectors."""
        if self.pictures:
            return self.pictures.preprocess
        return Preprocess("digit") if self.takes_images else None

    @property
    def image_shape(self) -> tuple[int, ...]:
        """Of an image: height and width, and 3 in colour."""
        return self.pictures.shape if self.pictures else IMAGE_SHAPE

    @property
    def is_of_own_data(self) -> bool:
        """Whether it is of the user's own table or pictures, and not of this repository's data."""
        return self.table is not None or self.pictures is not None
