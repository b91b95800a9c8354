"""Dynamic batching: who gets which rows, how long a request waits, what a failure costs, or a client that has gone."""

import json
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from conftest import newest
from hypothesis import given, settings
from hypothesis import strategies as st
from running_service import ROW, RawConnection, RunningService, failed_start, predict, wait_until

from service.bundle.signature import Arrays
from service.errors import ServiceOverloaded, UnprocessableInput
from service.inference.batching import MAX_BATCHES_WAITING, BatchingOptions, BatchingRuntime, _Call
from service.inference.model import Model
from service.inference.runtimes import Runtime
from service.settings import Settings

MAX_ROWS = 8
POISON = -1.0  # a batch with this value fails


class Doubling:
    """Doubles its input, records its batches, and fails for poison; `gate` lets the next batch begin."""

    name, device = "doubling", "cpu"
    cuda_from_rows: int | None = None

    def __init__(self) -> None:
        self.batches: list[int] = []
        self.gate = threading.Event()
        self.gate.set()

    def run(self, inputs: Arrays) -> Arrays:
        self.gate.wait()
        self.batches.append(len(inputs["x"]))
        if (inputs["x"] == POISON).any():
            raise RuntimeError("poison")
        return {"y": 2 * inputs["x"]}


def rows(*values: float) -> Arrays:
    return {"x": np.array(values, np.float32)}


@pytest.fixture
def runtime() -> Iterator[Doubling]:
    one = Doubling()
    yield one
    one.gate.set()


@settings(deadline=None, max_examples=30)
@given(
    calls=st.lists(st.lists(st.integers(0, 1000) | st.just(int(POISON)), min_size=1, max_size=12), max_size=40),
    delay=st.sampled_from([0.0, 0.001]),
)
def test_each_caller_gets_its_own_rows_and_only_poison_harms(calls: list[list[int]], delay: float) -> None:
    runtime = Doubling()
    batching = BatchingRuntime(runtime, BatchingOptions(MAX_ROWS, delay))

    def call(values: list[int]) -> list[float] | str:
        while True:
            try:
                return [float(it) for it in batching.run(rows(*values))["y"]]
            except ServiceOverloaded:
                continue  # too many at once: again
            except RuntimeError as error:
                return str(error)

    with ThreadPoolExecutor(16) as pool:
        found = list(pool.map(call, calls))
    assert found == ["poison" if POISON in values else [2.0 * it for it in values] for values in calls]
    assert all(size <= MAX_ROWS or size in map(len, calls) for size in runtime.batches)


def in_background(batching: BatchingRuntime, *values: float) -> threading.Thread:
    thread = threading.Thread(target=batching.run, args=(rows(*values),))
    thread.start()
    return thread


def test_requests_that_come_while_a_batch_runs_make_up_the_next_one(runtime: Doubling) -> None:
    runtime.gate.clear()
    batching = BatchingRuntime(runtime, BatchingOptions(MAX_ROWS, 0.0))
    threads = [in_background(batching, 1)]
    wait_until(lambda: batching._thread is not None and not batching._calls)
    threads += [in_background(batching, 2, 3) for _ in range(5)]
    wait_until(lambda: len(batching._calls) == 5)
    runtime.gate.set()
    for thread in threads:
        thread.join()
    assert runtime.batches == [1, 8, 2]


def test_a_lone_request_waits_no_longer_than_the_delay(runtime: Doubling) -> None:
    """The time that it waits is asked of the clock, and not of a machine that may be busy."""
    now, waits = [0.0], []
    batching = BatchingRuntime(runtime, BatchingOptions(MAX_ROWS, 0.002), lambda: now[0])

    def wait(timeout: float | None = None) -> bool:
        waits.append(timeout)
        now[0] += timeout or 0
        return True

    batching._calls.append(_call(batching, rows(1)))
    batching._changed.wait = wait  # type: ignore[method-assign]
    assert len(batching._next_batch()) == 1
    assert waits == [0.002]


def _call(batching: BatchingRuntime, inputs: Arrays) -> _Call:
    batching._rows += len(inputs["x"])
    return _Call(inputs, len(inputs["x"]), 0.0)


def test_a_request_as_large_as_a_batch_does_not_wait(runtime: Doubling) -> None:
    batching = BatchingRuntime(runtime, BatchingOptions(MAX_ROWS, 100.0))
    assert len(batching.run(rows(*range(MAX_ROWS)))["y"]) == MAX_ROWS
    assert batching._thread is None


