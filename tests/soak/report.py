"""What is printed about a soak, and whether it has passed."""

from collections.abc import Sequence

from benchmarks.overload.probes import ProbeResult
from soak.journal import LOST, OUTCOMES, Journal

MAX_GROWTH = 8.0  # MB, of a worker over the last three quarters of the run
MAX_DESCRIPTORS_GROWTH = 2  # health checks are made meanwhile, each on a connection of its own
MAX_LISTED = 50  # failures that are printed in full


def progress(minute: int, journal: Journal, memory: Sequence[float], descriptors: Sequence[int]) -> str:
    """One line about the minutes so far."""
    counts = ", ".join(f"{journal.total(outcome)} {outcome}" for outcome in OUTCOMES)
    return f"minute {minute}: {counts}; {memory[-1]:.1f} MB, {descriptors[-1]} file descriptors"


def print_report(journal: Journal, probes: ProbeResult, memory: Sequence[float], descriptors: Sequence[int]) -> bool:
    """Print the tables and what has failed. Returns whether the soak has passed."""
    print(_table(journal))
    failures = list(journal.failures)
    growth, more_descriptors = last_three_quarters_growth(memory), last_three_quarters_growth(descriptors)
    if growth >= MAX_GROWTH:
        failures.append(f"memory: a worker grew by {growth:.1f} MB, and less than {MAX_GROWTH:g} is expected")
    if more_descriptors > MAX_DESCRIPTORS_GROWTH:
        failures.append(f"file descriptors: {more_descriptors:g} more, and at most {MAX_DESCRIPTORS_GROWTH} expected")
    unexplained = [at for at in probes.failed_at if not _is_after_kill(at, journal)]
    failures += [f"health: a check failed at {at - min(probes.failed_at):.1f} s after the first" for at in unexplained]
    print(f"workers killed: {len(journal.kills)}; connections lost with them: {journal.total(LOST)}")
    print(f"memory of the worker that was never killed, MB by minute: {' '.join(f'{it:.1f}' for it in memory)}")
    print(f"its growth over the last three quarters: {growth:.1f} MB")
    print(f"its file descriptors by minute: {' '.join(map(str, descriptors))}")
    print(
        f"health checks: {len(probes.answered_ms)} answered, {probes.failed - len(unexplained)} lost with a worker, "
        f"{len(unexplained)} failed; the slowest took {max(probes.answered_ms, default=0):.0f} ms"
    )
    for failure in failures[:MAX_LISTED]:
        print(f"FAILED: {failure}")
    print(f"unexplained failures: {len(failures)}")
    return not failures


def last_three_quarters_growth(values: Sequence[float]) -> float:
    """From the end of the first quarter to the end, of values at the ends of minutes."""
    return values[-1] - values[(len(values) - 1) // 4]


def _is_after_kill(failed_at: float, journal: Journal) -> bool:
    return any(0 <= failed_at - kill <= 2 for kill in journal.kills)


def _table(journal: Journal) -> str:
    lines = [
        f"| requests | {' | '.join(OUTCOMES)} | p50, p99, max ms | slowest |",
        "| --- " * (len(OUTCOMES) + 3) + "|",
    ]
    for kind, counts in sorted(journal.counts.items()):
        times = sorted(journal.milliseconds[kind]) or [0.0]
        quantiles = f"{times[len(times) // 2]:.0f}, {times[len(times) * 99 // 100]:.0f}, {times[-1]:.0f}"
        cells = (kind, *(counts[outcome] for outcome in OUTCOMES), quantiles, journal.slowest.get(kind, (0, ""))[1])
        lines.append(f"| {' | '.join(map(str, cells))} |")
    return "\n".join(lines)
