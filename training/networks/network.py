"""Networks: what a client sends -> scaled inputs -> logits -> probabilities or values. All of it is exported."""

import itertools
from typing import cast

import torch
from torch import Tensor, nn
from torch.nn.utils.fusion import fuse_linear_bn_eval

from service.bundle.manifest import Task
from training.datasets import Split
from training.recipes.recipe import Activation, ByHand, Descent, Recipe, Scaling

ACTIVATIONS: dict[Activation, type[nn.Module]] = {
    "relu": nn.ReLU,
    "leaky-relu": nn.LeakyReLU,  # its slope below zero is 0.01
    "sigmoid": nn.Sigmoid,
    "tanh": nn.Tanh,
    "none": nn.Identity,  # then all layers are worth one: W' = W2 W1
}


def mlp(layers: tuple[int, ...], activation: Activation = "relu", dropout: float = 0.0) -> nn.Sequential:
    """A multilayer perceptron: linear layers, an activation after each but the last, which gives logits."""
    modules: list[nn.Module] = []
    for inputs, outputs in itertools.pairwise(layers):
        modules += [nn.Linear(inputs, outputs), ACTIVATIONS[activation]()] + [nn.Dropout(dropout)] * (dropout > 0)
    return nn.Sequential(*modules[: -2 if dropout else -1])


def batch_normalised(layers: nn.Sequential) -> nn.Sequential:
    """Each hidden layer's sums with mean 0 and deviation 1 over a mini-batch, then scaled and moved as is learned.

    Ioffe, Szegedy, "Batch normalization", 2015. Only for training: `folded` takes it out again.
    """
    modules = [
        [layer, nn.BatchNorm1d(layer.out_features)] if isinstance(layer, nn.Linear) else [layer] for layer in layers
    ]
    return nn.Sequential(*itertools.chain(*modules[:-1]), layers[-1])


def folded(layers: nn.Sequential) -> nn.Sequential:
    """The same function as plain layers, with the running means and deviations inside weights and biases."""
    modules: list[nn.Module] = []
    for layer in layers.eval():
        if isinstance(layer, nn.BatchNorm1d):
            modules.append(fuse_linear_bn_eval(cast(nn.Linear, modules.pop()), layer))
        else:
            modules.append(layer)
    return nn.Sequential(*modules)


class Pixels(nn.Module):
    """UINT8 [n, 28, 28] -> FP32 [n, 784]: 0 to 1, or, centred, -1 to 1."""

    def __init__(self, *, centred: bool) -> None:
        super().__init__()
        self.centred = centred

    def forward(self, image: Tensor) -> Tensor:
        """Scale."""
        unit = image.flatten(1).to(torch.float32) / 255.0
        return (unit - 0.5) / 0.5 if self.centred else unit


class Standardise(nn.Module):
    """FP32 [n, columns] in real units -> mean 0 and standard deviation 1 over the training data."""

    mean: Tensor
    deviation: Tensor

    def __init__(self, columns: int) -> None:
        super().__init__()
        self.register_buffer("mean", torch.zeros(columns))
        self.register_buffer("deviation", torch.ones(columns))

    def learn(self, rows: Tensor) -> None:
        """Take the mean and the standard deviation of each column from the training data [n, columns]."""
        self.mean.copy_(rows.mean(dim=0))
        deviation = rows.std(dim=0, correction=0)
        varies = deviation > 1e-6 * self.mean.abs()  # less is rounding: such a column is left near 0
        self.deviation.copy_(torch.where(varies, deviation, 1.0))

    def forward(self, rows: Tensor) -> Tensor:
        """Scale."""
        return (rows - self.mean) / self.deviation


class RealUnits(Standardise):
    """The way back: values of mean 0 and standard deviation 1 -> real units."""

    def forward(self, rows: Tensor) -> Tensor:
        """Scale back."""
        return rows * self.deviation + self.mean


class BothClasses(nn.Module):
    """A logit [n, 1] -> the probabilities [n, 2] of the negative class and, by the sigmoid, of the positive one."""

    def forward(self, logit: Tensor) -> Tensor:
        """Two sigmoids, so that a small probability is not lost in the difference from 1."""
        return torch.sigmoid(torch.cat([-logit, logit], dim=1))


