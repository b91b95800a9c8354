"""The two-layer MLP in its four forms: one value, several values, two classes, many classes."""

from training.recipes.recipe import Adam, Bar, Descent, Lecture, Recipe

DIABETES = Recipe(
    name="diabetes",
    summary="how far diabetes goes in a year, from ten measures, in the units of the clinic",
    dataset="diabetes",
    task="regression",
    layers=(10, 16, 1),
    scaling="standardised",
    fit=Descent(Adam(0.01), batch=32, epochs=30, l2=0.1),
    bar=Bar("r2", 0.40, seeds=20),
    lecture=Lecture(16),
)

LINNERUD = Recipe(
    name="linnerud",
    summary="weight, waist and pulse of twenty men, from three exercises: three values at once",
    dataset="linnerud",
    task="regression",
    layers=(3, 8, 3),
    scaling="standardised",
    fit=Descent(Adam(0.01), batch=20, epochs=200),
    bar=Bar("r2", 0.40),
    lecture=Lecture(16),
)

BREAST_CANCER = Recipe(
    name="breast-cancer",
    summary="a tumour, malignant or benign, from thirty measures of its cells",
    dataset="breast-cancer",
    task="binary",
    layers=(30, 16, 1),
    scaling="standardised",
    fit=Descent(Adam(0.01), batch=32, epochs=20),
    bar=Bar("accuracy", 0.95, seeds=20),
    lecture=Lecture(16),
)

WINE = Recipe(
    name="wine",
    summary="three growers of one valley told apart by the chemistry of their wines",
    dataset="wine",
    task="multiclass",
    layers=(13, 16, 3),
    scaling="standardised",
    fit=Descent(Adam(0.01), batch=32, epochs=30),
    bar=Bar("accuracy", 0.95, seeds=20),
    lecture=Lecture(16),
)
