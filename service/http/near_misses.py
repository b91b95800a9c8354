"""For a path that there is not: the one that is probably meant."""

import re
from collections.abc import Collection

PREDICTING = re.compile(r"predict|classify|regress|infer|invocation|score", re.IGNORECASE)
DOCUMENT = re.compile(r"openapi|swagger|schema", re.IGNORECASE)
OTHERS = (
    (re.compile(r"ready", re.IGNORECASE), "GET /v2/health/ready"),
    (re.compile(r"health|live|ping|status", re.IGNORECASE), "GET /v2/health/live"),
    (re.compile(r"metric|prometheus", re.IGNORECASE), "GET /metrics"),
    (DOCUMENT, "GET /openapi.json"),
    (re.compile(r"doc", re.IGNORECASE), "GET /docs/"),
)


def nearest_path(path: str, models: Collection[str]) -> str:
    """Method and path that are probably meant, such as `POST /v1/models/iris:predict`; empty if there is no guess."""
    model = next((part for part in re.split(r"[/:]", path) if part in models), "")
    if PREDICTING.search(path):
        if path.startswith("/v2"):
            return f"POST /v2/models/{model or '<name>'}/infer"
        return f"POST /v1/models/{model or '<name>'}:predict"
    if model and DOCUMENT.search(path):
        return f"GET /v1/models/{model}/openapi.json"
    if model:
        return f"GET /{'v2' if path.startswith('/v2') else 'v1'}/models/{model}"
    return next((meant for pattern, meant in OTHERS if pattern.search(path)), "")
