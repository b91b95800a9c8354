"""How good a segmenter is, in pictures of held-out digits."""

import torch

from training.segmenter.distance_fields import DistanceFields
from training.segmenter.draws import Draws
from training.segmenter.network import Segmenter
from training.segmenter.scenes import compose

BATCHES = 60


@torch.inference_mode()
def evaluate(network: Segmenter, digits: DistanceFields, seed: int, batches: int = BATCHES) -> dict[str, float]:
    """The mean intersection over union of the masks of one digit, and how often number and polarity are right.

    `empty_pixels` is the mean fraction of pixels taken for ink where there is no digit.
    """
    draws = Draws(64, torch.Generator().manual_seed(seed))
    unions: list[torch.Tensor] = []
    numbers: list[torch.Tensor] = []
    polarities: list[torch.Tensor] = []
    empties: list[torch.Tensor] = []
    for _ in range(batches):
        scenes = compose(digits, draws)
        ink, heads = network(scenes.pictures)
        found, truth = ink > 0, scenes.masks > 0.5
        one = (scenes.digits == 1) & truth.any((1, 2))
        union = (found & truth).sum((1, 2)) / (found | truth).sum((1, 2))
        unions.append(union[one])
        numbers.append(heads[:, :3].argmax(1) == scenes.digits)
        polarities.append(((heads[:, 3] > 0) == (scenes.inverted > 0.5))[scenes.digits > 0])
        empties.append(found[scenes.digits == 0].float().mean((1, 2)))
    parts = {"iou": unions, "number_accuracy": numbers, "polarity_accuracy": polarities, "empty_pixels": empties}
    return {name: round(torch.cat(values).float().mean().item(), 5) for name, values in parts.items()}
