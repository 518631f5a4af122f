"""The page of the cluster in Debian's Chromium: its policy, its accessibility, and hostile texts."""

from collections.abc import Iterator
from dataclasses import replace
from importlib.resources import files
from pathlib import Path
from typing import Any, Literal

import pytest
from playwright.sync_api import Browser, Page

from agent.http import cluster_page
from agent.http.cluster_page import DocumentView
from agent.model.events import Event
from tests.support.chromium import PROGRAM, SCHEMES, browser
from tests.support.cluster_states import CLUSTERS
from tests.support.viewed_clusters import PICTURED, served, view

pytestmark = pytest.mark.skipif(not Path(PROGRAM).exists(), reason=f"{PROGRAM} is not installed")

HOSTILE = (
    "</bdi><script>document.title='taken'</script><img src=http://192.0.2.1/x onerror=alert(2)>\u202e\x1b[31m"
)
SHOWN = HOSTILE.replace("\u202e", "\\u202e").replace("\x1b", "\\x1b")
VIOLATIONS = """
addEventListener('securitypolicyviolation', each => { (window.violations ??= []).push(each.violatedDirective) })
"""


class Seen:
    """A page, with what it asked for and what the browser complained about."""

    def __init__(self, page: Page) -> None:
        self.page = page
        self.asked: list[str] = []
        self.complaints: list[str] = []
        page.on("request", lambda each: self.asked.append(each.url))
        page.on("console", lambda each: self.complaints.append(each.text))
        page.on("pageerror", lambda each: self.complaints.append(str(each)))
        page.add_init_script(VIOLATIONS)

    def open(self, address: str) -> None:
        self.page.goto(address)
        self.page.wait_for_load_state("networkidle")
        assert self.complaints == []
        assert self.page.evaluate("window.violations ?? []") == []
        assert {each.split("/")[2] for each in self.asked if each != "data:,"} == {address.split("/")[2]}

    def faults(self) -> list[str]:
        """What axe-core finds that is serious or worse."""
        # The policy forbids the page every script: the driver runs axe-core beside it.
        self.page.evaluate(files("axe_playwright_python").joinpath("axe.min.js").read_text())
        found: dict[str, Any] = self.page.evaluate("axe.run()")
        assert len(found["passes"]) > 10
        return [
            f"{each['id']}: {[node['html'] for node in each['nodes']][:3]}"
            for each in found["violations"]
            if each["impact"] in ("serious", "critical")
        ]


@pytest.fixture(scope="module")
def chromium() -> Iterator[Browser]:
    with browser() as started:
        yield started


@pytest.fixture(params=SCHEMES)
def seen(chromium: Browser, request: pytest.FixtureRequest) -> Iterator[Seen]:
    scheme: Literal["light", "dark"] = request.param
    page = chromium.new_page(viewport={"width": 900, "height": 860}, color_scheme=scheme)
    yield Seen(page)
    page.close()


@pytest.mark.parametrize("name", PICTURED)
def test_every_reader_can_use_the_page_and_it_keeps_its_policy(name: str, seen: Seen) -> None:
    with served(PICTURED[name]()) as address:
        seen.open(f"{address}/?refresh=off")

        assert seen.faults() == []
        assert seen.page.locator("h1").count() == 1


@pytest.mark.parametrize("path", ["/history", "/history/7"])
def test_so_can_they_the_history_and_a_document(path: str, seen: Seen) -> None:
    document = DocumentView(
        cluster="prod", revision=7, before=6, changes=("services.web.image: changed a -> b",)
    )
    with served(view(), document) as address:
        seen.open(f"{address}{path}")

        assert seen.faults() == []


def test_hostile_texts_are_shown_as_they_are(seen: Seen) -> None:
    found = view(CLUSTERS["crash loop, exited"])
    assert found.conditions
    replicas = tuple(replace(each, output=(HOSTILE,)) for each in found.conditions.replicas)
    conditions = replace(found.conditions, replicas=replicas, notes=(HOSTILE,))
    event = Event(at=HOSTILE, kind="order", resource=HOSTILE, state=HOSTILE, text=HOSTILE)
    hostile = replace(found, cluster=HOSTILE, conditions=conditions, events=(event,))
    with served(hostile) as address:
        seen.open(f"{address}/?refresh=off")

        assert seen.page.locator("script, img").count() == 0
        assert seen.page.locator("h1").inner_text() == f"Cluster {SHOWN}"
        assert seen.page.locator("pre").inner_text() == SHOWN
        assert "taken" not in seen.page.title().partition("'")[0]
        assert seen.faults() == []


def test_the_keyboard_reaches_the_content_first(seen: Seen) -> None:
    with served(view()) as address:
        seen.page.goto(f"{address}/")
        seen.page.keyboard.press("Tab")

        skip = seen.page.locator(":focus")
        assert skip.inner_text() == "Skip to the content"
        assert skip.is_visible()
        seen.page.keyboard.press("Enter")
        assert seen.page.evaluate("document.activeElement.id") == "main"


def test_on_a_narrow_window_only_the_tables_scroll(seen: Seen) -> None:
    seen.page.set_viewport_size({"width": 360, "height": 700})
    with served(PICTURED["host-off"]()) as address:
        seen.open(f"{address}/?refresh=off")

        assert seen.page.evaluate("document.documentElement.scrollWidth") <= 360
        assert seen.faults() == []


def test_the_browser_loads_the_page_again_without_a_script(
    seen: Seen, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cluster_page, "REFRESH_S", 1)
    with served(view()) as address:
        seen.page.goto(f"{address}/")
        with seen.page.expect_navigation(timeout=30_000):
            pass

        assert seen.asked.count(f"{address}/") == 2
