"""The memory budget of a worker: bodies are rejected or reserved at once, the handling of requests waits its turn."""

import threading

import pytest
from running_service import wait_until
from stepped_worker import DEADLINE

from service.worker.memory import MemoryBudget

TOTAL, LARGEST = 800, 500


def test_bodies_leave_the_largest_share_to_the_handling_of_requests() -> None:
    memory = MemoryBudget(TOTAL)
    assert memory.largest == LARGEST
    assert memory.reserve_body(TOTAL - LARGEST)
    assert not memory.reserve_body(1)
    assert memory.acquire(LARGEST, timeout=0)
    memory.release_body(TOTAL - LARGEST)
    assert memory.reserve_body(1)


def test_a_body_is_rejected_while_the_handling_of_requests_takes_all() -> None:
    memory = MemoryBudget(TOTAL)
    assert memory.acquire(LARGEST, timeout=0)
    assert memory.acquire(TOTAL - LARGEST, timeout=0)
    assert not memory.reserve_body(1)
    memory.release(1)
    assert memory.reserve_body(1)


def test_more_than_one_request_may_take_is_an_error_and_not_a_wait() -> None:
    with pytest.raises(ValueError, match="501 bytes for one request: at most 500"):
        MemoryBudget(TOTAL).acquire(LARGEST + 1, timeout=DEADLINE)


def test_what_waits_for_too_long_gets_nothing_and_lets_the_next_one_pass() -> None:
    memory = MemoryBudget(TOTAL)
    assert memory.acquire(LARGEST, timeout=0)
    assert not memory.acquire(LARGEST, timeout=0.01)
    assert memory.acquire(TOTAL - LARGEST, timeout=0)


def test_memory_is_given_in_order_of_arrival() -> None:
    """A small need does not overtake a large one, which would never come to its turn."""
    memory = MemoryBudget(TOTAL)
    assert memory.acquire(LARGEST, timeout=0)
    order: list[str] = []

    def acquire(name: str, size: int) -> None:
        assert memory.acquire(size, timeout=DEADLINE)
        order.append(name)
        memory.release(size)

    threads = []
    for name, size in (("large", LARGEST), ("small", 1)):
        threads.append(threading.Thread(target=acquire, args=(name, size)))
        threads[-1].start()
        wait_until(lambda: len(memory._waiting) == len(threads))
    assert order == []
    memory.release(LARGEST)
    for thread in threads:
        thread.join()
    assert order == ["large", "small"]
    assert memory.handling == 0


def test_responses_keep_new_bodies_out_and_are_too_many_only_by_themselves() -> None:
    """A client that reads slowly is not cut off because others upload."""
    memory = MemoryBudget(TOTAL)
    assert memory.reserve_body(TOTAL - LARGEST)
    memory.add_response(100)
    assert not memory.is_exceeded
    memory.release_body(TOTAL - LARGEST)
    assert not memory.reserve_body(TOTAL - LARGEST - 99)
    assert memory.reserve_body(TOTAL - LARGEST - 100)
    memory.add_response(51)
    assert memory.is_exceeded
    memory.release_response(151)
    assert not memory.is_exceeded
