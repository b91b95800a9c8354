"""Augmentation of images: distortions, artifacts of the normaliser, and images that are no digits."""
