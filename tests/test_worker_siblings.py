"""What the workers know of each other, and when one of them begins to drain. Time stands still."""

import pytest
from stepped_worker import Clock

from service.worker.siblings import FAILED, READY, SIGNAL_DELAY, SLOTS, STARTING, DrainDecision, Siblings

DELAY = 10.0


@pytest.fixture
def siblings() -> Siblings:
    """Workers 1 and 2 are ready."""
    memory = Siblings()
    for age in (1, 2):
        memory.set_starting(age)
        memory.set_ready(age)
    return memory


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def first(siblings: Siblings, clock: Clock) -> DrainDecision:
    """The decision of worker 1."""
    return DrainDecision(siblings, 1, DELAY, clock)


def told_long_ago(decision: DrainDecision, clock: Clock) -> bool:
    """What it decides after its own SIGTERM, once the service could have been told to end too."""
    decision.is_due(told_to_end=True)
    clock.advance(SIGNAL_DELAY)
    return decision.is_due(told_to_end=True)


def test_a_worker_knows_the_phases_of_younger_ones(siblings: Siblings) -> None:
    siblings.set_starting(3)
    assert siblings.younger(1) == {2: READY, 3: STARTING}
    assert siblings.younger(2) == {3: STARTING}
    assert siblings.younger(3) == {}


def test_a_worker_that_ends_before_it_is_ready_has_failed_and_one_that_was_ready_is_forgotten(
    siblings: Siblings,
) -> None:
    for age in (3, 4):
        siblings.set_starting(age)
    siblings.set_ready(4)
    assert [siblings.set_ended(age) for age in (3, 4)] == [True, False]
    assert siblings.younger(2) == {3: FAILED}


def test_a_slot_that_has_a_new_owner_is_not_changed_by_the_end_of_the_old_one(siblings: Siblings) -> None:
    siblings.set_starting(2 + SLOTS)
    siblings.set_ended(2)
    assert siblings.younger(2) == {2 + SLOTS: STARTING}


def test_the_service_has_served_once_a_worker_has_been_ready() -> None:
    siblings = Siblings()
    siblings.set_starting(1)
    assert not siblings.has_served
    siblings.set_ready(1)
    siblings.set_ended(1)
    assert siblings.has_served


def test_a_worker_that_nobody_told_to_end_serves(first: DrainDecision, clock: Clock) -> None:
    clock.advance(1000)
    assert not first.is_due(told_to_end=False)
    assert not first.is_shutdown


def test_when_the_service_ends_a_worker_drains_after_the_delay(
    first: DrainDecision, siblings: Siblings, clock: Clock
) -> None:
    siblings.stop()
    assert not first.is_due(told_to_end=False)
    assert first.is_shutdown
    clock.advance(DELAY - 0.1)
    assert not first.is_due(told_to_end=True)
    clock.advance(0.1)
    assert first.is_due(told_to_end=True)


def test_when_the_service_is_told_twice_a_worker_does_not_wait(first: DrainDecision, siblings: Siblings) -> None:
    siblings.stop()
    assert not first.is_due(told_to_end=True)
    siblings.stop()
    assert first.is_due(told_to_end=True)


def test_a_worker_that_is_replaced_waits_until_all_younger_ones_are_ready(
    first: DrainDecision, siblings: Siblings, clock: Clock
) -> None:
    for age in (3, 4):
        siblings.set_starting(age)
    assert not told_long_ago(first, clock)
    siblings.set_ready(3)
    clock.advance(60)
    assert not first.is_due(told_to_end=True)
    siblings.set_ready(4)
    assert first.is_due(told_to_end=True)
    assert not first.is_irreplaceable
    assert not first.is_shutdown


@pytest.mark.parametrize("age", [1, 2])
def test_a_worker_goes_on_if_all_that_were_to_replace_it_have_failed(
    siblings: Siblings, clock: Clock, age: int
) -> None:
    """The first one too: the second one is younger and serves, but does not replace it."""
    second = DrainDecision(siblings, age, DELAY, clock)
    siblings.set_starting(3)
    assert not told_long_ago(second, clock)
    siblings.set_failed(3)
    assert second.is_due(told_to_end=True)
    assert second.is_irreplaceable
    siblings.stop()
    second.is_due(told_to_end=True)
    assert not second.is_irreplaceable


def test_a_worker_that_alone_is_told_to_end_drains_at_once(siblings: Siblings, clock: Clock) -> None:
    """It waits a moment only, as the whole service may have been told at the same time."""
    second = DrainDecision(siblings, 2, DELAY, clock)
    assert not second.is_due(told_to_end=True)
    clock.advance(SIGNAL_DELAY)
    assert second.is_due(told_to_end=True)
    assert not second.is_irreplaceable
