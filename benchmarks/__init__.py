"""What is measured, and how to measure it again: `python -m benchmarks --help`.

Two things are always timed in one run, in turns, and compared by the ratio of their medians: these figures are taken
on small shared machines, where only ratios keep.
"""
