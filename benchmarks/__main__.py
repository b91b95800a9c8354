"""`python -m benchmarks train`: how a measurement is asked for."""

import argparse
import os
import sys
from pathlib import Path

from benchmarks import training_speed
from service.settings import Settings


def main() -> int:
    """Run one benchmark and print its table."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=sys.modules["benchmarks"].__doc__)
    commands = parser.add_subparsers(title="benchmarks", required=True, metavar="BENCHMARK")
    train = commands.add_parser(
        "train",
        help="mnist-deep's training loop beside the lecture's own",
        description="Time the training loop of mnist-deep beside the lecture's own (a DataLoader of batch 12 over\n"
        "ToTensor() images, the same five layers), in turns, on one core.",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    train.add_argument("--rounds", type=int, default=7, help="turns of each (default: %(default)s)")
    train.add_argument("--steps", type=int, default=1000, help="mini-batches a turn (default: %(default)s)")
    train.add_argument("--whole", action="store_true", help="train both to the end too, and compare their accuracy")
    train.add_argument("--data-dir", type=Path, default=Settings.from_env().data_dir, help="holds MNIST/raw/")
    asked = parser.parse_args()
    os.sched_setaffinity(0, {max(os.sched_getaffinity(0))})
    training_speed.measure(asked.data_dir, asked.rounds, asked.steps, whole=asked.whole)
    return 0


if __name__ == "__main__":
    sys.exit(main())
