"""The written-out training step against automatic differentiation."""

import copy

import pytest
import torch
from torch import nn
from torch.nn.functional import one_hot

from training.learning.backprop import sgd_step
from training.networks.mlp import linear_parameters, mlp


@pytest.mark.parametrize("layers", [(4, 8, 3), (784, 512, 256, 128, 64, 10), (5, 2)])
@pytest.mark.parametrize("rows", [1, 12, 105])
def test_its_steps_equal_those_of_autograd_and_sgd(layers: tuple[int, ...], rows: int) -> None:
    torch.manual_seed(0)
    ours = mlp(layers)
    theirs = copy.deepcopy(ours)
    sgd = torch.optim.SGD(theirs.parameters(), lr=0.1)
    parameters = linear_parameters(ours)
    for _ in range(5):
        inputs, targets = torch.randn(rows, layers[0]), torch.randint(layers[-1], (rows,))
        with torch.no_grad():
            logits = sgd_step(parameters, inputs, one_hot(targets, layers[-1]).float(), learning_rate=0.1)
        expected = theirs(inputs)
        torch.testing.assert_close(logits, expected, atol=1e-5, rtol=1e-4)
        sgd.zero_grad()
        nn.functional.cross_entropy(expected, targets).backward()
        sgd.step()
    for parameter, expected in zip(ours.parameters(), theirs.parameters(), strict=True):
        torch.testing.assert_close(parameter, expected, atol=1e-5, rtol=1e-4)
