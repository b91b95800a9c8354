"""`train segmenter`: from data sets to the files in the service package."""

import shutil
from pathlib import Path

from service.inference.segmenter import FOLDER
from training.bundles.export import check_writable
from training.errors import BelowThreshold, TrainingError
from training.learning.curve import CurvePoint
from training.progress import Progress
from training.segmenter.digit_fields import load_digits
from training.segmenter.evaluation import evaluate
from training.segmenter.export import export_segmenter
from training.segmenter.recipe import CHECKPOINT, SegmenterRecipe
from training.segmenter.training import SegmenterTraining

LINES = 50  # that are printed of one run


def train_segmenter(
    recipe: SegmenterRecipe,
    data_dir: Path,
    progress: Progress,
    *,
    resume: bool,
    checkpoint: Path = Path(CHECKPOINT),
    folder: Path = FOLDER,
) -> None:
    """Train the segmenter, or go on from the checkpoint, and write its files.

    Raises `BelowThreshold`, and leaves the files as they are, if its masks are not good enough; and `TrainingError` if
    there is a checkpoint and `resume` is false, so that no checkpoint is overwritten.
    """
    if checkpoint.exists() and not resume:
        raise TrainingError(f"{checkpoint} is there: --resume goes on from it; delete it to begin again")
    if resume and not checkpoint.exists():
        raise TrainingError(f"{checkpoint} is not there: without --resume the training begins")
    check_writable(folder.parent)  # before training, not after it
    digits = load_digits(recipe, data_dir, progress)
    run = SegmenterTraining(digits.train, recipe, compiled=shutil.which("g++") is not None)
    if checkpoint.exists():
        run.load(checkpoint)
        progress.note(f"{recipe.name}: going on after {run.step * recipe.batch_size:,} samples")
    printed = run.step * recipe.batch_size

    def report(samples: int, point: CurvePoint) -> None:
        nonlocal printed
        progress.advance_to(f"{recipe.name}, samples", samples, recipe.samples, f"loss {point.loss:.4f}")
        if samples - printed >= recipe.samples // LINES:
            printed = samples
            progress.note(f"{recipe.name}: {samples:,} samples  loss {point.loss:.4f}  {point.seconds:.0f} s")

    run.run(checkpoint, report)
    metrics = evaluate(run.network, digits.held_out, recipe.seed)
    for name, value in metrics.items():
        progress.note(f"  {name.replace('_', ' ')}: {value:g}")
    if not metrics["iou"] >= recipe.threshold:  # also true of NaN
        raise BelowThreshold(
            f"{recipe.name}: IoU {metrics['iou']:.4f} is below its acceptance threshold {recipe.threshold}; "
            f"{checkpoint} holds the weights: delete it to begin again"
        )
    export_segmenter(run.network, recipe, digits.source, run.curve, metrics, folder)
    checkpoint.unlink()
    progress.note(f"{recipe.name}: wrote {folder}")
