"""Pictures for a network that was trained elsewhere: from the image of a bundle to the numbers that its input takes."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from service.bundle.manifest import Preprocess
from service.bundle.signature import FLOATS, NUMPY_DTYPES, TensorSpec
from training.errors import CannotImport


@dataclass(frozen=True)
class ImageInput:
    """`shape` is that of an image, height and width, and 3 in colour; 0 and 255 become the two numbers of `pixels`.

    Then the `mean` is subtracted, and what is left is divided by `std`: of each colour, or one for all.
    """

    shape: tuple[int, ...]
    preprocess: Preprocess
    pixels: tuple[float, float] | None = None
    mean: tuple[float, ...] = (0.0,)
    std: tuple[float, ...] = (1.0,)

    @property
    def factor(self) -> NDArray[np.float32]:
        """What pixels are multiplied by, FP32 [colours]."""
        low, high = self.pixels or (0.0, 1.0)
        return ((high - low) / 255 / np.array(self.std, np.float64)).astype(np.float32)

    @property
    def offset(self) -> NDArray[np.float32]:
        """What is added then, FP32 [colours]."""
        low, _ = self.pixels or (0.0, 1.0)
        return ((low - np.array(self.mean, np.float64)) / np.array(self.std, np.float64)).astype(np.float32)

    @property
    def spec(self) -> TensorSpec:
        """The input of the bundle."""
        return TensorSpec("image", "UINT8", (-1, *self.shape))

    def fill(self, given: TensorSpec) -> TensorSpec:
        """The input with this size of pictures, where it takes pictures of any size; as it is, if it fits none."""
        height, width, colours = (*self.shape, 1)[:3]
        flat = ((height, width), (height * width,)) if colours == 1 else ()
        for sizes in ((colours, height, width), (height, width, colours), *flat):
            shape = (given.shape[0], *sizes)
            if given.fits(shape):
                return TensorSpec(given.name, given.datatype, shape)
        return given

    def for_input(self, given: TensorSpec, where: str) -> "ImageInput":
        """With the range of pixels that the input takes: 0 to 1, or of whole numbers 0 to 255.

        Raises `CannotImport` if what is said of it cannot be.
        """
        whole = given.datatype not in FLOATS
        low, high = self.pixels or ((0.0, 255.0) if whole else (0.0, 1.0))
        if whole and ((low, high) != (0, 255) or any(self.mean) or set(self.std) != {1}):
            raise CannotImport(
                f"{where}: its input {given.name!r} is {given.datatype}: it takes pixels 0 to 255 as they are"
            )
        if outside := [mean for mean in self.mean if not min(low, high) <= mean <= max(low, high)]:
            raise CannotImport(
                f"{where}: --mean {outside[0]:g} is outside the range of pixels, {low:g} to {high:g}: --pixels 0,255, "
                "say, is another range"
            )
        return replace(self, pixels=(low, high))

    def order_of(self, given: TensorSpec, where: str) -> tuple[int, ...]:
        """The order of the axes of [n, height, width, colours] in the input; raises `CannotImport` if none fits."""
        height, width, colours = (*self.shape, 1)[:3]
        sizes = given.shape[1:]
        flat = (height * width * colours,)
        grey = colours == 1
        if given.datatype in (*FLOATS, "UINT8"):
            if sizes == (colours, height, width):
                return (0, 3, 1, 2)
            if sizes == (height, width, colours) or (grey and sizes in ((height, width), flat)):
                return (0, 1, 2, 3)
        shown = f"{given.datatype} {list(given.shape)}"
        size = "x".join(map(str, self.shape))
        raise CannotImport(f"{where}: its input {given.name!r} is {shown}, which takes no images of {size}")

    def to_network(self, images: NDArray[np.uint8], given: TensorSpec) -> NDArray[np.generic]:
        """UINT8 [n, height, width] or [n, height, width, 3] as the input takes it."""
        pixels = images.reshape(len(images), *(*self.shape, 1)[:3]).astype(np.float64)
        low, high = self.pixels or (0.0, 1.0)
        scaled = low + pixels * ((high - low) / 255)
        scaled = (scaled - np.array(self.mean)) / np.array(self.std)
        ordered = scaled.transpose(self.order_of(given, given.name))
        return np.asarray(ordered.reshape(len(images), *given.shape[1:]), NUMPY_DTYPES[given.datatype])


def image_input(
    shape: tuple[int, ...],
    preprocess: Preprocess,
    pixels: Sequence[float] = (),
    mean: Sequence[float] = (),
    std: Sequence[float] = (),
) -> ImageInput:
    """What is said of a network of pictures; raises `CannotImport` for numbers that do not fit."""
    colours = shape[2] if len(shape) == 3 else 1
    if len(pixels) not in (0, 2):
        raise CannotImport("--pixels: expected two numbers, what 0 and 255 are for the network")
    for name, values in (("mean", mean), ("std", std)):
        if len(values) not in (0, 1, colours):
            raise CannotImport(f"--{name}: {len(values)} numbers, expected one, or one for each of {colours} colours")
    if not all(std):
        raise CannotImport("--std: a standard deviation is not 0")
    if preprocess.method == "digit" and shape != (28, 28):
        raise CannotImport("--preprocess digit makes grey images of 28x28 pixels")
    return ImageInput(
        shape, preprocess, (pixels[0], pixels[1]) if pixels else None, tuple(mean) or (0.0,), tuple(std) or (1.0,)
    )
