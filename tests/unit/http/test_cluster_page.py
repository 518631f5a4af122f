"""The page of the cluster: what it says in every named state, and that no text of others becomes a part of it."""

import base64
import hashlib
from dataclasses import replace
from html.parser import HTMLParser
from typing import Any

import pytest

from agent.conditions import ClusterConditions, Condition
from agent.conditions.finding import Blocked
from agent.http.cluster_page import (
    LARGEST,
    ClusterView,
    DocumentView,
    cluster_page,
    document_page,
    headers,
    history_page,
)
from agent.model.events import Event
from tests.support.cluster_states import CLUSTERS, EXPECTED, A, B
from tests.support.viewed_clusters import HOSTS, WRONG, many, view, without_etcd

VOID = {"meta", "link", "br"}
HOSTILE = "</bdi><script>alert(1)</script><img src=x onerror=alert(2)>\u202e\x1b[31m'\"&\u2066\x00"
SHOWN = "</bdi><script>alert(1)</script><img src=x onerror=alert(2)>\\u202e\\x1b[31m'\"&\\u2066\\x00"


class Parsed(HTMLParser):
    """The elements, texts and attributes of a page; fails if an element is not closed where it has to be."""

    def __init__(self, body: bytes) -> None:
        super().__init__()
        self.elements: list[str] = []
        self.attributes: list[tuple[str, str]] = []
        self.texts: list[str] = []
        self._open: list[str] = []
        self.feed(body.decode())
        assert self._open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, Any]]) -> None:
        self.elements.append(tag)
        self.attributes += [(name, value or "") for name, value in attrs]
        if tag not in VOID:
            self._open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self._open.pop() == tag
        if tag in ("td", "th"):
            self.texts.append(" ")

    def handle_data(self, data: str) -> None:
        if "style" not in self._open:
            self.texts.append(data)

    @property
    def text(self) -> str:
        return " ".join("".join(self.texts).split())


def shown(found: ClusterView) -> Parsed:
    return Parsed(cluster_page(found, refreshed=True))


@pytest.mark.parametrize("name", sorted(CLUSTERS.keys() - {"etcd away", "etcd out of space"}))
def test_every_named_state_begins_with_the_line_of_status_and_names_its_problems(name: str) -> None:
    found = view(CLUSTERS[name])
    assert found.conditions
    page = shown(found)

    assert EXPECTED[name].line in page.text
    for problem in found.conditions.problems:
        assert problem.condition.reason in page.text.partition("Services")[2].partition("Services")[0]
    assert ("No problem is known." in page.text) == (not found.conditions.problems)


def test_a_page_asks_for_nothing_but_other_pages_of_its_agent() -> None:
    for body in (
        cluster_page(view(), refreshed=True),
        history_page(view()),
        cluster_page(without_etcd(), refreshed=False),
    ):
        page = Parsed(body)

        assert "script" not in page.elements
        assert not [name for name, _ in page.attributes if name.startswith("on") or name in ("style", "src")]
        links = [value for name, value in page.attributes if name == "href"]
        assert links
        assert all(each == "data:," or each[0] in "/#" for each in links)
        assert not [each for each in links if each.startswith("//")]


def test_the_policy_permits_the_style_sheet_of_the_page_and_nothing_else() -> None:
    style = cluster_page(view(), refreshed=True).decode().partition("<style>")[2].partition("</style>")[0]
    digest = base64.b64encode(hashlib.sha256(style.encode()).digest()).decode()

    policy = headers(refreshed=True)["Content-Security-Policy"]

    assert policy.startswith(f"default-src 'none'; style-src 'sha256-{digest}'; ")
    assert "unsafe" not in policy
    assert "http" not in policy


def test_a_reader_can_turn_the_reloading_off() -> None:
    assert headers(refreshed=True)["Refresh"] == "10"
    assert "Refresh" not in headers(refreshed=False)
    assert 'href="/?refresh=off"' in cluster_page(view(), refreshed=True).decode()
    assert 'href="/?refresh=off"' not in cluster_page(view(), refreshed=False).decode()


