"""Roles, availability and labels by the document; hosts that were wiped, taken out and added again."""

import json
from collections.abc import Mapping
from functools import partial
from typing import Any

import pytest

from integration.cluster import EXAMPLE, Cluster
from integration.conftest import LONG_ONLY
from integration.lab.eventually import eventually
from integration.lab.host import Host
from integration.quorum import QuorumWatch
from tests.support.document import document

pytestmark = pytest.mark.every_base

GOOD = EXAMPLE
NAMES = ("node-231", "node-232", "node-233")
ON = {
    "billing": ("node-232",), "console": ("node-231",), "terminal": ("node-233",), "api": ("node-232", "node-233"),
}  # fmt: skip
"""Where the example has the services but order."""
ROLES_S = 150
"""dockerd may take half a minute to make a manager again of what has just become a worker (docs/engine-quirks.md)."""
GAP_S = 10.0
"""Raft elects within a second or two; a swarm that has lost its quorum says so for as long as it has."""
ELECTED_S = 40.0
DOWN_S = 120
"""Until the swarm calls a node down that has gone, with time for what follows."""


def with_roles(roles: Mapping[str, str]) -> str:
    """The example with the roles of some hosts changed."""
    return document(GOOD, roles=roles)


def others(name: str) -> list[str]:
    return [each for each in NAMES if each != name]


def by_host(cluster: Cluster, manager: Host) -> dict[str, dict[str, Any]]:
    """The node of each host by what the host says it is, as a manager lists it."""
    nodes = {node["ID"]: node for node in manager.docker.api.nodes()}
    return {host.name: nodes[cluster.status(host)["node_id"]] for host in cluster.lab.hosts}


def check_managers(cluster: Cluster, names: set[str]) -> None:
    """AssertionError unless just these hosts are managers, by the swarm and by their own engines."""
    manager = cluster.lab[min(names)]
    nodes = by_host(cluster, manager)
    found = {name: (node["Spec"]["Role"], "ManagerStatus" in node) for name, node in nodes.items()}
    wanted = {name: ("manager", True) if name in names else ("worker", False) for name in found}
    assert found == wanted
    engines = {host.name for host in cluster.lab.hosts if host.docker.api.info()["Swarm"]["ControlAvailable"]}
    assert engines == names


def put_roles(cluster: Cluster, roles: Mapping[str, str]) -> None:
    """Put the document, and return when the roles are so and all is well."""
    cluster.wait_converged(cluster.put(with_roles(roles)), ROLES_S)
    wanted = {name for name in NAMES if roles.get(name, "manager") == "manager"}
    eventually(lambda: check_managers(cluster, wanted), ROLES_S, f"the managers are {sorted(wanted)}")


@pytest.mark.timeout(600)
@pytest.mark.parametrize("name", [NAMES[0], *(pytest.param(each, marks=LONG_ONLY) for each in NAMES[1:])])
def test_a_manager_becomes_a_worker_and_a_manager_again_and_the_quorum_is_never_lost(
    cluster: Cluster, name: str
) -> None:
    before = cluster.started()
    led = [
        host
        for host, node in by_host(cluster, cluster.lab[name]).items()
        if node["ManagerStatus"].get("Leader")
    ]
    with QuorumWatch(cluster.lab[others(name)[0]]) as one, QuorumWatch(cluster.lab[others(name)[1]]) as other:
        put_roles(cluster, {name: "worker"})
        assert "declare an odd number of managers" in str((cluster.get("verdict") or {})["warnings"])
        put_roles(cluster, {})
    for watch in (one, other):
        print(f"{name} (raft leader: {led[0]}): {watch}")
        assert watch.answers > 20
        assert watch.lost == []
        assert watch.longest_gap_s < GAP_S, str(watch)
    assert cluster.started() == before


def maker_of(cluster: Cluster) -> str:
    """The host that made the swarm: the others' dockerds joined through it, and ask it again when they are promoted."""
    joined = {host.name: cluster.status(host)["joined"]["through"] for host in cluster.lab.hosts}
    return next(name for name, through in joined.items() if through == "")


@LONG_ONLY
@pytest.mark.timeout(900)
def test_the_only_manager_hands_over_and_what_would_ask_there_waits_for_a_new_start_of_its_dockerd(
    fresh_cluster: Cluster,
) -> None:
    cluster = fresh_cluster
    cluster.start()
    cluster.wait_converged(cluster.put(GOOD), 120)
    before, maker = cluster.started(), maker_of(cluster)
    heir, third = others(maker)
    put_roles(cluster, {heir: "worker", third: "worker"})
    assert (cluster.get("leader") or {})["host"] == maker
    put_roles(cluster, {maker: "worker", third: "worker"})
    assert (cluster.get("leader") or {})["host"] == heir
    assert cluster.started() == before

    revision = cluster.put(with_roles({maker: "worker"}))

    def is_held() -> None:
        held = [each for each in cluster.status(cluster.lab[heir])["blocked"] if each["kind"] == "role"]
        assert f"would contact {cluster.lab[maker].address}:2377" in str(held), held

    eventually(is_held, 30, f"the promotion of {third} is held")
    check_managers(cluster, {heir})
    cluster.lab[third].restart_dockerd()
    cluster.wait_converged(revision, ROLES_S)
    eventually(lambda: check_managers(cluster, {heir, third}), ROLES_S, f"{third} is a manager")


def test_a_document_without_a_manager_is_refused_and_changes_nothing(cluster: Cluster) -> None:
    revision = cluster.put(with_roles(dict.fromkeys(NAMES, "worker")))

    def refused() -> None:
        verdict = cluster.get("verdict") or {}
        assert verdict["revision"] == revision
        assert not verdict["accepted"]
        assert "no host is a manager" in str(verdict["errors"])

    eventually(refused, 30, "the document is refused")
    check_managers(cluster, set(NAMES))


