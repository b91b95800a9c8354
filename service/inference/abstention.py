"""Abstention: by the thresholds of its bundle a prediction is unsure, and says why.

A network predicts something for any input, often with high confidence.
"""

import numpy as np
from numpy.typing import NDArray

from service.bundle.manifest import Bundle


def abstention_reason(bundle: Bundle, confidence: float, ood_score: float) -> str | None:
    """Why a prediction is unsure; None if it is not, or if the bundle has no thresholds. Both numbers are 0 to 1."""
    thresholds = bundle.abstention
    if thresholds is None:
        return None
    if thresholds.max_background is not None and ood_score > thresholds.max_background:
        return f"it looks like none of {', '.join(bundle.labels)}"
    if confidence < thresholds.min_probability:
        return f"the probability of the most likely label is below {thresholds.min_probability:g}"
    return None


def are_unsure(bundle: Bundle, confidences: NDArray[np.float32], ood_scores: NDArray[np.float32]) -> NDArray[np.bool_]:
    """For many predictions at once whether there is such a reason; both [n]."""
    thresholds = bundle.abstention
    if thresholds is None:
        return np.zeros(len(confidences), np.bool_)
    unsure: NDArray[np.bool_] = confidences < thresholds.min_probability
    return unsure if thresholds.max_background is None else unsure | (ood_scores > thresholds.max_background)
