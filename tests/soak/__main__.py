"""Run a soak: `python -m soak`, with tests/ on PYTHONPATH. Only counts decide whether it has passed."""

import argparse
import math
import sys
import tempfile
from pathlib import Path

from running_service import RunningService

from benchmarks.arguments import positive_int
from benchmarks.overload.probes import probing
from benchmarks.overload.scenarios import allow_connections
from soak.journal import Journal
from soak.minute import SECONDS, Minutes
from soak.report import print_report, progress


def main() -> None:
    """Run whole minutes of mixed load; the exit status is 1 if anything failed that is not explained."""
    parser = argparse.ArgumentParser(prog="python -m soak", description=__doc__)
    parser.add_argument("--seconds", type=positive_int, default=1200, help="rounded up to minutes (default: 1200)")
    minutes = math.ceil(parser.parse_args().seconds / SECONDS)
    allow_connections()
    with tempfile.TemporaryDirectory() as folder:
        sys.exit(not soak(Path(folder) / "log", minutes))


def soak(log: Path, minutes: int) -> bool:
    """Run a service of two workers for some minutes, and print what came of it. Returns whether all was right."""
    with RunningService(log, workers="2", queue_timeout_ms="1000") as server:
        journal = Journal()
        load = Minutes(server, journal)
        with probing(server.host_and_port) as probes:
            for minute in range(1, minutes + 1):
                load.run()
                print(progress(minute, journal, load.memory, load.descriptors), flush=True)
    return print_report(journal, probes, load.memory, load.descriptors)


if __name__ == "__main__":
    main()
