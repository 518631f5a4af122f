"""When an image is pulled: for a container that is about to be made, as pull_policy says; never for one that runs."""

from dataclasses import replace

import pytest

from agent.diff.replicas import image_now
from agent.model.host_state import ContainerState, HostState
from agent.model.intent import Intent, Pull
from agent.planner.host.prerequisites import why_pull
from agent.planner.host.replicas import plan_replicas
from tests.support.builders import cluster, container, differs, host, intent, observed, order, service

IMAGE = "order:1.0.0"
DAY_S = 86_400.0


def wanted(policy: Pull) -> Intent:
    return intent(replace(service(), pull=policy))


def verbs(policy: Pull, seen: HostState) -> list[str]:
    asked = wanted(policy)
    return [step.verb for step in plan_replicas(asked, observed(cluster(asked), seen)).steps]


@pytest.mark.parametrize(
    ("policy", "age_s", "pulled"),
    [
        ("missing", None, False),
        ("never", None, False),
        ("always", None, True),
        ("always", 59.0, False),
        ("always", 60.0, True),
        ("daily", None, True),
        ("daily", DAY_S - 1, False),
        ("daily", DAY_S, True),
        ("weekly", DAY_S, False),
        ("weekly", 7 * DAY_S, True),
    ],
)
def test_before_a_container_is_made_the_last_pull_may_be_so_old(
    policy: Pull, age_s: float | None, pulled: bool
) -> None:
    seen = host(pulled={} if age_s is None else {IMAGE: age_s})
    assert verbs(policy, seen) == (["pull"] if pulled else ["create", "start"])


@pytest.mark.parametrize("policy", ["always", "daily"])
@pytest.mark.parametrize("found", [container(), container(status="exited", exit_code=1)])
def test_a_container_that_is_there_is_no_reason_to_pull(policy: Pull, found: ContainerState) -> None:
    assert "pull" not in verbs(policy, host(found))


def test_a_replica_runs_until_the_pull_for_its_next_container_is_done() -> None:
    found = container(differences=(differs("user", "replace"),))
    assert verbs("always", host(found)) == ["pull"]
    assert verbs("always", host(found, pulled={IMAGE: 1.0}))[0] == "create"


def test_the_reason_names_the_policy() -> None:
    asked = wanted("always")
    (step,) = plan_replicas(asked, observed(cluster(asked), host())).steps
    assert step.reason == "wanted by prod-order-1, pull_policy is always"


def test_what_an_image_names_by_its_digest_is_not_asked_for_again() -> None:
    pinned = f"{IMAGE}@sha256:{'0' * 64}"
    assert why_pull(pinned, "always", host(images=frozenset({pinned}))) is None
    assert why_pull(pinned, "always", host()) == ""


def test_a_replica_of_other_bytes_than_its_tag_means_now_is_told_and_left_alone() -> None:
    asked = wanted("always")
    for image, now in (("sha256:old", "sha256:new"), ("sha256:new", ""), ("", "")):
        seen = host(container(image=image), image_ids=((IMAGE, "sha256:new"),))
        known = replace(cluster(asked), specs={container().replica.spec: order()})
        assert image_now(known, seen, seen.containers[0]) == now
        assert plan_replicas(asked, observed(cluster(asked), seen)).steps == ()
