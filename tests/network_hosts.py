"""Hosts with addresses of their own on this machine: network namespaces, joined by a bridge."""

import contextlib
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Mapping
from contextlib import ExitStack
from pathlib import Path
from types import TracebackType
from typing import Self

import pytest
from running_service import ROOT, wait_until

OURS = f"dg{os.getpid()}"  # begins every name, so that two runs on one machine do not meet
NETWORK = f"198.18.{os.getpid() % 250}"  # of the range that is set apart for tests of networks (RFC 2544)
REACHES = "import socket, sys; socket.socket().connect_ex((sys.argv[1], 9)) == 111 or sys.exit('no answer')"  # refused


def _ip(*arguments: str) -> str:
    return subprocess.run(("ip", *arguments), check=True, capture_output=True, text=True).stdout


class Host:
    """A host with a name and an address, on which programs can be started, and which can be cut off the network."""

    def __init__(self, name: str, number: int) -> None:
        self.name = name
        self.address = f"{NETWORK}.{number}"
        self.namespace, self._outside, self._inside = f"{OURS}-{name}", f"{OURS}o{number}", f"{OURS}i{number}"
        self._started: list[subprocess.Popen[bytes]] = []

    def create(self) -> None:
        """Make the namespace, and join it to the bridge."""
        _ip("netns", "add", self.namespace)
        _ip("link", "add", self._outside, "type", "veth", "peer", "name", self._inside, "netns", self.namespace)
        _ip("link", "set", self._outside, "master", OURS, "up")
        for command in (("link", "set", "lo", "up"), ("address", "add", f"{self.address}/24", "dev", self._inside),
                        ("link", "set", self._inside, "up")):  # fmt: skip
            _ip("-netns", self.namespace, *command)

    def delete(self) -> None:
        """With all its processes and network devices, as far as they were made."""
        self.kill_all()
        with contextlib.suppress(subprocess.CalledProcessError):
            _ip("link", "delete", self._outside)  # at once; with the namespace it would go some time later
        with contextlib.suppress(subprocess.CalledProcessError):
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

    def processes(self) -> list[int]:
        """The process ids on this host."""
        try:
            return [int(pid) for pid in _ip("netns", "pids", self.namespace).split()]
        except subprocess.CalledProcessError:
            return []  # there is no such host yet

    def runs(self, words: str) -> bool:
        """Whether a process with these words in its command line is there."""
        for pid in self.processes():
            with contextlib.suppress(OSError):
                if words.encode() in Path(f"/proc/{pid}/cmdline").read_bytes():
                    return True
        return False

    def kill_all(self) -> None:
        """End every process of this host at once, with SIGKILL."""
        while pids := self.processes():
            for pid in pids:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
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

    def reaches(self, other: "Host") -> bool:
        """Whether packets get from this host to another and back."""
        command = ("ip", "netns", "exec", self.namespace, sys.executable, "-c", REACHES, other.address)
        return subprocess.run(command, capture_output=True, check=False).returncode == 0


class Network:
    """A bridge of this machine and the hosts that are joined to it; without the rights for it the test is skipped."""

    def __init__(self, *names: str) -> None:
        self.hosts = [Host(name, number) for number, name in enumerate(names, 1)]

    def __enter__(self) -> Self:
        with ExitStack() as made:
            try:
                _ip("link", "add", OURS, "type", "bridge")
            except FileNotFoundError:
                pytest.skip("no network namespaces: `ip` is in Debian's package iproute2")
            except subprocess.CalledProcessError as error:
                pytest.skip(f"no network namespaces: {error.stderr.strip()}")
            made.callback(_ip, "link", "delete", OURS)
            _ip("address", "add", f"{NETWORK}.254/24", "dev", OURS)
            _ip("link", "set", OURS, "up")
            for host in self.hosts:
                made.callback(host.delete)
                host.create()
            first, second, *_ = self.hosts
            try:
                wait_until(lambda: first.reaches(second))
            except TimeoutError:
                pytest.skip("hosts on a bridge of this machine cannot reach each other: a firewall is in between")
            self._made = made.pop_all()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._made.close()
