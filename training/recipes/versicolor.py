"""Iris versicolor against the rest: no line parts them by the sepals, two lines do somewhat, petals do far better."""

import msgspec

from training.recipes.recipe import Adam, Bar, ByHand, Descent, Lecture, Recipe

VERSICOLOR_NEURON = Recipe(
    name="versicolor-neuron",
    summary="versicolor or not by the sepals: one trained neuron cannot tell",
    dataset="versicolor-sepal",
    task="binary",
    layers=(2, 1),
    scaling="standardised",
    fit=Descent(Adam(0.01), batch=150, epochs=2000),
    bar=Bar("accuracy", 0.70),
    lecture=Lecture(14, printed="about 0.71"),
)

VERSICOLOR_BY_HAND = Recipe(
    name="versicolor-by-hand",
    summary="two lines set by hand, and their AND",
    dataset="versicolor-sepal",
    task="binary",
    layers=(2, 2, 1),
    activation="sigmoid",
    fit=ByHand.layers([(-7, -5, 60), (4, -5, -5)], [(7, 7, -9)]),
    bar=Bar("accuracy", 0.70),
    lecture=Lecture(14, printed="106 of 150 right"),
)

VERSICOLOR_BY_HAND_OR = msgspec.structs.replace(
    VERSICOLOR_BY_HAND,
    name="versicolor-by-hand-or",
    summary="the same two lines, and their OR: worse than a guess",
    fit=ByHand.layers([(-7, -5, 60), (4, -5, -5)], [(7, 7, -5)]),
    bar=Bar("accuracy", 0.35),
    lecture=Lecture(14, printed="53 of 150 right"),
)

VERSICOLOR_SEPAL = msgspec.structs.replace(
    VERSICOLOR_BY_HAND,
    name="versicolor-sepal",
    summary="the same network of three neurons, trained",
    scaling="standardised",
    fit=Descent(Adam(0.01), batch=150, epochs=3000),
    bar=Bar("accuracy", 0.75),
    lecture=Lecture(14),
)

VERSICOLOR_PETAL = msgspec.structs.replace(
    VERSICOLOR_SEPAL,
    name="versicolor-petal",
    summary="the same network, trained on the petals",
    dataset="versicolor-petal",
    trials=100,
    bar=Bar("accuracy", 0.95),
)
