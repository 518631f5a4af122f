"""Every key of a service on a real engine, over its life: said, kept, spelled otherwise, changed by hand, changed.

All services are in one document, so that each chapter is waited for once. What is said of them here is what
docs/intent-reference.md says: its table is made from the same cases.
"""

import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from agent.diff.container.table import shape
from agent.intent.service import FIELDS, OTHERS
from agent.model.steps import CreateContainer
from tests.contract.engines import DockerScene
from tests.contract.field_cases import CASES, NOT_HERE, Case
from tests.contract.field_host import DEVICE, FieldHost, document
from tests.support.docker_daemon import DockerDaemon
from tests.support.simulated_cluster import parsed

PASSES = 3


@dataclass(kw_only=True)
class Story:
    """What was seen, chapter by chapter. Containers are ids by name."""

    files: str
    first: dict[str, str] = field(default_factory=dict)
    same: dict[str, str] = field(default_factory=dict)
    by_hand: dict[str, str] = field(default_factory=dict)
    healed: dict[str, str] = field(default_factory=dict)
    second: dict[str, str] = field(default_factory=dict)
    told: dict[str, list[str]] = field(default_factory=dict)
    """What was said of each service after the change by hand."""
    after_first: list[str] = field(default_factory=list)
    """What happened afterwards, while nobody did anything: events of docker, steps that were planned."""
    after_same: list[str] = field(default_factory=list)
    after_healing: list[str] = field(default_factory=list)
    after_second: list[str] = field(default_factory=list)
    events: list[str] = field(default_factory=list)
    """Of docker, while the changes by hand were put right."""
    created: Counter[str] = field(default_factory=Counter)
    """How often the second values took a container, by resource."""


@pytest.fixture(scope="module")
def story(dockerd: DockerDaemon) -> Iterator[Story]:
    # Not pytest's folder for it: with the name of a worker in its path a mount is told shortened.
    with tempfile.TemporaryDirectory() as directory:
        scene, host = DockerScene(dockerd), FieldHost(dockerd, Path(directory), CASES)
        host.hands.tag("bare:1", "bare", tag="2")
        try:
            yield _lived(host, Story(files=directory))
        finally:
            scene.clean()
            scene.close()
            host.hands.remove_image("bare:2")
            host.close()


def _lived(host: FieldHost, story: Story) -> Story:
    story.first, _ = _put(host, "first")
    story.after_first = _left_alone(host)
    story.same, story.after_same = _put(host, "same")
    host.put("first")
    host.settle()
    host.by_hand()
    story.by_hand, story.told, began = host.ids(), host.told(), time.time()
    host.settle()
    story.healed, story.events = host.ids(), host.events(began)
    story.after_healing = _left_alone(host)
    done = len(host.agent.outcomes)
    story.second, _ = _put(host, "second")
    made = [each.step for each in host.agent.outcomes[done:]]
    story.created = Counter(each.resource for each in made if isinstance(each, CreateContainer))
    story.after_second = _left_alone(host)
    return story


def _put(host: FieldHost, value: str) -> tuple[dict[str, str], list[str]]:
    """Put the document with these values; the containers then, and what has happened to get there."""
    began = time.time()
    host.put(value)
    host.settle()
    return host.ids(), host.events(began)


def _left_alone(host: FieldHost) -> list[str]:
    """What is planned and what happens in some passes without any reason."""
    began, planned = time.time(), list[Any]()
    for _ in range(PASSES):
        host.turn()
        planned += host.agent.plan.steps
    return [*map(str, planned), *host.events(began)]


def test_every_key_of_a_service_is_tried_or_said_why_not() -> None:
    assert {case.key for case in CASES} | set(NOT_HERE) == {*FIELDS, *OTHERS}


def _alone(case: Case, value: str) -> str:
    """The shape of a replica whose service has this key and no other one that is tried, and its restart."""
    others = () if case.service == CASES[0].service else (CASES[0],)
    intent = parsed(document((case, *others), value, "10.99.0.1", Path("/files")))
    service = intent.service(case.service)
    assert service is not None
    return f"{shape(service.spec)} {service.spec.restarted_at}"


@pytest.mark.parametrize("case", CASES, ids=str)
def test_a_key_takes_a_new_container_by_itself_or_not_at_all(case: Case) -> None:
    """On the engine several keys share a service, and so a container."""
    assert _alone(case, "first") == _alone(case, "same")
    assert (_alone(case, "first") != _alone(case, "second")) == (case.change == "recreate")


@pytest.mark.parametrize("chapter", ["after_first", "after_healing", "after_second"])
def test_a_document_that_is_carried_out_gives_no_more_work(story: Story, chapter: str) -> None:
    assert getattr(story, chapter) == []


def test_what_happens_is_seen(story: Story) -> None:
    """Or the silence that the others look for would mean nothing."""
    assert "container unpause fields-paused-1" in story.events


def test_another_spelling_of_all_values_happens_to_no_container(story: Story) -> None:
    assert story.after_same == []
    assert story.same == story.first


@pytest.mark.parametrize("case", CASES, ids=str)
def test_a_change_by_hand_is_named(story: Story, case: Case) -> None:
    told = [each.replace(DEVICE, "DEVICE").replace(story.files, "FILES") for each in story.told[case.service]]
    assert set(case.told()) & set(told), told


@pytest.mark.parametrize("case", CASES, ids=str)
def test_a_change_by_hand_is_put_right(story: Story, case: Case) -> None:
    if case.by_hand:
        assert story.healed[case.container] == story.first[case.container]
    else:
        assert story.healed[case.container] not in (
            story.first[case.container],
            story.by_hand[case.container],
        )


@pytest.mark.parametrize("case", CASES, ids=str)
def test_another_value_is_brought_about_as_the_reference_says(story: Story, case: Case) -> None:
    kept = story.second[case.container] == story.healed[case.container]

    assert kept == (case.change != "recreate")
    assert story.created[f"container/{case.container}"] == (1 if case.change == "recreate" else 0)
