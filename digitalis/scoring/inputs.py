"""The command's inputs -> files, which are checked, and batches. The same files give the same batches."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from digitalis.scoring.batch import Batch, InputError
from digitalis.scoring.tables import check_columns, is_parquet, is_table, read_table
from service.bundle.manifest import Bundle
from service.bundle.signature import NUMPY_DTYPES

MAX_BATCH_BYTES = 2**26  # of an array


class Inputs(NamedTuple):
    """The files, and columns of tables that are kept beside the predictions; `left_out` are files of folders."""

    files: list[Path]
    keep: tuple[str, ...]
    left_out: list[Path]


def find_inputs(given: Sequence[Path], bundle: Bundle, keep: Sequence[str], out: Path) -> Inputs:
    """The files that are given, and those in the folders that are, sorted; each once, and none of those in `out`.

    Files of folders that a model cannot read are left out. Raises `InputError` for a path where nothing is, for a file
    that cannot be read, and where there is none.
    """
    if own := [name for name in keep if name in output_columns(bundle)]:
        raise InputError(f"--keep {own[0]}: the output has a column of this name already")
    files: dict[Path, None] = {}
    left_out = []
    for path in given:
        if not path.exists():
            raise InputError(f"{path}: there is no such file or folder")
        for file in _files_in(path, out) if path.is_dir() else [path]:
            if path.is_dir() and not (bundle.takes_images or _is_readable(file)):
                left_out.append(file)
            elif file not in files:
                _check(file, bundle, keep)
                files[file] = None
    if not files:
        raise InputError(f"{given[0]}: there is no file that {bundle.id} can read")
    return Inputs(list(files), tuple(dict.fromkeys(keep)), left_out)


def output_columns(bundle: Bundle) -> list[str]:
    """The names of the columns of the predictions, but for those that are kept."""
    of_labels = ["label", "probability", "unsure", *(f"probability of {label}" for label in bundle.labels)]
    of_model = of_labels if bundle.labels else [target.name for target in bundle.targets]
    return ["file", "row", *of_model, "model", "digest"]


def _files_in(folder: Path, out: Path) -> list[Path]:
    """Hidden files and folders are left out, as those of the run are."""
    found = (path for path in folder.rglob("*") if path.is_file())
    visible = (path for path in found if not any(part.startswith(".") for part in path.relative_to(folder).parts))
    return sorted(path for path in visible if out.resolve() not in path.resolve().parents)


def _is_readable(path: Path) -> bool:
    return is_table(path) or is_array(path)


def is_array(path: Path) -> bool:
    """By its name."""
    return path.name.lower().endswith(".npy")


def _check(path: Path, bundle: Bundle, keep: Sequence[str]) -> None:
    """Raise `InputError` for a file whose header says that none of its rows can be predicted."""
    if keep and (bundle.takes_images or not is_table(path)):
        raise InputError(f"{path}: --keep is for columns of tables, and this is none")
    try:
        if is_array(path):
            _check_array(path, np.load(path, mmap_mode="r"), bundle)
        elif is_table(path) and not bundle.takes_images:
            check_columns(path, [*(feature.name for feature in bundle.features), *keep])
        elif not bundle.takes_images:
            raise InputError(
                f"{path}: expected a table (.csv, .tsv, .parquet, also .csv.gz), or an array in .npy, for {bundle.id}"
            )
    except (OSError, ValueError, pa.ArrowException) as error:
        raise InputError(f"{path}: it cannot be read: {error}") from None


def _check_array(path: Path, array: NDArray[np.generic], bundle: Bundle) -> None:
    spec = bundle.signature.inputs[0]
    expected = ", ".join(["n", *map(str, spec.shape[1:])])
    if array.ndim != len(spec.shape) or array.shape[1:] != tuple(spec.shape[1:]):
        raise InputError(f"{path}: its shape is {array.shape}, expected ({expected}) for {bundle.id}")
    if not np.can_cast(array.dtype, NUMPY_DTYPES[spec.datatype], "same_kind"):
        raise InputError(f"{path}: numbers of the type {array.dtype}, expected {NUMPY_DTYPES[spec.datatype]}")


def count_rows(files: Sequence[Path]) -> int | None:
    """All rows of these files; None if one would have to be read for that, as CSV has to."""
    return sum(map(_rows_in, files)) if not any(is_table(path) and not is_parquet(path) for path in files) else None


def _rows_in(path: Path) -> int:
    if is_parquet(path):
        rows: int = pq.ParquetFile(path).metadata.num_rows
        return rows
    return len(np.load(path, mmap_mode="r")) if is_array(path) else 1


def batches(inputs: Inputs, bundle: Bundle, rows: int, pictures: int) -> Iterator[Batch]:
    """All batches for a model: of at most so many rows (of CSV as many as are in a block), or pictures."""
    columns = list(dict.fromkeys([*(feature.name for feature in bundle.features), *inputs.keep]))
    others = []
    for path in inputs.files:
        try:
            if is_array(path):
                yield from _array(path, rows)
            elif is_table(path) and not bundle.takes_images:
                yield from read_table(path, columns, rows)
            else:
                others.append(str(path))
        except (OSError, ValueError, pa.ArrowException) as error:
            raise InputError(f"{path}: {error}") from None
    for at in range(0, len(others), pictures):
        part = others[at : at + pictures]
        yield Batch("", np.ones(len(part), np.int64), part)


def _array(path: Path, rows: int) -> Iterator[Batch]:
    array = np.load(path, mmap_mode="r")
    step = min(rows, max(1, MAX_BATCH_BYTES * len(array) // max(array.nbytes, 1)))
    for at in range(0, len(array), step):
        part = array[at : at + step]
        yield Batch(str(path), np.arange(at + 1, at + 1 + len(part)), part)
