"""`digitalis sign`: sign bundles with a private key, or make a pair of keys."""

import argparse
import base64
import os
import sys
from collections.abc import Sequence
from pathlib import Path

EXAMPLES = """
examples:
  digitalis sign --new-key release.pem              write release.pem, to be kept secret, and release.pub
  digitalis sign --key release.pem models/iris/5    write models/iris/5/manifest.sig
  DIGITALIS_PUBLIC_KEY=release.pub digitalis serve  serve nothing that this key has not signed
"""


def main(arguments: Sequence[str], prog: str) -> int:
    """Run the command; return its exit status, 1 if a bundle or a key is not as it should be."""
    parser = argparse.ArgumentParser(
        prog=prog, description="Sign bundles (Ed25519).", epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )  # fmt: skip
    parser.add_argument("bundles", nargs="*", type=Path, metavar="FOLDER", help="<name>/<version>/ of a bundle")
    parser.add_argument("--key", type=Path, help="the private key, in PEM")
    parser.add_argument("--new-key", type=Path, metavar="FILE", help="write a new private key, and beside it FILE.pub")
    args = parser.parse_args(arguments)
    if args.new_key is None and not (args.key and args.bundles):
        parser.error("give --key and the folders of bundles, or --new-key")
    try:
        if args.new_key:
            print(f"wrote {args.new_key} (keep it secret) and {new_key(args.new_key)}")
        for folder in args.bundles:
            print(f"wrote {sign(folder, args.key)}")
    except Exception as error:  # noqa: BLE001 - whatever it is, a line says it
        print(f"{prog}: {error}", file=sys.stderr)
        return 1
    return 0


def new_key(path: Path) -> Path:
    """Write a private key, readable by its owner alone, and its public key beside it, of which the path is returned."""
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
    from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, PublicFormat

    key = Ed25519PrivateKey.generate()
    with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
        file.write(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
    public = path.with_suffix(".pub")
    public.write_bytes(key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo))
    return public


def sign(folder: Path, key: Path) -> Path:
    """Check a bundle, and write its signature; raises `BundleError`, and `ValueError` for another kind of key."""
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
    from cryptography.hazmat.primitives.serialization import load_pem_private_key

    from service.bundle.loading import load_bundle
    from service.bundle.manifest import MANIFEST
    from service.bundle.signing import SIGNATURE
    from service.inference.version_folders import model_id_of

    private = load_pem_private_key(key.read_bytes(), None)
    if not isinstance(private, Ed25519PrivateKey):
        raise ValueError(f"{key}: it is no Ed25519 key")  # noqa: TRY004 - of the file, not of an argument
    folder = folder.absolute()
    _, contents = load_bundle(folder, identity=model_id_of(folder, folder), root=folder)  # wherever it lies
    partial = folder / f".{SIGNATURE}.partial"
    partial.write_bytes(base64.b64encode(private.sign(contents[MANIFEST])) + b"\n")
    return partial.replace(folder / SIGNATURE)
