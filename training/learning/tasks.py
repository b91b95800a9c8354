"""The four kinds of task, with their losses and metrics.

| task | output | loss |
| --- | --- | --- |
| binary | sigmoid of one logit | binary cross-entropy |
| multiclass | softmax | cross-entropy |
| regression | the values themselves | squared error, averaged over values |
| mixture | weights, means and deviations of Gaussians | negative logarithm of the density |
"""

from typing import cast

import torch
from sklearn.metrics import r2_score
from torch import Tensor, nn
from torch.nn.functional import binary_cross_entropy_with_logits, cross_entropy, mse_loss, one_hot

from service.bundle.manifest import Task
from training.networks.mixture import log_density, split_units
from training.networks.network import Network
from training.networks.scaling import ColumnStatistics


def encode_targets(task: Task, targets: Tensor, network: Network) -> Tensor:
    """Targets as the loss takes them, FP32: one-hot [n, classes], 0 or 1 [n, 1], or scaled values [n, values]."""
    if task in ("regression", "mixture"):
        output = network.output
        return output.standardise(targets) if isinstance(output, ColumnStatistics) else targets
    if task == "binary":
        return targets.unsqueeze(1).to(torch.float32)
    last = cast(nn.Linear, network.layers[-1])
    return one_hot(targets, last.out_features).to(torch.float32)


def loss(task: Task, logits: Tensor, targets: Tensor, class_weights: Tensor | None = None) -> Tensor:
    """The mean loss of logits FP32 [n, units] and encoded targets FP32 [n, units]: a scalar.

    `class_weights` FP32 [classes] are what a row of each class counts, 1 by default.
    """
    if task == "regression":
        return mse_loss(logits, targets)
    if task == "mixture":
        return -log_density(*split_units(logits), targets).mean()
    if task == "binary":
        weight = None if class_weights is None else class_weights[0] + targets * (class_weights[1] - class_weights[0])
        return binary_cross_entropy_with_logits(logits, targets, weight)
    return cross_entropy(logits, targets if class_weights is None else targets * class_weights)


def balanced_class_weights(targets: Tensor) -> Tensor:
    """What a row of each class counts so that all classes have the same weight together: FP32 [classes], mean 1 a row.

    `targets` are encoded, FP32 [n, units].
    """
    counts = targets.sum(dim=0)
    if len(counts) == 1:  # binary: 1 for the second class
        counts = torch.cat([len(targets) - counts, counts])
    return len(targets) / (len(counts) * counts.clamp(min=1))


def count_correct(task: Task, logits: Tensor, targets: Tensor) -> int:
    """For how many rows the logits FP32 [n, units] predict the class of the encoded targets."""
    if task == "binary":
        return int(((logits > 0) == (targets > 0)).sum())
    return int((logits.argmax(dim=1) == targets.argmax(dim=1)).sum())


def compute_metrics(task: Task, predictions: Tensor, targets: Tensor) -> dict[str, float]:
    """Metrics of the network's output FP32 [n, classes or values] against the targets of the data set.

    Of a classifier `accuracy` and `balanced_accuracy` (0 to 1); of a regression `r2` and `root_mean_squared_error` (in
    the values' units).
    """
    if task == "regression":
        error = (predictions - targets).double().square().mean().sqrt()
        r2 = r2_score(targets.numpy(), predictions.numpy())
        return {"r2": round(float(r2), 6), "root_mean_squared_error": round(error.item(), 6)}
    correct = (predictions.argmax(dim=1) == targets).double()
    by_class = torch.stack([correct[targets == one].mean() for one in targets.unique()])
    return {
        "accuracy": round(correct.mean().item(), 6),
        "balanced_accuracy": round(by_class.mean().item(), 6),
    }


def mixture_metrics(outputs: tuple[Tensor, ...], targets: Tensor) -> dict[str, float]:
    """Of weights, means and deviations FP32 [n, K], against the targets FP32 [n, 1].

    `log_likelihood` is the mean logarithm of the density at the targets, in nats. `gaussian_log_likelihood` is that of
    one Gaussian with the mixture's mean and variance, which a regression with an error bar would give.
    """
    weights, means, deviations = outputs
    mean = (weights * means).sum(dim=1, keepdim=True)
    variance = (weights * (deviations**2 + means**2)).sum(dim=1, keepdim=True) - mean**2
    mixture = log_density(weights.log(), means, deviations, targets)
    gaussian = log_density(torch.zeros_like(mean), mean, variance.sqrt(), targets)
    return {
        "log_likelihood": round(mixture.double().mean().item(), 6),
        "gaussian_log_likelihood": round(gaussian.double().mean().item(), 6),
    }
