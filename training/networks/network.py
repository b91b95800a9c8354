"""Whole networks: raw inputs -> scaled inputs -> logits -> probabilities or values. All of it is exported."""

import torch
from torch import Tensor, nn
from torch.nn.functional import max_pool2d

from service.bundle.manifest import Task
from training.datasets.dataset import Split
from training.networks.convolutional import CONV_FORMAT, convolutions
from training.networks.mixture import MixtureOutput
from training.networks.mlp import add_batch_norm, initialise, mlp
from training.networks.scaling import ColumnEncoding, ColumnStatistics, InverseStandardise, PixelScaling, Standardise
from training.recipes.gradient_descent import GradientDescent
from training.recipes.recipe import Recipe, Scaling


class BinaryProbabilities(nn.Module):
    """One logit FP32 [n, 1] -> probabilities FP32 [n, 2] of the negative and the positive class."""

    def forward(self, logit: Tensor) -> Tensor:
        """Apply the sigmoid twice: 1 - sigmoid(logit) would round small probabilities to 0."""
        return torch.sigmoid(torch.cat([-logit, logit], dim=1))


class Network(nn.Module):
    """Scaling, layers and output as one module. `layers` alone maps scaled inputs to logits."""

    def __init__(self, scale: nn.Module, layers: nn.Sequential, output: nn.Module) -> None:
        super().__init__()
        self.scale = scale
        self.layers = layers
        self.output = output

    def _forward(self, inputs: Tensor) -> Tensor:
        """Raw inputs -> probabilities FP32 [n, classes] or values FP32 [n, values]."""
        outputs: Tensor = self.output(self.layers(self.scale(inputs)))
        return outputs

    def all_outputs(self, inputs: Tensor) -> tuple[Tensor, ...]:
        """All outputs of the exported graph, in its order; the first one holds the probabilities or values."""
        outputs: Tensor | tuple[Tensor, ...] = self(inputs)
        return outputs if isinstance(outputs, tuple) else (outputs,)


class ImageNetwork(Network):
    """Takes `image` UINT8 [n, 28, 28]; the exported graph names its input as this argument."""

    def forward(self, image: Tensor) -> Tensor:
        """Images -> probabilities or values."""
        return self._forward(image)


class VectorNetwork(Network):
    """Takes `features` FP32 [n, features]; the exported graph names its input as this argument."""

    def forward(self, features: Tensor) -> Tensor:
        """Feature vectors -> probabilities or values."""
        return self._forward(features)


class MixtureNetwork(Network):
    """Takes `features` FP32 [n, features], and gives the parameters of a mixture of Gaussians."""

    def forward(self, features: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Feature vectors -> weights, means and deviations, FP32 [n, K] each."""
        outputs: tuple[Tensor, Tensor, Tensor] = self.output(self.layers(self.scale(features)))
        return outputs


class ImageNetworkWithOod(Network):
    """An image classifier with an out-of-distribution head: a small network on the activations of all hidden layers."""

    def __init__(self, scale: nn.Module, layers: nn.Sequential, output: nn.Module, ood_head: nn.Sequential) -> None:
        super().__init__(scale, layers, output)
        self.ood_head = ood_head

    def forward(self, image: Tensor) -> tuple[Tensor, Tensor]:
        """UINT8 [n, 28, 28] -> probabilities FP32 [n, classes] and OOD scores FP32 [n, 1], 0 to 1.

        The exported files and the API name the OOD score `background`.
        """
        hidden, logits = self.hidden_and_logits(self.scale(image))
        return self.output(logits), torch.sigmoid(self.ood_head(hidden))

    def hidden_and_logits(self, scaled: Tensor) -> tuple[Tensor, Tensor]:
        """Scaled inputs -> activations of all hidden layers, concatenated: FP32 [n, hidden units], and the logits.

        The activations of a hidden layer are the inputs of the next linear layer, whatever is between the two. Of
        convolutions they are those after the last one, 3x3 of 7x7 places, before their mean is taken.
        """
        hidden: list[Tensor] = []
        is_first = True
        for layer in self.layers:  # TorchScript takes every `isinstance` here for false
            if hasattr(layer, "output_size"):  # the mean over all places
                hidden.append(max_pool2d(scaled, 2).flatten(1))
            if hasattr(layer, "in_features"):  # a linear layer; the first reads the inputs, or that mean
                if not is_first:
                    hidden.append(scaled)
                is_first = False
            scaled = layer(scaled)
        return torch.cat(hidden, dim=1), scaled


class HiddenActivations(nn.Module):
    """The hidden layers of a network as a module, on which its OOD head is trained."""

    def __init__(self, network: ImageNetworkWithOod) -> None:
        super().__init__()
        self.network = network

    def forward(self, scaled: Tensor) -> Tensor:
        """Scaled inputs -> activations of all hidden layers, FP32 [n, hidden units]."""
        return self.network.hidden_and_logits(scaled)[0]


def build(recipe: Recipe) -> Network:
    """The network of a recipe, its weights fixed or sampled from PyTorch's global generator; scaling is not fitted."""
    dropout = recipe.training.dropout if isinstance(recipe.training, GradientDescent) else 0.0
    layers = mlp(recipe.linear_layers, recipe.activation, dropout)
    if recipe.convolutions:
        layers = nn.Sequential(*convolutions(recipe.convolutions), *layers)
    initialise(layers, recipe.training)
    scale = ColumnEncoding(recipe.table.features) if recipe.table else _scaling(recipe.scaling, recipe.layers[0])
    if recipe.task == "mixture":
        return MixtureNetwork(scale, layers, MixtureOutput())
    output = _output(recipe.task, recipe.scaling, recipe.layers[-1])
    if recipe.ood_head:
        return ImageNetworkWithOod(scale, layers, output, mlp(recipe.ood_head_layers))
    return ImageNetwork(scale, layers, output) if recipe.takes_images else VectorNetwork(scale, layers, output)


def build_initialised(recipe: Recipe, train: Split, seed: int) -> Network:
    """The network of a recipe before training: weights sampled from the seed, scaling fitted to the training data."""
    torch.manual_seed(seed)
    network = build(recipe)
    if isinstance(network.scale, Standardise | ColumnEncoding):
        network.scale.fit(train.inputs)
    if isinstance(network.output, ColumnStatistics):
        network.output.fit(train.targets)
    if isinstance(recipe.training, GradientDescent) and recipe.training.batch_norm:
        network.layers = add_batch_norm(network.layers)
    return network.to(memory_format=CONV_FORMAT) if recipe.convolutions else network


def _scaling(scaling: Scaling, inputs: int) -> nn.Module:
    if scaling in ("unit", "centred"):
        return PixelScaling(centred=scaling == "centred")
    return Standardise(inputs) if scaling == "standardised" else nn.Identity()


def _output(task: Task, scaling: Scaling, outputs: int) -> nn.Module:
    if task == "regression":
        return InverseStandardise(outputs) if scaling in ("standardised", "encoded") else nn.Identity()
    return BinaryProbabilities() if task == "binary" else nn.Softmax(dim=1)
