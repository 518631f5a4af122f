"""What a host does not admit is neither created nor started there, and what runs is not stopped, whoever planned it."""

from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from agent.admission.policy import Policy, level_policy
from agent.cli.connect import Connection
from agent.cli.plan import with_document
from agent.conditions import conditions_of
from agent.model.records import Rollout, decode
from agent.model.status import BlockedReport, HostStatus
from agent.model.steps import CreateContainer, PullImage, StartContainer
from agent.planner.dry_run.cluster import plan_cluster
from tests.fakes.store import FakeStore
from tests.support.document import EXAMPLE, document
from tests.support.simulated_cluster import KEYS, NAMES, SimulatedCluster, images

pytestmark = pytest.mark.usefixtures("unlogged")

ORDERS = [f"prod-order-{slot}" for slot in (1, 2, 3)]
NARROWED = Policy(capabilities=("NET_ADMIN",), registries=("none.example.com",))
"""Admits no image of the example."""


def edited(**order: Any) -> str:
    return document(services={"order": {**order, "deploy": {"update_config": {"parallelism": 0}}}})


def begun(directory: Path, text: str = EXAMPLE) -> SimulatedCluster:
    made = SimulatedCluster(directory, text)
    made.put_intent(text)
    made.start()
    made.settle()
    return made


def put(cluster: SimulatedCluster, text: str, rounds: int = 20) -> None:
    cluster.lan.registry |= images(text)
    cluster.put_intent(text)
    cluster.rounds(rounds)


def orders(cluster: SimulatedCluster) -> dict[str, tuple[str, bool]]:
    """(id, whether it runs) of every container of order, by name."""
    return {
        name: (raw["Id"], raw["State"]["Status"] == "running")
        for host in cluster.hosts.values()
        for name, raw in host.replicas().items()
        if "-order-" in name
    }


def orders_of(cluster: SimulatedCluster, host: str) -> list[str]:
    return [name for name in cluster.hosts[host].replicas() if "-order-" in name]


def told(cluster: SimulatedCluster) -> Iterator[BlockedReport]:
    """What the hosts report as not admitted."""
    for name in NAMES:
        found = cluster.read(KEYS.status(name))
        assert found is not None
        yield from (each for each in decode(HostStatus, found.value).blocked if each.kind == "admission")


def reasons(cluster: SimulatedCluster) -> list[str]:
    """Why the containers are not admitted: there are some."""
    found = [each.reason for each in told(cluster) if each.resource.startswith("container/")]
    assert found
    return found


def restart(cluster: SimulatedCluster, policies: Mapping[str, Policy]) -> None:
    """New agents, with another agent.yaml."""
    for name, policy in policies.items():
        cluster.lose_agent(name)
        cluster.hosts[name].admission = policy
    cluster.start(*policies)
    cluster.rounds(20)


def end_all(cluster: SimulatedCluster) -> None:
    for host in cluster.hosts.values():
        for name in host.running():
            host.engine.by_hand.end(name, exit_code=1)


EVERYWHERE = dict.fromkeys(NAMES, NARROWED)
ROOT_ON_THE_HOST: dict[str, dict[str, Any]] = {
    "privileged": {"privileged": True},
    "bind of the host": {"volumes": ["/:/host"]},
    "docker.sock": {"volumes": ["/var/run/docker.sock:/var/run/docker.sock"]},
    "pid": {"pid": "host"},
    "capabilities": {"cap_add": ["ALL"]},
    "device": {"devices": ["/dev/mem:/dev/mem"]},
    "profile": {"security_opt": ["seccomp=unconfined"]},
    "logging": {"logging": {"driver": "syslog", "options": {"syslog-address": "tcp://192.0.2.1:514"}}},
}


@pytest.mark.parametrize("order", ROOT_ON_THE_HOST.values(), ids=ROOT_ON_THE_HOST)
def test_a_refused_spec_is_not_created_and_the_old_replicas_run_on(
    tmp_path: Path, order: dict[str, Any]
) -> None:
    cluster = begun(tmp_path)
    before = orders(cluster)
    put(cluster, edited(**order))
    assert orders(cluster) == before
    assert {running for _, running in before.values()} == {True}
    found = [each for each in told(cluster) if each.resource.startswith("container/prod-order-")]
    assert {each.resource.removeprefix("container/") for each in found} == set(before)
    assert all("`admission` in agent.yaml, level baseline" in each for each in reasons(cluster))
    assert not any(agent.failed() for agent in cluster.agents.values())
    end_all(cluster)
    cluster.rounds(40)
    assert orders(cluster) == before
    put(cluster, EXAMPLE)
    assert orders(cluster) == before
    assert not [*told(cluster)]


