"""Are the figures of the ink normaliser, chosen by looking at uploads, fitted to those uploads alone.

For each source in turn, each figure is chosen anew by the other sources alone, and the source is read with it.
"""

from pathlib import Path
from typing import Any

from benchmarks.uploads import Accuracy, Upload, by_source, mean, opened, read, uploads
from service.images import normaliser as digits
from service.images.normaliser import clutter, digit, lines, mnist_geometry, paper
from service.inference.repository import Model

CHOICES: list[tuple[Any, str, tuple[float, ...]]] = [
    (paper, "STROKE", (0.3, 0.2, 0.25, 0.35)),
    (paper, "STEEP", (2.5, 1.5, 4.0)),
    (clutter, "DARK", (0.35, 0.25, 0.3, 0.45)),
    (clutter, "BAND", (0.35, 0.25, 0.5)),
    (lines, "FILLED", (0.4, 0.3, 0.55)),
    (digit, "NEAR", (0.5, 0.25, 0.8)),
    (digit, "SHARE", (0.03, 0.015, 0.06)),
    (digit, "APART", (0.15, 0.1, 0.25)),
    (digits, "LOW", (0.25, 0.15, 0.35)),
    (digits, "HIGH", (0.8, 0.65, 0.95)),
    (digits, "PROPORTION", (0.7, 0.8, 1.0)),
    (paper, "CORNERS", (1.5, 0.0, 1.2, 2.0)),
    (mnist_geometry, "THIN", (2.0, 1.6, 2.4)),
    (mnist_geometry, "PEN", (2.4, 2.1, 2.8)),
]


def measure(folder: Path, model_name: str) -> None:
    """Print, for each figure, what each of its values reads, and what leaving one source out would choose."""
    corpus, model = list(uploads(folder)), opened(model_name)
    in_use = by_source(read(corpus, digits.normalise, model))
    print(f"in use: mean over sources {mean(in_use):.4f}")
    print("\n| figure | mean over sources at each value | leave one source out | chosen |\n| --- | --- | --- | --- |")
    together: dict[str, list[tuple[Any, str, float]]] = {source: [] for source in in_use}
    for module, name, values in CHOICES:
        found = {float(getattr(module, name)): in_use}
        found |= {value: _with(corpus, model, [(module, name, value)]) for value in values if value not in found}
        chosen = {source: _best_without(source, found) for source in in_use}
        for source, value in chosen.items():
            together[source].append((module, name, value))
        each = ", ".join(f"{value:g}: {mean(accuracy):.4f}" for value, accuracy in found.items())
        left_out = mean({source: found[value][source] for source, value in chosen.items()})
        picked = ", ".join(sorted({f"{value:g}" for value in chosen.values()}))
        print(f"| {name} | {each} | {left_out:.4f} | {picked} |", flush=True)
    without = {
        source: _with([upload for upload in corpus if upload.source == source], model, choices)[source]
        for source, choices in together.items()
    }
    print(f"\nall figures chosen without the source that is read: mean {mean(without):.4f}")
    for source, accuracy in without.items():
        print(f"  {source}: {accuracy:.4f} (in use: {in_use[source]:.4f})")


def _with(corpus: list[Upload], model: Model, choices: list[tuple[Any, str, float]]) -> Accuracy:
    """The accuracy by source with these figures in place of those in use."""
    before = [(module, name, getattr(module, name)) for module, name, _ in choices]
    try:
        for module, name, value in choices:
            setattr(module, name, value)
        return by_source(read(corpus, digits.normalise, model))
    finally:
        for module, name, value in before:
            setattr(module, name, value)


def _best_without(source: str, found: dict[float, Accuracy]) -> float:
    """The value that reads the other sources best; of several, the first."""
    return max(found, key=lambda value: round(mean({s: a for s, a in found[value].items() if s != source}), 6))
