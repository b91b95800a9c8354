"""Exam results, predicted from hours of study."""

import msgspec

from training.recipes.gradient_descent import SGD, GradientDescent
from training.recipes.recipe import Acceptance, Recipe, Reference

HOURS_SOFTMAX = Recipe(
    name="hours-softmax",
    summary="the score after some hours of study, by softmax regression",
    dataset="hours-score",
    task="multiclass",
    layers=(1, 4),
    training=GradientDescent(SGD(0.1), batch_size=1, epochs=1000),
    acceptance=Acceptance("accuracy", 1.0),
    reference=Reference(9, reported="no figure: it asks for the scores after 0.25 and 4.5 hours"),
)

HOURS_PASS = msgspec.structs.replace(
    HOURS_SOFTMAX,
    name="hours-pass",
    summary="pass or fail after some hours of study, by logistic regression",
    dataset="hours-pass",
    task="binary",
    layers=(1, 1),
    reference=Reference(9),
)
