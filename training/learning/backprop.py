"""Backpropagation and gradient descent, written out: one step of an MLP with ReLU between its linear layers.

Automatic differentiation would give the same numbers (a test says so) in nearly twice the time: for networks and
mini-batches as small as the lectures', its bookkeeping and the gradients that it writes to memory and reads again
cost as much as the arithmetic. Here each weight moves as soon as its gradient is known, which is never stored.
(Rumelhart, Hinton, Williams, "Learning representations by back-propagating errors", 1986.)
"""

import torch
from torch import Tensor, nn


def linear_layers(network: nn.Sequential) -> list[tuple[Tensor, Tensor]]:
    """The weight [outputs, inputs] and the bias [outputs] of each linear layer, as tensors to be changed in place."""
    return [(layer.weight.detach(), layer.bias.detach()) for layer in network if isinstance(layer, nn.Linear)]


def descend(layers: list[tuple[Tensor, Tensor]], inputs: Tensor, targets: Tensor, rate: float) -> Tensor:
    """Move every weight by -rate times the gradient of the mean cross-entropy; return the logits from before.

    `inputs` FP32 [n, features], `targets` FP32 [n, classes] one-hot, the logits FP32 [n, classes].
    """
    activations = [inputs]
    for weight, bias in layers[:-1]:
        activations.append(torch.addmm(bias, activations[-1], weight.t()).relu_())
    weight, bias = layers[-1]
    logits = torch.addmm(bias, activations[-1], weight.t())

    delta = torch.softmax(logits, dim=1).sub_(targets).div_(len(inputs))  # of the loss, by the logits
    for (weight, bias), activation in zip(reversed(layers), reversed(activations), strict=True):
        # ReLU lets through what was above zero; below the first layer there is nothing left to correct.
        below = None if activation is inputs else (delta @ weight).mul_(activation > 0)
        weight.addmm_(delta.t(), activation, alpha=-rate)
        bias.add_(delta.sum(dim=0), alpha=-rate)
        if below is not None:
            delta = below
    return logits
