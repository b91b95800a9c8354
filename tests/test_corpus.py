"""Every request of the corpus, sent to a running service."""

from typing import Any

import pytest
from corpus_requests import Case, build_request, check_predicted, check_rejected, read_cases
from running_service import RunningService


def parameters(name: str) -> list[Any]:
    return [pytest.param(case, id=case["name"]) for case in read_cases(name)]


@pytest.mark.parametrize("case", parameters("bad_requests.json"))
def test_a_bad_request_gets_its_status_and_error_message(service: RunningService, case: Case) -> None:
    workers = service.workers()
    check_rejected(case, service.client.send(build_request(service.client, case)))
    assert service.workers() == workers


@pytest.mark.parametrize("case", parameters("good_requests.json"))
def test_a_good_request_gets_its_labels_or_values(service: RunningService, case: Case) -> None:
    check_predicted(case, service.client.send(build_request(service.client, case)))
