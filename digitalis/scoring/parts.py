"""Predictions -> a folder of parts. A part is whole or not there, so a run goes on where it was stopped."""

import contextlib
import fcntl
import json
import uuid
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet as pq

from digitalis.scoring.batch import InputError
from digitalis.scoring.scorer import Scored

RUN = "run.json"  # what the parts of a folder are of
LOCK = ".lock"  # held by the command that writes there


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

    @contextlib.contextmanager
    def locked(self) -> Iterator[None]:
        """Make the folder, for this command alone; raises `OSError`, and `InputError` if another one writes there."""
        self.folder.mkdir(parents=True, exist_ok=True)
        if not self._done() and any(map(self._is_foreign, self.folder.iterdir())):
            raise InputError(f"{self.folder}: it has other files, and no parts of a run: give another folder to --out")
        with (self.folder / LOCK).open("a") as lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                raise InputError(f"{self.folder}: another command writes there: wait for its end") from None
            yield

    def begin(self, run: dict[str, Any]) -> set[int]:
        """The parts that are done already; raises `InputError` if they are of another run."""
        done = self._done()
        found = self._described() if done else {}
        if different := [name for name in run if done and found.get(name) != run[name]]:
            what = ", ".join(different)
            raise InputError(
                f"{self.folder} has the parts of another run, with other {what}: give another folder to --out"
            )
        for left in self.folder.glob(".*.partial"):
            left.unlink(missing_ok=True)
        unfinished = self.folder / f".{RUN}.partial"
        unfinished.write_text(json.dumps(run, indent=2) + "\n")
        unfinished.replace(self.folder / RUN)
        return done

    def _done(self) -> set[int]:
        return {int(path.stem.rpartition("-")[2]) for path in self.folder.glob(f"predictions-*.{self.format}")}

    def _described(self) -> dict[str, Any]:
        try:
            found: dict[str, Any] = json.loads((self.folder / RUN).read_text())
        except (OSError, ValueError):
            return {}
        return found

    @staticmethod
    def _is_foreign(path: Path) -> bool:
        return not (path.name in (RUN, LOCK) or path.name.startswith("rejected-") or path.suffix == ".partial")

    def write(self, index: int, scored: Scored) -> None:
        """Write a part: what was rejected first, then the predictions, which make it count."""
        if scored.rejected.num_rows:
            self._write(scored.rejected, f"rejected-{index:06}.csv", WRITERS["csv"])
        self._write(scored.predictions, f"predictions-{index:06}.{self.format}", WRITERS[self.format])

    def _write(self, table: pa.Table, name: str, write: Callable[[pa.Table, Path], Any]) -> None:
        unfinished = self.folder / f".{name}.{uuid.uuid4().hex}.partial"  # a lost node may write the same part
        write(table, unfinished)
        unfinished.replace(self.folder / name)
