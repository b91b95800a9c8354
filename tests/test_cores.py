"""The cores that a process may use, by its CPU affinity and by the quotas of control groups, of both versions."""

import math
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest
from running_service import ROOT

from service.cores import available_cores, cpu_quota

V1_HIERARCHY = Path("/sys/fs/cgroup/cpu")


class Kernel(NamedTuple):
    """The files of the kernel, as a process with 16 cores would see them."""

    proc: Path
    hierarchies: Path

    def process(self, cgroup: str, *mounts: str) -> None:
        """What `/proc/self/cgroup` says, and for each mount its root, its folder and its kind."""
        (self.proc / "cgroup").write_text(cgroup)
        lines = []
        for mount in mounts:
            root, folder, kind = mount.split(maxsplit=2)
            lines.append(f"31 23 0:28 {root} {self.hierarchies / folder} rw,nosuid shared:4 - {kind}\n")
        (self.proc / "mountinfo").write_text("22 1 8:1 / / rw - ext4 /dev/sda1 rw\n" + "".join(lines))

    def group(self, path: str, **files: str) -> None:
        """A group, with the files of this text; `cpu_max` is the file `cpu.max`."""
        folder = self.hierarchies / path
        folder.mkdir(parents=True, exist_ok=True)
        for name, text in files.items():
            (folder / name.replace("_", ".", 1)).write_text(f"{text}\n")


@pytest.fixture
def kernel(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Kernel:
    monkeypatch.setattr(os, "sched_getaffinity", lambda _pid: set(range(16)))
    for name in ("proc", "with space"):
        (tmp_path / name).mkdir()
    return Kernel(tmp_path / "proc", tmp_path)


V2 = "cgroup2 cgroup2 rw"
V1 = "cgroup cgroup rw,cpu,cpuacct"


@pytest.mark.parametrize(
    ("text", "cores"),
    [
        ("200000 100000", 2),
        ("250000 100000", 2),
        ("50000 100000", 1),
        ("150 100", 1),
        ("max 100000", 16),
        ("3200000 100000", 16),
        ("", 16),
    ],
)
def test_a_quota_of_version_2_limits_the_cores(kernel: Kernel, text: str, cores: int) -> None:
    kernel.process("0::/\n", f"/ cgroup {V2}")
    kernel.group("cgroup", cpu_max=text)
    assert available_cores(kernel.proc) == cores


@pytest.mark.parametrize(("quota", "cores"), [("400000", 4), ("150000", 1), ("50000", 1), ("-1", 16)])
def test_a_quota_of_version_1_limits_the_cores(kernel: Kernel, quota: str, cores: int) -> None:
    """As inside a container with the host's namespace of control groups: its own group is the root of the mount."""
    kernel.process(
        "7:memory:/docker/1a\n4:cpu,cpuacct:/docker/1a\n0::/docker/1a\n",
        "/docker/1a memory cgroup cgroup rw,memory",
        f"/docker/1a cpu {V1}",
    )
    kernel.group("memory", cpu_cfs_quota_us="100000", cpu_cfs_period_us="100000")
    kernel.group("cpu", cpu_cfs_quota_us=quota, cpu_cfs_period_us="100000")
    assert available_cores(kernel.proc) == cores


@pytest.mark.parametrize(
    ("outer", "inner", "quota"),
    [("max 100000", "300000 100000", 3), ("300000 100000", "max 100000", 3), ("150000 100000", "500000 100000", 1.5)],
)
def test_the_smallest_quota_of_nested_groups_counts(kernel: Kernel, outer: str, inner: str, quota: float) -> None:
    kernel.process("0::/system.slice/digitalis.service\n", f"/ cgroup {V2}")
    kernel.group("cgroup/system.slice", cpu_max=outer)
    kernel.group("cgroup/system.slice/digitalis.service", cpu_max=inner)
    kernel.group("cgroup/system.slice/another.service", cpu_max="100000 100000")
    assert cpu_quota(kernel.proc) == quota


def test_nested_groups_of_version_1_count_too(kernel: Kernel) -> None:
    kernel.process("3:cpu,cpuacct:/kubepods/pod7/c1\n", f"/ cpu {V1}")
    kernel.group("cpu/kubepods/pod7", cpu_cfs_quota_us="250000", cpu_cfs_period_us="100000")
    kernel.group("cpu/kubepods/pod7/c1", cpu_cfs_quota_us="-1", cpu_cfs_period_us="100000")
    assert cpu_quota(kernel.proc) == 2.5


def test_a_group_below_the_root_of_the_mount_is_found(kernel: Kernel) -> None:
    kernel.process("0::/docker/1a/worker\n", f"/docker/1a cgroup {V2}")
    kernel.group("cgroup", cpu_max="400000 100000")
    kernel.group("cgroup/worker", cpu_max="200000 100000")
    assert cpu_quota(kernel.proc) == 2


@pytest.mark.parametrize("group", ["/../another", "/docker/1a"])
def test_of_a_group_outside_the_mount_the_root_of_the_mount_counts(kernel: Kernel, group: str) -> None:
    kernel.process(f"0::{group}\n", f"/docker/2b cgroup {V2}")
    kernel.group("cgroup", cpu_max="400000 100000")
    assert cpu_quota(kernel.proc) == 4


def test_both_versions_may_be_mounted_at_once(kernel: Kernel) -> None:
    kernel.process("4:cpu:/\n0::/\n", f"/ cpu {V1}", f"/ unified {V2}")
    kernel.group("unified")
    kernel.group("cpu", cpu_cfs_quota_us="500000", cpu_cfs_period_us="100000")
    assert cpu_quota(kernel.proc) == 5


def test_a_folder_whose_name_has_a_space_is_found(kernel: Kernel) -> None:
    kernel.process("0::/\n", rf"/ with\040space {V2}")
    kernel.group("with space", cpu_max="100000 100000")
    assert cpu_quota(kernel.proc) == 1


@pytest.mark.parametrize("cgroup", ["", "0::/\n"])
def test_without_control_groups_there_is_no_quota(kernel: Kernel, cgroup: str) -> None:
    kernel.process(cgroup)
    assert cpu_quota(kernel.proc) == math.inf
    assert available_cores(kernel.proc) == 16
    assert available_cores(kernel.proc / "missing") == 16


@pytest.fixture
def real_group() -> Iterator[Path]:
    """A control group of version 1 of this machine, with a quota of one and a half cores."""
    group = V1_HIERARCHY / f"digitalis-test-{os.getpid()}"
    try:
        group.mkdir()
        (group / "cpu.cfs_quota_us").write_text("150000")
    except OSError as error:
        pytest.skip(f"no control group of version 1 can be made here: {error}")
    yield group
    group.rmdir()


def test_the_quota_of_a_real_group_of_version_1_is_found(real_group: Path) -> None:
    program = "import os, sys; open(sys.argv[1], 'w').write(str(os.getpid())); import service.cores as c; "
    command = (sys.executable, "-c", f"{program}print(c.cpu_quota())", str(real_group / "cgroup.procs"))
    found = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    assert found.stdout == "1.5\n"
