"""What decoding a picture takes at most, as estimated from its header, beside what it really takes."""

from functools import partial

import pytest

from benchmarks.large_pictures import LARGE_PICTURES, icon
from benchmarks.picture_memory import peak_memory
from service.images.decoding import open_image
from service.images.limits import PixelBudget
from service.settings import Settings
from service.worker.memory import MemoryBudget

MEGAPIXEL = 1024  # pixels a side, as the largest icons have
MEGAPIXELS_4 = 2000  # pixels a side
MEGAPIXELS_17 = 4130  # so large that it is reduced, and most PNG files are decoded in bands
MEGAPIXELS_64 = 8000
MAX_EXCESS = 16 * 2**20  # bytes: what is estimated for the normaliser, and for copies of the file
LARGEST = MemoryBudget(Settings().memory_budget_bytes).largest

REDUCED = tuple(name for name in LARGE_PICTURES if name.startswith(("PNG", "GIF", "TIFF L")))
ICONS = {f"ICO of {depth} bits": partial(icon, depth) for depth in (1, 8, 32)}
DRAWN = LARGE_PICTURES | ICONS
PICTURES = [
    *((name, MEGAPIXELS_4) for name in LARGE_PICTURES),
    *((name, MEGAPIXELS_17) for name in REDUCED),
    *((name, MEGAPIXEL) for name in ICONS),
]


@pytest.fixture(scope="module")
def measured(tmp_path_factory: pytest.TempPathFactory) -> dict[tuple[str, int], tuple[int, int]]:
    """For each picture the estimate, and the growth of a process of its own."""
    paths = []
    for i, (name, side) in enumerate(PICTURES):
        paths.append(tmp_path_factory.mktemp("pictures") / str(i))
        paths[-1].write_bytes(DRAWN[name](side))
    return dict(zip(PICTURES, peak_memory(paths), strict=True))


@pytest.mark.parametrize("picture", PICTURES, ids=lambda picture: f"{picture[0]}, {picture[1]} a side")
def test_decoding_takes_no_more_than_the_estimate_and_not_much_less(
    measured: dict[tuple[str, int], tuple[int, int]], picture: tuple[str, int]
) -> None:
    estimate, peak = measured[picture]
    assert peak <= estimate
    assert estimate <= 2 * peak + MAX_EXCESS


@pytest.mark.parametrize("name", ["JPEG RGB", "JPEG RGB, progressive", "PNG RGB", "WebP RGB"])
def test_a_12_megapixel_photo_fits_into_the_memory_of_one_request(name: str) -> None:
    side = 3465  # 12.006 megapixels
    assert open_image(LARGE_PICTURES[name](side), PixelBudget(64_000_000)).memory <= LARGEST


@pytest.mark.parametrize("name", ["PNG L", "PNG RGB", "PNG RGBA", "PNG P", "PNG I;16", "JPEG RGB"])
def test_a_64_megapixel_picture_fits_where_it_can_be_decoded_in_bands_or_reduced(name: str) -> None:
    assert open_image(LARGE_PICTURES[name](MEGAPIXELS_64), PixelBudget(64_000_000)).memory <= LARGEST
