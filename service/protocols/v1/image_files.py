"""Image files of a V1 request -> what the network takes: decoded one after the other, then preprocessed."""

from collections.abc import Iterable, Iterator

from service.bundle.manifest import Bundle
from service.errors import RequestError
from service.http.messages import Request
from service.images.base64_text import BASE64_COPIES, decode_base64, is_base64
from service.images.decoding import FILE_COPIES, EncodedImage, open_image
from service.images.limits import PixelBudget
from service.images.network_input import NetworkInput, read_digit, read_picture
from service.protocols.parsing import LARGE_BODY
from service.protocols.v1.decoded import ItemErrors

File = tuple[int, str, bytes | memoryview]  # index of its instance, where in the body it is, and an image file
Opened = tuple[int, str, EncodedImage]


def from_base64(sent: list[File], request: Request, items: ItemErrors) -> list[File]:
    """Files as they are, and in place of a base64 text the file in it."""
    texts = {i: (where, data) for i, where, data in sent if is_base64(data)}
    with request.reserve(BASE64_COPIES * sum(len(data) for _, data in texts.values())):
        decoded = {}
        for i, (where, data) in texts.items():
            try:
                decoded[i] = decode_base64(data)
            except RequestError as error:
                items.add(error, i, where)
        reserve_decoded(decoded.values(), request)
    return [(i, where, decoded.get(i, data)) for i, where, data in sent if i not in items.found]


def reserve_decoded(files: Iterable[bytes | memoryview], request: Request) -> None:
    """Reserve memory for files out of base64, which stand beside the body until the response is made."""
    if (size := sum(map(len, files))) > LARGE_BODY:
        request.reserve_body(size)


def read_files(files: list[File], bundle: Bundle, request: Request, items: ItemErrors) -> dict[int, NetworkInput]:
    """By the index of their instances; with memory for the largest one, as they are decoded one after the other."""
    if not files:
        return {}
    size = sum(len(file) for _, _, file in files)
    with request.reserve(FILE_COPIES * size):
        opened = [*_open_files(files, request, items)]
        if not opened:
            return {}
        memory, what = _largest(opened, bundle, request, items)
        if size > LARGE_BODY:  # they are opened again, one by one, once there is memory for it
            opened.clear()
    read = {}
    with request.reserve(memory, what):
        for i, where, image in opened or _open_files(files, request, items):
            if i in items.found:
                continue
            try:
                read[i] = _read(image, bundle, request)
            except RequestError as error:
                items.add(error, i, where)
    return read


def _largest(opened: list[Opened], bundle: Bundle, request: Request, items: ItemErrors) -> tuple[int, str]:
    """The memory of the picture that takes the most, and what it is; those that take too much have errors."""
    largest = 0, "decoding pictures"
    for i, where, image in opened:
        memory = image.memory_in_colour if len(bundle.image_shape) == 3 else image.memory
        what = f"decoding {image.width}x{image.height} pixels"
        try:
            request.check_memory(memory, what)
            largest = max(largest, (memory, f"{where}: {what}"))
        except RequestError as error:
            items.add(error, i, where)
    return largest


def _open_files(files: list[File], request: Request, items: ItemErrors) -> Iterator[Opened]:
    """Their headers; of those that have no error yet."""
    budget = PixelBudget(request.settings.max_image_pixels, "DIGITALIS_MAX_IMAGE_PIXELS")
    for i, where, file in files:
        try:
            image = open_image(file, budget)
        except RequestError as error:
            items.add(error, i, where)
            continue
        if i not in items.found:
            yield i, where, image


def _read(image: EncodedImage, bundle: Bundle, request: Request) -> NetworkInput:
    if bundle.reads_digits:
        return read_digit(image, request.segment)
    return read_picture(image, bundle.preprocessing, bundle.image_shape)
