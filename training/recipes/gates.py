"""AND, OR and XOR: trained, and with weights set by hand (each neuron its weights and its bias)."""

import msgspec

from training.recipes.recipe import SGD, Bar, ByHand, Descent, Lecture, Recipe

AND = Recipe(
    name="and",
    summary="AND by logistic regression, 8,000 epochs at rate 0.1",
    dataset="and",
    task="binary",
    layers=(2, 1),
    fit=Descent(SGD(0.1), batch=4, epochs=8000),
    bar=Bar("accuracy", 1.0),
    lecture=Lecture(6, printed="2.5810e-05, 2.5644e-02, 2.5644e-02, 9.6408e-01 at epoch 7,900"),
)

AND_SHORT = msgspec.structs.replace(
    AND,
    name="and-short",
    summary="AND, 1,000 epochs at rate 0.01: not enough, it still answers 0 to (1, 1)",
    fit=Descent(SGD(0.01), batch=4, epochs=1000),
    bar=Bar("accuracy", 0.75),
    lecture=Lecture(6, printed="not enough"),
)

XOR = Recipe(
    name="xor",
    summary="XOR by an MLP, sigmoid in both layers",
    dataset="xor",
    task="binary",
    layers=(2, 3, 1),
    activation="sigmoid",
    fit=Descent(SGD(5.0), batch=4, epochs=5000),
    trials=100,
    bar=Bar("accuracy", 1.0),
    lecture=Lecture(7, printed="1.8329e-04, 9.9974e-01, 9.9968e-01, 3.3466e-04; no rate, optimiser or epochs"),
)

AND_BY_HAND = Recipe(
    name="and-by-hand",
    summary="AND as one neuron with its weights set by hand",
    dataset="and",
    task="binary",
    layers=(2, 1),
    fit=ByHand.layers([(7, 7, -9)]),
    bar=Bar("accuracy", 1.0),
    lecture=Lecture(13, printed="7, 7; -9"),
)

OR_BY_HAND = msgspec.structs.replace(
    AND_BY_HAND,
    name="or-by-hand",
    summary="OR as one neuron with its weights set by hand",
    dataset="or",
    fit=ByHand.layers([(7, 7, -5)]),
    lecture=Lecture(13, printed="7, 7; -5"),
)

XOR_BY_HAND = Recipe(
    name="xor-by-hand",
    summary="XOR as the OR of two neurons, each for one side, set by hand",
    dataset="xor",
    task="binary",
    layers=(2, 2, 1),
    activation="sigmoid",
    fit=ByHand.layers([(-7, 7, -3), (7, -7, -3)], [(7, 7, -5)]),
    bar=Bar("accuracy", 1.0),
    lecture=Lecture(13, printed="hidden -7, 7; -3 and 7, -7; -3, output 7, 7; -5"),
)
