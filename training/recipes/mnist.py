"""Networks that read digits."""

import msgspec

from training.recipes.definition import SGD, Bar, Descent, Lecture, Recipe, RMSprop

MNIST_DEEP = Recipe(
    name="mnist-deep",
    summary="MNIST by a deep MLP, as in the lecture: plain pixels, plain SGD",
    dataset="mnist",
    task="multiclass",
    layers=(784, 512, 256, 128, 64, 10),
    scaling="unit",
    fit=Descent(SGD(0.01), batch=12, epochs=10, trace=2000),
    bar=Bar("accuracy", 0.972),
    lecture=Lecture(2, printed="9761 of 10,000 test images right"),
)

MNIST_DROPOUT = Recipe(
    name="mnist-dropout",
    summary="MNIST with dropout, by RMSprop at its default rate, 0.01, which is too high",
    dataset="mnist",
    task="multiclass",
    layers=(784, 512, 512, 10),
    scaling="centred",
    fit=Descent(RMSprop(0.01), batch=128, epochs=10, dropout=0.2),
    bar=Bar("accuracy", 0.85),
    lecture=Lecture(12),
)

MNIST_DROPOUT_SLOW = msgspec.structs.replace(
    MNIST_DROPOUT,
    name="mnist-dropout-slow",
    summary="the same network and RMSprop at a tenth of the rate, 0.001",
    fit=Descent(RMSprop(0.001), batch=128, epochs=10, dropout=0.2),
    bar=Bar("accuracy", 0.97),
)
