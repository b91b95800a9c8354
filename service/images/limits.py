"""How large the pictures of a request may be, whatever their format."""

from service.errors import PayloadTooLarge, UnprocessableInput

TOTAL_IMAGES = 4  # all images of one request may have this many times the pixels of the largest one allowed
MAX_SIDE = 32_768  # pixels
MAX_ASPECT = 500  # of the longer side to the shorter one


class PixelBudget:
    """The pixels that one image may have, and those that remain for all images of the request.

    `setting` is what raises the limit, for messages.
    """

    def __init__(self, max_pixels: int, setting: str = "") -> None:
        self.max_pixels = max_pixels
        self._raised_by = f" ({setting})" if setting else ""
        self.remaining = TOTAL_IMAGES * max_pixels

    def spend(self, width: int, height: int, weight: int = 1) -> None:
        """Count an image, before anything is decoded; `weight` times, if decoding takes longer than that of others.

        Raises `PayloadTooLarge` for one that is too large, or one too many, and `UnprocessableInput` for one of a shape
        that no digit has.
        """
        pixels = width * height * weight
        if pixels > self.max_pixels:
            most = self.max_pixels // weight
            raise PayloadTooLarge(f"{width}x{height} pixels: at most {most:,} in all{self._raised_by}")
        if max(width, height) > MAX_SIDE:
            raise PayloadTooLarge(f"{width}x{height} pixels: at most {MAX_SIDE:,} on a side")
        if max(width, height) > MAX_ASPECT * min(width, height):
            raise UnprocessableInput(
                f"{width}x{height} pixels: no digit has this shape; one side may be {MAX_ASPECT} times the other"
            )
        self.remaining -= pixels
        if self.remaining < 0:
            total = TOTAL_IMAGES * self.max_pixels
            weighted = "" if weight == 1 else f" (those of this format count {weight} times)"
            raise PayloadTooLarge(
                f"the images of one request have over {total:,} pixels{weighted}{self._raised_by}: send fewer"
            )
