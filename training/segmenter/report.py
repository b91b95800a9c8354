"""A page about the segmenter: its learning curve, and pictures beside the masks that it finds in them."""

import io
from collections.abc import Iterator
from pathlib import Path

import msgspec
import numpy as np
import torch
from PIL import Image

from service.bundle.manifest import CURVE
from service.inference.segmenter import SegmenterManifest, load_segmenter
from training.learning.curve import CurvePoint
from training.progress import Progress
from training.report.page import TEMPLATES
from training.report.plots import plot_learning_curve
from training.report.sections import Section
from training.segmenter.digit_fields import load_digits
from training.segmenter.distance_fields import DistanceFields
from training.segmenter.draws import Draws
from training.segmenter.export import rebuild
from training.segmenter.network import Segmenter
from training.segmenter.recipe import NAME, SegmenterRecipe
from training.segmenter.scenes import Scenes, compose

COLUMNS, ROWS = 4, 12  # of pictures in a sheet
GAP = 4  # pixels between them


def report_segmenter(folder: Path, data_dir: Path, progress: Progress) -> tuple[bytes, list[Section]]:
    """The page about the files in a folder, and its sections; needs the data sets, whose digits it shows."""
    manifest, contents = load_segmenter(folder)
    recipe = msgspec.convert(manifest.recipe, SegmenterRecipe)
    curve = msgspec.json.decode(contents[CURVE], type=list[CurvePoint])
    held_out = load_digits(recipe, data_dir, progress).held_out
    note = "Mean over the mini-batches since the previous point, each evaluated before its update."
    sections = [Section("Learning curve", note, plot_learning_curve(curve, "million samples"))]
    sections += _pictures(rebuild(contents), held_out, recipe.seed)
    page = TEMPLATES.get_template("page.html").render(
        name=NAME,
        version=manifest.normaliser,
        summary=recipe.summary,
        facts=list(_facts(manifest, recipe)),
        metrics=[(name.replace("_", " "), f"{value:g}") for name, value in manifest.metrics.items()],
        evaluated_on="In pictures of held-out digits.",
        sections=sections,
    )
    return page.encode(), sections


def _facts(manifest: SegmenterManifest, recipe: SegmenterRecipe) -> Iterator[tuple[str, str]]:
    yield "network", f"U-Net, {sum(each.numel() for each in Segmenter().parameters()):,} parameters"
    yield "samples", f"{recipe.samples:,}"
    yield (
        "data",
        f"{manifest.data.source}: {manifest.data.train_rows:,} digits, {manifest.data.held_out_rows:,} held out",
    )
    yield "licence of the data", manifest.data.licence
    yield "acceptance threshold", f"IoU {recipe.threshold:g}"


@torch.inference_mode()
def _pictures(network: Segmenter, digits: DistanceFields, seed: int) -> Iterator[Section]:
    draws = Draws(COLUMNS * ROWS, torch.Generator().manual_seed(seed))
    scenes = compose(digits, draws)
    cells = [scenes.only(index) for index in range(draws.count)]
    yield Section("Pictures", "Picture, mask, and what the segmenter finds.", _sheet(cells, network))
    worst = [_worst(compose(digits, draws), network) for _ in range(COLUMNS * ROWS // 2)]
    yield Section("Largest errors", f"The worst mask of each of {len(worst)} batches.", _sheet(worst, network))


def _worst(scenes: Scenes, network: Segmenter) -> Scenes:
    """The one whose mask is furthest from the truth."""
    error = (torch.sigmoid(network(scenes.pictures)[0]) - scenes.masks).abs().sum((1, 2))
    return scenes.only(int(error.argmax()))


def _sheet(cells: list[Scenes], network: Segmenter) -> bytes:
    """PNG: picture, mask and what was found, side by side, for each."""
    strips = []
    for cell in cells:
        parts = cell.pictures[0], cell.masks[0], torch.sigmoid(network(cell.pictures)[0])[0]
        strip = np.hstack([part.numpy() for part in parts])
        side = 64 + GAP
        strips.append(np.pad(strip, ((0, side - strip.shape[0]), (0, 3 * side - strip.shape[1])), constant_values=1.0))
    rows = [np.hstack(strips[start : start + COLUMNS]) for start in range(0, len(strips), COLUMNS)]
    file = io.BytesIO()
    Image.fromarray((np.vstack(rows) * 255).round().astype(np.uint8)).save(file, "PNG")
    return file.getvalue()
