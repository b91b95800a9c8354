"""A mixture density network: two answers to one input, of which a regression would give the mean, which is neither."""

from training.recipes.gradient_descent import Adam, GradientDescent
from training.recipes.recipe import Acceptance, Recipe, Reference

ARC = Recipe(
    name="arc",
    summary="where on an arc is a given height? Three Gaussians for two answers",
    dataset="arc",
    task="mixture",
    layers=(1, 24, 24, 9),
    activation="tanh",
    scaling="standardised",
    training=GradientDescent(Adam(0.01), batch_size=100, epochs=150),
    acceptance=Acceptance("log_likelihood", 0.6, seeds=3),
    reference=Reference(3),
)
