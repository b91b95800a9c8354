"""Digits drawn by us, for the README and the tests: `draw.py` draws them."""
