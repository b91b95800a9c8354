"""The command line of `digitalis predict`, and its progress."""

import argparse
import sys
import time
from collections.abc import Sequence
from concurrent.futures.process import BrokenProcessPool
from functools import partial
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

from digitalis.scoring.inputs import InputError, batches, count_rows, find_files
from digitalis.scoring.parts import WRITERS, Parts
from digitalis.scoring.run import Counts, Report, Work, run
from service.bundle.loading import bundle_digest, load_bundle
from service.bundle.manifest import Bundle
from service.cores import available_cores
from service.errors import StartError
from service.inference.version_folders import find_bundles, model_id_of

EXAMPLES = """
examples:
  {prog} customers customers.csv --out predictions/       the newest version of models/customers
  {prog} iris/5 measurements/*.parquet --out out/ --format csv
  {prog} digits scans/ --out out/                         every picture of a folder
  {prog} digits more/ scans.npy --out out2/ --processes 4
  {prog} iris rows/ --out out3/ --ray 10.0.0.5:6379   on all cores of a Ray cluster

Each part of the output has the file and the row of every prediction, the version and the digest; rows that cannot
be read are in rejected-*.csv, with the reason. A run that was stopped goes on when the same command is given again.
"""
ROWS, PICTURES = 65_536, 256  # in a batch


def main(arguments: Sequence[str] | None = None, prog: str = "digitalis predict") -> int:
    """Predict; the exit status is 0, 1 if it failed, 2 for a wrong command line, 130 if it was interrupted."""
    args = _parser(prog).parse_args(arguments)
    console = Console(stderr=True)
    try:
        return _predict(args, console)
    except (InputError, StartError) as error:
        console.print(f"{prog}: {error}", markup=False, highlight=False, style="red")
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
    inputs_help = "files in CSV, Parquet or .npy, pictures, or folders of them"
    parser.add_argument("inputs", nargs="+", type=Path, help=inputs_help)
    parser.add_argument("--out", type=Path, required=True, help="the folder for the parts")
    parser.add_argument("--format", choices=tuple(WRITERS), default="parquet", help="of the parts (default: parquet)")
    parser.add_argument("--models", type=Path, default=Path("models"), help="the models' folder (default: models)")
    cores = available_cores()
    where = parser.add_mutually_exclusive_group()
    processes_help = f"that work at a time (default: {cores}, the cores)"
    where.add_argument("--processes", type=positive_int, default=cores, metavar="N", help=processes_help)
    ray_help = "on a Ray cluster instead: HOST:PORT, or auto for the one that this machine is part of"
    where.add_argument("--ray", metavar="ADDRESS", help=ray_help)
    return parser


def _predict(args: argparse.Namespace, console: Console) -> int:
    folder = find_bundle(args.model, args.models)
    bundle, contents = load_bundle(folder, identity=model_id_of(folder, folder), root=folder)
    _check_task(bundle)
    files = find_files(args.inputs)
    parts = Parts(args.out, args.format)
    digest = bundle_digest(contents)
    done = parts.begin({
        "model": str(bundle.id), "digest": digest, "format": args.format,
        "rows": ROWS, "pictures": PICTURES, "files": [[str(path), path.stat().st_size] for path in files],
    })  # fmt: skip
    started, progress = time.monotonic(), _progress(console)
    with progress:
        task = progress.add_task(str(bundle.id), total=count_rows(files), rate="")

        def report(counts: Counts) -> None:
            rate = (counts.predicted + counts.rejected) / (time.monotonic() - started)
            progress.update(task, completed=sum(counts), rate=f"{rate:,.0f} rows/s, {counts.rejected:,} rejected")

        work = Work(partial(batches, files, bundle, ROWS, PICTURES), folder, digest, parts, done)
        counts = run(work, args.processes, report) if args.ray is None else run_on_ray(work, args.ray, report)
    seconds = time.monotonic() - started
    again = f", {len(done):,} parts were there already" if done else ""
    print(f"{counts.predicted:,} rows predicted, {counts.rejected:,} rejected in {seconds:.1f} s{again}: {args.out}")
    return 0


def find_bundle(model: str, models_dir: Path) -> Path:
    """The folder of a bundle, by its name, name and version, or path; raises `InputError` and `BundleError`."""
    if (Path(model) / "manifest.json").is_file():
        return Path(model)
    name, _, version = model.partition("/")
    found = {model_id_of(folder, models_dir): folder for folder in find_bundles(models_dir)}
    versions = [one for one in found if one.name == name and version in ("", one.version)]
    if not versions:
        there = ", ".join(sorted({one.name for one in found}))
        raise InputError(f"no model {model!r} in {models_dir}/: there are {there}")
    return found[max(versions, key=lambda one: int(one.version))]


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


def _check_task(bundle: Bundle) -> None:
    if bundle.task in ("tensors", "mixture"):
        raise InputError(f"{bundle.id} is a model of the task {bundle.task}, which this command does not predict")


def _progress(console: Console) -> Progress:
    what: list[Any] = [TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn()]
    when: list[Any] = [TextColumn("{task.fields[rate]}"), TimeElapsedColumn(), TimeRemainingColumn()]
    progress = Progress(*what, *when, console=console)
    progress.disable = not console.is_terminal
    return progress


if __name__ == "__main__":
    sys.exit(main())
