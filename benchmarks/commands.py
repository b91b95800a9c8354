"""The arguments and --help of each benchmark except `serve`; the benchmarks themselves are imported when they run."""

import argparse
from pathlib import Path

from benchmarks.arguments import add_data_dir, add_folder, add_model, describe, positive_float, positive_int

MAX_STEPS = 60_000 // 12 - 1  # the mini-batches of one epoch without the first, which is the warm-up


def add_train(parser: argparse.ArgumentParser) -> None:
    """`train`: training speed."""
    describe(
        parser,
        "Compare the training loop of mnist-deep with the lecture's loop (a DataLoader with batch size 12).\n"
        "The two loops alternate on one core; the median milliseconds per step are printed.",
        """
        python -m benchmarks train                          7 rounds of 1,000 steps each
        python -m benchmarks train --rounds 2 --steps 100   a quick check, some seconds
        python -m benchmarks train --full                   then train with both for ten epochs and compare accuracy
        """,
    )
    parser.add_argument("--rounds", type=positive_int, default=7, help="rounds per loop (default: %(default)s)")
    parser.add_argument(
        "--steps", type=_steps, default=1000, help=f"mini-batches per round, at most {MAX_STEPS} (default: %(default)s)"
    )
    parser.add_argument("--full", action="store_true", help="also train with both loops to the end, on MNIST")
    add_data_dir(parser)

    def run(args: argparse.Namespace) -> None:
        from benchmarks import training_speed

        training_speed.measure(args.data_dir, args.rounds, args.steps, full=args.full)

    parser.set_defaults(run=run)


def _steps(text: str) -> int:
    """An argparse type: a number of mini-batches that one epoch of MNIST has."""
    if (steps := positive_int(text)) > MAX_STEPS:
        raise argparse.ArgumentTypeError(f"{text!r}: expected at most {MAX_STEPS}, the mini-batches of one epoch")
    return steps


def add_uploads(parser: argparse.ArgumentParser) -> None:
    """`uploads`: accuracy on uploads."""
    describe(
        parser,
        "Measure the accuracy per source on digits that people drew, scanned or photographed, and on synthetic\n"
        "uploads, with the ink normaliser and with simpler preprocessing.",
        """
        python -m benchmarks uploads                                  50 synthetic uploads of each style
        python -m benchmarks uploads data/uploads --synthetic 10      real uploads too, fewer synthetic ones
        python -m benchmarks uploads data/uploads --sheet errors.png  draw each error beside the network's input
        python -m benchmarks uploads data/uploads --leave-one-out     are the normaliser's constants overfitted?
        """,
    )
    add_folder(parser)
    parser.add_argument(
        "--synthetic",
        type=positive_int,
        default=50,
        metavar="N",
        help="synthetic uploads of each style (default: %(default)s)",
    )
    add_model(parser)
    parser.add_argument("--sheet", type=Path, metavar="PNG", help="write a contact sheet of all errors")
    parser.add_argument(
        "--leave-one-out",
        action="store_true",
        help="instead, choose each tuned constant without the source it is tested on (takes minutes)",
    )
    add_data_dir(parser)

    def run(args: argparse.Namespace) -> None:
        from benchmarks import leave_one_source_out, uploads

        if not args.leave_one_out:
            uploads.measure(args.folder, args.synthetic, args.data_dir, args.model, args.sheet)
        elif args.folder:
            leave_one_source_out.measure(args.folder, args.model)
        else:
            parser.error("--leave-one-out needs a FOLDER of uploads")

    parser.set_defaults(run=run)


def add_confidence(parser: argparse.ArgumentParser) -> None:
    """`confidence`: calibration and OOD detection."""
    describe(
        parser,
        "Measure how well the probabilities of a digit model are calibrated, what its abstention thresholds cost,\n"
        "and how many out-of-distribution images (letters, scribbles, photos) it detects.",
        """
        python -m benchmarks confidence                                         MNIST's validation images
        python -m benchmarks confidence data/uploads --diagram confidence.png   uploads too, and the diagram
        python -m benchmarks confidence --fonts /usr/share/fonts                and out-of-distribution images
        """,
    )
    add_folder(parser)
    parser.add_argument("--fonts", type=Path, metavar="DIR", help="font files; enables out-of-distribution images")
    parser.add_argument("--diagram", type=Path, metavar="PNG", help="write a reliability diagram")
    add_model(parser)
    add_data_dir(parser)

    def run(args: argparse.Namespace) -> None:
        from benchmarks import confidence

        confidence.measure(args.folder, args.fonts, args.data_dir, args.model, args.diagram)

    parser.set_defaults(run=run)


