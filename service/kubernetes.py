"""Variables that are no settings: Kubernetes injects them for a Service called digitalis, or digitalis-<anything>."""

import re

NAME = re.compile(r"DIGITALIS_(.*_)?(SERVICE_HOST|SERVICE_PORT(_.*)?|PORT_[0-9]+_[A-Z]+(_PROTO|_PORT|_ADDR)?)")
URL_NAME = re.compile(r"DIGITALIS_(.*_)?PORT")  # if the value is a URL


def is_injected(name: str, text: str) -> bool:
    """Whether Kubernetes injects a variable of this name with such a value."""
    return bool(NAME.fullmatch(name) or (URL_NAME.fullmatch(name) and "://" in text))