def test_the_plan_says_which_hosts_do_not_admit_an_edit(tmp_path: Path) -> None:
    cluster = begun(tmp_path)
    restart(cluster, {NAMES[1]: level_policy("unrestricted")})
    connection = Connection(store=FakeStore(cluster.etcd), keys=KEYS)
    seen = with_document(connection.read(), "d", edited(cap_add=["NET_ADMIN"]).encode())
    planned = {each.name: each for each in plan_cluster(seen).hosts}
    orders_on = {name: orders_of(cluster, name) for name in NAMES}
    assert orders_on[NAMES[0]]
    assert orders_on[NAMES[1]]
    refused = [each for each in planned[NAMES[0]].blocked if each.kind == "admission"]
    assert {each.resource.removeprefix("container/") for each in refused} == set(orders_on[NAMES[0]])
    assert all("`capabilities: [NET_ADMIN]`" in each.reason for each in refused)
    assert not any(isinstance(each, CreateContainer) for each in planned[NAMES[0]].steps)
    assert not planned[NAMES[1]].blocked
    assert any(isinstance(each, CreateContainer) for each in planned[NAMES[1]].steps)


def test_a_volume_that_is_a_bind_of_the_host_is_not_made(tmp_path: Path) -> None:
    cluster = begun(tmp_path)
    before = orders(cluster)
    options = {"type": "none", "o": "bind", "device": "/"}
    text = document(
        services={"order": {"volumes": ["root:/host"]}}, volumes={"root": {"driver_opts": options}}
    )
    put(cluster, text)
    assert orders(cluster) == before
    assert not any(host.engine.volumes() for host in cluster.hosts.values())
    assert all("volumes.prod_root.driver_opts: bind of /" in each for each in reasons(cluster))


def test_an_image_of_no_admitted_registry_is_not_even_pulled(tmp_path: Path) -> None:
    cluster = SimulatedCluster(tmp_path)
    for host in cluster.hosts.values():
        host.admission = NARROWED
    cluster.put_intent()
    cluster.start()
    cluster.rounds(30)
    assert not orders(cluster)
    steps = [each.step for agent in cluster.agents.values() for each in agent.outcomes]
    assert not [each for each in steps if isinstance(each, PullImage | CreateContainer)]
    assert {each.resource.removeprefix("container/") for each in told(cluster)} >= set(ORDERS)


def test_what_runs_is_not_stopped_by_a_narrower_policy_and_not_started_again(tmp_path: Path) -> None:
    cluster = begun(tmp_path)
    before = orders(cluster)
    restart(cluster, EVERYWHERE)
    assert orders(cluster) == before
    assert all("it runs on, and is not started again" in each for each in reasons(cluster))
    end_all(cluster)
    cluster.rounds(40)
    assert {name: (each, False) for name, (each, _) in before.items()} == orders(cluster)
    assert not any("runs on" in each for each in reasons(cluster))
    restart(cluster, dict.fromkeys(NAMES, Policy()))
    cluster.rounds(40)
    assert orders(cluster) == before


def test_a_paused_container_that_the_policy_refuses_stays_paused(tmp_path: Path) -> None:
    cluster = begun(tmp_path)
    before = orders(cluster)
    restart(cluster, EVERYWHERE)
    for host in cluster.hosts.values():
        for name in host.running():
            host.engine.by_hand.pause(name)
    cluster.rounds(20)
    assert {name: (each, False) for name, (each, _) in before.items()} == orders(cluster)
    assert not any(agent.failed() for agent in cluster.agents.values())
    restart(cluster, dict.fromkeys(NAMES, Policy()))
    assert orders(cluster) == before


def test_a_host_alone_may_admit_more(tmp_path: Path) -> None:
    cluster = begun(tmp_path)
    before = orders(cluster)
    restart(cluster, {NAMES[1]: level_policy("unrestricted")})
    put(cluster, edited(privileged=True), rounds=30)
    own = {name for name in cluster.hosts[NAMES[1]].replicas() if "-order-" in name}
    assert own
    assert {name for name, found in orders(cluster).items() if found != before.get(name)} == own
    for name in own:
        assert cluster.hosts[NAMES[1]].replicas()[name]["HostConfig"]["Privileged"]


