"""Benchmarks that reproduce the figures in docs/.

Timings of two variants are always measured alternately within one run and compared by the ratio of their medians:
absolute timings taken on small shared machines are not comparable between runs.
"""
