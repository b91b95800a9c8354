"""Whether manifests have the fields of KServe's own classes, and no others."""

import re
import sys
from pathlib import Path
from typing import Any

import kserve
import yaml

KINDS = {"ClusterServingRuntime": "V1alpha1ClusterServingRuntime", "InferenceService": "V1beta1InferenceService"}


def unknown_fields(found: Any, kind: str, where: str) -> list[str]:
    """The fields that the class of this name does not have, and those of its parts."""
    if part := re.fullmatch(r"(?:list\[|dict\(str, )(.*)[\])]", kind):
        items = enumerate(found) if isinstance(found, list) else found.items()
        return [field for key, item in items for field in unknown_fields(item, part[1], f"{where}.{key}")]
    structure = getattr(kserve, kind, None)
    if structure is None:  # a class of Kubernetes, or a value
        return []
    types = {structure.attribute_map[name]: one for name, one in structure.openapi_types.items()}
    unknown = [f"{where}.{field}" for field in found if field not in types]
    known = [(field, value) for field, value in found.items() if field in types]
    return unknown + [one for field, value in known for one in unknown_fields(value, types[field], f"{where}.{field}")]


for path in map(Path, sys.argv[1:]):
    for document in yaml.safe_load_all(path.read_text()):
        unknown = unknown_fields(document, KINDS[document["kind"]], path.name)
        assert not unknown, unknown
        print(path.name, document["kind"])
