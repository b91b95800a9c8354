"""What a recipe must say."""

import itertools
from collections.abc import Sequence
from typing import Annotated, Literal

import msgspec
from msgspec import Meta

from service.bundle.manifest import Task
from training.errors import BadRecipe

Activation = Literal["relu", "leaky-relu", "sigmoid", "tanh", "none"]
Scaling = Literal["none", "standardised", "unit", "centred"]
Metric = Literal["accuracy", "r2"]
Count = Annotated[int, Meta(ge=1)]
Rate = Annotated[float, Meta(gt=0)]


class SGD(msgspec.Struct, frozen=True, tag_field="name", tag="sgd"):
    """Stochastic gradient descent: each parameter moves by -rate times its gradient."""

    rate: Rate


class Adagrad(msgspec.Struct, frozen=True, tag_field="name", tag="adagrad"):
    """A rate for each parameter, falling with the sum of its squared gradients (Duchi, Hazan, Singer, 2011)."""

    rate: Rate = 0.01


class RMSprop(msgspec.Struct, frozen=True, tag_field="name", tag="rmsprop"):
    """Gradients over the root of their recent mean square (Tieleman and Hinton, 2012)."""

    rate: Rate = 0.01


class Adam(msgspec.Struct, frozen=True, tag_field="name", tag="adam"):
    """RMSprop with momentum and corrected beginnings (Kingma and Ba, 2015)."""

    rate: Rate = 0.001


class AdamW(msgspec.Struct, frozen=True, tag_field="name", tag="adamw"):
    """Adam that takes the L2 penalty off the weights themselves, not off its gradients (Loshchilov, Hutter, 2019)."""

    rate: Rate = 0.001


class Adamax(msgspec.Struct, frozen=True, tag_field="name", tag="adamax"):
    """Adam with the largest recent gradient in place of the mean square (Kingma and Ba, 2015, section 7.1)."""

    rate: Rate = 0.002


Optimiser = SGD | Adagrad | RMSprop | Adam | AdamW | Adamax


class Distortion(msgspec.Struct, frozen=True):
    """How differently each image may look in each mini-batch: the most of each to either side, drawn evenly.

    `rotation` in degrees; `shear` as a slope; `aspect` and `scale` as logarithms of a ratio, the longest side of the
    ink kept; `shift` in pixels; `elastic` in pixels too, the standard deviation of every image; `thickness` as a part
    of the way to the least and the most ink in 3x3 pixels; `contrast` as the logarithm of a power; `noise` as the
    largest standard deviation, of full ink. `residue` is the share of images that are distorted not as they are in the
    data set, but as the ink normaliser gives them back when they were small, bilevel or stretched before.
    """

    rotation: float = 0.0
    shear: float = 0.0
    aspect: float = 0.0
    scale: float = 0.0
    shift: float = 0.0
    elastic: float = 0.0
    thickness: float = 0.0
    contrast: float = 0.0
    noise: float = 0.0
    residue: Annotated[float, Meta(ge=0, le=1)] = 0.0


class Teacher(msgspec.Struct, frozen=True):
    """A larger network that learns first, from the same images, distorted likewise; then it teaches.

    What it thinks of each distorted image is what the recipe's network learns, both softened by `temperature` (Hinton,
    Vinyals, Dean, "Distilling the knowledge in a neural network", 2015). It has two 3x3 convolutions for each of
    `channels` (after Simonyan, Zisserman, "Very deep convolutional networks", 2015); its rate goes up and down in one
    cycle; `dropout` is of what goes into its last layer.
    """

    optimiser: Optimiser
    batch: Count
    epochs: Count
    channels: tuple[Count, ...] = (16, 32, 64)
    dropout: Annotated[float, Meta(ge=0, lt=1)] = 0.0
    temperature: Rate = 2.0


class Background(msgspec.Struct, frozen=True):
    """A small network on top of the hidden layers of one that has been trained, for what is none of the classes.

    It has one hidden layer of `units`, and learns from so many `strangers`, pictures of what is no digit, and twice as
    many digits, distorted likewise; the network below stays as it is. Its rate goes up and down in one cycle.
    """

    optimiser: Optimiser
    batch: Count
    epochs: Count
    units: Count
    strangers: Count


