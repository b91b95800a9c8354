"""Digits by writers of other countries than MNIST's, in the files of their publishers and in MNIST's geometry.

handwriting      digits with their writers, and what the three data sets have in common
swiss_numbers    scans of fifteen Swiss writers
pendigits        pen strokes of 44 Turkish writers
hwd1000          drawings with a mouse or pen on a screen
ink              scans and drawings to 28x28 images
files            downloads, and SHA-256 of what is read
"""

from training.datasets.hands.handwriting import Handwriting, HandwritingDataset
from training.datasets.hands.hwd1000 import Hwd1000
from training.datasets.hands.pendigits import PenDigits
from training.datasets.hands.swiss_numbers import SwissNumbers

__all__ = ["DATASETS", "Handwriting", "HandwritingDataset", "Hwd1000", "PenDigits", "SwissNumbers"]

DATASETS: dict[str, type[HandwritingDataset]] = {
    dataset.name: dataset for dataset in (SwissNumbers, PenDigits, Hwd1000)
}
