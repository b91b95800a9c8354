"""Run targets, some at a time, each in a process of its own: `python -m fuzz`, with tests/ on PYTHONPATH."""

import argparse
import os
import re
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor

from fuzz import CORPUS, FOUND, TARGETS

STATISTICS = re.compile(r"^#\d+\s+(?:DONE|pulse|NEW|REDUCE) +cov: (\d+).*exec/s: (\d+)", re.MULTILINE)
LOG_TAIL = 4000  # characters that are shown of a run that failed


def main() -> None:
    """Fuzz the targets; the exit status is 1 if an input failed."""
    parser = argparse.ArgumentParser(prog="python -m fuzz", description=__doc__)
    parser.add_argument("targets", nargs="*", metavar="target", help=f"default: all, {', '.join(TARGETS)}")
    parser.add_argument("--seconds", type=int, default=600, help="for each target (default: 600)")
    parser.add_argument("--jobs", type=int, default=os.cpu_count(), help="targets at a time (default: one per core)")
    arguments = parser.parse_args()
    if unknown := set(arguments.targets) - set(TARGETS):
        parser.error(f"unknown: {', '.join(sorted(unknown))}; the targets are {', '.join(TARGETS)}")
    with ThreadPoolExecutor(arguments.jobs) as pool:
        passed = list(pool.map(lambda name: fuzz(name, arguments.seconds), arguments.targets or TARGETS))
    sys.exit(not all(passed))


def fuzz(name: str, seconds: int) -> bool:
    """Fuzz one target for some time, print what came of it, and return whether no input failed."""
    found = FOUND / name
    found.mkdir(parents=True, exist_ok=True)
    log = FOUND / f"{name}.log"
    with log.open("wb") as output:
        completed = subprocess.run(
            (sys.executable, "-m", "fuzz.fuzzer", name, f"-max_total_time={seconds}", str(found), str(CORPUS / name)),
            env=os.environ | {"PYTHONPATH": "tests", "PYTHONHASHSEED": "0"},
            stdout=output,
            stderr=subprocess.STDOUT,
            check=False,
        )
    print(report(name, log.read_text(errors="replace"), failed=completed.returncode != 0), flush=True)
    return completed.returncode == 0


def report(name: str, log: str, *, failed: bool) -> str:
    """One line about a run, and the end of its log, which names the input, if it failed."""
    counts = STATISTICS.findall(log)
    reached = f"{counts[-1][0]} edges covered, {counts[-1][1]} executions/s" if counts else "it did not start"
    return f"{name}: FAILED ({reached})\n{log[-LOG_TAIL:]}" if failed else f"{name}: {reached}"


if __name__ == "__main__":
    main()
