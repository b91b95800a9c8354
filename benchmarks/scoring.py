"""Predictions without a server: `digitalis predict` beside bare ONNX Runtime, picture files, and ten million rows."""

import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import onnxruntime as ort
import pyarrow as pa
import pyarrow.csv

from benchmarks.uploads import generate_uploads
from digitalis.scoring.command import PICTURES, ROWS
from digitalis.scoring.inputs import Inputs, batches
from digitalis.scoring.models import find_bundle
from digitalis.scoring.parts import Parts
from digitalis.scoring.scorer import Scorer
from service.bundle.loading import load_bundle

ROOT = Path(__file__).parent.parent
IMAGES, PART = 100_000, 256  # decoded images, and how many bare ONNX Runtime gets at a time
FILES = 100  # of each style
MILLIONS = 10  # rows of iris


def measure(rounds: int, data_dir: Path) -> None:
    """Print all tables."""
    with tempfile.TemporaryDirectory() as scratch:
        _compare_images(Path(scratch), rounds)
        _score_pictures(Path(scratch), data_dir)
        _score_table(Path(scratch))


def _compare_images(scratch: Path, rounds: int) -> None:
    bundle = find_bundle("digits", ROOT / "models")
    images = scratch / "images.npy"
    np.save(images, np.random.default_rng(0).integers(0, 256, (IMAGES, 28, 28), np.uint8))
    scorer = Scorer(bundle)
    ratios = []
    print("| bare ONNX Runtime, images/s | digitalis predict, images/s | ratio |\n| --- | --- | --- |")
    for number in range(rounds):
        bare = _bare(bundle, np.load(images, mmap_mode="r"))
        parts = Parts(scratch / str(number), "parquet")
        parts.folder.mkdir()
        started = time.perf_counter()
        for index, batch in enumerate(batches(Inputs([images], (), []), scorer.model.bundle, ROWS, PICTURES)):
            parts.write(index, scorer.score(batch))
        ours = time.perf_counter() - started
        ratios.append(bare / ours)
        print(f"| {IMAGES / bare:,.0f} | {IMAGES / ours:,.0f} | {ratios[-1]:.2f} |", flush=True)
    print(f"\nmedian of the ratios: {statistics.median(ratios):.2f}\n")


def _bare(bundle: Path, images: np.ndarray) -> float:
    _, contents = load_bundle(bundle)
    options = ort.SessionOptions()
    options.intra_op_num_threads = 1
    session = ort.InferenceSession(contents["model.onnx"], options, providers=["CPUExecutionProvider"])
    started = time.perf_counter()
    for at in range(0, len(images), PART):
        session.run(None, {"image": np.ascontiguousarray(images[at : at + PART])})
    return time.perf_counter() - started


def _score_pictures(scratch: Path, data_dir: Path) -> None:
    """Files of every style of the synthetic uploads, and how much of the time is the network's."""
    folder = scratch / "pictures"
    folder.mkdir()
    for number, upload in enumerate(generate_uploads(FILES, 0, data_dir)):
        (folder / str(number)).write_bytes(upload.file)
    scorer = Scorer(find_bundle("digits", ROOT / "models"))
    started, predicting, images = time.perf_counter(), 0.0, 0
    for batch in batches(Inputs([*folder.iterdir()], (), []), scorer.model.bundle, ROWS, PICTURES):
        scored = scorer.score(batch)
        images += len(batch)
        decoded = np.zeros((scored.predictions.num_rows, 28, 28), np.uint8)
        before = time.perf_counter()
        scorer.model.predict({"image": decoded})
        predicting += time.perf_counter() - before
    seconds = time.perf_counter() - started - predicting
    size = sum(path.stat().st_size for path in folder.iterdir()) / images
    print(f"{images:,} picture files of {size / 1024:.1f} KB on average: {images / seconds:,.0f} images/s on one core, "
          f"of which the network takes {predicting / seconds:.0%}\n")  # fmt: skip


def _score_table(scratch: Path) -> None:
    bundle = find_bundle("iris", ROOT / "models")
    names = [feature.name for feature in load_bundle(bundle)[0].features]
    rows = np.random.default_rng(0).uniform(0.1, 7, (MILLIONS * 10**6, len(names))).round(2)
    table = scratch / "rows.csv"
    pyarrow.csv.write_csv(pa.table({name: rows[:, index] for index, name in enumerate(names)}), table)
    for processes in (1, 2):
        out = scratch / f"table-{processes}"
        options = ["--out", str(out), "--processes", str(processes)]
        subprocess.run([sys.executable, "-m", "digitalis", "predict", str(bundle), str(table), *options], check=True)