class Descent(msgspec.Struct, frozen=True, tag_field="by", tag="descent"):
    """Weights found by gradient descent, from weights drawn at random.

    `batch` rows a step; `l2` times each parameter is added to its gradient (by AdamW taken off the parameter);
    `dropout` of each hidden layer's units are silenced in every step; `batch_norm` normalises the sums of every hidden
    layer while it learns, and is part of the weights afterwards; `start` is PyTorch's usual draw, or U(0, 1).
    `trace` mini-batches make one point of the learning curve, counted anew in each epoch (0: one point an epoch). The
    rate stays as it is, or goes up to its value and down to nothing in one cycle, momentum the other way (Smith,
    Topin, "Super-convergence", 2018). `precision` is that of the products within a step; weights are FP32 always.
    """

    optimiser: Optimiser
    batch: Count
    epochs: Count
    dropout: Annotated[float, Meta(ge=0, lt=1)] = 0.0
    batch_norm: bool = False
    l2: Annotated[float, Meta(ge=0)] = 0.0
    start: Literal["usual", "uniform"] = "usual"
    trace: Annotated[int, Meta(ge=0)] = 0
    schedule: Literal["constant", "one-cycle"] = "constant"
    precision: Literal["float32", "bfloat16"] = "float32"
    distortion: Distortion | None = None
    teacher: Teacher | None = None
    background: Background | None = None


class ByHand(msgspec.Struct, frozen=True, tag_field="by", tag="hand"):
    """Weights set by hand: for each layer its neurons, for each neuron its weights and, last, its bias."""

    neurons: tuple[tuple[tuple[float, ...], ...], ...]

    @classmethod
    def layers(cls, *layers: Sequence[tuple[float, ...]]) -> "ByHand":
        """One list of neurons a layer, from the first to the last."""
        return cls(tuple(tuple(neurons) for neurons in layers))


class Bar(msgspec.Struct, frozen=True):
    """What a network must reach, on validation rows, or else on held-out data where its data set holds any out.

    `metric` is the share of right answers (`accuracy`, 0 to 1) or the share of variance explained (`r2`, 1 at best, the
    mean over values); with several seeds (0, 1, ... `seeds` - 1) their mean must reach it.
    """

    metric: Metric
    value: Annotated[float, Meta(le=1)]
    seeds: Count = 1


class Lecture(msgspec.Struct, frozen=True):
    """Where a recipe comes from: a row of docs/lectures.md, and what the lecture printed there.

    A figure to set beside ours, never one to pick a seed by.
    """

    row: Annotated[int, Meta(ge=1, le=18)]
    printed: str = "no figure"


class Recipe(msgspec.Struct, frozen=True, kw_only=True):
    """How one bundle is made. A value: it is written into the bundle in full, and read back from it."""

    name: str
    summary: str
    dataset: str
    task: Task
    """It decides the output: softmax and cross-entropy, sigmoid and binary cross-entropy, or plain values and
    mean squared error."""
    layers: Annotated[tuple[Count, ...], Meta(min_length=2)]
    """Units of every layer, from the inputs to the logits: one for a binary task, else one a class or value."""
    activation: Activation = "relu"
    """Between the layers; `leaky-relu` has slope 0.01 below zero."""
    scaling: Scaling = "none"
    """Vectors: as they are, or standardised (a regression's values too). Images: 0 to 1, or centred, -1 to 1."""
    fit: Descent | ByHand
    validation: Annotated[int, Meta(ge=0)] = 0
    """The last rows of the training data, not learned from: by them the bar is judged, the probabilities are calibrated
    and the thresholds of abstention are chosen."""
    seed: int = 0
    trials: Annotated[int, Meta(ge=0)] = 0
    """Networks trained beside it as one batch, from seeds 0, 1, ..., to count how many learn the task."""
    bar: Bar
    lecture: Lecture | None = None

    @property
    def descent(self) -> Descent:
        """How it is fitted; raises `BadRecipe` for weights that are set by hand."""
        if isinstance(self.fit, ByHand):
            raise BadRecipe(f"{self.name}: its weights are set by hand, nothing is trained")
        return self.fit

    @property
    def background(self) -> Background | None:
        """How it learns what is none of the classes, if it does."""
        return self.fit.background if isinstance(self.fit, Descent) else None

    @property
    def background_layers(self) -> tuple[int, ...]:
        """Units from all hidden layers' to the background's one logit; none for a network without it."""
        return (sum(self.layers[1:-1]), self.background.units, 1) if self.background else ()

    @property
    def parameters(self) -> int:
        """Trainable numbers: the weights and biases of every linear layer."""
        networks = self.layers, self.background_layers
        return sum((i + 1) * o for layers in networks for i, o in itertools.pairwise(layers))

    @property
    def takes_images(self) -> bool:
        """Whether the network's inputs are 28x28 images, and not vectors of features."""
        return self.scaling in ("unit", "centred")
