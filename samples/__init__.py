"""Images of digits made by `draw.py`, for the README and the tests."""
