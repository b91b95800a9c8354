"""The training of the segmenter: endless new pictures, averaged weights, and checkpoints from which it goes on."""

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, cast

import msgspec
import torch
from torch import Tensor
from torch.nn.functional import binary_cross_entropy_with_logits, cross_entropy
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from training.errors import Diverged, TrainingError
from training.learning.curve import CurvePoint
from training.segmenter.distance_fields import DistanceFields
from training.segmenter.draws import Draws
from training.segmenter.network import Segmenter
from training.segmenter.recipe import SegmenterRecipe
from training.segmenter.scenes import Scenes, compose

CHECKPOINT_SECONDS = 120
POINT_STEPS = 200  # for one point of the learning curve

Report = Callable[[int, CurvePoint], None]
"""Called with the samples so far and the latest point of the learning curve, whose epochs are millions of samples."""


class SegmenterTraining:
    """A training run that can be saved after any step, and goes on from there with the same pictures and weights."""

    def __init__(self, digits: DistanceFields, recipe: SegmenterRecipe, *, compiled: bool = False) -> None:
        """`compiled`: half as fast again, after a minute; it needs a C++ compiler."""
        torch.manual_seed(recipe.seed)
        self.recipe = recipe
        self.step = 0
        self.curve: list[CurvePoint] = []
        self._seconds = 0.0
        self._digits = digits
        self._network = Segmenter().to(memory_format=torch.channels_last)
        self._average = AveragedModel(
            self._network, multi_avg_fn=get_ema_multi_avg_fn(recipe.averaging), use_buffers=True
        )
        self._optimiser = torch.optim.AdamW(
            self._network.parameters(), recipe.learning_rate, weight_decay=recipe.weight_decay
        )
        self._draws = Draws(recipe.batch_size, torch.Generator().manual_seed(recipe.seed))
        self._forward = torch.compile(self._network, dynamic=False) if compiled else self._network

    @property
    def network(self) -> Segmenter:
        """The network with the averaged weights."""
        return cast(Segmenter, self._average.module).eval()

    def save(self, path: Path) -> None:
        """Write all that the run needs to go on, in place of an older checkpoint."""
        state = {
            "recipe": msgspec.to_builtins(self.recipe),
            "step": self.step,
            "seconds": self._seconds,
            "curve": msgspec.to_builtins(self.curve),
            "network": self._network.state_dict(),
            "average": self._average.state_dict(),
            "optimiser": self._optimiser.state_dict(),
            "draws": self._draws.generator.get_state(),
        }
        partial = path.with_suffix(".partial")
        torch.save(state, partial)
        partial.replace(path)

    def load(self, path: Path) -> None:
        """Go on from a checkpoint; raises `TrainingError` if it is of another recipe."""
        state: dict[str, Any] = torch.load(path, weights_only=True)
        found = msgspec.convert(state["recipe"], SegmenterRecipe)
        if found != self.recipe:
            raise TrainingError(f"{path} is a checkpoint of another recipe: {found}")
        self.step, self._seconds = state["step"], state["seconds"]
        self.curve = msgspec.convert(state["curve"], list[CurvePoint])
        self._network.load_state_dict(state["network"])
        self._average.load_state_dict(state["average"])
        self._optimiser.load_state_dict(state["optimiser"])
        self._draws.generator.set_state(state["draws"])

    def run(self, checkpoint: Path, report: Report) -> None:
        """Train to the end of the recipe; raises `Diverged` if the loss is NaN or infinite."""
        started, total = time.monotonic() - self._seconds, 0.0
        saved = time.monotonic()
        while self.step < self.recipe.steps:
            total += self._train_step()
            if self.step % POINT_STEPS == 0 or self.step == self.recipe.steps:
                self._seconds = time.monotonic() - started
                samples = self.step * self.recipe.batch_size
                self.curve.append(
                    CurvePoint(samples / 1e6, self._seconds, total / (self.step % POINT_STEPS or POINT_STEPS), None)
                )
                report(samples, self.curve[-1])
                if not torch.tensor(total).isfinite():
                    raise Diverged(f"{self.recipe.name}: the loss is NaN or infinite after {samples:,} samples")
                total = 0.0
                if time.monotonic() - saved > CHECKPOINT_SECONDS:
                    self.save(checkpoint)
                    saved = time.monotonic()
        self.save(checkpoint)

    def _train_step(self) -> float:
        for group in self._optimiser.param_groups:
            group["lr"] = self.recipe.learning_rate * self.recipe.rate(self.step)
        with torch.no_grad():
            scenes = compose(self._digits, self._draws)
        self._network.train()
        ink, heads = self._forward(scenes.pictures)
        loss = segmentation_loss(ink, heads, scenes)
        self._optimiser.zero_grad()
        loss.backward()
        self._optimiser.step()
        self._average.update_parameters(self._network)
        self.step += 1
        return loss.item()


def segmentation_loss(ink: Tensor, heads: Tensor, scenes: Scenes) -> Tensor:
    """Of the mask by pixel (cross-entropy) and by picture (Dice), of the number of digits, and of the polarity."""
    cover = torch.sigmoid(ink)
    both = (cover * scenes.masks).sum((1, 2))
    dice = 1 - (2 * both + 1) / (cover.sum((1, 2)) + scenes.masks.sum((1, 2)) + 1)
    shown = (scenes.digits > 0).float()
    polarity = binary_cross_entropy_with_logits(heads[:, 3], scenes.inverted, weight=shown)
    count = cross_entropy(heads[:, :3], scenes.digits)
    return 2 * binary_cross_entropy_with_logits(ink, scenes.masks) + dice.mean() + 0.5 * count + 0.1 * polarity
