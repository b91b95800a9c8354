"""The page at `/` in a real browser: drawing, features, models, and its use without a mouse."""

import base64
import math
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from axe_playwright_python.sync_playwright import Axe
from browser import Visit, browser
from conftest import SAMPLES
from playwright.sync_api import Browser, Route
from running_service import ROOT, RunningService

SEVEN = ((0.28, 0.25), (0.72, 0.25), (0.45, 0.8))
PUBLIC = re.compile(r"/(#\w+)?$|/page/[\w.]+$|/v1/models|/v2/models/[^/]+/versions/\d+/infer$")

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningService]:
    with RunningService(tmp_path_factory.mktemp("page") / "log", device="cpu", workers="1") as running:
        yield running


@pytest.fixture(scope="module")
def running_browser(chromium: str) -> Iterator[Browser]:
    with browser(chromium) as running:
        yield running


@pytest.fixture
def visit(running_browser: Browser, server: RunningService) -> Iterator[Visit]:
    """The page in a window of a desktop; afterwards the browser must not have complained."""
    with running_browser.new_context(viewport={"width": 1440, "height": 1000}) as context:
        found = Visit(context.new_page())
        found.open(server.url)
        yield found
        assert found.complaints == []


def draw_seven(visit: Visit) -> None:
    visit.draw(*SEVEN)
    visit.wait_for("document.querySelector('#answers .label strong').textContent === '7'")


def test_a_drawing_is_read_while_it_is_drawn(visit: Visit, server: RunningService) -> None:
    draw_seven(visit)
    assert visit.page.locator("#answers .bars li").count() == 10
    visit.wait_for("document.querySelector('#spoken').textContent.startsWith('7, ')")
    visit.wait_for("document.querySelector('#occlusion-legend').textContent.startsWith('Orange')")
    assert visit.page.locator("#answers .seen img").get_attribute("src").startswith("data:image/png;base64,")  # type: ignore[union-attr]
    assert re.fullmatch(
        r"the service took [\d.]+ ms \(decode .*\); round trip [\d.]+ ms", visit.text("#answers .timing")
    )
    assert all(
        url.startswith(server.url) and PUBLIC.search(url.partition("?")[0].removesuffix(":predict"))
        for url in visit.requests
    )


def test_the_heat_lies_on_the_ink(visit: Visit) -> None:
    visit.draw((0.6, 0.2), (0.6, 0.8))  # a one, to the right of the middle
    visit.wait_for("document.querySelector('#occlusion-legend').textContent.startsWith('Orange')")
    at = visit.page.evaluate("""() => {
        const canvas = document.querySelector('#heat'), side = canvas.width;
        const data = canvas.getContext('2d').getImageData(0, 0, side, side).data;
        let [sum, weight] = [0, 0];
        for (let i = 0; i < side * side; i += 1) { sum += data[4 * i + 3] * (i % side); weight += data[4 * i + 3]; }
        return sum / weight / side;
    }""")
    assert at == pytest.approx(0.6, abs=0.06)


def test_undo_and_clear_take_the_answer_back(visit: Visit) -> None:
    draw_seven(visit)
    visit.page.click("#clear")
    assert visit.page.locator("#answers .bars li").count() == 0
    assert visit.text("#spoken") == ""
    visit.draw((0.5, 0.2), (0.5, 0.8))
    visit.draw((0.2, 0.5), (0.8, 0.5))
    visit.page.click("#undo")
    visit.wait_for("document.querySelector('#answers .label strong').textContent === '1'")


def test_the_last_stroke_wins_although_an_earlier_answer_comes_late(visit: Visit) -> None:
    held: list[Route] = []

    def hold_the_first(route: Route) -> None:
        if held:
            route.continue_()
        else:
            held.append(route)

    visit.page.route("**/*:predict*", hold_the_first)
    visit.draw(*SEVEN[:2])
    visit.draw(*SEVEN[1:])
    assert held
    held[0].continue_()
    visit.wait_for("document.querySelector('#answers .label strong').textContent === '7'")
    visit.page.wait_for_load_state("networkidle")
    assert visit.text("#answers .label strong") == "7"


