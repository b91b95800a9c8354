"""How a camera that is held some way stores a picture: the inverse of what a viewer of it must do."""

from PIL import Image

TURNS = {  # by EXIF orientation
    1: None,
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_90,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_270,
}


def stored(upright: Image.Image, orientation: int) -> Image.Image:
    """The picture as it is in a file with this orientation."""
    turn = TURNS[orientation]
    return upright if turn is None else upright.transpose(turn)
