"""The arguments and --help of the `overload` benchmark."""

import argparse

from benchmarks.arguments import describe, positive_float


def add_overload(parser: argparse.ArgumentParser) -> None:
    """`overload`: more requests than the service can handle."""
    describe(
        parser,
        "Ask the service for more than it can handle: large requests and photos at a multiple of its capacity, many\n"
        "connections, slow senders. Prints how many requests were accepted and rejected, how long each took, and\n"
        "whether health checks were answered meanwhile. Two workers on all cores, which the load generator shares.",
        """
        python -m benchmarks overload               all loads, 15 seconds each
        python -m benchmarks overload --seconds 5   a quick check
        """,
    )
    parser.add_argument("--seconds", type=positive_float, default=15, help="of each load (default: %(default)s)")
    parser.set_defaults(run=_run, all_cores=True)


def _run(args: argparse.Namespace) -> None:
    from benchmarks.overload import scenarios

    scenarios.measure(args.seconds)
