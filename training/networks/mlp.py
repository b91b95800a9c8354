"""The layers of a multilayer perceptron, their initial weights, and batch normalisation of any layers."""

import itertools
from typing import cast

import torch
from torch import Tensor, nn
from torch.nn.utils.fusion import fuse_conv_bn_eval, fuse_linear_bn_eval

from training.recipes.gradient_descent import GradientDescent
from training.recipes.recipe import Activation, FixedWeights

ACTIVATIONS: dict[Activation, type[nn.Module]] = {
    "relu": nn.ReLU,
    "leaky-relu": nn.LeakyReLU,  # with PyTorch's default slope below zero: 0.01
    "sigmoid": nn.Sigmoid,
    "tanh": nn.Tanh,
    "none": nn.Identity,  # all layers together are then one linear layer: W = W2 W1
}


def mlp(layers: tuple[int, ...], activation: Activation = "relu", dropout: float = 0.0) -> nn.Sequential:
    """FP32 [n, layers[0]] -> logits FP32 [n, layers[-1]]: linear layers, with an activation after all but the last."""
    modules: list[nn.Module] = []
    for inputs, outputs in itertools.pairwise(layers):
        modules += [nn.Linear(inputs, outputs), ACTIVATIONS[activation]()] + [nn.Dropout(dropout)] * (dropout > 0)
    return nn.Sequential(*modules[: -2 if dropout else -1])


def linear_parameters(layers: nn.Sequential) -> list[tuple[Tensor, Tensor]]:
    """Weight [outputs, inputs] and bias [outputs] of each linear layer; changing them in place changes the network."""
    return [(layer.weight.detach(), layer.bias.detach()) for layer in layers if isinstance(layer, nn.Linear)]


@torch.no_grad()
def initialise(layers: nn.Sequential, training: GradientDescent | FixedWeights) -> None:
    """Set fixed weights, or sample all parameters from U(0, 1) if the recipe says so; else keep PyTorch's default."""
    if isinstance(training, FixedWeights):
        for (weight, bias), neurons in zip(linear_parameters(layers), training.neurons, strict=True):
            fixed = torch.tensor(neurons, dtype=torch.float32)
            weight.copy_(fixed[:, :-1])
            bias.copy_(fixed[:, -1])
    elif training.initialisation == "uniform":
        for parameter in layers.parameters():
            parameter.uniform_(0, 1)


def add_batch_norm(layers: nn.Sequential) -> nn.Sequential:
    """The same layers with batch normalisation before each activation (Ioffe, Szegedy, "Batch normalization", 2015).

    It is for training only: `fold_batch_norm` removes it again.
    """
    modules: list[nn.Module] = []
    for layer in layers[:-1]:
        modules.append(layer)
        if isinstance(layer, nn.Linear):
            modules.append(nn.BatchNorm1d(layer.out_features))
        elif isinstance(layer, nn.Conv2d):
            modules.append(nn.BatchNorm2d(layer.out_channels))
    return nn.Sequential(*modules, layers[-1])


def fold_batch_norm(layers: nn.Sequential) -> nn.Sequential:
    """The same function without batch normalisation: running means and variances become weights and biases."""
    modules: list[nn.Module] = []
    for layer in layers.eval():
        if isinstance(layer, nn.BatchNorm1d):
            modules.append(fuse_linear_bn_eval(cast(nn.Linear, modules.pop()), layer))
        elif isinstance(layer, nn.BatchNorm2d):
            modules.append(fuse_conv_bn_eval(cast(nn.Conv2d, modules.pop()), layer))
        else:
            modules.append(layer)
    return nn.Sequential(*modules)
