"""The examples that the lectures work by hand, through our own networks, losses and steps."""

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn.functional import one_hot

from training.learning import tasks
from training.learning.backprop import descend, linear_layers
from training.learning.optimisation import automatic
from training.networks.network import ACTIVATIONS, mlp
from training.recipes.recipe import SGD, Activation, Descent


def linear(inputs: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
    """A linear layer written by hand: inputs [n, in], weight [in, out], bias [out] -> [n, out] (Review 2)."""
    return inputs @ weight + bias


def collapsed(first: nn.Linear, second: nn.Linear) -> nn.Linear:
    """The one layer that two stacked linear layers are worth: W' = W2 W1, b' = W2 b1 + b2 (Review 2; ELTE)."""
    one = nn.Linear(first.in_features, second.out_features)
    with torch.no_grad():
        one.weight.copy_(second.weight @ first.weight)
        one.bias.copy_(second.weight @ first.bias + second.bias)
    return one


def softmax_step(rate: float) -> Tensor:
    """One step of softmax regression from theta = [[0.1, 0.2], [0.3, 0.4]], x = [1, 0.5], y = 0 (AI VIET NAM).

    Rows of theta are bias and weight, columns are classes; the 1 in x stands for the bias.
    """
    theta = torch.tensor([[0.1, 0.2], [0.3, 0.4]])
    bias, weight = theta[0].clone(), theta[1].clone().unsqueeze(1)
    descend([(weight, bias)], torch.tensor([[0.5]]), one_hot(torch.tensor([0]), 2).float(), rate)
    return torch.stack([bias, weight[:, 0]])


@dataclass(frozen=True)
class Step:
    """A forward pass, its loss, and the network after one step: logit, probability, loss, weights and biases."""

    logit: float
    probability: float
    loss: float
    hidden: Tensor
    hidden_bias: Tensor
    output: Tensor
    output_bias: Tensor


def forward_and_backward(rate: float = 0.1) -> Step:
    """2-2-1, every weight and bias 0.1, no hidden activation, x = [1, 2], y = 0 (AI VIET NAM)."""
    layers = mlp((2, 2, 1), "none")
    for parameter in layers.parameters():
        nn.init.constant_(parameter, 0.1)
    inputs, target = torch.tensor([[1.0, 2.0]]), torch.tensor([[0.0]])
    logit = automatic(layers, "binary", Descent(SGD(rate), batch=1, epochs=1), steps=1)(inputs, target)
    loss = tasks.loss("binary", logit, target)
    (hidden, hidden_bias), (output, output_bias) = linear_layers(layers)
    return Step(logit.item(), torch.sigmoid(logit).item(), loss.item(), hidden, hidden_bias, output, output_bias)


def activation(name: Activation, at: Tensor) -> tuple[Tensor, Tensor]:
    """An activation and its derivative at these points (AILAB)."""
    inputs = at.clone().requires_grad_()
    values: Tensor = ACTIVATIONS[name]()(inputs)
    (slopes,) = torch.autograd.grad(values.sum(), inputs)
    return values.detach(), slopes
