"""Answer requests.

The life of one, and where to read on:

    POST /v1/models/mnist-deep:predict  (a photo)

    gunicorn_conf       Gunicorn's processes; each opens every model after the fork
    server/             and runs this: one thread reads from all connections, and answers what has come whole
    observation             it gets an id and is watched: `telemetry` counts it, for all workers;
                            `drift` says what is measured of what came in
    routes/dispatch     the view is found by the path, and is given what was asked
    routes/v1           the view (routes/v2 for the Open Inference Protocol): the steps below, each told to the watch
    repository          1. find     which model, which version
    routes/body           the body, read once, within the limits
    decoding/           2. decode   bytes -> named arrays: `images`, `vectors`, or V2's `tensors`
    digits/                 a picture of a digit -> 28x28 as MNIST's makers made theirs
    repository          3. predict  `Model`: check the arrays, run them, check what comes out
    runtimes/               ONNX Runtime or TorchScript, on CUDA or the CPU
    encoding/           4. encode   arrays -> labels and probabilities, or V2's tensors
    doubt                   what makes an answer unsure, and values outside the range seen in training

Whatever is wrong on the way is raised as one of `errors` and answered as `{"error": ...}`. Before the first request,
`settings` reads the environment, `bundle` checks what is in `models/`, and `app` wires the parts together.
`training` may import this package; this package never imports `training`.
"""

__version__ = "0.1.0"
