"""The command line of `digitalis predict`."""

import argparse
import signal
import sys
import time
from collections.abc import Sequence
from concurrent.futures.process import BrokenProcessPool
from functools import partial
from pathlib import Path

import pyarrow as pa
from rich.console import Console

from digitalis.scoring.batch import InputError
from digitalis.scoring.inputs import MAX_BATCH_BYTES, batches, count_rows, find_inputs
from digitalis.scoring.models import check_task, find_bundle
from digitalis.scoring.parts import WRITERS, Parts
from digitalis.scoring.progress import Notes, progress_bar
from digitalis.scoring.run import Counts, Report, Work, handling, run
from digitalis.scoring.tables import CSV_BLOCK
from service.bundle.loading import bundle_digest, load_bundle
from service.cores import available_cores
from service.errors import StartError
from service.inference.version_folders import model_id_of

EXAMPLES = """
examples:
  {prog} customers customers.csv --out predictions/       the newest version of models/customers
  {prog} customers customers.csv --out out/ --keep customer_id    with this column beside the labels
  {prog} iris/5 measurements/*.parquet --out out/ --format csv
  {prog} digits scans/ --out out/                         every picture of a folder
  {prog} digits more/ scans.npy --out out2/ --processes 4
  {prog} iris rows/ --out out3/ --ray 10.0.0.5:6379   on all cores of a Ray cluster

Each part of the output has the file and the row of every prediction, the version and the digest; rows that cannot
be read are in rejected-*.csv, with the reason. A run that was stopped goes on when the same command is given again.
Mixtures, and networks of arbitrary tensors, are not predicted. The exit status is 0, 1 if the command failed or no row
could be read, 2 for a wrong command line, 130 if it was interrupted.
"""
ROWS, PICTURES = 65_536, 256  # in a batch


def main(arguments: Sequence[str] | None = None, prog: str = "digitalis predict") -> int:
    """Predict; the exit status is 0, 1 if it failed, 2 for a wrong command line, 130 if it was interrupted."""
    args = _parser(prog).parse_args(arguments)
    console = Console(stderr=True)
    try:
        with handling(signal.SIGTERM, signal.default_int_handler):  # as Ctrl-C
            return _predict(args, console)
    except (InputError, StartError, OSError) as error:
        console.print(f"{prog}: {error}", markup=False, highlight=False, soft_wrap=True, style="red")
    except BrokenProcessPool:
        console.print(f"{prog}: a process was killed: give the same command again, and it goes on", style="red")
    except KeyboardInterrupt:
        console.print("interrupted: give the same command again, and it goes on")
        return 130
    return 1


def _parser(prog: str) -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog=prog,
        description="Predict the rows of tables, arrays and folders of pictures, without a server.",
        epilog=EXAMPLES.format(prog=prog),
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    model_help = "the name of a model, with a version such as iris/5 or the newest; or a bundle's folder"
    parser.add_argument("model", help=model_help)
    inputs_help = "files in CSV (also .tsv and .csv.gz), Parquet or .npy, pictures, or folders of them"
    parser.add_argument("inputs", nargs="+", type=Path, help=inputs_help)
    parser.add_argument("--out", type=Path, required=True, help="the folder for the parts")
    parser.add_argument("--format", choices=tuple(WRITERS), default="parquet", help="of the parts (default: parquet)")
    keep_help = "a column of the tables that is written beside the predictions, such as an id; may be repeated"
    parser.add_argument("--keep", action="append", default=[], metavar="COLUMN", help=keep_help)
    parser.add_argument("--models", type=Path, default=Path("models"), help="the models' folder (default: models)")
    cores = available_cores()
    where = parser.add_mutually_exclusive_group()
    processes_help = f"so many processes work at a time (default: {cores}, one for each core)"
    where.add_argument("--processes", type=positive_int, default=cores, metavar="N", help=processes_help)
    ray_help = "on a Ray cluster instead: HOST:PORT, or auto for the one that this machine is part of"
    where.add_argument("--ray", metavar="ADDRESS", help=ray_help)
    return parser


def _predict(args: argparse.Namespace, console: Console) -> int:
    folder = find_bundle(args.model, args.models)
    bundle, contents = load_bundle(folder, identity=model_id_of(folder, folder), root=folder)
    check_task(bundle)
    inputs = find_inputs(args.inputs, bundle, args.keep, args.out)
    _note_left_out(inputs.left_out, console)
    parts, digest = Parts(args.out, args.format), bundle_digest(contents)
    with parts.locked():
        done = parts.begin({
            "model": str(bundle.id), "digest": digest, "format": args.format, "keep": args.keep, "rows": ROWS,
            "pictures": PICTURES, "csv_block": CSV_BLOCK, "array_bytes": MAX_BATCH_BYTES, "pyarrow": pa.__version__,
            "files": [_fingerprint(path) for path in inputs.files],
        })  # fmt: skip
        work = Work(partial(batches, inputs, bundle, ROWS, PICTURES), folder, digest, parts, done, inputs.keep)
        started = time.monotonic()
        counts = _run(args, work, None if done else count_rows(inputs.files), console)
    again = f"; {len(done):,} of the parts had been there already" if done else ""
    why = f" (why: {args.out}/rejected-*.csv)" if counts.rejected else ""
    print(
        f"{counts.predicted:,} rows predicted, {counts.rejected:,} rejected{why} in {time.monotonic() - started:.1f} s"
        f"{again}: {args.out}"
    )
    return int(not counts.predicted and not done)


def _run(args: argparse.Namespace, work: Work, total: int | None, console: Console) -> Counts:
    """Do the work, and show how far it is."""
    started, notes = time.monotonic(), Notes(console)
    with progress_bar(console) as progress:
        task = progress.add_task(args.model, total=total, rate="")

        def report(counts: Counts) -> None:
            rate = (counts.predicted + counts.rejected) / (time.monotonic() - started)
            words = f"{rate:,.0f} rows/s, {counts.rejected:,} rejected"
            progress.update(task, completed=sum(counts), rate=words)
            notes.say(f"{sum(counts):,} rows, {words}")

        return run(work, args.processes, report) if args.ray is None else run_on_ray(work, args.ray, report)


def _note_left_out(paths: Sequence[Path], console: Console) -> None:
    if paths:
        more = f" and {len(paths) - 3:,} more" if len(paths) > 3 else ""
        console.print(
            f"left out, as they are no tables: {', '.join(map(str, paths[:3]))}{more}", highlight=False, soft_wrap=True
        )


def _fingerprint(path: Path) -> list[str | int]:
    """Another one if a file was changed."""
    status = path.stat()
    return [str(path), status.st_size, status.st_mtime_ns]


def positive_int(text: str) -> int:
    """A number of processes; raises `ArgumentTypeError`."""
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"expected 1 or more, got {text!r}")
    return int(text)


def run_on_ray(work: Work, address: str, report: Report) -> Counts:
    """As `run`, over a cluster; raises `InputError` where Ray is not installed."""
    try:
        from digitalis.scoring import cluster
    except ImportError as error:
        raise InputError(f"--ray needs the extra `ray` (pip install 'digitalis-service[ray]'): {error}") from None
    return cluster.run_on_ray(work, address, report)


if __name__ == "__main__":
    sys.exit(main())