def hostile(found: ClusterConditions) -> ClusterConditions:
    """Let every text that others may have written be hostile."""
    wrong = Blocked("Error", HOSTILE, HOSTILE, since=HOSTILE)
    bad = Condition.of("host", HOSTILE, wrong)
    return replace(
        found,
        cluster=replace(found.cluster, text=HOSTILE),
        leader=replace(found.leader, name=HOSTILE),
        hosts=tuple(replace(each, condition=bad, subnet=HOSTILE) for each in found.hosts),
        networks=(Condition.of("network", HOSTILE, wrong),),
        rollouts=(Condition.of("rollout", HOSTILE, wrong),),
        services=tuple(
            replace(each, condition=Condition.of("service", HOSTILE, wrong)) for each in found.services
        ),
        replicas=tuple(replace(each, output=(HOSTILE,)) for each in found.replicas),
        problems=tuple(
            replace(each, condition=bad, consequences=(bad, *each.consequences)) for each in found.problems
        ),
        removed=(HOSTILE,),
        notes=(HOSTILE,),
    )


def test_hostile_names_and_outputs_stay_text() -> None:
    kind = view(CLUSTERS["crash loop, exited"])
    assert kind.conditions
    events = (Event(at=HOSTILE, kind="order", resource=HOSTILE, state=HOSTILE, text=HOSTILE),)
    harmless = replace(
        hostile(kind.conditions), notes=("x",), removed=("x",), cluster=kind.conditions.cluster
    )
    found = replace(kind, cluster=HOSTILE, host=HOSTILE, events=events, conditions=hostile(kind.conditions))
    body = cluster_page(found, refreshed=True)

    page = Parsed(body)

    assert page.text.count(SHOWN) > 20
    assert page.elements == shown(replace(kind, events=events, conditions=harmless)).elements
    assert "\n".join(body.decode().splitlines()).replace("\n", "").isprintable()


def test_hostile_documents_stay_text() -> None:
    kept = replace(view().documents[0], problem=HOSTILE, entry=None, is_accepted=False)
    of_history = history_page(replace(view(), cluster=HOSTILE, documents=(kept,)))
    of_one = document_page(DocumentView(cluster=HOSTILE, revision=7, before=6, changes=(HOSTILE,)))
    of_none = document_page(DocumentView(cluster=HOSTILE, revision=7, trouble=HOSTILE))

    for body in (of_history, of_one, of_none):
        page = Parsed(body)
        assert SHOWN in page.text
        assert "script" not in page.elements
        assert "img" not in page.elements


def test_of_300_hosts_the_wrong_ones_are_first_and_the_rest_is_counted() -> None:
    body = cluster_page(many(), refreshed=True)

    page = Parsed(body)
    hosts = page.text.partition("Revision node-")[2]

    assert len(body) < LARGEST
    assert hosts.startswith(f"{HOSTS - WRONG:04} Unreachable")
    assert f"{HOSTS - 60} more hosts: all ready" in hosts
    assert "240 more services: " in page.text


def test_with_300_wrong_hosts_and_the_longest_texts_the_page_is_small_and_says_what_it_omits() -> None:
    few = many()
    assert few.conditions
    found = hostile(few.conditions)
    long = "<&>\u202e" * 250
    bad = Condition.of("host", long, Blocked("Error", long, long))
    problems = tuple(
        replace(few.conditions.problems[0], condition=bad, consequences=(bad,) * 300) for _ in range(300)
    )
    hosts = tuple(replace(each, condition=bad, subnet=f"{long}{at}") for at, each in enumerate(found.hosts))
    found = replace(found, problems=problems, hosts=hosts, notes=(long,) * 300, networks=(bad,) * 300)

    body = cluster_page(replace(few, conditions=found), refreshed=True)

    assert len(body) <= LARGEST
    text = Parsed(body).text
    assert "more hosts: " in text
    assert "problems" in text


def test_without_etcd_the_page_says_since_when_and_shows_this_host_alone() -> None:
    page = shown(without_etcd())

    assert "Not known: etcd does not answer" in page.text
    assert "This agent last read etcd at 2026-11-29T12:04:00Z, 6 m ago." in page.text
    assert "By its agent at 2026-11-29T12:08:30Z, 1 m ago." in page.text
    assert f"host {B} Ready" in page.text
    assert "replica billing-1 Ready" in page.text
    assert A not in page.text


def test_a_document_without_a_change_says_so() -> None:
    page = Parsed(document_page(DocumentView(cluster="prod", revision=7, before=6)))

    assert "Changes since revision 6 None by meaning." in page.text
