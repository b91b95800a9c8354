"""`digitalis predict --ray` on a cluster of two hosts with addresses of their own, one of which is lost half-way."""

import os
import shutil
import subprocess
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.csv
import pytest
from conftest import MODELS, newest
from network_hosts import Host, Network
from running_service import ROOT, wait_until
from test_bundle import edit_golden
from test_scoring import IRIS, read, rejected, rows_of_iris

BIN = ROOT / ".venv-ray/bin"
PORT = 6379
ROWS = 2_000_000
NOT_A_NUMBER = 1_234_567  # the row, from 1 on
TOKEN = {"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN": "6f1b" * 16}
ACTOR = "_PartScorer"  # in the command line of an actor
FEW = 8  # parts that are there when a host, or the command, is killed

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not BIN.exists(), reason="Ray is not installed: run `make test-slow`"),
]


class Cluster:
    """Two hosts with a core each; the command runs on the first."""

    def __init__(self, one: Host, two: Host, folder: Path) -> None:
        self.one, self.two = one, two
        self._folder, self._session = folder, tempfile.mkdtemp(prefix="ray-")  # a short path: it has sockets
        options = ("--num-cpus", "1", "--disable-usage-stats", "--object-store-memory", "200000000", "--block")
        self._start(
            one, "--head", "--port", str(PORT), "--include-dashboard=false", "--temp-dir", self._session, *options
        )
        wait_until(lambda: one.listens(PORT), "Ray listens")
        self._start(two, "--address", self.address, *options)
        wait_until(lambda: self._status().count(" 1 node_") == 2, "two nodes")

    @property
    def address(self) -> str:
        return f"{self.one.address}:{PORT}"

    def predict(
        self, out: Path, table: Path, model: str = "iris", token: dict[str, str] = TOKEN
    ) -> "subprocess.Popen[bytes]":
        """Start the command."""
        environment = {name: text for name, text in os.environ.items() if not name.startswith("RAY_")} | token
        command = (str(BIN / "python"), "-m", "digitalis", "predict", model, str(table), "--out", str(out))
        options = ("--models", str(MODELS), "--ray", self.address)
        return self.one.start((*command, *options), self._folder / "predict.log", environment)

    def close(self) -> None:
        """Remove what Ray leaves; its processes end with the hosts."""
        shutil.rmtree(self._session, ignore_errors=True)

    def wait_until(self, condition: Callable[[], object]) -> None:
        """Poll a condition until it is true; what the commands have printed is in the error otherwise."""
        try:
            wait_until(condition)
        except TimeoutError as error:
            raise RuntimeError(f"{error}\n{self.log()}") from None

    def log(self) -> str:
        """What the commands have printed."""
        return (self._folder / "predict.log").read_text()

    def _start(self, host: Host, *arguments: str) -> None:
        environment = os.environ | {"PYTHONPATH": str(ROOT)} | TOKEN
        command = (str(BIN / "ray"), "start", "--node-ip-address", host.address, *arguments)
        host.start(command, self._folder / f"{host.name}.log", environment)

    def _status(self) -> str:
        command = ("ip", "netns", "exec", self.one.namespace, BIN / "ray", "status", "--address", self.address)
        environment = os.environ | TOKEN
        return subprocess.run(command, capture_output=True, text=True, check=False, env=environment).stdout


@pytest.fixture
def cluster(tmp_path: Path) -> Iterator[Cluster]:
    with Network("one", "two") as network:
        one, two = network.hosts
        cluster = Cluster(one, two, tmp_path)
        yield cluster
    cluster.close()


