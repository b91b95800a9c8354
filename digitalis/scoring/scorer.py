"""A batch -> predictions, by a model that this process has opened."""

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from digitalis.scoring.batch import Batch
from digitalis.scoring.rows import Rejected, to_features
from service.bundle.manifest import Bundle
from service.bundle.signature import NUMPY_DTYPES, Arrays
from service.errors import RequestError, UnprocessableInput
from service.images.decoding import open_image
from service.images.limits import PixelBudget
from service.images.network_input import read_digit, read_picture
from service.images.normaliser import SegmentFunction
from service.inference.abstention import are_unsure
from service.inference.model import Model
from service.inference.segmenter import open_segmenter
from service.observability.drift import top1
from service.settings import Settings


class Scored(NamedTuple):
    """The table of predictions of a batch, and that of the rows that were rejected."""

    predictions: pa.Table
    rejected: pa.Table


class Scorer:
    """A model on one thread of the CPU, and the segmenter if it reads digits."""

    def __init__(self, folder: Path) -> None:
        settings = Settings(device="cpu", workers=1, intra_op_threads=1, models_dir=folder)  # wherever it lies
        self._max_pixels = settings.max_image_pixels
        self.model = Model.open(folder, settings)
        self._segment: SegmentFunction | None = open_segmenter(settings) if self.model.bundle.reads_digits else None

    def score(self, batch: Batch, keep: Sequence[str] = ()) -> Scored:
        """Predict every row that can be read; these columns of a table are kept beside the predictions."""
        inputs, rejected = self._inputs(batch)
        try:
            kept, outputs = self._predict(inputs, rejected)
        except UnprocessableInput:  # some rows have no finite output
            rejected |= self._without_output(inputs, rejected)
            kept, outputs = self._predict(inputs, rejected)
        columns = _identity(batch, kept)
        if isinstance(batch.content, pa.RecordBatch):
            columns |= {name: batch.content.column(name).take(pa.array(kept, pa.int64())) for name in keep}
        columns |= _columns(self.model.bundle, outputs, len(kept))
        columns |= {
            "model": pa.repeat(str(self.model.id), len(kept)),
            "digest": pa.repeat(self.model.digest, len(kept)),
        }
        return Scored(pa.table(columns), _rejects(batch, rejected))

    def _predict(self, inputs: NDArray[Any], rejected: Rejected) -> tuple[list[int], Arrays]:
        """The indexes of the rows that are not rejected, and their outputs; raises `UnprocessableInput`."""
        kept = [index for index in range(len(inputs)) if index not in rejected]
        name = self.model.bundle.signature.inputs[0].name
        chosen = inputs[kept] if rejected else inputs  # a copy, where it is needed
        return kept, self.model.predict({name: np.ascontiguousarray(chosen)}) if kept else {}

    def _without_output(self, inputs: NDArray[Any], rejected: Rejected) -> Rejected:
        """Of the other rows those that cannot be predicted, found one by one."""
        found: Rejected = {}
        for index in range(len(inputs)):
            if index not in rejected:
                try:
                    self._predict(inputs[index : index + 1], {})
                except UnprocessableInput as error:
                    found[index] = str(error)
        return found

    def _inputs(self, batch: Batch) -> tuple[NDArray[Any], Rejected]:
        if isinstance(batch.content, list):
            return self._pictures(batch.content)
        if isinstance(batch.content, pa.RecordBatch):
            return to_features(batch.content, self.model.bundle.features)
        dtype = NUMPY_DTYPES[self.model.bundle.signature.inputs[0].datatype]
        with np.errstate(over="ignore"):  # what is too large becomes infinite, and is rejected
            array = batch.content.astype(dtype, copy=False)
        if dtype.kind != "f":
            return array, {}
        finite = np.isfinite(array.reshape(len(array), -1)).all(axis=1)
        return array, dict.fromkeys(np.flatnonzero(~finite).tolist(), "a number is not finite")

    def _pictures(self, paths: list[str]) -> tuple[NDArray[np.uint8], Rejected]:
        bundle = self.model.bundle
        rejected: Rejected = {}
        images = np.zeros((len(paths), *bundle.image_shape), np.uint8)
        for index, path in enumerate(paths):
            try:
                encoded = open_image(Path(path).read_bytes(), PixelBudget(self._max_pixels))
                if self._segment:
                    images[index] = read_digit(encoded, self._segment).image
                else:
                    images[index] = read_picture(encoded, bundle.preprocessing, bundle.image_shape).image
            except RequestError as error:
                rejected[index] = str(error)
            except OSError as error:
                rejected[index] = error.strerror or "it cannot be read"
        return images, rejected


def _identity(batch: Batch, chosen: list[int]) -> dict[str, Any]:
    """The file and the row, from 1 on, of the rows at these indexes."""
    names = [batch.content[index] for index in chosen] if isinstance(batch.content, list) else []
    files = pa.array(map(_printable, names), pa.string()) if names else pa.repeat(_printable(batch.source), len(chosen))
    return {"file": files, "row": batch.rows[chosen]}


def _printable(path: str) -> str:
    """A path that is not UTF-8, with backslashes."""
    return os.fsencode(path).decode("utf-8", "backslashreplace")


def _rejects(batch: Batch, rejected: Rejected) -> pa.Table:
    """File, row and reason of all rows that have no prediction, in their order."""
    refused = sorted(rejected)
    identity = _identity(batch, refused)
    reasons = [rejected[index] for index in refused]
    found = pa.table({"file": identity["file"], "row": identity["row"], "reason": pa.array(reasons, pa.string())})
    if not batch.broken:
        return found
    broken = {"file": pa.repeat(_printable(batch.source), len(batch.broken)), "row": list(batch.broken),
              "reason": list(batch.broken.values())}  # fmt: skip
    return pa.concat_tables([found, pa.table(broken)]).sort_by("row")


def _columns(bundle: Bundle, outputs: Arrays, rows: int) -> dict[str, Any]:
    """Label, probability and whether it is unsure, and the probability of each label; or the values of a regression."""
    if not bundle.labels:
        names = [target.name for target in bundle.targets]
        values = outputs.get("values", np.empty((rows, len(names)), np.float32))
        return {name: values[:, index] for index, name in enumerate(names)}
    found = outputs.get("probabilities", np.empty((0, len(bundle.labels)), np.float32))
    best, confidences = top1(found)
    ood_scores = outputs["background"][:, 0] if "background" in outputs else np.zeros(len(found), np.float32)
    columns = {
        "label": pa.array(bundle.labels, pa.string()).take(pa.array(best)),
        "probability": confidences,
        "unsure": are_unsure(bundle, confidences, ood_scores),
    }
    return columns | {f"probability of {label}": found[:, index] for index, label in enumerate(bundle.labels)}