def test_an_answer_that_comes_after_the_drawing_is_cleared_is_not_shown(visit: Visit) -> None:
    held: list[Route] = []

    def hold(route: Route) -> None:
        held.append(route)

    visit.page.route("**/*:predict*", hold)
    visit.draw(*SEVEN)
    visit.page.wait_for_timeout(200)
    visit.page.click("#clear")
    for route in held:
        route.abort()
    visit.page.unroute("**/*:predict*")
    visit.page.wait_for_timeout(300)
    assert visit.page.locator("#answers .bars li").count() == 0
    visit.complaints.clear()


def test_a_failed_request_shows_why_and_no_stale_answer(visit: Visit) -> None:
    draw_seven(visit)
    visit.page.route("**/*:predict*", lambda route: route.abort())
    visit.draw((0.3, 0.5), (0.6, 0.5))
    visit.wait_for("document.querySelector('#answers .reason').textContent === 'the service does not respond'")
    assert visit.page.locator("#answers .bars li").count() == 0


def test_a_late_answer_to_another_drawing_is_not_shown_and_the_old_one_goes(visit: Visit) -> None:
    draw_seven(visit)
    held: list[Route] = []

    def hold(route: Route) -> None:
        held.append(route)

    visit.page.route("**/*:predict*", hold)
    visit.draw((0.3, 0.5), (0.6, 0.5))
    visit.wait_for("document.querySelectorAll('#answers .bars li').length === 0")
    assert visit.text("#spoken") == ""
    visit.page.click("#clear")
    visit.page.unroute("**/*:predict*")
    visit.draw((0.5, 0.2), (0.5, 0.8))
    visit.wait_for("document.querySelector('#answers .label strong').textContent === '1'")
    visit.complaints.clear()


def test_undo_brings_back_what_was_cleared(visit: Visit) -> None:
    draw_seven(visit)
    visit.page.click("#clear")
    visit.page.click("#undo")
    visit.wait_for("document.querySelector('#answers .label strong').textContent === '7'")


def test_a_failed_map_leaves_the_answers_as_they_are(visit: Visit) -> None:
    visit.page.route("**/infer", lambda route: route.abort())
    choose_vector_model(visit, "moons-mlp")
    visit.wait_for("document.querySelectorAll('#vector-answer .bars li').length === 2")
    visit.page.unroute("**/infer")
    choose_vector_model(visit, "wine")
    visit.wait_for("document.querySelectorAll('#vector-answer .bars li').length === 3")
    choose_vector_model(visit, "moons-mlp")
    visit.page.wait_for_selector("#map")
    assert visit.page.locator("#legend li").all_inner_texts() == ["upper", "lower"]


def test_an_empty_number_is_not_sent(visit: Visit) -> None:
    choose_vector_model(visit, "iris")
    visit.page.get_by_label("sepal length (cm), as a number").fill("")
    visit.wait_for(
        "document.querySelector('#vector-answer .reason').textContent === 'enter a number for sepal length (cm)'"
    )
    visit.page.get_by_role("button", name="Middle").click()
    visit.wait_for("document.querySelectorAll('#vector-answer .bars li').length === 3")


def test_the_link_to_the_content_stays_in_the_section(visit: Visit) -> None:
    visit.page.click('nav a[href="#models"]')
    visit.wait_for("!document.querySelector('#models').hidden")
    visit.page.evaluate("location.hash = '#main'")
    visit.page.wait_for_timeout(100)
    assert visit.page.locator("#models").is_visible()


def test_a_refused_picture_shows_the_reason(visit: Visit) -> None:
    visit.page.set_input_files("#file", ROOT / "tests/corpus/files/blank.png")
    visit.wait_for("document.querySelector('#answers .reason').textContent.includes('no ink of a digit')")
    assert "no ink of a digit" in visit.text("#spoken") or visit.page.locator("#spoken").text_content() == ""