def test_a_bind_below_a_listed_path_that_leads_elsewhere_is_refused(tmp_path: Path) -> None:
    cluster = begun(tmp_path)
    before = orders(cluster)
    for host in cluster.hosts.values():
        host.kernel.links["/srv/order"] = "/etc"
    put(cluster, edited(volumes=["/srv/order:/in"]))
    assert orders(cluster) == before
    assert all("bind of /srv/order (it is a link to /etc)" in each for each in reasons(cluster))
    for host in cluster.hosts.values():
        del host.kernel.links["/srv/order"]
    cluster.rounds(30)
    assert orders(cluster).keys() == before.keys()
    assert orders(cluster) != before


def test_the_data_directory_of_dockerd_is_learnt_from_it_and_protected(tmp_path: Path) -> None:
    cluster = SimulatedCluster(tmp_path)
    for host in cluster.hosts.values():
        host.admission = Policy(binds=("/",))
    cluster.put_intent(edited(volumes=["/nowhere/volumes:/in"]))
    cluster.start()
    cluster.rounds(30)
    assert not orders(cluster)
    assert all("bind of /nowhere/volumes (/nowhere is protected)" in each for each in reasons(cluster))


def test_a_container_that_writes_above_a_bind_of_another_is_refused_with_it(tmp_path: Path) -> None:
    cluster = begun(tmp_path)
    both = {"order": {"volumes": ["/srv/order:/in"]}, "billing": {"volumes": ["/srv:/srv"]}}
    put(cluster, document(services=both), rounds=40)
    inner = "volumes: bind of /srv/order (a container here writes to /srv above it)"
    assert reasons(cluster)
    assert all(inner in each for each in reasons(cluster))
    mounts = [
        {bind for raw in host.replicas().values() for bind in raw["HostConfig"].get("Binds") or ()}
        for host in cluster.hosts.values()
    ]
    assert not any({"/srv/order:/in", "/srv:/srv"} <= each for each in mounts)
    both["order"] = {"volumes": ["/data/order:/in"]}
    put(cluster, document(services=both), rounds=60)
    assert not [*told(cluster)]


def test_no_more_replicas_than_admitted_run_and_none_is_stopped_for_it(tmp_path: Path) -> None:
    cluster = begun(tmp_path)
    name = max(NAMES, key=lambda each: len(cluster.hosts[each].running()))
    host, before = cluster.hosts[name], cluster.hosts[name].running()
    assert len(before) > 1
    restart(cluster, {name: Policy(max_replicas=1)})
    assert host.running() == before
    assert not [*told(cluster)]
    for each in before:
        host.engine.by_hand.end(each, exit_code=1)
    cluster.rounds(40)
    assert len(host.running()) == 1
    assert len(reasons(cluster)) == len(before) - 1
    assert all("`max_replicas: 1` in agent.yaml" in each for each in reasons(cluster))
    restart(cluster, {name: Policy(max_replicas=len(before))})
    assert host.running() == before


@pytest.mark.parametrize("kind", [CreateContainer, StartContainer])
def test_the_last_check_is_right_before_docker_is_called(tmp_path: Path, kind: type) -> None:
    """The link appears when the plan is made, so that only the check before the call can see it."""
    cluster = begun(tmp_path)
    before = orders(cluster)

    def link(step: object) -> None:
        if isinstance(step, kind):
            for host in cluster.hosts.values():
                host.kernel.links["/srv/order"] = "/etc"

    for agent in cluster.agents.values():
        agent.before = link
    put(cluster, edited(volumes=["/srv/order:/in"]), rounds=40)
    assert {name: found for name, found in orders(cluster).items() if found[1]} == before
    failed = [each for agent in cluster.agents.values() for each in agent.failed()]
    assert failed
    assert all("bind of /srv/order (it is a link to /etc)" in each for each in failed)


def test_the_kept_state_of_a_host_admits_nothing(tmp_path: Path) -> None:
    """Without etcd the agent starts from its disk what it ran before: not what a new agent.yaml refuses."""
    cluster = begun(tmp_path)
    for name in NAMES:
        cluster.lose_agent(name)
        host = cluster.hosts[name]
        host.admission = replace(NARROWED, registries=("none.example.com",))
        for each in host.running():
            host.engine.by_hand.end(each, exit_code=1)
    cluster.start()
    for agent in cluster.agents.values():
        agent.cut_etcd()
    cluster.rounds(30)
    assert not any(running for _, running in orders(cluster).values())
    for agent in cluster.agents.values():
        assert {each.kind for each in agent.plan.blocked if each.resource.startswith("container/")} == {
            "admission"
        }


