"""The manifests in `deploy/kubernetes/`: valid for old and new clusters, and as our own rules have them."""

import json
import shutil
import subprocess
from pathlib import Path
from typing import Any

import kubernetes_validate
import pytest
import yaml
from running_service import ROOT

from service import __version__
from service.settings import Settings

FOLDER = ROOT / "deploy/kubernetes"
FILES = sorted(FOLDER.glob("*/*.yaml"))
OLDEST, NEWEST = "1.25", kubernetes_validate.latest_version()
FLAVOURS = ("cpu", "cuda")
SCHEMAS = ROOT / "build/schemas"


def documents(path: Path) -> list[dict[str, Any]]:
    return list(yaml.safe_load_all(path.read_text()))


def deployment(flavour: str) -> dict[str, Any]:
    (found,) = documents(FOLDER / flavour / "deployment.yaml")
    return found


def container(flavour: str) -> dict[str, Any]:
    (found,) = deployment(flavour)["spec"]["template"]["spec"]["containers"]
    assert isinstance(found, dict)
    return found


@pytest.mark.parametrize("version", [OLDEST, NEWEST])
@pytest.mark.parametrize("path", [path for path in FILES if path.parent.name in FLAVOURS], ids=lambda path: path.name)
def test_a_manifest_is_valid_for_the_oldest_and_the_newest_kubernetes(path: Path, version: str) -> None:
    for document in documents(path):
        kubernetes_validate.validate(document, version, strict=True)


def test_the_folders_differ_in_their_deployments_alone() -> None:
    names = {flavour: {path.name for path in (FOLDER / flavour).iterdir()} for flavour in FLAVOURS}
    assert names["cpu"] == names["cuda"]
    for name in names["cpu"] - {"deployment.yaml"}:
        assert (FOLDER / "cpu" / name).read_text() == (FOLDER / "cuda" / name).read_text()


