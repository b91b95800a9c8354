"""AND, OR and XOR: trained, and with fixed weights (of each neuron its weights and its bias)."""

import msgspec

from training.recipes.gradient_descent import SGD, GradientDescent
from training.recipes.recipe import Acceptance, FixedWeights, Recipe, Reference

AND = Recipe(
    name="and",
    summary="AND by logistic regression, 8,000 epochs at learning rate 0.1",
    dataset="and",
    task="binary",
    layers=(2, 1),
    training=GradientDescent(SGD(0.1), batch_size=4, epochs=8000),
    acceptance=Acceptance("accuracy", 1.0),
    reference=Reference(6, reported="2.5810e-05, 2.5644e-02, 2.5644e-02, 9.6408e-01 at epoch 7,900"),
)

AND_SHORT = msgspec.structs.replace(
    AND,
    name="and-short",
    summary="AND, 1,000 epochs at learning rate 0.01: not enough for (1, 1)",
    training=GradientDescent(SGD(0.01), batch_size=4, epochs=1000),
    acceptance=Acceptance("accuracy", 0.75),
    reference=Reference(6, reported="not enough"),
)

XOR = Recipe(
    name="xor",
    summary="XOR by an MLP with sigmoid in both layers",
    dataset="xor",
    task="binary",
    layers=(2, 3, 1),
    activation="sigmoid",
    training=GradientDescent(SGD(5.0), batch_size=4, epochs=5000),
    sweep_seeds=100,
    acceptance=Acceptance("accuracy", 1.0),
    reference=Reference(
        7, reported="1.8329e-04, 9.9974e-01, 9.9968e-01, 3.3466e-04; no learning rate, optimiser or epochs"
    ),
)

AND_BY_HAND = Recipe(
    name="and-by-hand",
    summary="AND as one neuron with fixed weights",
    dataset="and",
    task="binary",
    layers=(2, 1),
    training=FixedWeights.from_layers([(7, 7, -9)]),
    acceptance=Acceptance("accuracy", 1.0),
    reference=Reference(13, reported="7, 7; -9"),
)

OR_BY_HAND = msgspec.structs.replace(
    AND_BY_HAND,
    name="or-by-hand",
    summary="OR as one neuron with fixed weights",
    dataset="or",
    training=FixedWeights.from_layers([(7, 7, -5)]),
    reference=Reference(13, reported="7, 7; -5"),
)

XOR_BY_HAND = Recipe(
    name="xor-by-hand",
    summary="XOR by fixed weights: the OR of one neuron for each positive row",
    dataset="xor",
    task="binary",
    layers=(2, 2, 1),
    activation="sigmoid",
    training=FixedWeights.from_layers([(-7, 7, -3), (7, -7, -3)], [(7, 7, -5)]),
    acceptance=Acceptance("accuracy", 1.0),
    reference=Reference(13, reported="hidden -7, 7; -3 and 7, -7; -3, output 7, 7; -5"),
)
