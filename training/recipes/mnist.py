"""Handwritten digits."""

import msgspec

from training.recipes.gradient_descent import SGD, AdamW, Distortion, GradientDescent, OodHead, RMSprop, Teacher
from training.recipes.recipe import Acceptance, Recipe, Reference

MNIST = Recipe(
    name="mnist",
    summary="digits from photos and screens: augmentation, distillation, OOD head",
    dataset="mnist",
    task="multiclass",
    layers=(784, 800, 400, 10),
    scaling="unit",
    training=GradientDescent(
        AdamW(0.007),
        batch_size=512,
        epochs=136,
        batch_norm=True,
        weight_decay=0.01,
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
            artifact_fraction=0.3,
        ),
        teacher=Teacher(AdamW(0.003), batch_size=256, epochs=20, dropout=0.2, temperature=4.0),
        ood_head=OodHead(AdamW(0.006), batch_size=512, epochs=40, units=36, negatives=10_000),
    ),
    validation_rows=5000,
    acceptance=Acceptance("accuracy", 0.992),
)

DIGITS = Recipe(
    name="digits",
    summary="digits as people of several countries write them, in photos and on screens",
    dataset="digits",
    task="multiclass",
    layers=(784, 10),
    convolutions=(16, 32, 64),
    scaling="unit",
    training=GradientDescent(
        AdamW(0.003),
        batch_size=256,
        epochs=12,
        batch_norm=True,
        weight_decay=0.01,
        schedule="one-cycle",
        precision="bfloat16",
        distortion=Distortion(
            rotation=8,
            shear=0.12,
            aspect=0.1,
            scale=0.1,
            shift=1.2,
            elastic=0.45,
            thickness=0.8,
            contrast=0.7,
            noise=0.1,
            artifact_fraction=0.5,
            artifact_copies=3,
            scene_fraction=0.7,
        ),
        ood_head=OodHead(AdamW(0.006), batch_size=512, epochs=40, units=36, negatives=10_000),
    ),
    validation_rows=6049,  # `VALIDATION_ROWS` of the data set
    max_unsure=0.135,
    acceptance=Acceptance("accuracy", 0.99),
)

MNIST_DEEP = Recipe(
    name="mnist-deep",
    summary="MNIST by a deep MLP, as in the lecture: plain pixels, plain SGD",
    dataset="mnist",
    task="multiclass",
    layers=(784, 512, 256, 128, 64, 10),
    scaling="unit",
    training=GradientDescent(SGD(0.01), batch_size=12, epochs=10, curve_every=2000),
    acceptance=Acceptance("accuracy", 0.972),
    reference=Reference(2, reported="9,761 of 10,000 test images correct"),
)

MNIST_DROPOUT = Recipe(
    name="mnist-dropout",
    summary="MNIST with dropout; RMSprop's default learning rate 0.01 is too high",
    dataset="mnist",
    task="multiclass",
    layers=(784, 512, 512, 10),
    scaling="centred",
    training=GradientDescent(RMSprop(0.01), batch_size=128, epochs=10, dropout=0.2),
    acceptance=Acceptance("accuracy", 0.85),
    reference=Reference(12),
)

MNIST_DROPOUT_SLOW = msgspec.structs.replace(
    MNIST_DROPOUT,
    name="mnist-dropout-slow",
    summary="the same network; RMSprop at a tenth of that learning rate",
    training=GradientDescent(RMSprop(0.001), batch_size=128, epochs=10, dropout=0.2),
    acceptance=Acceptance("accuracy", 0.97),
)
