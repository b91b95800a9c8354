"""HEIC files, where `pillow-heif` is installed (the extra `heic`): Pillow itself does not read them."""

import importlib.util

from PIL import AvifImagePlugin

IS_INSTALLED = importlib.util.find_spec("pillow_heif") is not None


def register_decoders() -> None:
    """Let Pillow open HEIC files, if that is installed, and AVIF too on one thread: requests have their own."""
    AvifImagePlugin.DEFAULT_MAX_THREADS = 1
    if IS_INSTALLED:
        import pillow_heif

        pillow_heif.register_heif_opener(decode_threads=1, thumbnails=False, depth_images=False, aux_images=False)