def test_availability_and_labels_are_those_of_the_document_and_foreign_labels_stay(cluster: Cluster) -> None:
    manager = cluster.lab["node-231"]
    before = cluster.started()
    node_id = cluster.status(cluster.lab["node-233"])["node_id"]
    manager.exec("docker", "node", "update", "--label-add", "theirs=x", node_id)

    def spec() -> dict[str, Any]:
        found = dict(json.loads(manager.exec("docker", "node", "inspect", node_id).stdout)[0]["Spec"])
        labels = {
            key: value for key, value in found["Labels"].items() if not key.startswith("io.swarmkeeper.")
        }
        return {"availability": found["Availability"], "labels": labels}

    def becomes(availability: str, labels: dict[str, str]) -> None:
        wanted = {"availability": availability, "labels": labels}
        eventually(lambda: _equal(spec(), wanted), 30, f"the node is {wanted}")

    drained = {"availability": "drain", "labels": {"rack": "a", "zone": "b"}}
    cluster.wait_converged(cluster.put(document(GOOD, hosts={"node-233": drained})))
    becomes("drain", {"rack": "a", "zone": "b", "theirs": "x"})
    manager.exec("docker", "node", "update", "--availability", "pause", "--label-rm", "rack", node_id)
    becomes("drain", {"rack": "a", "zone": "b", "theirs": "x"})

    cluster.wait_converged(cluster.put(document(GOOD, hosts={"node-233": {"labels": {"rack": "a"}}})))
    becomes("active", {"rack": "a", "theirs": "x"})
    cluster.wait_converged(cluster.put(GOOD))
    becomes("active", {"theirs": "x"})
    # What is pinned to a drained host was stopped there, and started again afterwards.
    after = cluster.started()
    assert after.keys() == before.keys()
    elsewhere = {name for name, at in before.items() if not at.startswith("node-233 ")}
    assert {name: after[name] for name in elsewhere} == {name: before[name] for name in elsewhere}


def _equal(found: object, wanted: object) -> None:
    assert found == wanted


@LONG_ONLY
@pytest.mark.timeout(600)
def test_a_wiped_manager_joins_again_and_its_old_record_goes(cluster: Cluster) -> None:
    host, manager = cluster.lab["node-233"], cluster.lab["node-231"]
    old = cluster.status(host)["node_id"]
    with QuorumWatch(manager) as watch:
        host.systemctl("stop", "swarmkeeper", "docker.socket", "docker")
        host.exec(
            "sh", "-c", "rm -rf /var/lib/docker/* /var/lib/swarmkeeper/* /var/lib/private/swarmkeeper/*"
        )
        host.systemctl("start", "docker")
        host.systemctl("start", "swarmkeeper")

        def is_new() -> None:
            nodes = {node["ID"]: node for node in manager.docker.api.nodes()}
            assert old not in nodes
            assert len(nodes) == len(NAMES)

        eventually(is_new, DOWN_S, "the record of the node it was is gone")
        cluster.wait_converged(int((cluster.get("accepted") or {})["revision"]), DOWN_S)
    check_managers(cluster, set(NAMES))
    print(f"{host.name} wiped: {watch}")
    assert watch.lost == []
    # Was it the raft leader, dockerd takes some 15 s to elect another one: that is nothing an agent does.
    assert watch.longest_gap_s < ELECTED_S, str(watch)


def without(name: str) -> str:
    """The example without a host: others run its replicas."""
    one, other = others(name)
    replicas = {service: [each for each in where if each != name] or [one] for service, where in ON.items()}
    return document(GOOD, hosts={name: None}, replicas={"order": {one: 2, other: 1}, **replicas})


@pytest.mark.timeout(900)
@pytest.mark.parametrize("who", [pytest.param("the leader", marks=LONG_ONLY), "a follower"])
def test_a_host_that_is_taken_out_is_emptied_and_forgotten_and_comes_back_when_it_is_added_again(
    cluster: Cluster, who: str
) -> None:
    leader = str((cluster.get("leader") or {})["host"])
    name = leader if who == "the leader" else others(leader)[0]
    host, manager = cluster.lab[name], cluster.lab[others(name)[0]]
    stay = [cluster.lab[each] for each in others(name)]
    old = cluster.status(host)["node_id"]
    before = cluster.started()
    with QuorumWatch(stay[0]) as one, QuorumWatch(stay[1]) as other:
        revision = cluster.put(without(name))

        def is_out() -> None:
            assert host.docker.api.info()["Swarm"]["LocalNodeState"] == "inactive"
            assert [each for each in cluster.containers(everything=True) if each.host == name] == []
            assert old not in {node["ID"] for node in manager.docker.api.nodes()}
            assert cluster.get(f"assignments/{name}") is None

        eventually(is_out, DOWN_S, f"{name} is out of the swarm, and its record and its assignment are gone")
        for each in stay:
            eventually(partial(cluster.check_converged, each, revision), DOWN_S, "the others converge")
        kept = {each: at for each, at in before.items() if not at.startswith(name)}
        assert {each: cluster.started()[each] for each in kept} == kept

        cluster.wait_converged(cluster.put(GOOD), ROLES_S)
    check_managers(cluster, set(NAMES))
    for watch in (one, other):
        print(f"{name} ({who}) taken out and added again: {watch}")
        assert watch.lost == []
        assert watch.longest_gap_s < ELECTED_S, str(watch)
