"""The old container of a replica: kept until the new one has started, and started again when docker refuses that."""

from dataclasses import replace
from typing import Any

import pytest

from agent.model.host_state import ContainerState, HostState
from agent.model.records import Assignment, Replica
from agent.model.spec import Attachment, ContainerSpec, Restart, spec_hash
from agent.model.steps import DisconnectNetwork, StopContainer
from agent.planner.host.replicas import plan_replicas
from tests.support.builders import (
    bridge_network,
    cluster,
    container,
    host,
    intent,
    observed,
    order,
    overlay_network,
    service,
    told,
)

OLD, NEW, NEWEST = order(), order("1.0.1"), order("1.0.2")
NAME, ASIDE, KEPT = "prod-order-1", f"prod-order-1-{spec_hash(NEW)[:12]}", "prod-order-1-0123456789ab"
REFUSED = "OCI runtime create failed: wrong rlimit value: RLIMIT_NOFILES"
NO_NETWORK = "attaching to network failed: context deadline exceeded"
HELD = (
    f"blocked container/prod-order-1: docker refuses to start its new container: {REFUSED}; the old one is kept. "
    f"Change the document, or remove the cause and run `docker rm {ASIDE}` on this host to have it tried again"
)
PUT_ASIDE = "rename container/prod-order-1: kept until the new one has started"
REPLACED = "another container is order replica 1 now"


def old(**more: Any) -> ContainerState:
    return container(1, **{"id": "0123456789abcdef", "of": OLD, **more})


def new(**more: Any) -> ContainerState:
    return container(1, **{"id": "new", "name": ASIDE, "of": NEW, "status": "created", **more})


def replicas(
    *found: ContainerState, spec: ContainerSpec = NEW, before: ContainerSpec = OLD, **more: Any
) -> list[str]:
    """What h1 plans for its replica, which is to have `spec`."""
    asked = intent(service(spec=spec))
    replica = Replica(service="order", slot=1, spec=spec_hash(spec), **more)
    state = cluster(
        asked,
        assignment=Assignment(revision=7, project="prod", replicas=(replica,)),
        specs={spec_hash(each): each for each in (before, NEW, spec)},
    )
    seen: HostState = host(*found)
    return told(plan_replicas(asked, observed(state, seen)))


def verbs(lines: list[str]) -> list[str]:
    return [each.split()[0] for each in lines]


@pytest.mark.parametrize(
    ("pair", "does"),
    [
        ((old(), new()), "stop rename rename start remove"),
        ((old(status="exited"), new()), "rename rename start remove"),
        ((old(status="exited", name=KEPT), new()), "rename start remove"),
        ((old(status="exited", name=KEPT), new(name=NAME)), "start remove"),
        ((old(status="exited", name=KEPT), new(name=NAME, status="running")), "remove"),
        ((old(status="exited", name=KEPT), new(name=NAME, status="exited", exit_code=1)), "remove start"),
    ],
)
def test_an_agent_that_ended_on_the_way_goes_on_where_it_was(
    pair: tuple[ContainerState, ...], does: str
) -> None:
    assert verbs(replicas(*pair)) == does.split()


def test_the_old_one_is_put_aside_under_a_name_of_its_own_and_removed_last() -> None:
    assert replicas(old(), new()) == [
        f"stop container/prod-order-1: {REPLACED}",
        PUT_ASIDE,
        f"rename container/prod-order-1: name: prod-order-1 wanted, {ASIDE} found",
        "start container/prod-order-1: created, but never started",
        "remove container/prod-order-1: the new one has started",
    ]


def test_when_docker_refuses_the_start_the_names_are_given_back_and_the_old_one_is_started() -> None:
    assert replicas(old(status="exited", exit_code=143, name=KEPT), new(name=NAME, error=REFUSED)) == [
        f"rename container/prod-order-1: docker did not start it: {REFUSED}",
        f"rename container/prod-order-1: name: prod-order-1 wanted, {KEPT} found",
        "start container/prod-order-1: exited with 143",
        HELD,
    ]


@pytest.mark.parametrize(
    ("pair", "does"),
    [
        ((old(status="exited", name=KEPT), new(error=REFUSED)), "rename start blocked"),
        ((old(status="exited"), new(error=REFUSED)), "start blocked"),
        ((old(), new(error=REFUSED)), "blocked"),
        ((old(status="paused"), new(error=REFUSED)), "unpause blocked"),
    ],
)
def test_half_way_back_it_goes_on_and_then_rests(pair: tuple[ContainerState, ...], does: str) -> None:
    lines = replicas(*pair)

    assert verbs(lines) == does.split()
    assert lines[-1] == HELD


