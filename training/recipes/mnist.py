"""Networks that read digits."""

import msgspec

from training.recipes.recipe import (
    SGD,
    AdamW,
    Background,
    Bar,
    Descent,
    Distortion,
    Lecture,
    Recipe,
    RMSprop,
    Teacher,
)

MNIST = Recipe(
    name="mnist",
    summary="digits as people write and photograph them: distorted images, and a teacher",
    dataset="mnist",
    task="multiclass",
    layers=(784, 800, 400, 10),
    scaling="unit",
    fit=Descent(
        AdamW(0.007),
        batch=512,
        epochs=136,
        batch_norm=True,
        l2=0.01,
        schedule="one-cycle",
        precision="bfloat16",
        distortion=Distortion(
            rotation=6,
            shear=0.08,
            aspect=0.1,
            scale=0.1,
            shift=1.2,
            elastic=0.45,
            thickness=0.8,
            contrast=0.7,
            noise=0.1,
            residue=0.3,
        ),
        teacher=Teacher(AdamW(0.003), batch=256, epochs=20, dropout=0.2, temperature=4.0),
        background=Background(AdamW(0.006), batch=512, epochs=40, units=36, strangers=10_000),
    ),
    validation=5000,
    bar=Bar("accuracy", 0.992),
)

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
