"""`python -m benchmarks uploads`: how a measurement is asked for. Each prints a table."""

import argparse
import math
import os
import signal
import sys
from pathlib import Path

from service.errors import DigitalisError
from service.settings import Settings
from training.errors import TrainingError


def main() -> int:
    """Run one benchmark and print its table."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=sys.modules["benchmarks"].__doc__)
    parser.set_defaults(all_cores=False)
    commands = parser.add_subparsers(title="benchmarks", required=True, metavar="BENCHMARK")
    _train(commands.add_parser("train", help="mnist-deep's training loop beside the lecture's own"))
    _uploads(commands.add_parser("uploads", help="digits that people upload: how many are read, source by source"))
    _confidence(commands.add_parser("confidence", help="calibration of the probabilities, and pictures of no digits"))
    _reading(commands.add_parser("reading", help="milliseconds to decode, normalise and read one upload"))
    _observation(commands.add_parser("observation", help="what metrics, request ids and logs cost a request"))
    _serve(commands.add_parser("serve", help="this server beside others: answers a second, latencies, memory"))
    asked = parser.parse_args()
    if not asked.all_cores:
        os.sched_setaffinity(0, {max(os.sched_getaffinity(0))})
    try:
        asked.run(asked)
    except (TrainingError, DigitalisError) as error:
        print(f"benchmarks: {error}", file=sys.stderr)
        return 1
    return 0


def _train(parser: argparse.ArgumentParser) -> None:
    parser.description = "The training loop of mnist-deep beside the lecture's (a DataLoader of batch 12), in turns."
    parser.add_argument("--rounds", type=_count, default=7, help="turns of each (default: %(default)s)")
    parser.add_argument("--steps", type=_count, default=1000, help="mini-batches a turn (default: %(default)s)")
    parser.add_argument("--whole", action="store_true", help="train both to the end too, and compare their accuracy")
    _data_dir(parser)

    def run(asked: argparse.Namespace) -> None:
        from benchmarks import training_speed

        training_speed.measure(asked.data_dir, asked.rounds, asked.steps, whole=asked.whole)

    parser.set_defaults(run=run)


def _uploads(parser: argparse.ArgumentParser) -> None:
    parser.description = (
        "Digits that people drew, scanned or photographed, and digits laid on paper by code: the accuracy per source,\n"
        "by the ink normaliser and by what is usually done instead."
    )
    parser.add_argument("folder", nargs="?", type=Path, help="holds labels.csv (path, label, source) and the files")
    parser.add_argument("--papers", type=_count, default=50, metavar="N", help="of each kind of paper (default: 50)")
    parser.add_argument("--model", default="mnist", help="the bundle that reads (default: %(default)s)")
    parser.add_argument("--sheet", type=Path, metavar="PNG", help="write every error there, beside what was seen of it")
    parser.add_argument(
        "--leave-one-out",
        action="store_true",
        help="choose each tuned figure anew without the source that is read (minutes)",
    )
    _data_dir(parser)

    def run(asked: argparse.Namespace) -> None:
        from benchmarks import ablation, uploads

        if not asked.leave_one_out:
            uploads.measure(asked.folder, asked.papers, asked.data_dir, asked.model, asked.sheet)
        elif asked.folder:
            ablation.measure(asked.folder, asked.model)
        else:
            parser.error("--leave-one-out needs a FOLDER of uploads")

    parser.set_defaults(run=run)


def _confidence(parser: argparse.ArgumentParser) -> None:
    parser.description = (
        "Calibration on MNIST's validation images and on uploads; letters and scribbles that are flagged."
    )
    parser.add_argument("folder", nargs="?", type=Path, help="holds labels.csv (path, label, source) and the files")
    parser.add_argument(
        "--fonts", type=Path, metavar="DIR", help="letters of every font family in it, such as /usr/share/fonts"
    )
    parser.add_argument("--diagram", type=Path, metavar="PNG", help="write the reliability diagram there")
    parser.add_argument("--model", default="mnist", help="the bundle that reads (default: %(default)s)")
    _data_dir(parser)

    def run(asked: argparse.Namespace) -> None:
        from benchmarks import confidence

        confidence.measure(asked.folder, asked.fonts, asked.data_dir, asked.model, asked.diagram)

    parser.set_defaults(run=run)


def _reading(parser: argparse.ArgumentParser) -> None:
    parser.description = "One core, the median of many; run it where nothing else runs."
    parser.add_argument("--rounds", type=_count, default=101, help="of each step (default: %(default)s)")
    parser.add_argument("--model", default="mnist", help="the bundle that reads (default: %(default)s)")

    def run(asked: argparse.Namespace) -> None:
        from benchmarks import preprocessing_latency

        preprocessing_latency.measure(asked.rounds, asked.model)

    parser.set_defaults(run=run)


def _serve(parser: argparse.ArgumentParser) -> None:
    parser.description = (
        "Each server on one core, who asks on another; answers are checked first, then all are asked in turns."
    )
    parser.add_argument("--rounds", type=_count, default=5, help="turns of each (default: %(default)s)")
    parser.add_argument("--seconds", type=_seconds, default=2, help="of each turn (default: %(default)s)")
    parser.add_argument(
        "--peers",
        nargs="*",
        metavar="NAME",
        help="beside whom, such as fastapi granian; a wrong name lists all (default: those that `make peers` installs)",
    )
    parser.add_argument(
        "--bars", type=Path, metavar="PNG", help="draw answers a second, memory and start of each there"
    )
    parser.add_argument(
        "--curves",
        type=Path,
        metavar="PNG",
        help="measure over connections, rows and widths as well, and draw it there",
    )

    def run(asked: argparse.Namespace) -> None:
        from benchmarks.serve import curves, others, plots, rounds
        from benchmarks.serve.servers import CORES, ours

        known = others.together() | others.alone()
        if unknown := set(asked.peers or ()) - set(known):
            parser.error(f"--peers: no {', '.join(sorted(unknown))}; there are {', '.join(known)}")
        if len(CORES) < 2:
            parser.error("one core for the servers and another for who asks: there is only one here")
        for picture in (asked.bars, asked.curves):
            if picture and not picture.parent.is_dir():
                parser.error(f"no folder {picture.parent}")
        signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # the servers are ended then too
        servers = [ours(), *others.named(others.available() if asked.peers is None else asked.peers)]
        found = rounds.measure(servers, asked.rounds, asked.seconds)
        print(rounds.tables(found))
        if asked.bars:
            plots.side_by_side(found, asked.bars)
        if asked.curves:
            measured = curves.measure(servers, asked.rounds, asked.seconds)
            print(curves.table(measured))
            plots.over(measured, asked.curves)

    parser.set_defaults(run=run, all_cores=True)


def _observation(parser: argparse.ArgumentParser) -> None:
    parser.description = "An Iris row through the application, without a server; one core, in turns."
    parser.add_argument("--rounds", type=_count, default=101, help="turns of each (default: %(default)s)")

    def run(asked: argparse.Namespace) -> None:
        from benchmarks import observability_overhead

        observability_overhead.measure(asked.rounds)

    parser.set_defaults(run=run)


def _count(text: str) -> int:
    if not (text.isascii() and text.isdigit() and int(text) > 0):
        raise argparse.ArgumentTypeError(f"{text!r}: a whole number from 1 on")
    return int(text)


def _seconds(text: str) -> float:
    try:
        seconds = float(text)
    except ValueError:
        seconds = 0
    if not 0 < seconds < math.inf:
        raise argparse.ArgumentTypeError(f"{text!r}: a number over 0")
    return seconds


def _data_dir(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--data-dir", type=Path, default=Settings.from_env().data_dir, help="holds MNIST/raw/")


if __name__ == "__main__":
    sys.exit(main())