def test_the_refused_one_goes_with_the_next_document() -> None:
    assert verbs(replicas(old(), new(error=REFUSED), spec=NEWEST)) == ["remove", "pull"]


def test_the_refused_one_goes_when_the_old_spec_is_wanted_again_and_the_old_one_is_not_touched() -> None:
    assert replicas(old(), new(error=REFUSED), spec=OLD) == [f"remove container/prod-order-1: {REPLACED}"]


def test_once_it_is_removed_by_hand_it_is_tried_again() -> None:
    assert verbs(replicas(old())) == ["create", "stop", "rename", "rename", "start", "remove"]


def test_a_replacement_for_drift_goes_back_too_and_is_not_tried_for_ever() -> None:
    ordered: dict[str, Any] = {"recreate": (("0123456789abcdef", "duplicate address"),)}
    same = old(of=NEW, up_s=60.0)

    assert verbs(replicas(same, **ordered)) == ["create", "stop", "rename", "rename", "start", "remove"]
    assert replicas(same, new(error=REFUSED), **ordered) == [HELD]


JOB = replace(OLD, restart=Restart(name="no"))
DONE = {"of": JOB, "status": "exited", "started_at": "2026-01-01T00:00:00Z", "name": KEPT}


def test_a_job_that_has_run_is_not_run_again_and_its_next_spec_is_tried_until_it_runs() -> None:
    assert replicas(old(**DONE), new(name=NAME, error=REFUSED), before=JOB) == [
        f"start container/prod-order-1: {REFUSED}",
        "remove container/prod-order-1: the new one has started",
    ]


def test_a_job_that_was_stopped_for_it_runs_again() -> None:
    stopped = old(**DONE, exit_code=137, interrupted=True)
    lines = replicas(stopped, new(name=NAME, error=REFUSED), before=JOB)
    assert verbs(lines) == ["rename", "rename", "start", "blocked"]


@pytest.mark.parametrize("before", [OLD, JOB])
def test_the_refused_one_goes_with_the_next_document_also_beside_an_old_one_that_ended(
    before: ContainerSpec,
) -> None:
    ended = old(**{**DONE, "of": before})

    for refused in (new(name=NAME, error=REFUSED), new(id="0", error=REFUSED)):
        lines = replicas(ended, refused, before=before, spec=NEWEST)
        assert verbs(lines) == ["remove", "pull"]


def test_the_old_one_waits_for_its_name_while_another_replica_has_it() -> None:
    assigned = tuple(Replica(service="order", slot=slot, spec=spec_hash(NEW)) for slot in (1, 2))
    asked = intent(service(spec=NEW, on={"h1": 2}))
    specs = {spec_hash(each): each for each in (OLD, NEW)}
    assignment = Assignment(revision=7, project="prod", replicas=assigned)
    holder = container(2, id="holder", of=NEW, name=NAME)
    seen = host(old(name=KEPT), new(error=REFUSED), holder)

    lines = told(plan_replicas(asked, observed(cluster(asked, assignment=assignment, specs=specs), seen)))

    assert not [each for each in lines if each.startswith("rename container/prod-order-1")]


def test_a_network_that_the_old_one_would_lack_too_is_waited_for_by_the_new_one() -> None:
    assert verbs(replicas(old(status="exited", name=KEPT), new(name=NAME, error=NO_NETWORK))) == [
        "start",
        "remove",
    ]


def test_a_network_that_only_the_new_one_joins_leaves_the_old_one_running_for_a_while() -> None:
    before = replace(OLD, networks=())
    stopped = old(of=before, status="exited", name=KEPT)

    assert verbs(replicas(stopped, new(name=NAME, error=NO_NETWORK), before=before)) == [
        "rename", "rename", "start", "blocked",
    ]  # fmt: skip
    runs = old(of=before, up_s=299.0)
    assert verbs(replicas(runs, new(error=NO_NETWORK), before=before)) == ["blocked"]
    runs = old(of=before, up_s=300.0)
    assert verbs(replicas(runs, new(error=NO_NETWORK), before=before)) == [
        "stop", "rename", "rename", "start", "remove",
    ]  # fmt: skip


def test_the_second_failure_for_a_network_is_a_refusal_with_its_remedy() -> None:
    before = replace(OLD, networks=())
    stopped = old(of=before, status="exited", exit_code=143, name=f"{KEPT}-again")
    held = HELD.replace(REFUSED, NO_NETWORK).replace(ASIDE, f"{ASIDE}-again")

    assert replicas(stopped, new(name=NAME, error=NO_NETWORK), before=before) == [
        f"rename container/prod-order-1: docker did not start it: {NO_NETWORK}",
        f"rename container/prod-order-1: name: prod-order-1 wanted, {KEPT}-again found",
        "start container/prod-order-1: exited with 143",
        held,
    ]
    refused = new(name=f"{ASIDE}-again", error=NO_NETWORK)
    assert replicas(old(of=before, up_s=3000.0), refused, before=before) == [held]


