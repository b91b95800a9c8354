"""For a path that there is not: the one that is probably meant."""

import re
from collections.abc import Collection

from service.setting_values import OWN_PATHS

# What a proxy may have left in front of one of the service's own paths.
IN_FRONT = re.compile(rf"((?:/[A-Za-z0-9._~-]+)+?)/(?:{'|'.join(map(re.escape, sorted(OWN_PATHS)))})(?:/|$)")
PREDICTING = re.compile(r"predict|classify|regress|infer|invocation|score", re.IGNORECASE)
VERSION = re.compile(r"/versions?/([0-9]+)")
PARTS = {"v1": ("metadata", "report"), "v2": ("ready", "config", "stats")}  # of a model
DOCUMENT = re.compile(r"openapi|swagger|schema", re.IGNORECASE)
OTHERS = (
    (re.compile(r"ready", re.IGNORECASE), "GET /v2/health/ready"),
    (re.compile(r"/ping/"), "GET /ping"),
    (re.compile(r"health|live|ping|status", re.IGNORECASE), "GET /v2/health/live"),
    (re.compile(r"metric|prometheus", re.IGNORECASE), "GET /metrics"),
    (DOCUMENT, "GET /openapi.json"),
    (re.compile(r"doc", re.IGNORECASE), "GET /docs/"),
)


def advice_on_path(path: str, root_path: str, models: Collection[str]) -> str:
    """How to go on where there is no such path: the one that is probably meant, and what is there to be asked for.

    `root_path` is the path under which a proxy has the service, empty if it is not known.
    """
    found = None if root_path else IN_FRONT.match(path)
    in_front = found[1] if found and found[1].split("/")[1] not in OWN_PATHS else ""
    method, _, meant = nearest_path(path.removeprefix(in_front), models).partition(" ")
    question = f": did you mean {method} {root_path}{meant}?" if meant else ";"
    setting = f"; a proxy that leaves {in_front} in the path needs DIGITALIS_ROOT_PATH={in_front}" if in_front else ""
    return f"{question} GET {root_path}/v1/models lists the models{setting}"


def nearest_path(path: str, models: Collection[str]) -> str:
    """Method and path that are probably meant, such as `POST /v1/models/iris:predict`; empty if there is no guess."""
    model = next((part for part in re.split(r"[/:]", path) if part in models), "")
    protocol, found = ("v2" if path.startswith("/v2") else "v1"), VERSION.search(path)
    base = f"/{protocol}/models/{model or '<name>'}{f'/versions/{found[1]}' if found else ''}"
    if PREDICTING.search(path):
        return f"POST {base}{'/infer' if protocol == 'v2' else ':predict'}"
    if model and DOCUMENT.search(path):
        return f"GET {base.replace('/v2/', '/v1/')}/openapi.json"
    if model:
        part = next((one for one in PARTS[protocol] if path.rstrip("/").endswith(f"/{one}")), "")
        return f"GET {base}{'/' if part else ''}{part}"
    return next((meant for pattern, meant in OTHERS if pattern.search(path)), "")