def test_pictures_of_any_format_are_read_and_two_models_stand_beside_each_other(visit: Visit) -> None:
    visit.page.set_input_files("#file", SAMPLES / "9.tiff")  # the browser itself cannot show it
    visit.wait_for("document.querySelector('#answers .label strong').textContent === '9'")
    options = visit.page.locator("#beside option").all_inner_texts()
    visit.page.select_option("#beside", label=next(one for one in options if one.startswith("mnist ")))
    visit.wait_for("document.querySelectorAll('#answers .bars li').length === 20")
    titles = visit.page.locator("#answers h3").all_inner_texts()
    assert [title.split()[0] for title in titles] == ["digits", "mnist"]


@pytest.mark.parametrize(("event", "holder"), [("drop", "dataTransfer"), ("paste", "clipboardData")])
def test_a_picture_is_dropped_or_pasted(visit: Visit, event: str, holder: str) -> None:
    picture = base64.b64encode((SAMPLES / "3.png").read_bytes()).decode()
    visit.page.evaluate(
        """([event, holder, picture]) => {
            const data = new DataTransfer(), kind = event === "drop" ? DragEvent : ClipboardEvent;
            const bytes = Uint8Array.from(atob(picture), (one) => one.charCodeAt(0));
            data.items.add(new File([bytes], "3.png", {type: "image/png"}));
            document.querySelector("#drawing").dispatchEvent(
                new kind(event, {[holder]: data, bubbles: true, cancelable: true}));
        }""",
        [event, holder, picture],
    )
    visit.wait_for("document.querySelector('#answers .label strong')?.textContent === '3'")


@pytest.mark.parametrize(
    ("label", "stroke"),
    [
        ("0", [(0.5 + 0.18 * math.sin(angle), 0.5 - 0.3 * math.cos(angle)) for angle in np.linspace(0, math.tau, 13)]),
        ("1", [(0.5, 0.2), (0.5, 0.8)]),
    ],
)
def test_digits_are_drawn_with_the_mouse(visit: Visit, label: str, stroke: list[tuple[float, float]]) -> None:
    visit.draw(*stroke)
    visit.wait_for("(label) => document.querySelector('#answers .label strong')?.textContent === label", label)


def test_the_command_on_the_page_gets_the_same_answer(visit: Visit) -> None:
    draw_seven(visit)
    visit.wait_for("document.querySelector('#digits-curl').textContent.startsWith('curl ')")
    visit.page.wait_for_load_state("networkidle")
    command = visit.page.locator("#digits-curl").text_content() or ""
    completed = subprocess.run(["bash", "-c", command], capture_output=True, text=True, check=True)
    assert '"label":"7"' in completed.stdout


def test_a_digit_is_drawn_with_the_keyboard_alone(visit: Visit) -> None:
    visit.page.focus("#drawing")
    keys = visit.page.keyboard
    for _ in range(18):
        keys.press("ArrowUp")
    keys.press("Space")
    for _ in range(36):
        keys.press("ArrowDown")
    keys.press("Space")
    visit.wait_for("document.querySelector('#spoken').textContent.startsWith('1, ')")
    keys.press("Backspace")
    assert visit.page.locator("#answers .bars li").count() == 0


def choose_vector_model(visit: Visit, name: str) -> None:
    visit.page.click('nav a[href="#features"]')
    options = visit.page.locator("#vector-model option").all_inner_texts()
    visit.page.select_option("#vector-model", label=next(one for one in options if one.split()[0] == name))
    visit.wait_for("name => document.querySelector('#vector-answer h3').textContent.startsWith(name + ' ')", name)


def test_sliders_move_the_answer_and_a_value_outside_the_range_warns(visit: Visit) -> None:
    choose_vector_model(visit, "iris")
    visit.page.get_by_label("petal length (cm)", exact=True).fill("1.4")
    visit.page.get_by_label("petal width (cm)", exact=True).fill("0.2")
    visit.wait_for("document.querySelector('#vector-answer .label strong').textContent === 'setosa'")
    visit.page.get_by_label("petal length (cm), as a number").fill("51")
    visit.wait_for(
        "document.querySelector('#vector-answer .warnings').textContent.includes('51 is outside 1.0 to 6.9')"
    )


@pytest.mark.parametrize("name", ["linnerud", "diabetes", "wine", "breast-cancer", "arc"])
def test_every_kind_of_vector_model_answers(visit: Visit, name: str) -> None:
    choose_vector_model(visit, name)
    visit.page.get_by_role("button", name="Random").click()
    visit.wait_for("document.querySelectorAll('#vector-answer .bars li').length >= 1")
    assert visit.page.locator("#vector-answer .reason").is_hidden()


