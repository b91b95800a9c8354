"""Whole requests: method, path, query, header fields and body, through the parser and the application.

An input is a request without version, Host and Content-Length, which are added, with lines that end with LF.
"""

from in_process import Response
from stepped_worker import SteppedWorker

from fuzz.application import APP, MAX_BODY, checked
from fuzz.failures import none_logged
from service.worker.options import WorkerOptions

WORDS = (
    b"POST /v1/models/iris:predict",
    b"POST /v1/models/mnist/versions/",
    b"POST /v2/models/iris/infer",
    b"POST /v2/repository/index",
    b"GET /v2/models/iris/stats",
    b"GET /metrics",
    b"GET /docs/",
    b"HEAD /v1/models",
    b"OPTIONS /",
    b"?debug=ink",
    b"?abstain=true",
    b"&abstain=false",
    b"\nAccept: application/openmetrics-text",
    b"\nAccept-Encoding: gzip;q=0.5, deflate",
    b"\nContent-Encoding: gzip",
    b"\nContent-Encoding: deflate",
    b"\nContent-Type: application/json",
    b"\nContent-Type: text/csv",
    b"\nContent-Type: multipart/form-data; boundary=x",
    b"\nContent-Type: image/png",
    b"\nInference-Header-Content-Length: 10",
    b"\nRange: bytes=0-9",
    b"\nIf-None-Match: *",
    b"\nIf-Modified-Since: Fri, 27 Nov 2026 00:00:00 GMT",
    b"\nIf-Range: Fri, 27 Nov 2026 00:00:00 GMT",
    b"\nX-Request-ID: a",
    b'\n\n{"instances":[[5.1,3.5,1.4,0.2]]}',
)


def run(data: bytes) -> None:
    """Send the request to a worker that runs the application."""
    head, _, body = data.partition(b"\n\n")
    line, *fields = head.split(b"\n")
    lines = [line + b" HTTP/1.1", b"Host: x", *fields, b"Content-Length: %d" % len(body)]
    with none_logged(), SteppedWorker(APP, options=WorkerOptions(max_body_bytes=MAX_BODY)) as worker:
        client = worker.client()
        client.send(b"\r\n".join([*lines, b"", body]))
        response = client.response(has_body=not line.startswith(b"HEAD "))
    if response and response.status != 100:
        checked(Response(*response), has_body=not line.startswith(b"HEAD "))
