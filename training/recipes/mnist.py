"""Networks that read digits."""

from training.recipes.definition import SGD, Bar, Lecture, Recipe

MNIST_DEEP = Recipe(
    name="mnist-deep",
    summary="MNIST by a deep MLP, as in the lecture: plain pixels, plain SGD",
    dataset="mnist",
    layers=(784, 512, 256, 128, 64, 10),
    optimiser=SGD(rate=0.01),
    batch=12,
    epochs=10,
    bar=Bar(accuracy=0.972),
    lecture=Lecture(
        source="Review 2: MLP (Hanyang University, department of AI, 2021)",
        accuracy=0.9761,
        printed="9761 of 10,000 test images right",
    ),
)
