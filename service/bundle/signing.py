"""Signatures of bundles: who has published one, which checksums alone do not say.

`manifest.sig` is the Ed25519 signature of `manifest.json`, in base64; through the checksums in that it is of the whole
bundle. `digitalis sign` writes it.
"""

import base64
import binascii
from pathlib import Path

from service.errors import BundleError, SettingsError

SIGNATURE = "manifest.sig"


def check_signature(folder: Path, manifest: bytes, public_key: Path) -> None:
    """Raise `BundleError` unless the manifest is signed by the key of this PEM file; `SettingsError` for the file."""
    try:
        from cryptography.exceptions import InvalidSignature
        from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
        from cryptography.hazmat.primitives.serialization import load_pem_public_key
    except ModuleNotFoundError:
        raise SettingsError("DIGITALIS_PUBLIC_KEY needs the package cryptography: install the extra sign") from None
    try:
        key = load_pem_public_key(public_key.read_bytes())
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or "it is no public key in PEM"
        raise SettingsError(f"DIGITALIS_PUBLIC_KEY={public_key}: {reason}") from None
    if not isinstance(key, Ed25519PublicKey):
        raise SettingsError(f"DIGITALIS_PUBLIC_KEY={public_key}: it is no Ed25519 key")
    try:
        if not (folder / SIGNATURE).is_file() and (folder / SIGNATURE).exists():
            raise BundleError(f"{folder / SIGNATURE}: it is not a regular file")
        signature = base64.b64decode((folder / SIGNATURE).read_bytes().strip(), validate=True)
    except FileNotFoundError:
        raise BundleError(f"{folder}: it is not signed, and DIGITALIS_PUBLIC_KEY asks for that") from None
    except (OSError, binascii.Error) as error:
        raise BundleError(f"{folder / SIGNATURE}: {getattr(error, 'strerror', None) or 'it is not base64'}") from None
    try:
        key.verify(signature, manifest)
    except InvalidSignature:
        raise BundleError(f"{folder / SIGNATURE}: not a signature of this manifest by DIGITALIS_PUBLIC_KEY") from None
