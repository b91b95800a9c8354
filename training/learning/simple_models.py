"""What a network is compared with: always the most frequent class or the mean, and a linear model."""

import numpy as np
import torch
from sklearn.linear_model import LinearRegression, LogisticRegression
from sklearn.metrics import accuracy_score, balanced_accuracy_score, r2_score

from training.datasets.dataset import Split
from training.networks.network import Network
from training.recipes.recipe import Recipe

MAX_ITERATIONS = 1000
METRICS = {"accuracy": accuracy_score, "balanced_accuracy": balanced_accuracy_score, "r2": r2_score}
MAX_ROWS = 100_000  # that the linear model is fitted to


@torch.inference_mode()
def simple_metrics(network: Network, recipe: Recipe, train: Split, held_out: Split) -> dict[str, float]:
    """The recipe's metric of both on held-out rows, such as `majority_accuracy` and `linear_accuracy`, or `mean_r2`.

    The linear model has the network's inputs: logistic regression, with the recipe's class weights, or linear
    regression.
    """
    inputs, unseen = (network.scale(split.inputs).numpy() for split in (train, held_out))
    targets, expected = train.targets.numpy(), held_out.targets.numpy()
    rows = slice(MAX_ROWS)
    metric = recipe.acceptance.metric
    if recipe.task == "regression":
        guess, name = np.broadcast_to(targets.mean(axis=0), expected.shape), "mean"
        fitted = LinearRegression().fit(inputs[rows], targets[rows]).predict(unseen).reshape(expected.shape)
    else:
        guess, name = np.full_like(expected, np.bincount(targets).argmax()), "majority"
        weights = "balanced" if recipe.gradient_descent.class_weights else None
        linear = LogisticRegression(max_iter=MAX_ITERATIONS, class_weight=weights)
        fitted = linear.fit(inputs[rows], targets[rows]).predict(unseen)
    score = METRICS[metric]
    scores = {f"{name}_{metric}": score(expected, guess), f"linear_{metric}": score(expected, fitted)}
    return {key: round(float(value), 6) for key, value in scores.items()}