@pytest.mark.parametrize(
    ("before", "goes_back"),
    [
        ((Attachment(network="net", aliases=("another",)),), False),
        ((Attachment(network="net"), Attachment(network="other")), False),
        ((Attachment(network="other"),), True),
        ((Attachment(network="net", ipv4_address="10.10.0.7"),), True),
    ],
)
def test_only_a_network_or_an_address_that_is_new_can_be_missing_for_the_new_one_alone(
    before: tuple[Attachment, ...], goes_back: bool
) -> None:
    spec = replace(OLD, networks=before)
    pair = old(of=spec, status="exited", name=KEPT), new(name=NAME, error=NO_NETWORK)

    assert ("blocked" in verbs(replicas(*pair, before=spec))) is goes_back


def test_an_old_one_that_dockerd_works_on_is_waited_for() -> None:
    assert replicas(old(locked_by_engine=True), new()) == [
        "waiting container/prod-order-1: dockerd is working on it and does not show its state"
    ]


def test_a_replica_that_must_not_start_keeps_its_old_container_stopped() -> None:
    lines = replicas(old(status="exited", name=KEPT), new(), held="it is still on h2", waits_on="host/h2")

    assert lines == ["waiting container/prod-order-1: it is still on h2"]


def test_without_its_spec_the_old_one_is_started_as_it_is() -> None:
    asked = intent(service(spec=NEW))
    state = cluster(asked, specs={spec_hash(NEW): NEW})
    fixed = Attachment(network="net")
    assert NEW.networks == (fixed,)
    plan = plan_replicas(asked, observed(state, host(old(status="exited"), new(error=REFUSED))))

    assert verbs(told(plan)) == ["start", "blocked"]


# ---- an address that another replica has, by the leader's word


IN_USE: dict[str, Any] = {"held": "10.10.0.9 on net is used by prod-b-1 on h2", "waits_on": "replica/b-1"}


def test_while_its_next_address_is_in_use_the_old_container_runs_on() -> None:
    assert replicas(old(), **IN_USE) == [f"waiting container/prod-order-1: {IN_USE['held']}"]


def test_of_those_that_wait_for_each_other_the_first_stops_and_is_kept() -> None:
    assert verbs(replicas(old(), **IN_USE, stops_first=True)) == ["create", "stop", "rename", "waiting"]
    kept = old(status="exited", name=KEPT)
    assert verbs(replicas(kept, new(), **IN_USE, stops_first=True)) == ["waiting"]
    assert verbs(replicas(kept, new())) == ["rename", "start", "remove"]


# ---- what the host lacks is known before anything is stopped


@pytest.mark.parametrize(
    ("lacking", "seen", "reason"),
    [
        (
            {"runtime": "runsc"},
            {"runtimes": frozenset({"runc", "crun"})},
            "docker has no runtime runsc on this host, only crun, runc",
        ),
        (
            {"sysctls": (("net.ipv4.nonsense", "1"),)},
            {"no_sysctls": frozenset({"net.ipv4.nonsense"})},
            "the kernel of this host has no sysctl net.ipv4.nonsense",
        ),
    ],
)
def test_what_the_host_does_not_have_leaves_the_old_container_running(
    lacking: dict[str, Any], seen: dict[str, Any], reason: str
) -> None:
    spec = replace(NEW, **lacking)
    asked = intent(service(spec=spec))
    state = cluster(asked, specs={spec_hash(each): each for each in (OLD, spec)})
    lines = told(plan_replicas(asked, observed(state, host(old(), **seen))))

    assert lines == [f"blocked container/prod-order-1: {reason}"]
    assert "create" in verbs(told(plan_replicas(asked, observed(state, host(old())))))


@pytest.mark.parametrize("error", ["", REFUSED])
def test_the_old_one_leaves_a_network_of_others_also_beside_a_new_one(error: str) -> None:
    strange = bridge_network(id="bridge-id", name="net")
    asked = intent(service(spec=NEW))
    seen = host(
        old(network_ids=(("net", "bridge-id"),)), new(error=error), networks=(overlay_network(), strange)
    )

    plan = plan_replicas(asked, observed(cluster(asked), seen))

    assert [str(each).split(":")[0] for each in plan.steps] == [
        f"{verb} container/prod-order-1" for verb in ("stop", "disconnect")
    ]
    assert {each.id for each in plan.steps if isinstance(each, StopContainer | DisconnectNetwork)} == {
        old().id
    }
