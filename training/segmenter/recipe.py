"""How the segmenter is made: the fields of its recipe, which its manifest stores in full."""

import math
from typing import Annotated

import msgspec
from msgspec import Meta

from training.recipes.gradient_descent import PositiveFloat, PositiveInt

NAME = "segmenter"
CHECKPOINT = "segmenter.checkpoint"  # in the folder where it is trained
Fraction = Annotated[float, Meta(ge=0, le=1)]


class SegmenterRecipe(msgspec.Struct, frozen=True, kw_only=True):
    """AdamW, linear warm-up and cosine schedule to `final_rate`; the exported weights are an exponential average."""

    name: str = NAME
    summary: str = "the ink of a digit in any picture, learned from synthetic pictures"
    datasets: tuple[str, ...] = ("mnist", "numbers", "pendigits")
    """The digits that are drawn into the pictures."""
    digits_of_each: PositiveInt = 12_000
    """The first training rows of each data set, or all if there are fewer; no other digits are drawn."""
    samples: PositiveInt = 4_000_000
    """Pictures, of which each is seen once."""
    batch_size: PositiveInt = 64
    learning_rate: PositiveFloat = 0.003
    weight_decay: Annotated[float, Meta(ge=0)] = 0.01
    warmup: Fraction = 0.02
    """Of the steps."""
    final_rate: Fraction = 0.2
    """The learning rate at the end, of `learning_rate`; the average of weights does the rest of the annealing."""
    averaging: Fraction = 0.9995
    """The part of the moving average that stays at each step."""
    seed: int = 0
    threshold: Fraction = 0.62
    """Acceptance: the mean intersection over union of masks of one digit, in pictures of held-out digits.

    Many digits in them are of a few pixels, faint or thin, so that a pixel more or less is a large part of them."""

    @property
    def steps(self) -> int:
        """Steps of the optimiser."""
        return math.ceil(self.samples / self.batch_size)

    def rate(self, step: int) -> float:
        """The learning rate at a step, as a fraction of `learning_rate`."""
        warmup = max(1, round(self.warmup * self.steps))
        if step < warmup:
            return (step + 1) / warmup
        cosine = 0.5 + 0.5 * math.cos(math.pi * (step - warmup) / max(1, self.steps - warmup))
        return self.final_rate + (1 - self.final_rate) * cosine


SEGMENTER = SegmenterRecipe()
