"""The examples that the lectures compute by hand, computed by our own networks, losses and training steps."""

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn.functional import one_hot

from training.learning import tasks
from training.learning.backprop import sgd_step
from training.learning.optimisation import autograd_step
from training.networks.mlp import ACTIVATIONS, linear_parameters, mlp
from training.recipes.gradient_descent import SGD, GradientDescent
from training.recipes.recipe import Activation


def linear_layer(inputs: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
    """A linear layer written out: inputs [n, in], weight [in, out], bias [out] -> [n, out] (Review 2)."""
    return inputs @ weight + bias


def merge_linear(first: nn.Linear, second: nn.Linear) -> nn.Linear:
    """One linear layer that equals two without an activation: W = W2 W1, b = W2 b1 + b2 (Review 2; ELTE)."""
    merged = nn.Linear(first.in_features, second.out_features)
    with torch.no_grad():
        merged.weight.copy_(second.weight @ first.weight)
        merged.bias.copy_(second.weight @ first.bias + second.bias)
    return merged


def softmax_regression_step(learning_rate: float) -> Tensor:
    """One step of softmax regression from theta = [[0.1, 0.2], [0.3, 0.4]], x = [1, 0.5], y = 0 (AI VIET NAM).

    Returns the new theta, FP32 [2, 2]: the rows are bias and weight, the columns are classes; the 1 in x is for the
    bias.
    """
    theta = torch.tensor([[0.1, 0.2], [0.3, 0.4]])
    bias, weight = theta[0].clone(), theta[1].clone().unsqueeze(1)
    sgd_step([(weight, bias)], torch.tensor([[0.5]]), one_hot(torch.tensor([0]), 2).float(), learning_rate)
    return torch.stack([bias, weight[:, 0]])


@dataclass(frozen=True)
class BackpropExample:
    """A forward pass and its loss, and all weights and biases after one step."""

    logit: float
    probability: float
    loss: float
    hidden_weight: Tensor
    hidden_bias: Tensor
    output_weight: Tensor
    output_bias: Tensor


def forward_and_backward(learning_rate: float = 0.1) -> BackpropExample:
    """2-2-1, every weight and bias 0.1, no hidden activation, x = [1, 2], y = 0 (AI VIET NAM)."""
    layers = mlp((2, 2, 1), "none")
    for parameter in layers.parameters():
        nn.init.constant_(parameter, 0.1)
    inputs, target = torch.tensor([[1.0, 2.0]]), torch.tensor([[0.0]])
    config = GradientDescent(SGD(learning_rate), batch_size=1, epochs=1)
    logit = autograd_step(layers, "binary", config, steps=1)(inputs, target)
    loss = tasks.loss("binary", logit, target)
    (hidden_weight, hidden_bias), (output_weight, output_bias) = linear_parameters(layers)
    probability = torch.sigmoid(logit).item()
    return BackpropExample(
        logit.item(), probability, loss.item(), hidden_weight, hidden_bias, output_weight, output_bias
    )


def activation_and_derivative(name: Activation, inputs: Tensor) -> tuple[Tensor, Tensor]:
    """An activation function and its derivative at inputs FP32 [n]: FP32 [n] each (AILAB)."""
    inputs = inputs.clone().requires_grad_()
    values: Tensor = ACTIVATIONS[name]()(inputs)
    (derivatives,) = torch.autograd.grad(values.sum(), inputs)
    return values.detach(), derivatives
