"""What a start prints for people: where the service listens, and requests to try."""

import json
from pathlib import Path

from service.inference.repository import ModelRepository
from service.protocols.v1.requests import example

MAX_NAMED_MODELS = 6  # above this, the banner gives the number of models, not their names


def startup_banner(models: ModelRepository, address: str, *, page: bool) -> str:
    """The URL, and what to try: the `page`, if there is one, and a request for each kind of model that there is."""
    host, _, port = address.rpartition(":")
    url = f"http://{'localhost' if host in ('0.0.0.0', '[::]') else host}:{port}/v1/models"  # noqa: S104  # nosec B104
    bundles = [models.find(name).bundle for name in models.names()]
    served = f"{len(bundles)} models" if len(bundles) > MAX_NAMED_MODELS else ", ".join(models.names())
    lines = [f"\nDigitalis serves {served} at {url}. Try:\n"]
    if page:
        lines.append(f"  {url.removesuffix('v1/models')} in a browser")
    for bundle in [bundle for bundle in bundles if bundle.takes_images][:1]:
        picture = next(iter(sorted(Path("samples").glob("*.png"))), "digit.png")
        lines.append(f"  curl -F image=@{picture} {url}/{bundle.name}:predict")
    # A row of about four features looks like data, and is short enough to type.
    vector_models = [one for one in bundles if one.features] or [one for one in bundles if one.takes_tensors]
    typical = sorted(vector_models, key=lambda bundle: abs(len(bundle.features) - 4))[:1]
    lines += [f"  curl -d '{json.dumps(example(bundle))}' {url}/{bundle.name}:predict" for bundle in typical]
    return "\n".join([*lines, ""])