@pytest.mark.parametrize("flavour", FLAVOURS)
def test_a_pod_may_do_nothing_that_it_need_not(flavour: str) -> None:
    pod, ours = deployment(flavour)["spec"]["template"]["spec"], container(flavour)
    assert pod["securityContext"]["runAsNonRoot"]
    assert pod["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
    assert (pod["automountServiceAccountToken"], pod["enableServiceLinks"]) == (False, False)
    assert ours["securityContext"] == {
        "allowPrivilegeEscalation": False, "readOnlyRootFilesystem": True, "capabilities": {"drop": ["ALL"]},
    }  # fmt: skip
    assert not {"hostNetwork", "hostPID", "hostIPC"} & pod.keys()
    assert all(mount["readOnly"] for mount in ours["volumeMounts"] if mount["name"] in ("models", "keys"))
    assert not [volume for volume in pod["volumes"] if "hostPath" in volume]


@pytest.mark.parametrize("flavour", FLAVOURS)
def test_the_image_has_a_version_and_the_resources_have_limits(flavour: str) -> None:
    ours = container(flavour)
    assert ours["image"].rpartition(":")[2] == __version__
    for kind in ("requests", "limits"):
        assert {"cpu", "memory"} <= ours["resources"][kind].keys()
    workers = int(environment(flavour)["DIGITALIS_WORKERS"])
    assert ours["resources"]["limits"]["cpu"] == str(workers)


def environment(flavour: str) -> dict[str, str]:
    return {one["name"]: one["value"] for one in container(flavour)["env"]}


@pytest.mark.parametrize("flavour", FLAVOURS)
def test_the_settings_are_settings_and_no_request_is_lost_when_a_pod_ends(flavour: str) -> None:
    settings = Settings.from_env(environment(flavour))
    assert settings.api_keys_file
    assert not settings.allow_anonymous
    grace = deployment(flavour)["spec"]["template"]["spec"]["terminationGracePeriodSeconds"]
    assert grace > settings.drain_delay + settings.graceful_timeout
    readiness = container(flavour)["readinessProbe"]
    noticed = readiness["periodSeconds"] * readiness.get("failureThreshold", 3)
    assert settings.drain_delay > noticed


@pytest.mark.parametrize("flavour", FLAVOURS)
def test_the_probes_ask_for_the_protocols_own_paths(flavour: str) -> None:
    kinds = ("startup", "readiness", "liveness")
    assert {kind: container(flavour)[f"{kind}Probe"]["httpGet"]["path"] for kind in kinds} == {
        "startup": "/v2/health/ready", "readiness": "/v2/health/ready", "liveness": "/v2/health/live",
    }  # fmt: skip


def test_every_selector_finds_the_pods_and_every_name_that_is_used_is_there() -> None:
    every = [one for path in (FOLDER / "cpu").iterdir() for one in documents(path)]
    found = {(one["kind"], one["metadata"]["name"]): one for one in every}
    labels = deployment("cpu")["spec"]["template"]["metadata"]["labels"]
    assert found["Service", "digitalis"]["spec"]["selector"] == labels
    for kind in ("PodDisruptionBudget", "Deployment"):
        assert found[kind, "digitalis"]["spec"]["selector"]["matchLabels"] == labels
    assert found["NetworkPolicy", "digitalis"]["spec"]["podSelector"]["matchLabels"] == labels
    volumes = deployment("cpu")["spec"]["template"]["spec"]["volumes"]
    claims = [one["persistentVolumeClaim"]["claimName"] for one in volumes if "persistentVolumeClaim" in one]
    secrets = [one["secret"]["secretName"] for one in volumes if "secret" in one]
    assert {("PersistentVolumeClaim", name) for name in claims} | {("Secret", name) for name in secrets} <= found.keys()
    (monitor,) = documents(FOLDER / "prometheus-operator/service-monitor.yaml")
    assert monitor["spec"]["selector"]["matchLabels"] == found["Service", "digitalis"]["metadata"]["labels"]
    assert monitor["spec"]["endpoints"][0]["port"] == found["Service", "digitalis"]["spec"]["ports"][0]["name"]


@pytest.mark.slow
@pytest.mark.skipif(
    not (SCHEMAS / "node_modules").exists(),
    reason="the schemas are not installed: `make test-slow` installs them, where npm is",
)
def test_the_service_monitor_is_valid_by_the_schema_of_prometheus_operator() -> None:
    (monitor,) = documents(FOLDER / "prometheus-operator/service-monitor.yaml")
    assert validate_service_monitor(monitor) == ""
    monitor["spec"]["endpoints"][0]["interval"] = "often"
    assert "spec/endpoints/0/interval" in validate_service_monitor(monitor)


def validate_service_monitor(monitor: dict[str, Any]) -> str:
    """What is wrong with it, or nothing."""
    program = shutil.copy(ROOT / "tests/schemas/service_monitor.mjs", SCHEMAS)  # beside the packages that it imports
    checked = subprocess.run(("node", program), input=json.dumps(monitor), capture_output=True, text=True, check=False)
    return checked.stderr


def test_the_runtime_of_kserve_has_containers_that_kubernetes_takes_and_this_version() -> None:
    (runtime,) = documents(ROOT / "deploy/kserve/serving-runtime.yaml")
    (ours,) = runtime["spec"]["containers"]
    pod = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "one"}, "spec": {"containers": [ours]}}
    kubernetes_validate.validate(pod, NEWEST, strict=True)
    assert ours["image"] == f"digitalis:{__version__}"
    assert "--model-name" in ours["args"]


def test_the_keys_that_are_to_be_replaced_start_no_service(tmp_path: Path) -> None:
    from service.errors import SettingsError
    from service.http.access import read_keys

    (secret,) = documents(FOLDER / "cpu/api-keys.yaml")
    (tmp_path / "keys").write_text(secret["stringData"]["keys"])
    with pytest.raises(SettingsError, match="line 1: expected keys of 16 characters or more"):
        read_keys(tmp_path / "keys")
