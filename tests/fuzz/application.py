"""The application that the targets send requests to, and what must hold for every response.

Its limits are low, so that small inputs exceed them.
"""

import json

from in_process import Response, open_app, post

MAX_BODY = 2**16
APP = open_app("iris", "mnist", max_body_bytes=MAX_BODY, max_image_pixels=2**20, max_files=8, max_rows=50)
REDIRECTS = (304, 308)
REJECTIONS = (400, 404, 405, 413, 415, 416, 422, 501)


def send(target: str, body: bytes, **headers: str) -> Response:
    """The response to a POST, checked. Fields are named as arguments are: `Content_Type`."""
    return checked(post(APP, target, body, {name.replace("_", "-"): value for name, value in headers.items()}))


def checked(response: Response, *, has_body: bool = True) -> Response:
    """Assert that a client can cause this status, that an error is described in JSON, and that headers are valid."""
    assert response.status in (200, 206, *REDIRECTS, *REJECTIONS), response
    for name, value in response.headers.items():
        assert not set("\r\n") & set(name + value), response
        value.encode("latin1")
    if response.status in REJECTIONS and has_body:
        assert response.headers["content-type"] == "application/json", response
        error = json.loads(response.body)
        assert list(error) == ["error"], response
        assert error["error"], response
    return response
