"""The page at `/`: who gets it, its policy and its files. `test_page_in_browser.py` uses it."""

import json
import re

import pytest
from in_process import open_app
from running_service import ROOT

PAGE = ROOT / "service/page"
FILES = [*(PAGE / "static").iterdir(), *(PAGE / "templates").iterdir()]
HTML = {"Accept": "text/html,application/xhtml+xml,*/*;q=0.8"}


@pytest.mark.parametrize("accept", ["*/*", "application/json", "application/json, text/plain, */*", None])
def test_probes_and_programs_get_json(accept: str | None) -> None:
    client = open_app("iris").test_client()
    response = client.get("/", headers={"Accept": accept} if accept else {})
    assert json.loads(response.data) == {"status": "alive", "models": "/v1/models", "documentation": "/docs/"}
    assert "Accept" in response.headers["Vary"]


def test_browsers_get_the_page_and_its_policy_allows_nothing_from_elsewhere() -> None:
    response = open_app("iris").test_client().get("/", headers=HTML)
    assert response.content_type == "text/html; charset=utf-8"
    policy = response.headers["Content-Security-Policy"]
    assert policy.startswith("default-src 'none'; script-src 'self'; style-src 'self';")
    assert "unsafe" not in policy
    assert "Accept" in response.headers["Vary"]


@pytest.mark.parametrize("path", ["/", "/docs/", "/v1/models/iris/report"])
def test_every_page_says_to_browsers_what_it_may_do_and_who_may_not_reach_it(path: str) -> None:
    headers = open_app("iris").test_client().get(path, headers=HTML).headers
    assert headers["Content-Security-Policy"].startswith("default-src 'none'; ")
    assert "frame-ancestors 'none'" in headers["Content-Security-Policy"]
    assert headers["X-Frame-Options"] == "DENY"
    assert headers["Referrer-Policy"] == "no-referrer"
    assert headers["Cross-Origin-Opener-Policy"] == "same-origin"
    assert headers["X-Content-Type-Options"] == "nosniff"


def test_the_page_can_be_switched_off() -> None:
    client = open_app("iris", page=False).test_client()
    assert json.loads(client.get("/", headers=HTML).data)["status"] == "alive"
    assert client.get("/page/app.js").status_code == 404


def test_the_files_are_small_and_name_no_other_host() -> None:
    assert sum(file.stat().st_size for file in FILES) < 60 * 1024
    for file in FILES:
        text = file.read_text().replace('xmlns="http://www.w3.org/2000/svg"', "")
        assert not re.search(r"https?://|//[a-z]+\.", text), file
        assert not re.search(r"\son[a-z]+=|\sstyle=|<script>|javascript:", text), file


def test_a_file_that_has_not_changed_is_not_sent_again() -> None:
    client = open_app("iris").test_client()
    first = client.get("/page/app.js")
    assert first.status_code == 200
    assert client.get("/page/app.js", headers={"If-None-Match": first.headers["ETag"]}).status_code == 304


@pytest.mark.parametrize("name", ["nothing.js", "..%2Fviews.py", "%2e%2e/views.py", ".", "%00"])
def test_other_files_are_not_there(name: str) -> None:
    response = open_app("iris").test_client().get(f"/page/{name}")
    assert response.status_code == 404
    assert list(json.loads(response.data)) == ["error"]


def test_all_links_are_relative_so_that_a_proxy_may_add_a_path() -> None:
    page = open_app("iris").test_client().get("/", headers=HTML).text
    links = re.findall(r'(?:href|src)="([^"#]*)"', page)
    assert links
    assert not [link for link in links if link.startswith(("/", "http"))]
