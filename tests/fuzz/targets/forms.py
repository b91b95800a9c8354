"""Forms: `multipart/form-data` with one file or more.

The first line of an input is the parameters of the Content-Type; the body follows.
"""

from fuzz.application import send
from service.errors import RequestError
from service.http.multipart import parse_files

WORDS = (
    b"boundary=x\n--x\r\n",
    b'boundary="x"',
    b"\r\n--x\r\n",
    b"\r\n--x--",
    b"Content-Disposition: form-data; name=a; filename=a.png\r\n\r\n",
    b'Content-Disposition: form-data; name="a"; filename="a.png"\r\n\r\n',
    b"filename*=utf-8''%c3%a4",
    b"Content-Type: image/png\r\n",
    b"\r\n\r\n",
)


def run(data: bytes) -> None:
    """Read the form, read what it contains again from a form that is written plainly, and send it to the service."""
    parameters, _, body = data.partition(b"\n")
    content_type = f"multipart/form-data; {parameters.decode('latin1')}"
    try:
        files = [bytes(upload.data) for upload in parse_files(body, content_type)]
    except RequestError as error:
        assert 400 <= error.status < 500  # noqa: PT017 - nothing else may be raised
    else:
        again = parse_files(form_of(files), "multipart/form-data; boundary=simple-boundary-of-the-test")
        assert [upload.data for upload in again] == files
    send("/v1/models/mnist:predict", body, Content_Type=content_type)


def form_of(files: list[bytes]) -> bytes:
    """A form with these files."""
    head = b'--simple-boundary-of-the-test\r\nContent-Disposition: form-data; name="a"; filename="a"\r\n\r\n'
    return b"".join(head + file + b"\r\n" for file in files) + b"--simple-boundary-of-the-test--\r\n"
