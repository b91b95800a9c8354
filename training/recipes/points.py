"""A line through three points."""

import msgspec

from training.recipes.recipe import SGD, Bar, Descent, Lecture, Recipe

LINEAR_REGRESSION = Recipe(
    name="linear-regression",
    summary="a line through (1, 1), (2, 2), (3, 3), as far as 30 epochs bring it",
    dataset="points",
    task="regression",
    layers=(1, 1),
    fit=Descent(SGD(0.01), batch=3, epochs=30, start="uniform"),
    bar=Bar("r2", 0.5),
    lecture=Lecture(5, printed="W near 1 and b near 0 after 30 epochs"),
)

LINEAR_REGRESSION_CONVERGED = msgspec.structs.replace(
    LINEAR_REGRESSION,
    name="linear-regression-converged",
    summary="the same, until it converges",
    fit=Descent(SGD(0.01), batch=3, epochs=5000, start="uniform"),
    bar=Bar("r2", 0.999999),
    lecture=Lecture(5, printed="no figure: it stops after 30 epochs"),
)
