"""The three kinds of output of the lectures, each with its loss on logits and its measure of success.

| task | output | loss |
| --- | --- | --- |
| binary | sigmoid of one logit | binary cross-entropy |
| multiclass | softmax | cross-entropy |
| regression | the values themselves | squared error, averaged over values |
"""

from typing import cast

import torch
from sklearn.metrics import r2_score
from torch import Tensor, nn
from torch.nn.functional import binary_cross_entropy_with_logits, cross_entropy, mse_loss, one_hot

from service.bundle.manifest import Task
from training.networks.network import Network, Standardise


def wanted(task: Task, targets: Tensor, network: Network) -> Tensor:
    """Targets as the loss wants them, FP32: one-hot [n, classes], 0 or 1 [n, 1], or scaled values [n, values]."""
    if task == "regression":
        output = network.output
        return Standardise.forward(output, targets) if isinstance(output, Standardise) else targets
    if task == "binary":
        return targets.unsqueeze(1).to(torch.float32)
    last = cast(nn.Linear, network.layers[-1])
    return one_hot(targets, last.out_features).to(torch.float32)


def loss(task: Task, logits: Tensor, targets: Tensor) -> Tensor:
    """The mean loss over a batch, of logits [n, units] against `wanted` targets."""
    if task == "regression":
        return mse_loss(logits, targets)
    if task == "binary":
        return binary_cross_entropy_with_logits(logits, targets)
    return cross_entropy(logits, targets)


def right(task: Task, logits: Tensor, targets: Tensor) -> int:
    """How many rows of a batch the logits classify as wanted; 0 for a regression."""
    if task == "regression":
        return 0
    if task == "binary":
        return int(((logits > 0) == (targets > 0)).sum())
    return int((logits.argmax(dim=1) == targets.argmax(dim=1)).sum())


def judge(task: Task, answers: Tensor, targets: Tensor) -> dict[str, float]:
    """What a network's answers are worth: `accuracy`, or `r2` and the root mean squared error in real units."""
    if task == "regression":
        error = (answers - targets).double().square().mean().sqrt()
        explained = r2_score(targets.numpy(), answers.numpy())
        return {"r2": round(float(explained), 6), "root_mean_squared_error": round(error.item(), 6)}
    hits = answers.argmax(dim=1) == targets
    return {"accuracy": round(hits.double().mean().item(), 6)}
