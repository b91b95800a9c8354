"""Leave-one-source-out check that the ink normaliser's tuned constants are not overfitted to the uploads.

For each source in turn, every constant is chosen again on the other sources only, and the left-out source is classified
with the chosen values.
"""

from pathlib import Path
from typing import Any

from benchmarks.uploads import (
    SourceAccuracy,
    Upload,
    accuracy_by_source,
    load_uploads,
    mean_over_sources,
    open_model,
    predict_uploads,
)
from service.images import normaliser as service_normaliser
from service.images.normaliser import mnist_geometry, segmentation
from service.inference.model import Model
from training import normaliser

CANDIDATES: list[tuple[Any, str, tuple[float, ...]]] = [
    (segmentation, "EDGE_INK", (96, 64, 128)),
    (segmentation, "MIN_PEAK_INK", (160, 128, 192)),
    (segmentation, "SMALL_DIGIT", (32, 28, 44)),
    (segmentation, "MARGIN", (0.35, 0.2, 0.5)),
    (segmentation, "MAX_SEVERAL", (0.9, 0.5, 0.7)),
    (service_normaliser, "DIGIT_ASPECT", (0.7, 0.8, 1.0)),
    (mnist_geometry, "MIN_STROKE", (1.8, 1.5, 2.0)),
    (mnist_geometry, "TARGET_STROKE", (2.0, 2.2, 2.5)),
]
"""Module, name of the constant in it, and the values to try besides the current one."""


def measure(folder: Path, model_name: str) -> None:
    """Print, for each constant, the accuracy at each value, and the accuracy with one source left out."""
    corpus, model = list(load_uploads(folder)), open_model(model_name)
    current = accuracy_by_source(predict_uploads(corpus, normaliser.normalise, model))
    print(f"current values: mean over sources {mean_over_sources(current):.4f}")
    print("\n| constant | mean over sources at each value | leave-one-source-out mean | values chosen |")
    print("| --- | --- | --- | --- |")
    chosen_per_source: dict[str, list[tuple[Any, str, float]]] = {source: [] for source in current}
    for module, name, values in CANDIDATES:
        found = {float(getattr(module, name)): current}
        found |= {
            value: _accuracy_with(corpus, model, [(module, name, value)]) for value in values if value not in found
        }
        chosen = {source: _best_without(source, found) for source in current}
        for source, value in chosen.items():
            chosen_per_source[source].append((module, name, value))
        print(_row(name, found, chosen), flush=True)
    left_out = {
        source: _accuracy_with([upload for upload in corpus if upload.source == source], model, overrides)[source]
        for source, overrides in chosen_per_source.items()
    }
    print(f"\nall constants chosen without the source that is evaluated: mean {mean_over_sources(left_out):.4f}")
    for source, accuracy in left_out.items():
        print(f"  {source}: {accuracy:.4f} (current values: {current[source]:.4f})")


def _row(name: str, found: dict[float, SourceAccuracy], chosen: dict[str, float]) -> str:
    each = ", ".join(f"{value:g}: {mean_over_sources(accuracy):.4f}" for value, accuracy in found.items())
    left_out = mean_over_sources({source: found[value][source] for source, value in chosen.items()})
    values = ", ".join(sorted({f"{value:g}" for value in chosen.values()}))
    return f"| {name} | {each} | {left_out:.4f} | {values} |"


def _accuracy_with(corpus: list[Upload], model: Model, overrides: list[tuple[Any, str, float]]) -> SourceAccuracy:
    """The accuracy by source while these constants are overridden."""
    previous = [(module, name, getattr(module, name)) for module, name, _ in overrides]
    try:
        for module, name, value in overrides:
            setattr(module, name, value)
        return accuracy_by_source(predict_uploads(corpus, normaliser.normalise, model))
    finally:
        for module, name, value in previous:
            setattr(module, name, value)


def _best_without(source: str, found: dict[float, SourceAccuracy]) -> float:
    """The value with the best mean over the other sources; the first one on a tie."""
    return max(
        found,
        key=lambda value: round(mean_over_sources({s: a for s, a in found[value].items() if s != source}), 6),
    )
