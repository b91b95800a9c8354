"""The arguments and --help of the `serve` benchmark."""

import argparse
import signal
import sys
from dataclasses import replace
from pathlib import Path

from benchmarks.arguments import describe, positive_float, positive_int


def add_serve(parser: argparse.ArgumentParser) -> None:
    """`serve`: load test beside other servers."""
    describe(
        parser,
        "Load test Digitalis beside other servers: requests/s, p50 and p99 latency, memory, startup time.\n"
        "Each server runs on one core and the load generator on another. Responses are checked, then all servers are\n"
        "measured alternately, after a warm-up round. `make peers` installs the servers of the default comparison.",
        """
        python -m benchmarks serve                              Digitalis and all servers that `make peers` installs
        python -m benchmarks serve --peers fastapi granian      beside two of them
        python -m benchmarks serve --peers --rounds 1           Digitalis alone, a quick check
        python -m benchmarks serve --uploads                    pictures as people send them, beside Pillow and OpenCV
        python -m benchmarks serve --bars servers.png           draw throughput, memory and startup time
        python -m benchmarks serve --curves curves.png          measure over connections, rows and hidden units too
        """,
    )
    parser.add_argument(
        "--rounds", type=positive_int, default=5, help="rounds after the warm-up (default: %(default)s)"
    )
    parser.add_argument(
        "--seconds", type=positive_float, default=2, help="seconds of load per measurement (default: %(default)s)"
    )
    parser.add_argument(
        "--peers",
        nargs="*",
        metavar="NAME",
        help="other servers; an unknown name lists all (default: the installed ones)",
    )
    parser.add_argument(
        "--uploads",
        action="store_true",
        help="send uploads of 240x240 to 12 megapixels instead; the other servers only decode, invert and resize them",
    )
    parser.add_argument("--bars", type=Path, metavar="PNG", help="write a bar chart of the servers")
    parser.add_argument(
        "--curves", type=Path, metavar="PNG", help="also measure and draw the curves (takes minutes, trains networks)"
    )
    parser.set_defaults(run=lambda args: _run(parser, args), all_cores=True)


def _run(parser: argparse.ArgumentParser, args: argparse.Namespace) -> None:
    from benchmarks.serve import comparison, curves, others, plots
    from benchmarks.serve.servers import CORES, digitalis
    from benchmarks.serve.workloads import UPLOADS

    known = others.shared_peers() | others.isolated_peers()
    if unknown := set(args.peers or ()) - set(known):
        parser.error(f"--peers: unknown {', '.join(sorted(unknown))}; choose from {', '.join(known)}")
    if len(CORES) < 2:
        parser.error("two cores are needed, one for the servers and one for the load generator; only one is available")
    for path in (args.bars, args.curves):
        if path and not path.parent.is_dir():
            parser.error(f"no folder {path.parent}")
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # so that the servers are stopped too
    ours = replace(digitalis(), workload_keys=UPLOADS) if args.uploads else digitalis()
    default = [*others.installed_peers(ours), *["opencv"] * args.uploads]
    names = default if args.peers is None else args.peers
    if incomparable := [name for name in names if not set(known[name].workload_keys) & set(ours.workload_keys)]:
        parser.error(f"--peers: {', '.join(incomparable)}: no workload in common; --uploads is for pillow and opencv")
    servers = [ours, *others.require_peers(names)]
    compared = comparison.compare_servers(servers, args.rounds, args.seconds)
    print(comparison.format_comparison(compared))
    if args.bars:
        plots.plot_bars(compared, args.bars)
    if args.curves:
        measured = curves.measure_curves(servers, args.rounds, args.seconds)
        print(curves.format_curves(measured))
        plots.plot_curves(measured, args.curves)
