"""The key of a model: its version and its content, such as `iris/4@0123456789abcdef`."""

from service.bundle.manifest import ModelId

DIGEST_CHARACTERS = 16  # of the bundle's digest


def model_key(model_id: ModelId, digest: str) -> str:
    """The key of a version with this digest, which begins with `sha256:`."""
    return f"{model_id}@{digest.rpartition(':')[2][:DIGEST_CHARACTERS]}"


def id_of(key: str) -> ModelId:
    """Name and version in a key; both are empty for an empty key."""
    name, _, version = key.partition("@")[0].partition("/")
    return ModelId(name, version)
