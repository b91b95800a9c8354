"""Two tasks in the plane, with noise: one line, a small network, a deep one that overfits, and L2 that tames it.

Each is judged as the mean over three draws of the points, and records both accuracies: on the 150 points that it
learned from, and on 1,000 others.
"""

from training.recipes.recipe import Adam, Bar, Descent, Lecture, Recipe


def by(dataset: str, name: str, layers: tuple[int, ...], bar: float, l2: float = 0.0) -> Recipe:
    """A network for points of this data set, with ReLU between its layers."""
    hidden = "+".join(map(str, layers[1:]))
    network = f"an MLP, {hidden}" if len(layers) > 2 else "logistic regression: one line"
    penalty = f", with an L2 penalty of {l2}" if l2 else ""
    return Recipe(
        name=f"{dataset}-{name}",
        summary=f"two {dataset} by {network}{penalty}",
        dataset=dataset,
        task="binary",
        layers=layers,
        fit=Descent(Adam(0.01), batch=150, epochs=1000, l2=l2),
        bar=Bar("accuracy", bar, seeds=3),
        lecture=Lecture(15),
    )


MOONS_LOGISTIC = by("moons", "logistic", (2, 1), bar=0.80)
MOONS_MLP = by("moons", "mlp", (2, 20, 1), bar=0.86)
MOONS_DEEP = by("moons", "deep", (2, 20, 20, 20, 1), bar=0.84)
MOONS_DEEP_L2 = by("moons", "deep-l2", (2, 20, 20, 20, 1), bar=0.88, l2=0.01)
SPIRALS_LOGISTIC = by("spirals", "logistic", (2, 1), bar=0.70)
SPIRALS_MLP = by("spirals", "mlp", (2, 20, 1), bar=0.84)
SPIRALS_DEEP = by("spirals", "deep", (2, 20, 20, 20, 1), bar=0.80)
SPIRALS_DEEP_L2 = by("spirals", "deep-l2", (2, 20, 20, 20, 1), bar=0.84, l2=0.01)
