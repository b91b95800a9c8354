"""Hosts with addresses of their own on this machine: network namespaces, joined by a bridge."""

import os
import socket
import subprocess
from collections.abc import Mapping
from contextlib import ExitStack
from pathlib import Path
from types import TracebackType
from typing import Self

import pytest
from running_service import ROOT

NETWORK = "198.18.77"  # of the range that is set apart for tests of networks (RFC 2544)
BRIDGE = "dgt-bridge"


def _ip(*arguments: str) -> None:
    subprocess.run(("ip", *arguments), check=True, capture_output=True, text=True)


def require_namespaces() -> None:
    """Skip the test where no network namespaces can be made."""
    try:
        _ip("netns", "add", "dgt-probe")
        _ip("netns", "delete", "dgt-probe")
    except FileNotFoundError:
        pytest.skip("no network namespaces: `ip` is in Debian's package iproute2")
    except subprocess.CalledProcessError as error:
        pytest.skip(f"no network namespaces: {error.stderr.strip()}")


class Host:
    """A host with a name and an address, on which programs can be started, and which can be cut off the network."""

    def __init__(self, name: str, number: int) -> None:
        self.name = name
        self.address = f"{NETWORK}.{number}"
        self.namespace, self._outside, self._inside = f"dgt-{name}", f"dgt-o-{name}", f"dgt-i-{name}"
        self._started: list[subprocess.Popen[bytes]] = []

    def create(self) -> None:
        """Make the namespace, and join it to the bridge."""
        _ip("netns", "add", self.namespace)
        _ip("link", "add", self._outside, "type", "veth", "peer", "name", self._inside, "netns", self.namespace)
        _ip("link", "set", self._outside, "master", BRIDGE, "up")
        for command in (("link", "set", "lo", "up"), ("address", "add", f"{self.address}/24", "dev", self._inside),
                        ("link", "set", self._inside, "up")):  # fmt: skip
            _ip("-netns", self.namespace, *command)

    def delete(self) -> None:
        """With all its network devices."""
        _ip("link", "delete", self._outside)  # at once; with the namespace it would go some time later
        _ip("netns", "delete", self.namespace)

    def start(
        self, command: tuple[str, ...], log: Path, environment: Mapping[str, str] | None = None
    ) -> "subprocess.Popen[bytes]":
        """Start a program on this host; what it prints is added to the log."""
        with log.open("ab") as file:
            process = subprocess.Popen(
                ("ip", "netns", "exec", self.namespace, *command),
                cwd=ROOT, env=environment or os.environ, stdout=file, stderr=subprocess.STDOUT,
            )  # fmt: skip
        self._started.append(process)
        return process

    def kill_all(self) -> None:
        """End every process of this host at once, with SIGKILL."""
        pids = subprocess.run(("ip", "netns", "pids", self.namespace), capture_output=True, text=True, check=True)
        subprocess.run(("kill", "-9", *pids.stdout.split()), check=False, capture_output=True)
        for process in self._started:
            process.wait(30)

    def cut_off(self) -> None:
        """Let nothing through to this host or from it."""
        _ip("link", "set", self._outside, "down")

    def reconnect(self) -> None:
        """Let everything through again."""
        _ip("link", "set", self._outside, "up")

    def listens(self, port: int) -> bool:
        """Whether something accepts connections there."""
        try:
            socket.create_connection((self.address, port), timeout=1).close()
        except OSError:
            return False
        return True


class Network:
    """A bridge of this machine, whose address is 198.18.77.254, and the hosts that are joined to it."""

    def __init__(self, *names: str) -> None:
        self.hosts = [Host(name, number) for number, name in enumerate(names, 1)]

    def __enter__(self) -> Self:
        with ExitStack() as made:
            _ip("link", "add", BRIDGE, "type", "bridge")
            made.callback(_ip, "link", "delete", BRIDGE)
            _ip("address", "add", f"{NETWORK}.254/24", "dev", BRIDGE)
            _ip("link", "set", BRIDGE, "up")
            for host in self.hosts:
                host.create()
                made.callback(host.delete)
                made.callback(host.kill_all)
            self._made = made.pop_all()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._made.close()