class Network(nn.Module):
    """Scaling, layers, output: three modules that a client meets as one."""

    def __init__(self, scale: nn.Module, layers: nn.Sequential, output: nn.Module) -> None:
        super().__init__()
        self.scale = scale
        self.layers = layers
        self.output = output

    def through(self, inputs: Tensor) -> Tensor:
        """Inputs as a client sends them -> FP32 [n, classes] or [n, values]."""
        answers: Tensor = self.output(self.layers(self.scale(inputs)))
        return answers

    def outputs(self, inputs: Tensor) -> tuple[Tensor, ...]:
        """All that the exported graph gives, in its order; the first is the probabilities or values."""
        found: Tensor | tuple[Tensor, ...] = self(inputs)
        return found if isinstance(found, tuple) else (found,)


class ImageNetwork(Network):
    """`image` UINT8 [n, 28, 28] in: the argument's name is that of the exported graph's input."""

    def forward(self, image: Tensor) -> Tensor:
        """Probabilities or values."""
        return self.through(image)


class WaryImageNetwork(Network):
    """It has a second, small network on top of its hidden layers, for what is none of the classes: the background."""

    def __init__(self, scale: nn.Module, layers: nn.Sequential, output: nn.Module, background: nn.Sequential) -> None:
        super().__init__(scale, layers, output)
        self.background = background

    def forward(self, image: Tensor) -> tuple[Tensor, Tensor]:
        """The probabilities of the classes [n, classes], and how probably it is none of them [n, 1]."""
        hidden, logits = self.seen(self.scale(image))
        return self.output(logits), torch.sigmoid(self.background(hidden))

    def seen(self, scaled: Tensor) -> tuple[Tensor, Tensor]:
        """What all hidden layers make of scaled inputs, side by side [n, units of all], and the logits."""
        found: list[Tensor] = []
        for layer in self.layers:
            scaled = layer(scaled)
            found.append(scaled)
        return torch.cat(found[1:-1:2], dim=1), scaled


class Hidden(nn.Module):
    """A network's hidden layers, as the first module of another one on top of them."""

    def __init__(self, network: WaryImageNetwork) -> None:
        super().__init__()
        self.network = network

    def forward(self, scaled: Tensor) -> Tensor:
        """What they all make of scaled inputs."""
        return self.network.seen(scaled)[0]


class VectorNetwork(Network):
    """`features` FP32 [n, features] in, likewise."""

    def forward(self, features: Tensor) -> Tensor:
        """Probabilities or values."""
        return self.through(features)


def build(recipe: Recipe) -> Network:
    """The recipe's network: weights drawn from torch's generator, or set by hand."""
    dropout = recipe.fit.dropout if isinstance(recipe.fit, Descent) else 0.0
    layers = mlp(recipe.layers, recipe.activation, dropout)
    start(layers, recipe.fit)
    output = _output(recipe.task, recipe.scaling, recipe.layers[-1])
    scale = _scale(recipe.scaling, recipe.layers[0])
    if recipe.background:
        return WaryImageNetwork(scale, layers, output, mlp(recipe.background_layers))
    return ImageNetwork(scale, layers, output) if recipe.takes_images else VectorNetwork(scale, layers, output)


def prepared(recipe: Recipe, data: Split, seed: int) -> Network:
    """The recipe's network with weights drawn by the seed, scaled as the data is, and not yet trained."""
    torch.manual_seed(seed)
    network = build(recipe)
    if isinstance(network.scale, Standardise):
        network.scale.learn(data.inputs)
    if isinstance(network.output, Standardise):
        network.output.learn(data.targets)
    if isinstance(recipe.fit, Descent) and recipe.fit.batch_norm:
        network.layers = batch_normalised(network.layers)
    return network


@torch.no_grad()
def start(layers: nn.Sequential, fit: Descent | ByHand) -> None:
    """Set the weights that are set by hand, or draw anew those that are not drawn in PyTorch's usual way."""
    linear = [layer for layer in layers if isinstance(layer, nn.Linear)]
    if isinstance(fit, ByHand):
        for layer, neurons in zip(linear, fit.neurons, strict=True):
            given = torch.tensor(neurons, dtype=torch.float32)
            layer.weight.copy_(given[:, :-1])
            layer.bias.copy_(given[:, -1])
    elif fit.start == "uniform":
        for parameter in layers.parameters():
            parameter.uniform_(0, 1)


def _scale(scaling: Scaling, inputs: int) -> nn.Module:
    if scaling in ("unit", "centred"):
        return Pixels(centred=scaling == "centred")
    return Standardise(inputs) if scaling == "standardised" else nn.Identity()


def _output(task: Task, scaling: Scaling, outputs: int) -> nn.Module:
    if task == "regression":
        return RealUnits(outputs) if scaling == "standardised" else nn.Identity()
    return BothClasses() if task == "binary" else nn.Softmax(dim=1)
