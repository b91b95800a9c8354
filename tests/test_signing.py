"""Signed bundles: what a service with a public key serves, and `digitalis sign`."""

import json
import shutil
import stat
import sys
from pathlib import Path

import pytest
from conftest import newest

from digitalis.command import main
from service.app import create_app
from service.bundle.loading import load_bundle
from service.errors import BundleError, SettingsError
from service.settings import Settings


@pytest.fixture
def key(tmp_path: Path) -> Path:
    """A new private key; the public one is beside it."""
    path = tmp_path / "release.pem"
    assert main(["sign", "--new-key", str(path)]) == 0
    return path


@pytest.fixture
def bundle(tmp_path: Path) -> Path:
    folder = tmp_path / "models/iris" / newest("iris").name
    shutil.copytree(newest("iris"), folder)
    return folder


def public(key: Path) -> Path:
    return key.with_suffix(".pub")


def test_a_signed_bundle_is_served_and_only_its_owner_reads_the_private_key(key: Path, bundle: Path) -> None:
    assert stat.S_IMODE(key.stat().st_mode) == 0o600
    assert main(["sign", "--key", str(key), str(bundle)]) == 0
    assert load_bundle(bundle, public(key))[0].name == "iris"
    settings = Settings(device="cpu", workers=1, models_dir=bundle.parent.parent, public_key=public(key))
    assert create_app(settings).models.names() == ["iris"]


def test_an_unsigned_bundle_is_refused(key: Path, bundle: Path) -> None:
    with pytest.raises(BundleError, match="it is not signed, and DIGITALIS_PUBLIC_KEY asks for that"):
        load_bundle(bundle, public(key))
    assert load_bundle(bundle)[0].name == "iris"


def test_a_bundle_that_another_key_has_signed_is_refused(key: Path, bundle: Path, tmp_path: Path) -> None:
    other = tmp_path / "other.pem"
    assert main(["sign", "--new-key", str(other)]) == 0
    assert main(["sign", "--key", str(other), str(bundle)]) == 0
    with pytest.raises(BundleError, match=r"manifest\.sig: not a signature of this manifest by"):
        load_bundle(bundle, public(key))


def test_a_bundle_that_was_changed_after_it_was_signed_is_refused(key: Path, bundle: Path) -> None:
    assert main(["sign", "--key", str(key), str(bundle)]) == 0
    manifest = bundle / "manifest.json"
    changed = json.loads(manifest.read_text()) | {"created": "2000-01-01"}
    manifest.write_text(json.dumps(changed))
    with pytest.raises(BundleError, match="not a signature of this manifest"):
        load_bundle(bundle, public(key))
    shutil.copy(newest("iris") / "manifest.json", manifest)
    (bundle / "model.onnx").write_bytes(b"another network")
    with pytest.raises(BundleError, match="damaged: SHA-256"):
        load_bundle(bundle, public(key))


@pytest.mark.parametrize(
    ("content", "words"),
    [(None, "No such file"), (b"no key", "it is no public key in PEM"), (b"private", "it is no public key in PEM")],
)
def test_a_setting_that_names_no_public_key_is_said_so(
    key: Path, bundle: Path, tmp_path: Path, content: bytes | None, words: str
) -> None:
    file = tmp_path / "key.pub"
    if content is not None:
        file.write_bytes(key.read_bytes() if content == b"private" else content)
    with pytest.raises(SettingsError, match=f"DIGITALIS_PUBLIC_KEY=.*: {words}"):
        load_bundle(bundle, file)


def test_a_signature_that_is_no_base64_is_refused(key: Path, bundle: Path) -> None:
    (bundle / "manifest.sig").write_text("%%%")
    with pytest.raises(BundleError, match="it is not base64"):
        load_bundle(bundle, public(key))


def test_a_damaged_bundle_is_not_signed_and_no_key_is_overwritten(
    key: Path, bundle: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (bundle / "model.onnx").write_bytes(b"damaged")
    assert main(["sign", "--key", str(key), str(bundle)]) == 1
    assert "damaged: SHA-256" in capsys.readouterr().err
    assert main(["sign", "--new-key", str(key)]) == 1
    assert "File exists" in capsys.readouterr().err


def test_without_the_package_the_setting_names_the_extra(
    key: Path, bundle: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "cryptography.exceptions", None)
    with pytest.raises(SettingsError, match="install the extra sign"):
        load_bundle(bundle, public(key))
