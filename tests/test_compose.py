"""`deploy/compose.yaml` and the files that it mounts: valid, and they fit each other, the service and its settings."""

import json
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml
from real_haproxy import CONFIGURATION, executable
from real_prometheus import executable as prometheus_program
from running_service import ROOT

from service import __version__
from service.settings import Settings

FILE = ROOT / "deploy/compose.yaml"


@pytest.fixture
def services() -> dict[str, Any]:
    found: dict[str, Any] = yaml.safe_load(FILE.read_text())["services"]
    return found


@pytest.fixture
def replicas(services: dict[str, Any]) -> dict[str, Any]:
    return {name: one for name, one in services.items() if one["image"].startswith("digitalis:")}


def check_schema(path: Path) -> str:
    """What is wrong with a Compose file by the schema of its specification."""
    command = ("check_jsonschema", "--builtin-schema", "vendor.compose-spec", "--output-format", "text", path)
    return subprocess.run((sys.executable, "-m", *command), capture_output=True, text=True, check=False).stdout


def test_it_is_valid_by_the_schema_of_compose_files(tmp_path: Path) -> None:
    assert check_schema(FILE) == "ok -- validation done\n"
    wrong = tmp_path / "wrong.yaml"
    wrong.write_text(FILE.read_text().replace("mem_limit", "mem_limits"))
    assert "$.services.one: Unevaluated properties are not allowed ('mem_limits' was unexpected)" in check_schema(wrong)


def test_every_file_that_is_mounted_is_there(services: dict[str, Any]) -> None:
    mounted = [volume.split(":")[0] for one in services.values() for volume in one.get("volumes", [])]
    paths = [FILE.parent / name for name in mounted if name.startswith(".")]
    assert len(paths) > 5
    assert [path for path in paths if not path.exists()] == []


def test_the_replicas_are_of_this_version_and_may_do_nothing_that_they_need_not(replicas: dict[str, Any]) -> None:
    assert len(replicas) == 2
    for one in replicas.values():
        assert one["image"] == f"digitalis:{__version__}"
        assert (one["read_only"], one["cap_drop"]) == (True, ["ALL"])
        assert one["volumes"] == ["../models:/models:ro"]


def test_a_replica_has_time_to_drain(replicas: dict[str, Any]) -> None:
    for one in replicas.values():
        settings = Settings.from_env(one["environment"])
        assert settings.models_dir == Path("/models")
        assert int(one["stop_grace_period"].removesuffix("s")) > settings.drain_delay + settings.graceful_timeout
        assert settings.drain_delay > 2 * milliseconds("inter") / 1000 + 1  # two failed checks, of a second at most


def test_the_balancer_and_prometheus_know_every_replica(replicas: dict[str, Any]) -> None:
    servers = re.findall(r"^    server (\S+) (\S+) tcp-ut 3s$", CONFIGURATION.read_text(), re.MULTILINE)
    assert servers == [(name, f"{name}:8000") for name in replicas]
    jobs = yaml.safe_load((FILE.parent / "compose/prometheus.yaml").read_text())["scrape_configs"]
    assert jobs[0]["static_configs"][0]["targets"] == [f"{name}:8000" for name in replicas]


def test_the_balancer_waits_longer_than_the_service_takes() -> None:
    (seconds,) = re.findall(r"timeout server +(\d+)s", CONFIGURATION.read_text())
    assert int(seconds) > Settings().answer_timeout


def milliseconds(name: str) -> int:
    (found,) = re.findall(rf" {name} (\d+)ms", CONFIGURATION.read_text())
    return int(found)


@pytest.mark.slow  # `make test-slow` unpacks HAProxy and Prometheus
def test_haproxy_takes_the_configuration() -> None:
    checked = subprocess.run((executable(), "-c", "-f", CONFIGURATION), capture_output=True, text=True, check=False)
    assert checked.returncode == 0, checked.stderr


@pytest.mark.slow
def test_prometheus_takes_the_configuration(tmp_path: Path) -> None:
    """With the rules beside it, as the file mounts them."""
    shutil.copy(FILE.parent / "compose/prometheus.yaml", tmp_path)
    shutil.copy(ROOT / "docs/drift-rules.yaml", tmp_path)
    command = (prometheus_program("promtool"), "check", "config", tmp_path / "prometheus.yaml")
    checked = subprocess.run(command, capture_output=True, text=True, check=False)
    assert checked.returncode == 0, checked.stderr
    assert "1 rule files found" in checked.stdout


def test_grafana_finds_the_dashboard_where_it_is_mounted(services: dict[str, Any]) -> None:
    mounts = dict(volume.split(":")[:2] for volume in services["grafana"]["volumes"])
    (provider,) = yaml.safe_load((FILE.parent / "compose/grafana-dashboards.yaml").read_text())["providers"]
    assert Path(mounts["../docs/grafana.json"]).parent == Path(provider["options"]["path"])
    (source,) = yaml.safe_load((FILE.parent / "compose/grafana-datasource.yaml").read_text())["datasources"]
    assert source["url"] == "http://prometheus:9090"
    dashboard = json.loads((ROOT / "docs/grafana.json").read_text())
    assert dashboard["templating"]["list"][0]["query"] == source["type"]
