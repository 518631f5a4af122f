"""Docker's words are those of real engines (20.10, 26.1)."""

import pytest

from agent.intent import parse_intent
from agent.model.faults import InvalidDocument
from agent.model.steps import CreateContainer, PullImage, RemoveContainer, StartContainer
from agent.report.counters import failure_reason, rejection_reason, services_by_resource
from tests.support.scenes import SPEC, cluster, replica

START = StartContainer(name="prod-order-1", reason="created, but never started")


@pytest.mark.parametrize(
    ("words", "reason"),
    [
        (
            (
                "driver failed programming external connectivity on endpoint prod-console-1 (5c3): Bind for "
                "0.0.0.0:8080 failed: port is already allocated"
            ),
            "port",
        ),
        ("listen tcp4 0.0.0.0:80: bind: address already in use", "port"),
        ("Address already in use", "network"),
        ("failed to set up container networking: Address already in use", "network"),
        ("network my-network-overlay not found", "network"),
        ("attaching to network failed, make sure your network options are correct", "network"),
        ("could not find a network matching network mode my-network-overlay", "network"),
        (
            'OCI runtime create failed: exec: "/nope": stat /nope: no such file or directory: unknown',
            "exit",
        ),
        ("failed to create task: OCI runtime create failed: container init was OOM-killed", "oom"),
        ("something nobody has seen yet", "other"),
    ],
)
def test_dockers_words_are_told_as_one(words: str, reason: str) -> None:
    assert failure_reason(START, words) == reason


def test_an_image_that_does_not_come_is_a_failed_pull_whatever_the_words() -> None:
    assert failure_reason(PullImage(image="x", reason="wanted"), "no such host: network") == "pull"


def test_a_failed_create_keeps_a_replica_from_coming_up() -> None:
    step = CreateContainer(
        name="prod-order-1", replica=replica(1), project="prod", spec=SPEC, reason="missing"
    )

    assert failure_reason(step, "no space left on device") == "other"


def test_a_failed_removal_does_not() -> None:
    assert failure_reason(RemoveContainer(name="x", id="1", reason="surplus"), "it runs") is None


def test_an_image_is_waited_for_by_the_services_that_run_it() -> None:
    assert services_by_resource(cluster()) == {
        "container/prod-order-1": ("order",),
        "container/prod-order-2": ("order",),
        "image/somecom/order:1.0.0": ("order",),
    }


HEAD = "name: prod\nx-cluster: {version: 1, hosts: {a: {address: 10.159.62.231, role: manager}}, gwbridge: "
BRIDGE = "{subnet: 172.21.0.0/20, gateway: 172.21.0.1}}\n"


@pytest.mark.parametrize(
    ("document", "reason"),
    [
        ("a: [", "yaml"),
        ("", "yaml"),
        ("a: &x 1\nb: *y", "yaml"),
        ("a: 1\n---\nb: 1\n", "yaml"),
        ("#" * 1_500_000, "size"),
        ("[" * 70, "size"),
        (f"{HEAD}{BRIDGE}services: {{o: {{image: i, command: '{'x' * 140_000}'}}}}\n", "size"),
        (f"{HEAD}{BRIDGE}services: {{}}\nservises: {{}}\n", "schema"),
        (f"{HEAD}{{subnet: [], gateway: 172.21.0.1}}}}\nservices: {{}}\n", "schema"),
        (f"{HEAD}{{subnet: 172.21.0.0/20, gateway: 172.22.0.1}}}}\nservices: {{}}\n", "semantic"),
        (f"{HEAD}{BRIDGE}services: {{o: {{image: i, x-hosts: [nobody]}}}}\n", "semantic"),
        (f"{HEAD}{BRIDGE}services: {{o: {{image: i, x-hosts: [a], depends_on: [p]}}}}\n", "semantic"),
    ],
)
def test_a_refused_document_is_told_as_one_word(document: str, reason: str) -> None:
    with pytest.raises(InvalidDocument) as refusal:
        parse_intent(document.encode(), 1)

    assert rejection_reason(refusal.value.faults) == reason, refusal.value
