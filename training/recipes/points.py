"""Linear regression through three points."""

import msgspec

from training.recipes.gradient_descent import SGD, GradientDescent
from training.recipes.recipe import Acceptance, Recipe, Reference

LINEAR_REGRESSION = Recipe(
    name="linear-regression",
    summary="a line through (1, 1), (2, 2), (3, 3), stopped after 30 epochs",
    dataset="points",
    task="regression",
    layers=(1, 1),
    training=GradientDescent(SGD(0.01), batch_size=3, epochs=30, initialisation="uniform"),
    acceptance=Acceptance("r2", 0.5),
    reference=Reference(5, reported="W near 1 and b near 0 after 30 epochs"),
)

LINEAR_REGRESSION_CONVERGED = msgspec.structs.replace(
    LINEAR_REGRESSION,
    name="linear-regression-converged",
    summary="the same line, trained until it converges",
    training=GradientDescent(SGD(0.01), batch_size=3, epochs=5000, initialisation="uniform"),
    acceptance=Acceptance("r2", 0.999999),
    reference=Reference(5, reported="no figure: it stops after 30 epochs"),
)