@pytest.fixture(scope="module")
def table(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two million irises in CSV, one of which has a word for a number."""
    columns = dict(zip(IRIS, rows_of_iris(ROWS).T.astype(str), strict=True))
    columns[IRIS[1]] = np.where(np.arange(1, ROWS + 1) == NOT_A_NUMBER, "long", columns[IRIS[1]])
    path = tmp_path_factory.mktemp("table") / "rows.csv"
    pyarrow.csv.write_csv(pa.table(columns), path)
    return path


@pytest.fixture(scope="module")
def on_one_machine(table: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The parts of the same command without a cluster."""
    out = tmp_path_factory.mktemp("one-machine") / "out"
    command = (BIN / "python", "-m", "digitalis", "predict", "iris", table, "--out", out, "--models", MODELS)
    subprocess.run(command, check=True, cwd=ROOT, capture_output=True)
    return out


def parts(out: Path) -> int:
    return len(list(out.glob("predictions-*")))


def check_same(out: Path, expected: Path) -> None:
    """Whether two folders have the same rows, in the same parts."""
    found, wanted = ({path.name for path in one.iterdir() if path.suffix != ".partial"} for one in (out, expected))
    assert found == wanted
    assert read(out).equals(read(expected))
    assert rejected(out) == rejected(expected)
    assert [row["row"] for row in rejected(out)] == [NOT_A_NUMBER]


def test_two_hosts_predict_the_same_rows_as_one_machine(
    cluster: Cluster, table: Path, on_one_machine: Path, tmp_path: Path
) -> None:
    command = cluster.predict(tmp_path / "out", table)
    assert command.wait(300) == 0, cluster.log()
    assert f"{ROWS - 1:,} rows predicted, 1 rejected" in cluster.log()
    check_same(tmp_path / "out", on_one_machine)


def test_a_host_that_is_killed_half_way_loses_no_row(
    cluster: Cluster, table: Path, on_one_machine: Path, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    command = cluster.predict(out, table)
    cluster.wait_until(lambda: cluster.two.runs(ACTOR) and parts(out) >= FEW)
    cluster.two.kill_all()
    assert parts(out) < parts(on_one_machine)
    assert command.wait(300) == 0, cluster.log()
    check_same(out, on_one_machine)


def test_a_run_that_is_killed_goes_on_and_a_file_that_cannot_be_read_says_so(
    cluster: Cluster, table: Path, on_one_machine: Path, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    command = cluster.predict(out, table)
    cluster.wait_until(lambda: parts(out) >= FEW)
    command.kill()
    command.wait(60)
    there = parts(out)
    assert there < parts(on_one_machine)
    assert cluster.predict(out, table).wait(300) == 0, cluster.log()
    check_same(out, on_one_machine)

    wrong = tmp_path / "wrong.csv"
    wrong.write_text(f'note,{",".join(IRIS)}\n"x,5.1,3.5,1.4,0.2\n')
    assert cluster.predict(tmp_path / "wrong", wrong).wait(300) == 1
    message = " ".join(cluster.log().split())
    assert message.endswith("wrong.csv: a quote is opened and not closed, so that rows after it are not seen")


def test_what_goes_wrong_in_an_actor_is_said(cluster: Cluster, table: Path, tmp_path: Path) -> None:
    bundle = Path(shutil.copytree(newest("iris"), tmp_path / "iris"))
    edit_golden(bundle, lambda golden: golden["outputs"]["probabilities"][0].reverse())
    assert cluster.predict(tmp_path / "out", table, model=str(bundle)).wait(300) == 1
    assert "golden.json: example 0: probabilities" in " ".join(cluster.log().split())


def test_without_the_token_of_the_cluster_the_command_says_so(cluster: Cluster, table: Path, tmp_path: Path) -> None:
    wrong = {"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN": "0000" * 16}
    assert cluster.predict(tmp_path / "out", table, token=wrong).wait(120) == 1
    assert "InvalidAuthToken" in cluster.log()
    assert "no Ray cluster there that can be used: " in " ".join(cluster.log().split())


def test_without_a_cluster_the_command_says_so(tmp_path: Path, table: Path) -> None:
    command = (BIN / "python", "-m", "digitalis", "predict", "iris", table, "--out", tmp_path / "out")
    options = ("--models", MODELS, "--ray", "127.0.0.1:1")
    failed = subprocess.run((*command, *options), cwd=ROOT, capture_output=True, text=True, check=False)
    assert failed.returncode == 1
    assert "--ray 127.0.0.1:1: no Ray cluster there that can be used: " in " ".join(failed.stderr.split())
