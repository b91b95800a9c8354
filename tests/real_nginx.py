"""A real nginx with HTTPS for tests: Debian's package, installed, or unpacked by `make test-slow`."""

import os
import shutil
import subprocess
from pathlib import Path
from types import TracebackType
from typing import Self

import httpx
import pytest
from running_service import ROOT, RunningService, free_port, wait_until

PACKAGE = ROOT / "build/nginx/usr/sbin/nginx"
CONFIGURATIONS = ROOT / "deploy/nginx"
TEMPORARY = ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")


def executable() -> str:
    """The path of nginx; without it, the test is skipped."""
    path = shutil.which("nginx") or (str(PACKAGE) if PACKAGE.exists() else None)
    if path is None:
        pytest.skip("nginx is not installed: it is in Debian's package nginx")
    if shutil.which("openssl") is None:
        pytest.skip("openssl is not installed, which makes the certificate")
    return path


class Nginx:
    """HTTPS in front of a service, as a file in deploy/nginx/ configures it; `client` trusts any certificate."""

    def __init__(self, configuration: str, service: RunningService, folder: Path) -> None:
        self._executable = executable()
        self.host = f"127.0.0.1:{free_port()}"
        self.url = f"https://{self.host}"
        self._folder = folder
        changes = {
            "listen 443 ssl;": f"listen {self.host} ssl;",
            "127.0.0.1:8000": service.address,
            "/etc/ssl/certs/example.org.pem": str(folder / "certificate.pem"),
            "/etc/ssl/private/example.org.key": str(folder / "key.pem"),
        }
        text = (CONFIGURATIONS / configuration).read_text()
        for one, other in changes.items():
            assert text.count(one) == 1, one
            text = text.replace(one, other)
        (folder / "digitalis.conf").write_text(text)
        user = "user root;" if os.geteuid() == 0 else ""  # its temporary files are in a folder of the test's user
        paths = "".join(f"{name}_temp_path {folder / name}; " for name in TEMPORARY)
        (folder / "nginx.conf").write_text(
            f"{user} daemon off; pid {folder / 'pid'}; error_log stderr; events {{}} "
            f"http {{ access_log off; {paths} include {folder / 'digitalis.conf'}; }}"
        )

    def __enter__(self) -> Self:
        files = ("-keyout", str(self._folder / "key.pem"), "-out", str(self._folder / "certificate.pem"))
        subprocess.run(
            (
                "openssl",
                "req",
                "-x509",
                "-newkey",
                "rsa:2048",
                "-nodes",
                "-days",
                "2",
                "-subj",
                "/CN=example.org",
                *files,
            ),
            capture_output=True,
            check=True,
        )
        self._log = (self._folder / "nginx.log").open("wb")
        self._process = subprocess.Popen(
            (self._executable, "-p", str(self._folder), "-c", "nginx.conf", "-e", "stderr"),
            stdout=self._log,
            stderr=subprocess.STDOUT,
        )
        self.client = httpx.Client(base_url=self.url, verify=False, timeout=60)
        wait_until(self._responds, "nginx responds")
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.client.close()
        self._process.terminate()
        self._process.wait(30)
        self._log.close()

    def _responds(self) -> bool:
        assert self._process.poll() is None, (self._folder / "nginx.log").read_text()
        try:
            return bool(self.client.get("/").status_code)
        except httpx.TransportError:
            return False
