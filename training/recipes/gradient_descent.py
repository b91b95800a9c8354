"""The part of a recipe that says how weights are trained: optimiser, augmentation, distillation, OOD head."""

from typing import Annotated, Literal

import msgspec
from msgspec import Meta

PositiveInt = Annotated[int, Meta(ge=1)]
PositiveFloat = Annotated[float, Meta(gt=0)]
DropoutRate = Annotated[float, Meta(ge=0, lt=1)]


class SGD(msgspec.Struct, frozen=True, forbid_unknown_fields=True, tag_field="name", tag="sgd"):
    """Stochastic gradient descent, without momentum."""

    learning_rate: PositiveFloat


class Adagrad(msgspec.Struct, frozen=True, forbid_unknown_fields=True, tag_field="name", tag="adagrad"):
    """A learning rate for each parameter, which falls with the sum of its squared gradients (Duchi et al., 2011)."""

    learning_rate: PositiveFloat = 0.01


class RMSprop(msgspec.Struct, frozen=True, forbid_unknown_fields=True, tag_field="name", tag="rmsprop"):
    """Gradients divided by the root of their recent mean square (Tieleman and Hinton, 2012)."""

    learning_rate: PositiveFloat = 0.01


class Adam(msgspec.Struct, frozen=True, forbid_unknown_fields=True, tag_field="name", tag="adam"):
    """RMSprop with momentum and bias correction (Kingma and Ba, 2015)."""

    learning_rate: PositiveFloat = 0.001


class AdamW(msgspec.Struct, frozen=True, forbid_unknown_fields=True, tag_field="name", tag="adamw"):
    """Adam with weight decay applied to the weights instead of the gradients (Loshchilov and Hutter, 2019)."""

    learning_rate: PositiveFloat = 0.001


class Adamax(msgspec.Struct, frozen=True, forbid_unknown_fields=True, tag_field="name", tag="adamax"):
    """Adam with the maximum norm in place of the mean square (Kingma and Ba, 2015, section 7.1)."""

    learning_rate: PositiveFloat = 0.002


Optimiser = SGD | Adagrad | RMSprop | Adam | AdamW | Adamax


class Distortion(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Augmentation of images: the largest change of each kind, drawn uniformly from both directions.

    Every image of every mini-batch gets a distortion of its own.
    """

    rotation: float = 0.0
    """Degrees."""
    shear: float = 0.0
    """Slope: horizontal shift per unit of height."""
    aspect: float = 0.0
    """Logarithm of the change of the aspect ratio; the longest side of the ink keeps its length."""
    scale: float = 0.0
    """Logarithm of the change of size."""
    shift: float = 0.0
    """Pixels."""
    elastic: float = 0.0
    """Standard deviation of the elastic displacement, in pixels."""
    thickness: float = 0.0
    """Fraction of the way to the 3x3 maximum (thicker strokes) or the 3x3 minimum (thinner strokes)."""
    contrast: float = 0.0
    """Logarithm of the exponent that is applied to the ink (gamma)."""
    noise: float = 0.0
    """Largest standard deviation of the noise on the ink, as a fraction of full ink."""
    artifact_fraction: Annotated[float, Meta(ge=0, le=1)] = 0.0
    """Fraction of the images that are replaced by a copy with normaliser artifacts before they are distorted."""
    artifact_copies: PositiveInt = 1
    """Copies with normaliser artifacts of each image, of which one is drawn each time."""
    scene_fraction: Annotated[float, Meta(ge=0, le=1)] = 0.0
    """Fraction of these copies that were drawn into pictures like those of the segmenter's training."""


class Teacher(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Knowledge distillation: a convolutional network is trained first, and its predictions are the targets.

    Teacher and student see the same distorted images. The probabilities of both are softened by `temperature` (Hinton,
    Vinyals, Dean, "Distilling the knowledge in a neural network", 2015). The teacher has two 3x3 convolutions for each
    stage; `channels` are the stages' widths (after Simonyan, Zisserman, "Very deep convolutional networks", 2015). It
    has `dropout` before its last layer. It is trained on a one-cycle schedule, with the student's weight decay,
    precision and distortion.
    """

    optimiser: Optimiser
    batch_size: PositiveInt
    epochs: PositiveInt
    channels: tuple[PositiveInt, ...] = (16, 32, 64)
    dropout: DropoutRate = 0.0
    temperature: PositiveFloat = 2.0


class OodHead(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """An out-of-distribution head: a small network on the hidden activations of the trained, frozen classifier.

    It has one hidden layer of `units`, and is trained on `negatives` images of no class and twice as many digits, on a
    one-cycle schedule. Weight decay, precision and distortion are those of the classifier.
    """

    optimiser: Optimiser
    batch_size: PositiveInt
    epochs: PositiveInt
    units: PositiveInt
    negatives: PositiveInt


class GradientDescent(
    msgspec.Struct, frozen=True, forbid_unknown_fields=True, tag_field="method", tag="gradient-descent"
):
    """Weights trained by mini-batch gradient descent, from a random initialisation."""

    optimiser: Optimiser
    batch_size: PositiveInt
    epochs: PositiveInt
    dropout: DropoutRate = 0.0
    """Probability that a hidden unit is zeroed in a training step."""
    batch_norm: bool = False
    """Batch normalisation of every hidden layer; it is folded into the linear layers after training."""
    weight_decay: Annotated[float, Meta(ge=0)] = 0.0
    """As in PyTorch: an L2 penalty in the gradients, but decoupled from them with `AdamW`."""
    initialisation: Literal["default", "uniform"] = "default"
    """PyTorch's default for linear layers, or all weights and biases from U(0, 1)."""
    curve_every: Annotated[int, Meta(ge=0)] = 0
    """Mini-batches for one point of the learning curve, counted anew in each epoch; 0: one point an epoch."""
    schedule: Literal["constant", "one-cycle"] = "constant"
    """Of the learning rate: constant, or one cycle up and down (Smith, Topin, "Super-convergence", 2018).

    The rate rises to the optimiser's learning rate in the first tenth of the steps, and then falls to nearly 0. As
    PyTorch's `OneCycleLR` does by default, the momentum is cycled in the opposite direction, from 0.95 to 0.85 and
    back: it is the first beta of Adam, AdamW and Adamax. SGD and RMSprop are given this momentum too, although they
    have none at a constant rate. Adagrad has no momentum and is rejected."""
    precision: Literal["float32", "bfloat16"] = "float32"
    """Precision of the matrix products of a training step (mixed precision); weights are always FP32."""
    patience: Annotated[int, Meta(ge=0)] = 0
    """Early stopping: epochs without a lower loss on the validation rows, after which training ends; the weights are
    those of the best epoch. 0: all epochs."""
    class_weights: bool = False
    """Whether rows of rare classes count more, so that each class has the same weight in the loss."""
    distortion: Distortion | None = None
    teacher: Teacher | None = None
    ood_head: OodHead | None = None
