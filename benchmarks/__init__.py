"""Benchmarks that reproduce the figures in docs/.

Where variants are compared by their speed, they are measured alternately within one run: on small shared machines,
timings of different runs cannot be compared.
"""