@pytest.mark.parametrize("name", ["moons-mlp", "hours-pass"])
def test_a_click_on_the_map_of_one_or_two_features_moves_the_point(visit: Visit, name: str) -> None:
    choose_vector_model(visit, name)
    visit.page.wait_for_selector("#map")
    before = visit.page.locator("#sliders input[type=number]").first.input_value()
    visit.page.click("#surface", position={"x": 60, "y": 60})
    assert visit.page.locator("#sliders input[type=number]").first.input_value() != before


def test_a_model_of_four_features_has_no_map(visit: Visit) -> None:
    choose_vector_model(visit, "iris")
    visit.wait_for("document.querySelectorAll('#vector-answer .bars li').length === 3")
    assert visit.page.locator("#map").is_hidden()


def test_each_model_has_a_card_with_its_figures_and_report(visit: Visit, server: RunningService) -> None:
    visit.page.click('nav a[href="#models"]')
    cards = visit.page.locator("#cards article")
    assert cards.count() >= len(server.client.get("/v1/models").json()["models"])
    card = cards.filter(has=visit.page.get_by_role("heading", name=re.compile("^digits "))).inner_text()
    assert "accuracy" in card
    assert "ONNX Runtime, cpu" in card
    assert "sha256:" in card


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [360, 1440])
def test_every_section_is_accessible_and_fits(
    running_browser: Browser, server: RunningService, scheme: str, width: int
) -> None:
    """By the rules of axe-core: names, roles, labels, contrast AA."""
    with running_browser.new_context(viewport={"width": width, "height": 800}, color_scheme=scheme) as context:  # type: ignore[arg-type]
        visit = Visit(context.new_page())
        visit.open(server.url)
        for section in ("digits", "features", "models"):
            visit.page.click(f'nav a[href="#{section}"]')
            if section == "digits":
                draw_seven(visit)
            visit.page.evaluate("document.querySelectorAll('details').forEach((one) => { one.open = true; })")
            assert visit.page.evaluate("document.documentElement.scrollWidth") <= width
            found = Axe().run(visit.page)
            assert found.violations_count == 0, found.generate_report()


def test_where_a_key_is_needed_the_page_asks_for_it(running_browser: Browser, tmp_path: Path) -> None:
    key = "a-key-of-the-page-012345"
    with (
        RunningService(tmp_path / "log", device="cpu", workers="1", api_keys=key) as server,
        running_browser.new_context() as context,
    ):
        visit = Visit(context.new_page())
        visit.open(server.url)
        assert "send an API key" in visit.text("#problem")
        visit.page.get_by_label("This service asks for an API key.").fill(key)
        visit.page.get_by_role("button", name="Use it").click()
        visit.wait_for("!document.querySelector('#digits').hidden")
        draw_seven(visit)
        visit.page.goto(f"{server.url}/#models")
        with visit.page.expect_download() as report:
            visit.page.get_by_label(re.compile("^Report of iris ")).click()
        assert "<title>iris" in report.value.path().read_text()
        with context.expect_page() as opened:
            visit.page.get_by_label(re.compile("^Status of iris ")).click()
        assert '"model_version_status"' in opened.value.inner_text("body")
        visit.page.goto(f"{server.url}/docs/")
        visit.page.wait_for_selector(".opblock")  # with the key of the tab


def test_where_a_key_is_needed_the_page_of_the_api_asks_for_it(running_browser: Browser, tmp_path: Path) -> None:
    key = "a-key-of-the-page-012345"
    with (
        RunningService(tmp_path / "log", device="cpu", workers="1", api_keys=key) as server,
        running_browser.new_context() as context,
    ):
        page = context.new_page()
        page.goto(f"{server.url}/docs/")
        page.get_by_label("This service asks for an API key.").fill(key)
        page.get_by_role("button", name="Use it").click()
        page.wait_for_selector(".opblock")
        assert page.get_by_label("This service asks for an API key.").is_hidden()
