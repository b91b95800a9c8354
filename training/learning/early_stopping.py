"""Early stopping: training ends when the loss on the validation rows falls no more, and the best weights are kept."""

import copy
import math

import torch
from torch import Tensor

from training.datasets.dataset import Split
from training.learning import tasks
from training.networks.network import Network
from training.recipes.recipe import Recipe


class EarlyStopping:
    """Watches the validation loss of a network that is being trained."""

    def __init__(self, network: Network, recipe: Recipe, validation: Split, class_weights: Tensor | None) -> None:
        self._layers, self._task = network.layers, recipe.task
        self._inputs = network.scale(validation.inputs)
        self._targets = tasks.encode_targets(recipe.task, validation.targets, network)
        self._class_weights = class_weights
        self._patience = recipe.gradient_descent.patience
        self._lowest, self._since = math.inf, 0
        self._weights = copy.deepcopy(self._layers.state_dict())

    @torch.no_grad()
    def is_over(self) -> bool:
        """To be asked after each epoch: whether the last `patience` ones brought no lower loss."""
        loss = tasks.loss(self._task, self._layers.eval()(self._inputs), self._targets, self._class_weights).item()
        self._layers.train()
        self._since += 1
        if loss < self._lowest:
            self._lowest, self._since = loss, 0
            self._weights = copy.deepcopy(self._layers.state_dict())
        return self._since >= self._patience

    def restore_best(self) -> None:
        """Set the weights to those of the epoch with the lowest loss."""
        self._layers.load_state_dict(self._weights)
