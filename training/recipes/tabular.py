"""A two-layer MLP for each kind of task: one value, several values, two classes, many classes."""

from training.recipes.gradient_descent import Adam, GradientDescent
from training.recipes.recipe import Acceptance, Recipe, Reference

DIABETES = Recipe(
    name="diabetes",
    summary="progression of diabetes after a year, from ten clinical measurements",
    dataset="diabetes",
    task="regression",
    layers=(10, 16, 1),
    scaling="standardised",
    training=GradientDescent(Adam(0.01), batch_size=32, epochs=30, weight_decay=0.1),
    acceptance=Acceptance("r2", 0.40, seeds=20),
    reference=Reference(16),
)

LINNERUD = Recipe(
    name="linnerud",
    summary="weight, waist and pulse of twenty men, from three exercises",
    dataset="linnerud",
    task="regression",
    layers=(3, 8, 3),
    scaling="standardised",
    training=GradientDescent(Adam(0.01), batch_size=20, epochs=200),
    acceptance=Acceptance("r2", 0.40),
    reference=Reference(16),
)

BREAST_CANCER = Recipe(
    name="breast-cancer",
    summary="malignant or benign tumours, from thirty measurements of their cells",
    dataset="breast-cancer",
    task="binary",
    layers=(30, 16, 1),
    scaling="standardised",
    training=GradientDescent(Adam(0.01), batch_size=32, epochs=20),
    acceptance=Acceptance("accuracy", 0.95, seeds=20),
    reference=Reference(16),
)

WINE = Recipe(
    name="wine",
    summary="three wine growers of one region, from the chemistry of their wines",
    dataset="wine",
    task="multiclass",
    layers=(13, 16, 3),
    scaling="standardised",
    training=GradientDescent(Adam(0.01), batch_size=32, epochs=30),
    acceptance=Acceptance("accuracy", 0.95, seeds=20),
    reference=Reference(16),
)