# ---- rollouts


def rolling(action: str, **order: Any) -> str:
    """An edit of order that is rolled out one by one."""
    config = {"parallelism": 1, "failure_action": action, "monitor": "5s"}
    return document(services={"order": {**order, "deploy": {"update_config": config}}})


@pytest.mark.parametrize("action", ["pause", "rollback"])
def test_a_rollout_goes_on_beside_a_host_that_refuses_the_new_spec(tmp_path: Path, action: str) -> None:
    cluster = begun(tmp_path, rolling(action))
    before, refusing = orders(cluster), NAMES[0]
    restart(cluster, dict.fromkeys(NAMES[1:], Policy(capabilities=("NET_ADMIN",))))
    edit = rolling(action, cap_add=["NET_ADMIN"])
    seen = with_document(Connection(store=FakeStore(cluster.etcd), keys=KEYS).read(), "d", edit.encode())
    planned = {each.name: each for each in plan_cluster(seen).hosts}
    put(cluster, edit, rounds=60)
    kept = set(orders_of(cluster, refusing))
    for name, plan in planned.items():
        made = {each.name for each in plan.steps if isinstance(each, CreateContainer)}
        assert made == set(orders_of(cluster, name)) - kept
        refused = {each.resource for each in plan.blocked if each.kind == "admission"}
        assert refused == {f"container/{each}" for each in kept if name == refusing}
    assert kept
    assert {name for name, found in orders(cluster).items() if found == before[name]} == kept
    assert all(running for _, running in orders(cluster).values())
    found = cluster.read(KEYS.rollout("order"))
    assert found is not None
    rollout = decode(Rollout, found.value)
    assert (rollout.state, rollout.failed) == ("moving", ())
    shown = conditions_of(Connection(store=FakeStore(cluster.etcd), keys=KEYS).read(), now_s=0.0)
    (problem,) = shown.problems
    assert f"on {refusing}: not admitted by this host" in problem.condition.text
    verdict = cluster.verdict()
    assert verdict is not None
    assert f"service order waits on {refusing}: " in " ".join(verdict.warnings)
    restart(cluster, {refusing: Policy(capabilities=("NET_ADMIN",))})
    cluster.settle()
    assert not {*orders(cluster).values()} & {*before.values()}
    assert cluster.read(KEYS.rollout("order")) is None
    verdict = cluster.verdict()
    assert verdict is not None
    assert not verdict.warnings


def test_a_good_edit_after_a_refused_one_is_rolled_out_one_by_one(tmp_path: Path) -> None:
    cluster = begun(tmp_path, rolling("pause"))
    before = orders(cluster)
    put(cluster, rolling("pause", cap_add=["NET_ADMIN"]), rounds=60)
    assert orders(cluster) == before
    assert len(reasons(cluster)) == len(before)
    text = rolling("pause", cap_add=["CHOWN"])
    cluster.lan.registry |= images(text)
    cluster.put_intent(text)
    seen = before
    for _ in range(60):
        cluster.round()
        now = orders(cluster)
        assert len({name for name in ORDERS if now.get(name) != seen.get(name)}) <= 1
        seen = now
    assert not {*seen.values()} & {*before.values()}
    assert cluster.read(KEYS.rollout("order")) is None


def test_a_link_that_one_host_refuses_holds_the_rollout_and_is_no_failure(tmp_path: Path) -> None:
    cluster = begun(tmp_path, rolling("rollback"))
    before = orders(cluster)
    cluster.hosts[NAMES[0]].kernel.links["/srv/order"] = "/etc"
    put(cluster, rolling("rollback", volumes=["/srv/order:/in"]), rounds=60)
    assert {name: before[name] for name in orders_of(cluster, NAMES[0])}.items() <= orders(cluster).items()
    found = cluster.read(KEYS.rollout("order"))
    assert found is not None
    assert decode(Rollout, found.value).state == "moving"
    cluster.hosts[NAMES[0]].kernel.links.clear()
    cluster.rounds(60)
    assert not {*orders(cluster).values()} & {*before.values()}
