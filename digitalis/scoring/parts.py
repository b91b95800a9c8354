"""Predictions -> a folder of parts. A part is whole or not there, so a run goes on where it was stopped."""

import json
import uuid
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet as pq

from digitalis.scoring.inputs import InputError
from digitalis.scoring.scorer import Scored

RUN = "run.json"  # what the parts of a folder are of


def _write_json_lines(table: pa.Table, path: Path) -> None:
    with path.open("w") as file:
        file.writelines(json.dumps(row, ensure_ascii=False) + "\n" for row in table.to_pylist())


WRITERS: dict[str, Callable[[pa.Table, Path], Any]] = {
    "parquet": partial(pq.write_table, use_dictionary=["file", "model", "digest"]),  # numbers hardly repeat
    "csv": pyarrow.csv.write_csv,
    "jsonl": _write_json_lines,
}


class Parts:
    """The parts of one run in a folder, and what was rejected beside them."""

    def __init__(self, folder: Path, file_format: str) -> None:
        self.folder = folder
        self.format = file_format

    def begin(self, run: dict[str, Any]) -> set[int]:
        """Make the folder, or find the parts that are done already; raises `InputError` if they are of another run."""
        self.folder.mkdir(parents=True, exist_ok=True)
        description = self.folder / RUN
        if not description.exists():
            if any(self.folder.iterdir()):
                raise InputError(f"{self.folder}: it has files, and none of a run: --out names a new folder")
            description.write_text(json.dumps(run, indent=2) + "\n")
        for unfinished in self.folder.glob(".*.partial"):
            unfinished.unlink(missing_ok=True)
        found = json.loads(description.read_text())
        if different := [name for name in run if found.get(name) != run[name]]:
            raise InputError(
                f"{self.folder} has the parts of another run ({', '.join(different)} differ): --out names a new folder"
            )
        return {int(path.stem.rpartition("-")[2]) for path in self.folder.glob(f"predictions-*.{self.format}")}

    def write(self, index: int, scored: Scored) -> None:
        """Write a part: what was rejected first, then the predictions, which make it count."""
        if scored.rejected.num_rows:
            self._write(scored.rejected, f"rejected-{index:06}.csv", WRITERS["csv"])
        self._write(scored.predictions, f"predictions-{index:06}.{self.format}", WRITERS[self.format])

    def _write(self, table: pa.Table, name: str, write: Callable[[pa.Table, Path], Any]) -> None:
        unfinished = self.folder / f".{name}.{uuid.uuid4().hex}.partial"  # a lost node may write the same part
        write(table, unfinished)
        unfinished.replace(self.folder / name)