def add_preprocessing(parser: argparse.ArgumentParser) -> None:
    """`preprocessing`: latency per upload."""
    describe(
        parser,
        "Measure the latency of decoding, normalising and classifying one upload on one core, for five files.\n"
        "Run it on an idle machine.",
        """
        python -m benchmarks preprocessing                medians of 101 rounds
        python -m benchmarks preprocessing --rounds 5     a quick check, some seconds
        """,
    )
    parser.add_argument(
        "--rounds", type=positive_int, default=101, help="repetitions of each step (default: %(default)s)"
    )
    add_model(parser)

    def run(args: argparse.Namespace) -> None:
        from benchmarks import preprocessing_latency

        preprocessing_latency.measure(args.rounds, args.model)

    parser.set_defaults(run=run)


def add_observability(parser: argparse.ArgumentParser) -> None:
    """`observability`: overhead per request."""
    describe(
        parser,
        "Measure what metrics, request ids, Server-Timing and the request log add to one Iris request.\n"
        "The application is called without a server, on one core; the variants alternate.",
        """
        python -m benchmarks observability                medians of 101 rounds
        python -m benchmarks observability --rounds 5     a quick check, one second
        """,
    )
    parser.add_argument("--rounds", type=positive_int, default=101, help="rounds per variant (default: %(default)s)")

    def run(args: argparse.Namespace) -> None:
        from benchmarks import observability_overhead

        observability_overhead.measure(args.rounds)

    parser.set_defaults(run=run)


def add_batching(parser: argparse.ArgumentParser) -> None:
    """`batching`: what dynamic batching gains."""
    describe(
        parser,
        "Compare the service with and without dynamic batching, on a network so wide that reading its weights takes\n"
        "most of the time, over 1, 8 and 64 connections.",
        """
        python -m benchmarks batching                             two hidden layers of 4,096
        python -m benchmarks batching --units 256 --size 32:1ms   a network for which it does not pay
        """,
    )
    parser.add_argument("--units", type=positive_int, default=4096, help="of each hidden layer (default: %(default)s)")
    parser.add_argument("--size", default="32:2ms", help="rows and delay of a batch (default: %(default)s)")
    parser.add_argument("--rounds", type=positive_int, default=5, help="(default: %(default)s)")
    parser.add_argument("--seconds", type=positive_float, default=2, help="of each load (default: %(default)s)")

    def run(args: argparse.Namespace) -> None:
        from benchmarks import batching_gain

        batching_gain.measure(args.units, args.size, args.rounds, args.seconds)

    parser.set_defaults(run=run)


def add_scoring(parser: argparse.ArgumentParser) -> None:
    """`scoring`: predictions without a server."""
    describe(
        parser,
        "Compare `digitalis predict` on 100,000 decoded images with bare ONNX Runtime, by turns; read and predict\n"
        "2,300 picture files; and predict a table of ten million rows with one process and with two.",
        """
        python -m benchmarks scoring
        python -m benchmarks scoring --all-cores      two processes on two cores
        """,
    )
    parser.add_argument("--rounds", type=positive_int, default=5, help="comparisons (default: %(default)s)")
    parser.add_argument("--all-cores", action="store_true", help="use every core, not one")
    add_data_dir(parser)
    parser.set_defaults(run=_run_scoring)


def _run_scoring(args: argparse.Namespace) -> None:
    from benchmarks.scoring import measure

    measure(args.rounds, args.data_dir)


def add_memory(parser: argparse.ArgumentParser) -> None:
    """`memory`: peak memory of a picture."""
    describe(
        parser,
        "Measure the peak memory of decoding and normalising one picture, for every format and mode, at the largest\n"
        "size that the service accepts; beside it, the estimate that the service reserves. Takes minutes.",
        """
        python -m benchmarks memory                       every format and mode
        python -m benchmarks memory --only WebP           those whose name contains WebP
        """,
    )
    parser.add_argument("--only", default="", metavar="WORDS", help="the pictures whose name contains these words")

    def run(args: argparse.Namespace) -> None:
        from benchmarks import picture_memory

        picture_memory.measure(args.only)

    parser.set_defaults(run=run)
