"""The service's normaliser, with its segmenter opened once: training images go the same way as uploads."""

import functools

from service.images import normaliser
from service.images.normaliser import NormalisedDigit, SegmentFunction
from service.images.normaliser.segmentation import Grey
from service.inference.segmenter import open_segmenter
from service.settings import Settings


@functools.cache
def segmenter() -> SegmentFunction:
    """The segmenter, on one core; raises `StartError`."""
    return open_segmenter(Settings(device="cpu", intra_op_threads=1))


def normalise(grey: Grey) -> Grey:
    """UINT8 [height, width] -> UINT8 [28, 28]; raises `UnprocessableInput` unless it shows one digit."""
    return normaliser.normalise(grey, segmenter())


def normalise_with_report(grey: Grey) -> NormalisedDigit:
    """As `normalise`, with a report of what was done."""
    return normaliser.normalise_with_report(grey, segmenter())
