"""The learning curve."""

import msgspec

MAX_POINTS = 100  # of the curve in a bundle


class CurvePoint(msgspec.Struct, frozen=True, array_like=True):
    """One point of the learning curve: means over the mini-batches since the previous point.

    Each mini-batch is evaluated before its update. `epoch` is the number of passes over the data, `seconds` the time
    since the start. `loss` is the loss of the task against the labels, without distillation and weight decay.
    `accuracy` is the fraction of correct predictions (None for a regression).
    """

    epoch: float
    seconds: float
    loss: float
    accuracy: float | None


def downsample_curve(curve: list[CurvePoint]) -> list[CurvePoint]:
    """At most `MAX_POINTS` evenly spaced points with rounded numbers; the first and the last point are kept."""
    last = len(curve) - 1
    kept = curve if last < MAX_POINTS else [curve[round(i * last / (MAX_POINTS - 1))] for i in range(MAX_POINTS)]
    return [
        CurvePoint(
            round(point.epoch, 3),
            round(point.seconds, 2),
            float(f"{point.loss:.5g}"),
            None if point.accuracy is None else round(point.accuracy, 5),
        )
        for point in kept
    ]
