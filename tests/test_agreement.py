"""Which version answers, decided from what each worker has open; a case of the table is a moment."""

from typing import NamedTuple

import pytest

from service.agreement import agree
from service.inference.version_policy import VersionPolicy
from service.shared_state import PolicyRecord, State, WorkerModels

A, B, C = 11, 12, 13


class Moment(NamedTuple):
    """What the workers have open of iris, which answered before, the policy, and which answers now."""

    workers: dict[int, list[str]]
    before: str
    now: str
    policy: VersionPolicy = VersionPolicy()
    failed: dict[int, str] = {}  # noqa: RUF012 - never changed


PIN_1 = VersionPolicy("1")
CANARY_2 = VersionPolicy(None, "2", 0.1)

MOMENTS = {
    "the first worker": Moment({A: ["1@a"]}, "", "1@a"),
    "a new version is open in one worker": Moment({A: ["1@a", "2@b"], B: ["1@a"]}, "1@a", "1@a"),
    "it is open in all": Moment({A: ["1@a", "2@b"], B: ["1@a", "2@b"]}, "1@a", "2@b"),
    "version 10 is newer than 9": Moment({A: ["10@j", "9@i"]}, "9@i", "10@j"),
    "it is taken away, and one worker has closed it": Moment({A: ["1@a"], B: ["1@a", "2@b"]}, "2@b", "1@a"),
    "a worker could not open what the others have": Moment(
        {A: ["1@a", "2@b"], B: ["1@a", "2@b"], C: ["1@a"]}, "2@b", "2@b", failed={C: "iris/2"}
    ),
    "a new version cannot be opened by one worker": Moment(
        {A: ["1@a", "2@b"], B: ["1@a"]}, "1@a", "1@a", failed={B: "iris/2"}
    ),
    "a new worker has only what the others do not have": Moment({A: ["2@b"], B: ["2@b"], C: ["3@c"]}, "2@b", "2@b"),
    "the others have it too": Moment({A: ["2@b", "3@c"], B: ["2@b", "3@c"], C: ["3@c"]}, "2@b", "3@c"),
    "new content is open in one worker": Moment({A: ["1@a", "1@x"], B: ["1@a"]}, "1@a", "1@a"),
    "new content is open in all": Moment({A: ["1@a", "1@x"], B: ["1@a", "1@x"]}, "1@a", "1@x"),
    "a pin": Moment({A: ["1@a", "2@b"], B: ["1@a", "2@b"]}, "2@b", "1@a", PIN_1),
    "a pin on what one worker has": Moment({A: ["1@a", "2@b"], B: ["2@b"]}, "2@b", "2@b", PIN_1),
    "a pin on what nobody has": Moment({A: ["2@b", "3@c"]}, "2@b", "2@b", PIN_1),
    "the pinned version is closed": Moment({A: ["2@b", "3@c"]}, "1@a", "3@c", PIN_1),
    "a new worker has other content of what answers": Moment({A: ["1@a", "2@b"], B: ["1@a", "2@x"]}, "2@b", "2@b"),
    "the same with a pin": Moment({A: ["1@a", "2@b"], B: ["1@x", "2@b"]}, "1@a", "1@a", PIN_1),
    "a pinned version is damaged": Moment(
        {A: ["2@b", "3@c"], B: ["3@c"]}, "2@b", "2@b", VersionPolicy("2"), failed={B: "iris/2"}
    ),
    "the version beside a canary is damaged": Moment(
        {A: ["1@a", "2@b"], B: ["2@b"]}, "1@a", "1@a", CANARY_2, failed={B: "iris/1"}
    ),
    "a damaged version is followed by another": Moment(
        {A: ["1@a", "2@b", "3@c"], B: ["1@a", "3@c"]}, "2@b", "3@c", failed={B: "iris/2"}
    ),
    "a canary is not the default": Moment({A: ["1@a", "2@b"]}, "", "1@a", CANARY_2),
    "unless there is nothing else": Moment({A: ["2@b"]}, "1@a", "2@b", CANARY_2),
}


@pytest.mark.parametrize("moment", MOMENTS.values(), ids=MOMENTS)
def test_all_workers_go_over_to_a_version_together(moment: Moment) -> None:
    state = State(
        workers={
            process: WorkerModels([f"iris/{key}" for key in keys], {moment.failed.get(process, "other/1"): "damaged"})
            for process, keys in moment.workers.items()
        },
        policies={"iris": PolicyRecord(moment.policy)},
        defaults={"iris": f"iris/{moment.before}"} if moment.before else {},
    )
    agree(state, {})
    assert state.defaults == {"iris": f"iris/{moment.now}"}


def test_a_canary_gets_requests_once_all_workers_have_it() -> None:
    state = State({A: WorkerModels(["iris/1@a", "iris/2@b"]), B: WorkerModels(["iris/1@a"])})
    agree(state, {"iris": CANARY_2})
    assert (state.defaults, state.canaries) == ({"iris": "iris/1@a"}, {})
    state.workers[B].open.append("iris/2@b")
    agree(state, {"iris": CANARY_2})
    assert (state.defaults, state.canaries) == ({"iris": "iris/1@a"}, {"iris": "iris/2@b"})


def test_a_policy_of_the_settings_wins() -> None:
    state = State({A: WorkerModels(["iris/1@a", "iris/2@b"])}, {"iris": PolicyRecord(VersionPolicy("2"))})
    agree(state, {"iris": PIN_1})
    assert state.defaults == {"iris": "iris/1@a"}


def test_a_new_worker_that_cannot_get_what_the_others_serve_does_not_bring_them_back() -> None:
    state = State({A: WorkerModels(["iris/2@b"]), B: WorkerModels(["iris/1@a"], lacking=["iris/2"])})
    state.defaults = {"iris": "iris/2@b"}
    agree(state, {})
    assert state.defaults == {"iris": "iris/2@b"}


def test_where_every_model_is_unloaded_none_answers() -> None:
    state = State({A: WorkerModels([])}, defaults={"iris": "iris/1@a"})
    agree(state, {})
    assert state.defaults == {}


def test_while_no_worker_is_there_what_answered_is_kept_for_the_next_one() -> None:
    state = State(defaults={"iris": "iris/1@a"})
    agree(state, {})
    assert state.defaults == {"iris": "iris/1@a"}
