"""A folder of models for a test that changes it while a service has it open."""

import json
import shutil
from pathlib import Path

from conftest import newest


class ModelFolder:
    """Versions of iris: copies of the project's own that differ in their number, and so in their digest."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.iris = path / "iris"
        self.iris.mkdir(parents=True)

    def add(self, version: int, **manifest: object) -> Path:
        """As the documentation says: written in a hidden folder, and renamed when it is whole."""
        hidden = self.iris / f".{version}"
        self.write(hidden, version, **manifest)
        return hidden.rename(self.iris / str(version))

    def write(self, folder: Path, version: int, **manifest: object) -> None:
        """Write a bundle to a folder of any name."""
        shutil.copytree(newest("iris"), folder)
        edit_manifest(folder, version=str(version), **manifest)

    def remove(self, version: int) -> None:
        """Take a version away at once, as `mv` does."""
        gone = (self.iris / str(version)).rename(self.iris / f".gone-{version}")
        shutil.rmtree(gone)

    def say(self, text: str) -> None:
        """Write the file of the policy, and rename it when it is whole."""
        hidden = self.iris / ".serving.toml"
        hidden.write_text(text)
        hidden.replace(self.iris / "serving.toml")


def edit_manifest(folder: Path, **changes: object) -> None:
    """Change fields of a manifest."""
    manifest = json.loads((folder / "manifest.json").read_text())
    (folder / "manifest.json").write_text(json.dumps(manifest | changes))


def flip_byte(folder: Path) -> None:
    """Damage the network of a bundle."""
    content = bytearray((folder / "model.onnx").read_bytes())
    content[len(content) // 2] ^= 0xFF
    (folder / "model.onnx").write_bytes(content)
