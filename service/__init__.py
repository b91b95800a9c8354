"""Serve models over HTTP.

The life of a request, and where to read on:

    POST /v1/models/mnist:predict  (a photo)

    gunicorn_conf           Gunicorn's worker processes; each opens every model after the fork
    worker/                 reads requests from all connections, and runs the application for each complete one
    observability/          the middleware gives the request an id and a timer
    http/routing            finds the view; the two hot routes have a fast path
    protocols/v1/views      the view, in four steps (protocols/v2/views for the Open Inference Protocol):
      inference/repository    1. find     the model, by name and version
      http/body                           the body, read once, within the limits
      protocols/v1/requests   2. decode   bytes -> named arrays
      images/                             an image file -> greyscale -> 28x28, as MNIST's images are
      inference/segmenter                 ... by the network that finds the ink
      inference/model         3. predict  check the inputs, run them, check the outputs
      inference/runtimes/                 ONNX Runtime or TorchScript, on CUDA or the CPU
      protocols/v1/responses  4. encode   arrays -> labels and probabilities
      inference/abstention                reasons to distrust a prediction
    observability/          the middleware counts the request, logs it, and adds its headers

Any failure on the way is raised as one of `errors`, and becomes the response `{"error": ...}`. Before the first
request, `settings` reads the environment, `bundle/` checks what is in `models/`, and `app` connects the parts.
`training` may import this package; this package never imports `training`.
"""

__version__ = "0.1.0"
