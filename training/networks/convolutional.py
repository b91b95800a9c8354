"""Stages of convolutions, of a network or of its teacher."""

from collections.abc import Sequence

import torch
from torch import nn

from service.bundle.manifest import IMAGE_SHAPE

CONV_FORMAT = torch.channels_last  # in which convolutions take half the time on a CPU


def convolutions(channels: Sequence[int], *, bias: bool = True) -> list[nn.Module]:
    """FP32 [n, 784] -> FP32 [n, channels[-1]]; without `bias` for layers whose batch normalisation stays.

    Two 3x3 convolutions for each stage, max pooling between the stages, and the mean over all places at the end.
    """
    modules: list[nn.Module] = [nn.Unflatten(1, (1, *IMAGE_SHAPE))]
    inputs = 1
    for stage, outputs in enumerate(channels):
        modules += [nn.MaxPool2d(2)] if stage else []
        for _ in range(2):
            modules += [nn.Conv2d(inputs, outputs, 3, padding=1, bias=bias), nn.ReLU()]
            inputs = outputs
    return [*modules, nn.AdaptiveAvgPool2d(1), nn.Flatten()]
