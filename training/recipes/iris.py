"""Iris species by a small MLP."""

from training.recipes.gradient_descent import SGD, GradientDescent
from training.recipes.recipe import Acceptance, Recipe, Reference

IRIS = Recipe(
    name="iris",
    summary="Fisher's irises by a small MLP, with batch size 1",
    dataset="iris",
    task="multiclass",
    layers=(4, 8, 3),
    scaling="standardised",
    training=GradientDescent(SGD(0.01), batch_size=1, epochs=20),
    acceptance=Acceptance("accuracy", 0.92, seeds=20),
    reference=Reference(11, reported="0.9778 (44 of 45) for one random split"),
)
