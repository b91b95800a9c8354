"""Iris versicolor or not: no line separates it by sepals, two lines do so partly, petals do far better."""

import msgspec

from training.recipes.gradient_descent import Adam, GradientDescent
from training.recipes.recipe import Acceptance, FixedWeights, Recipe, Reference

VERSICOLOR_NEURON = Recipe(
    name="versicolor-neuron",
    summary="versicolor or not by sepals: one trained neuron cannot separate them",
    dataset="versicolor-sepal",
    task="binary",
    layers=(2, 1),
    scaling="standardised",
    training=GradientDescent(Adam(0.01), batch_size=150, epochs=2000),
    acceptance=Acceptance("accuracy", 0.70),
    reference=Reference(14, reported="about 0.71"),
)

VERSICOLOR_BY_HAND = Recipe(
    name="versicolor-by-hand",
    summary="two lines with fixed weights, and their AND",
    dataset="versicolor-sepal",
    task="binary",
    layers=(2, 2, 1),
    activation="sigmoid",
    training=FixedWeights.from_layers([(-7, -5, 60), (4, -5, -5)], [(7, 7, -9)]),
    acceptance=Acceptance("accuracy", 0.70),
    reference=Reference(14, reported="106 of 150 correct"),
)

VERSICOLOR_BY_HAND_OR = msgspec.structs.replace(
    VERSICOLOR_BY_HAND,
    name="versicolor-by-hand-or",
    summary="the same two lines, and their OR: worse than chance",
    training=FixedWeights.from_layers([(-7, -5, 60), (4, -5, -5)], [(7, 7, -5)]),
    acceptance=Acceptance("accuracy", 0.35),
    reference=Reference(14, reported="53 of 150 correct"),
)

VERSICOLOR_SEPAL = msgspec.structs.replace(
    VERSICOLOR_BY_HAND,
    name="versicolor-sepal",
    summary="the same network of three neurons, trained",
    scaling="standardised",
    training=GradientDescent(Adam(0.01), batch_size=150, epochs=3000),
    acceptance=Acceptance("accuracy", 0.75),
    reference=Reference(14),
)

VERSICOLOR_PETAL = msgspec.structs.replace(
    VERSICOLOR_SEPAL,
    name="versicolor-petal",
    summary="the same network, trained on petals",
    dataset="versicolor-petal",
    sweep_seeds=100,
    acceptance=Acceptance("accuracy", 0.95),
)
