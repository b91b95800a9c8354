"""Hours of study, and what comes of them."""

import msgspec

from training.recipes.recipe import SGD, Bar, Descent, Lecture, Recipe

HOURS_SOFTMAX = Recipe(
    name="hours-softmax",
    summary="the score that hours of study bring, by softmax regression",
    dataset="hours-score",
    task="multiclass",
    layers=(1, 4),
    fit=Descent(SGD(0.1), batch=1, epochs=1000),
    bar=Bar("accuracy", 1.0),
    lecture=Lecture(9, printed="which score for 0.25 and for 4.5 hours?"),
)

HOURS_PASS = msgspec.structs.replace(
    HOURS_SOFTMAX,
    name="hours-pass",
    summary="pass or fail after so many hours, by logistic regression",
    dataset="hours-pass",
    task="binary",
    layers=(1, 1),
    lecture=Lecture(9),
)
