"""Two noisy tasks in the plane: logistic regression, a small MLP, a deep one that overfits, and one with weight decay.

Acceptance is the mean over three samples of the points. The metrics include the accuracy on the 150 training points and
on 1,000 held-out points.
"""

from training.recipes.gradient_descent import Adam, GradientDescent
from training.recipes.recipe import Acceptance, Recipe, Reference


def _recipe(dataset: str, name: str, layers: tuple[int, ...], threshold: float, weight_decay: float = 0.0) -> Recipe:
    """A network for points of this data set, with ReLU between its layers."""
    hidden = "+".join(map(str, layers[1:]))
    network = f"an MLP, {hidden}" if len(layers) > 2 else "logistic regression: one line"
    penalty = f", with weight decay {weight_decay}" if weight_decay else ""
    return Recipe(
        name=f"{dataset}-{name}",
        summary=f"two {dataset} by {network}{penalty}",
        dataset=dataset,
        task="binary",
        layers=layers,
        training=GradientDescent(Adam(0.01), batch_size=150, epochs=1000, weight_decay=weight_decay),
        acceptance=Acceptance("accuracy", threshold, seeds=3),
        reference=Reference(15),
    )


MOONS_LOGISTIC = _recipe("moons", "logistic", (2, 1), threshold=0.80)
MOONS_MLP = _recipe("moons", "mlp", (2, 20, 1), threshold=0.86)
MOONS_DEEP = _recipe("moons", "deep", (2, 20, 20, 20, 1), threshold=0.84)
MOONS_DEEP_L2 = _recipe("moons", "deep-l2", (2, 20, 20, 20, 1), threshold=0.88, weight_decay=0.01)
SPIRALS_LOGISTIC = _recipe("spirals", "logistic", (2, 1), threshold=0.70)
SPIRALS_MLP = _recipe("spirals", "mlp", (2, 20, 1), threshold=0.84)
SPIRALS_DEEP = _recipe("spirals", "deep", (2, 20, 20, 20, 1), threshold=0.80)
SPIRALS_DEEP_L2 = _recipe("spirals", "deep-l2", (2, 20, 20, 20, 1), threshold=0.84, weight_decay=0.01)
