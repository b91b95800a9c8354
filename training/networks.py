"""Networks: what a client sends -> scaled inputs -> logits -> probabilities. All of it is exported.

The argument of `forward` names the input of the exported graph: `image` or `features`.
"""

import itertools

import torch
from torch import Tensor, nn

from training.recipes.definition import Recipe


def mlp(layers: tuple[int, ...]) -> nn.Sequential:
    """A multilayer perceptron: linear layers with ReLU between them; the last gives logits."""
    modules: list[nn.Module] = []
    for inputs, outputs in itertools.pairwise(layers):
        modules += [nn.Linear(inputs, outputs), nn.ReLU()]
    return nn.Sequential(*modules[:-1])


class ImageNetwork(nn.Module):
    """`image` UINT8 [n, 28, 28] -> probabilities FP32 [n, classes]."""

    def __init__(self, layers: nn.Sequential) -> None:
        super().__init__()
        self.layers = layers
        self.output = nn.Softmax(dim=1)

    def prepare(self, image: Tensor) -> Tensor:
        """Pixels 0..255 -> FP32 [n, 784], 0..1."""
        return image.flatten(1).to(torch.float32) / 255.0

    def forward(self, image: Tensor) -> Tensor:
        """Probabilities."""
        probabilities: Tensor = self.output(self.layers(self.prepare(image)))
        return probabilities


class VectorNetwork(nn.Module):
    """`features` FP32 [n, features] -> probabilities FP32 [n, classes]."""

    mean: Tensor
    deviation: Tensor

    def __init__(self, layers: nn.Sequential, inputs: int) -> None:
        super().__init__()
        self.register_buffer("mean", torch.zeros(inputs))
        self.register_buffer("deviation", torch.ones(inputs))
        self.layers = layers
        self.output = nn.Softmax(dim=1)

    def standardise_by(self, features: Tensor) -> None:
        """Take the mean and the standard deviation of each column from the training data."""
        self.mean.copy_(features.mean(dim=0))
        self.deviation.copy_(features.std(dim=0, correction=0))

    def prepare(self, features: Tensor) -> Tensor:
        """Real units -> FP32 [n, features], mean 0 and standard deviation 1 over the training data."""
        return (features - self.mean) / self.deviation

    def forward(self, features: Tensor) -> Tensor:
        """Probabilities."""
        probabilities: Tensor = self.output(self.layers(self.prepare(features)))
        return probabilities


Network = ImageNetwork | VectorNetwork


def build(recipe: Recipe) -> Network:
    """The recipe's network, weights drawn from torch's generator."""
    layers = mlp(recipe.layers)
    return ImageNetwork(layers) if recipe.dataset == "mnist" else VectorNetwork(layers, recipe.layers[0])
