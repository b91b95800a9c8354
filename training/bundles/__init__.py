"""Bundles: written, verified, and restored."""
