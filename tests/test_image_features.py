"""What is measured of images: exact, in little memory, however many and large they are."""

import tracemalloc

import numpy as np
import pytest

from service.inference.image_features import image_features


@pytest.mark.parametrize("shape", [(1, 1), (1, 28, 28), (1500, 28, 28), (9, 224, 224, 3), (2, 1500, 1000, 3)])
@pytest.mark.parametrize("kind", ["random", "white", "grey", "sparse"])
def test_mean_and_deviation_are_those_of_floating_point(shape: tuple[int, ...], kind: str) -> None:
    random = np.random.default_rng(0)
    images = {
        "random": random.integers(0, 256, shape, np.uint8),
        "white": np.full(shape, 255, np.uint8),
        "grey": np.full(shape, 37, np.uint8),
        "sparse": np.asarray(random.random(shape) < 0.01, np.uint8) * np.uint8(255),
    }[kind]
    measured = image_features(images, digits=False)
    assert measured.shape == (len(images), 2)
    assert measured.dtype == np.float32
    for row, image in zip(measured, images, strict=True):
        assert row == pytest.approx([image.mean() / 255, image.std() / 255], abs=1e-6)


@pytest.mark.parametrize("digits", [True, False])
def test_measuring_many_large_images_takes_no_more_memory_than_a_few(*, digits: bool) -> None:
    images = np.full((60, 224, 224, 3), 200, np.uint8)
    tracemalloc.start()
    image_features(images, digits=digits)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 2 * 2**20