def test_a_full_queue_is_overload(runtime: Doubling) -> None:
    runtime.gate.clear()
    batching = BatchingRuntime(runtime, BatchingOptions(MAX_ROWS, 0.0))
    threads = [in_background(batching, 0)]
    wait_until(lambda: batching._thread is not None and not batching._calls)
    limit = MAX_BATCHES_WAITING * MAX_ROWS
    threads += [in_background(batching, *range(MAX_ROWS // 2)) for _ in range(limit // (MAX_ROWS // 2))]
    wait_until(lambda: batching._rows == limit)
    with pytest.raises(ServiceOverloaded, match=f"{limit} rows are waiting for a batch, and at most {limit} may"):
        batching.run(rows(1))
    runtime.gate.set()
    for thread in threads:
        thread.join()


def test_a_caller_who_gives_up_is_not_in_the_batch(runtime: Doubling) -> None:
    runtime.gate.clear()
    batching = BatchingRuntime(runtime, BatchingOptions(MAX_ROWS, 0.0))
    first = in_background(batching, 1)
    wait_until(lambda: batching._thread is not None and not batching._calls)
    with pytest.raises(ServiceOverloaded, match="no time"):
        batching.run(rows(2, 3), give_up_at_once)
    assert batching._rows == 0
    runtime.gate.set()
    first.join()
    batching.run(rows(3))
    assert runtime.batches == [1, 1]


def give_up_at_once(done: threading.Event, may_give_up: Callable[[], bool], _seconds: float) -> str:
    if may_give_up():
        return "no time"
    done.wait()
    return ""


def test_a_batch_that_has_begun_is_waited_for(runtime: Doubling) -> None:
    """Giving up would save nothing then."""
    batching = BatchingRuntime(runtime, BatchingOptions(MAX_ROWS, 0.0))

    def wait(done: threading.Event, may_give_up: Callable[[], bool], seconds: float) -> str:
        wait_until(lambda: not batching._calls)
        return give_up_at_once(done, may_give_up, seconds)

    assert batching.run(rows(2), wait)["y"].tolist() == [4.0]


def test_the_wait_is_expected_by_the_time_that_batches_take(runtime: Doubling) -> None:
    """In full batches; the latest weighs a fifth."""
    now = [0.0]
    batching = BatchingRuntime(runtime, BatchingOptions(MAX_ROWS, 0.0), lambda: now[0])
    original, expected = runtime.run, []

    def run(inputs: Arrays) -> Arrays:
        now[0] += 1.0
        return original(inputs)

    def wait(done: threading.Event, _may_give_up: Callable[[], bool], seconds: float) -> str:
        expected.append(seconds)
        done.wait()
        wait_until(lambda: batching._batch_seconds > 1.1 * seconds)
        return ""

    def give_up(done: threading.Event, may_give_up: Callable[[], bool], seconds: float) -> str:
        expected.append(seconds)
        return give_up_at_once(done, may_give_up, seconds)

    runtime.run = run  # type: ignore[method-assign]
    for _ in range(3):
        batching.run(rows(1), wait)
    assert expected == pytest.approx([0.0, 0.2, 0.36])
    runtime.gate.clear()
    thread = in_background(batching, 1)
    wait_until(lambda: not batching._calls)
    others = [in_background(batching, *range(MAX_ROWS - 1)) for _ in range(2)]
    wait_until(lambda: len(batching._calls) == 2)
    with pytest.raises(ServiceOverloaded):
        batching.run(rows(1, 2, 3), give_up)
    assert expected[-1] == pytest.approx(3 * batching._batch_seconds)
    runtime.gate.set()
    for one in (thread, *others):
        one.join()


def test_an_output_that_is_not_one_of_each_row_is_never_divided() -> None:
    """Then the requests run one by one."""

    class Mean(Doubling):
        def run(self, inputs: Arrays) -> Arrays:
            self.gate.wait()
            self.batches.append(len(inputs["x"]))
            return {"y": inputs["x"].mean(keepdims=True)}

    runtime = Mean()
    runtime.gate.clear()
    batching = BatchingRuntime(runtime, BatchingOptions(MAX_ROWS, 0.0))
    with ThreadPoolExecutor(3) as pool:
        first = pool.submit(batching.run, rows(1))
        wait_until(lambda: batching._thread is not None and not batching._calls)
        others = [pool.submit(batching.run, rows(value)) for value in (2, 3)]
        wait_until(lambda: len(batching._calls) == 2)
        runtime.gate.set()
        assert [it.result()["y"].tolist() for it in (first, *others)] == [[1.0], [2.0], [3.0]]
    assert runtime.batches == [1, 2, 1, 1]


class Recorder:
    """Runs what another runtime runs, and records the sizes of the batches."""

    def __init__(self, runtime: Runtime) -> None:
        self.name, self.device, self.cuda_from_rows = runtime.name, runtime.device, runtime.cuda_from_rows
        self.batches: list[int] = []
        self._runtime = runtime

    def run(self, inputs: Arrays) -> Arrays:
        self.batches.append(len(next(iter(inputs.values()))))
        return self._runtime.run(inputs)


@pytest.mark.parametrize("runtime_name", ["onnx", "torchscript"])
def test_batched_outputs_are_those_of_unbatched_requests(runtime_name: str) -> None:
    """From sixteen threads, for the digits: relative to the largest value, to within 1e-5."""
    model = Model.open(newest("mnist"), Settings(device="cpu", runtime=runtime_name))
    random = np.random.default_rng(0)
    images = [{"image": random.integers(0, 256, (1 + i % 5, 28, 28), np.uint8)} for i in range(64)]
    expected = [model.predict(inputs) for inputs in images]
    recorder = Recorder(model.runtime)
    model.batching = BatchingRuntime(recorder, BatchingOptions(32, 0.05))
    with ThreadPoolExecutor(16) as pool:
        found = list(pool.map(model.predict, images))
    assert len(recorder.batches) < len(images), "no two of them ran as one batch"
    for outputs, wanted in zip(found, expected, strict=True):
        for name, array in wanted.items():
            np.testing.assert_allclose(outputs[name], array, rtol=0, atol=1e-5 * float(np.abs(array).max()))


def test_numbers_that_overflow_harm_no_other_row_of_the_batch() -> None:
    model = Model.open(newest("iris"), Settings(device="cpu"))
    recorder = Recorder(model.runtime)
    model.batching = BatchingRuntime(recorder, BatchingOptions(32, 0.2))
    (name,) = (spec.name for spec in model.bundle.signature.inputs)
    width = len(model.bundle.features)
    good, bad = ({name: np.full((1, width), value, np.float32)} for value in (1.0, 3e38))
    expected = model.runtime.run(good)

    def outcome(inputs: Arrays) -> object:
        try:
            return model.predict(inputs)
        except UnprocessableInput as error:
            return error

    with ThreadPoolExecutor(8) as pool:
        found = list(pool.map(outcome, [good, bad] * 4))
    for outputs in found[::2]:
        assert isinstance(outputs, dict)
        np.testing.assert_allclose(outputs["probabilities"], expected["probabilities"], rtol=1e-5)
    assert all(isinstance(error, UnprocessableInput) for error in found[1::2])
    assert max(recorder.batches) > 1


def test_a_client_that_hangs_up_leaves_its_batch(tmp_path: Path) -> None:
    with RunningService(tmp_path / "log", batching="iris=32:999ms", log_requests="all") as service:
        body = json.dumps(ROW).encode()
        head = f"POST /v1/models/iris:predict HTTP/1.1\r\nHost: x\r\nContent-Length: {len(body)}\r\n\r\n"
        with RawConnection(service) as connection:
            connection.send(head.encode() + body)
        wait_until(lambda: '"status":503' in service.log(), "without waiting for the end of the delay")


def test_a_server_runs_requests_that_come_together_as_one_batch(tmp_path: Path) -> None:
    """Forty at once, from as many connections: each gets its own prediction, while health is answered."""
    rows_of = {"setosa": [5.1, 3.5, 1.4, 0.2], "virginica": [7.7, 2.6, 6.9, 2.3]}
    with RunningService(tmp_path / "log", batching="iris=32:50ms") as service:

        def label(wanted: str) -> bool:
            response = predict(service, {"instances": [rows_of[wanted]]})
            found: bool = response.json()["predictions"][0]["label"] == wanted
            return found

        with ThreadPoolExecutor(40) as pool:
            assert all(pool.map(label, ["setosa", "virginica"] * 60))
        assert service.client.get("/v2/health/ready").status_code == 200
        config = service.client.get("/v2/models/iris/config").json()
        assert config["dynamic_batching"] == {"preferred_batch_size": [32], "max_queue_delay_microseconds": 50_000}


def test_a_model_to_be_batched_that_there_is_not_stops_the_start() -> None:
    failed = failed_start(batching="wide=32:2ms")
    assert failed.returncode == 2
    assert "DIGITALIS_BATCHING names wide: the models are" in failed.stderr
