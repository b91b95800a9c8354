"""`python -m benchmarks BENCHMARK`: run one benchmark and print its tables."""

import argparse
import os
import sys

import benchmarks
from benchmarks import commands
from benchmarks.arguments import describe
from benchmarks.gpu.command import add_gpu
from benchmarks.overload.command import add_overload
from benchmarks.serve.command import add_serve
from service.errors import DigitalisError


def main() -> int:
    """Run one benchmark; returns the exit status."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks")
    describe(
        parser,
        benchmarks.__doc__ or "",
        """
        python -m benchmarks uploads                         accuracy on synthetic uploads
        python -m benchmarks uploads data/uploads            also on the real uploads in a folder
        python -m benchmarks serve --peers fastapi granian   load test beside two other servers
        python -m benchmarks serve --help                    the options and examples of one benchmark
        """,
    )
    parser.set_defaults(all_cores=False)
    subparsers = parser.add_subparsers(title="benchmarks", required=True, metavar="BENCHMARK")
    commands_and_help = (
        ("train", "training speed of mnist-deep, compared with the lecture's loop", commands.add_train),
        ("uploads", "accuracy on real and synthetic uploads, by source", commands.add_uploads),
        ("confidence", "calibration, and detection of images that show no digit", commands.add_confidence),
        ("preprocessing", "latency of decoding, normalising and inference", commands.add_preprocessing),
        ("memory", "peak memory of decoding the largest pictures", commands.add_memory),
        ("observability", "overhead of metrics, request ids and logs", commands.add_observability),
        ("serve", "load test: requests/s, latency and memory beside other servers", add_serve),
        ("batching", "dynamic batching: throughput and latency with and without it", commands.add_batching),
        ("scoring", "predictions without a server, beside bare ONNX Runtime", commands.add_scoring),
        ("gpu", "the service on a GPU: memory, start, and throughput beside the CPU", add_gpu),
        ("overload", "more requests than the service can handle: what is rejected, and how soon", add_overload),
    )
    for name, summary, add_arguments in commands_and_help:
        add_arguments(subparsers.add_parser(name, help=summary))
    args = parser.parse_args()
    if not args.all_cores:
        os.sched_setaffinity(0, {max(os.sched_getaffinity(0))})
    try:
        args.run(args)
    except (DigitalisError, OSError) as error:
        print(f"benchmarks: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
