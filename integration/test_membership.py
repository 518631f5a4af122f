"""Hosts whose membership went wrong: adopted, removed by force, wiped, refused, copied, in somebody else's swarm.

One lab for all: a swarm made by hand, of one manager and two workers, which the agents adopt first.
"""

import json
import time
from collections.abc import Iterator, Mapping
from functools import partial
from typing import Any

import pytest

from integration import by_hand
from integration.cluster import EXAMPLE, REPLICAS, UNIT, Cluster
from integration.conftest import LONG_ONLY
from integration.journals import renew
from integration.lab.eventually import eventually
from integration.lab.host import Host
from integration.lab.lab import Lab
from integration.live_bridge import left_no_swarm
from integration.timings import TIMINGS, Timings
from tests.support.document import document

MANAGER, SECOND, THIRD = "node-231", "node-232", "node-233"
BACK_S, SAID_S = 120, 60
STRANGER = "hand-database"
DATA_TO_MANAGERS = ("--protocol", "tcp", "--dport", "2377", "--tcp-flags", "PSH", "PSH", "--jump", "DROP")
"""What a join says; the connection itself is made all the same."""
WANTED = document(EXAMPLE, roles={SECOND: "worker", THIRD: "worker"}, policy={"reserve_addresses": True})


class Members:
    """The cluster of this module, and what is looked at again and again."""

    def __init__(self, lab: Lab) -> None:
        self.lab, self.cluster = lab, Cluster(lab, timings=TIMINGS)
        self.revision = 0

    def node(self, name: str) -> str:
        """The node id that the engine of a host says it has."""
        return str(self.lab[name].docker.api.info()["Swarm"]["NodeID"])

    def nodes(self) -> list[str]:
        """Ids of the nodes that the manager lists."""
        return sorted(each["ID"] for each in self.lab[MANAGER].docker.api.nodes())

    def replicas(self, name: str) -> dict[str, str]:
        """Id of each replica of ours on a host, running or not."""
        ours = {"label": "io.swarmkeeper.cluster=prod"}
        found = self.lab[name].docker.api.containers(all=True, filters=ours)
        return {each["Names"][0].lstrip("/"): each["Id"] for each in found}

    def addresses(self) -> Mapping[str, str]:
        """The reserved addresses of our replicas on the overlay; every one of them has one."""
        found = self.cluster.addresses(by_hand.OVERLAY)
        assert found.keys() == REPLICAS.keys(), found
        return found

    def started_elsewhere(self, name: str) -> Mapping[str, str]:
        return {what: when for what, when in self.cluster.started().items() if not when.startswith(name)}

    def blocked(self, name: str, kind: str) -> str:
        """What a host says is blocked, of that kind."""
        said = self.cluster.status(self.lab[name])["blocked"]
        return "; ".join(each["reason"] for each in said if each["kind"] == kind)

    def says(self, name: str, kind: str, words: str) -> None:
        def said() -> None:
            assert words in self.blocked(name, kind), self.cluster.status(self.lab[name])["blocked"]

        eventually(said, SAID_S, f"{name} says why it does nothing")

    def waits(self, name: str, words: str) -> None:
        def said() -> None:
            waiting = self.cluster.status(self.lab[name])["waiting"]
            assert any(words in each["reason"] for each in waiting), waiting

        eventually(said, SAID_S, f"{name} says what it waits for")

    def back(self, within_s: float = BACK_S) -> None:
        """Return when all is as the document says, the list of nodes too."""
        self.cluster.wait_converged(self.revision, within_s)
        names = (MANAGER, SECOND, THIRD)
        eventually(
            lambda: self.nodes() == sorted(map(self.node, names)),
            within_s,
            "the nodes are those of our hosts",
        )
        eventually(self._settled, within_s, "nobody needs a token or a membership order any more")

    def _settled(self) -> None:
        left = [key for key in self.cluster.keys() if key == "tokens" or key.startswith("membership-orders/")]  # noqa: SIM118
        assert left == []

    def changed(self, name: str, before: str) -> None:
        """Return when a host is another node than it was."""

        def joined() -> bool:
            self.cluster.heed(self.lab[name])
            return self.node(name) not in ("", before)

        eventually(joined, BACK_S, f"{name} has joined again")


@pytest.fixture(scope="module")
def members(
    session_lab: Lab, _used: set[str], _agents_run_on: dict[str, Timings], _live: dict[str, Any]
) -> Iterator[Members]:
    lab = session_lab
    if lab.name in _used:
        renew(lab)
    _used.add(lab.name)
    _live.pop(lab.name, None)
    _agents_run_on[lab.name] = TIMINGS
    yield Members(lab)
    _agents_run_on.pop(lab.name, None)  # what comes next has the lab renewed


def test_hosts_of_a_swarm_made_by_hand_are_adopted_and_nothing_restarts(members: Members) -> None:
    lab, cluster = members.lab, members.cluster
    for host in lab:
        agreed = ("--subnet", "172.21.0.0/20", "--gateway", "172.21.0.1")
        options = ("enable_icc=false", "name=docker_gwbridge")
        spelled = [part for each in options for part in ("--opt", f"com.docker.network.bridge.{each}")]
        host.exec("docker", "network", "create", *agreed, *spelled, "docker_gwbridge")
    by_hand.join_all(lab, by_hand.ONE_MANAGER, TIMINGS)
    by_hand.make_overlay(lab[MANAGER])
    image = by_hand.CONTAINERS[0].image
    lab[THIRD].exec(
        *("docker", "run", "--detach", "--name", STRANGER, "--network", by_hand.OVERLAY, image), timeout=120
    )
    before = by_hand.blocked_plan(lab)

    cluster.install()
    cluster.start()
    members.revision = cluster.put(WANTED)
    cluster.wait_converged(members.revision, BACK_S)

    now = by_hand.blocked_plan(lab)
    assert now.nodes == before.nodes
    assert before.started.items() <= now.started.items()
    assert left_no_swarm(lab)


def test_a_worker_removed_by_force_waits_for_a_container_of_ours_on_the_overlay_and_then_comes_back(
    members: Members,
) -> None:
    host, node, replicas = members.lab[THIRD], members.node(THIRD), members.replicas(THIRD)
    elsewhere, here = members.started_elsewhere(THIRD), members.cluster.started()
    addresses = members.addresses()
    members.lab[MANAGER].exec("docker", "node", "rm", "--force", node)
    members.says(THIRD, "foreign", f"{STRANGER} would lose its overlay if the host left")
    assert members.cluster.started() == here

    since = time.monotonic()
    host.exec("docker", "rm", "--force", STRANGER)
    members.changed(THIRD, node)
    members.back()
    print(f"\nremoved by force, back after {time.monotonic() - since:.1f} s")
    assert members.replicas(THIRD) == replicas  # the same containers
    assert members.started_elsewhere(THIRD) == elsewhere
    assert members.addresses() == addresses


def test_a_worker_that_leaves_by_hand_joins_again_and_its_replicas_have_their_addresses_again(
    members: Members,
) -> None:
    node, elsewhere, addresses = members.node(SECOND), members.started_elsewhere(SECOND), members.addresses()
    since = time.monotonic()
    by_hand.leave_swarm(members.lab[SECOND])
    members.changed(SECOND, node)
    members.back()
    print(f"\nleft by hand, back after {time.monotonic() - since:.1f} s")
    assert members.addresses() == addresses
    assert members.started_elsewhere(SECOND) == elsewhere


def test_a_wiped_host_joins_as_a_new_node_and_its_old_record_goes(members: Members) -> None:
    host, node, elsewhere = members.lab[SECOND], members.node(SECOND), members.started_elsewhere(SECOND)
    addresses = members.addresses()
    since = time.monotonic()
    host.systemctl("stop", "docker.socket", "docker")
    host.exec("sh", "-c", "find /var/lib/docker -mindepth 1 -delete")
    host.systemctl("start", "docker")
    members.changed(SECOND, node)
    members.back()
    print(f"\nwiped, back and its ghost gone after {time.monotonic() - since:.1f} s")
    assert members.addresses() == addresses
    assert members.started_elsewhere(SECOND) == elsewhere


@LONG_ONLY
def test_a_join_that_dockerd_gave_up_is_left_behind_and_tried_again(members: Members) -> None:
    host, node = members.lab[SECOND], members.node(SECOND)

    def state() -> str:
        return str(host.docker.api.info()["Swarm"]["LocalNodeState"])

    host.exec("iptables", "--append", "OUTPUT", *DATA_TO_MANAGERS)
    try:
        by_hand.leave_swarm(host)
        eventually(lambda: state() == "pending", BACK_S, "dockerd tries to join")
        members.waits(SECOND, "dockerd has not finished joining the swarm")
        eventually(lambda: state() == "error", BACK_S, "dockerd has given up")
    finally:
        host.exec("iptables", "--delete", "OUTPUT", *DATA_TO_MANAGERS)
    members.changed(SECOND, node)
    members.back()


def test_tokens_that_were_rotated_by_hand_are_published_again(members: Members) -> None:
    host, manager, node = members.lab[SECOND], members.lab[MANAGER], members.node(SECOND)
    away = ("--protocol", "tcp", "--dport", "2377", "--jump", "REJECT")
    host.exec("iptables", "--append", "OUTPUT", *away)
    try:
        by_hand.leave_swarm(host)
        before = eventually(lambda: members.cluster.get("tokens") or {}, SAID_S, "tokens are published")
        manager.exec("docker", "swarm", "join-token", "--rotate", "worker")
        good = manager.exec("docker", "swarm", "join-token", "--quiet", "worker").stdout.strip()
        assert before["worker"] != good

        def renewed() -> None:
            assert (members.cluster.get("tokens") or {}).get("worker") == good

        eventually(renewed, SAID_S, "the tokens that are good now are published")
    finally:
        host.exec("iptables", "--delete", "OUTPUT", *away)
    members.changed(SECOND, node)
    members.back()


def test_a_manager_of_another_swarm_is_blocked_with_both_ids_and_never_left(members: Members) -> None:
    host, node = members.lab[THIRD], members.node(THIRD)
    ours = (members.cluster.get("swarm") or {})["swarm_id"]
    host.systemctl("stop", UNIT)
    by_hand.leave_swarm(host)
    host.exec("docker", "swarm", "init", "--advertise-addr", host.address)
    theirs, own = host.docker.api.info()["Swarm"]["Cluster"]["ID"], members.node(THIRD)
    host.systemctl("start", UNIT)

    members.says(THIRD, "foreign", f"in swarm {theirs}, while the cluster's is {ours}")
    assert members.node(THIRD) == own

    by_hand.leave_swarm(host, "--force")
    members.changed(THIRD, node)
    members.back()


@LONG_ONLY
def test_a_second_agent_under_the_same_host_name_does_nothing(members: Members) -> None:
    """Its machine is another host's, so it has a dockerd at hand, and not the address of the name."""
    other, before = members.lab[SECOND], members.cluster.started()
    told = members.cluster.status(members.lab[THIRD])
    text = other.read("/etc/swarmkeeper/agent.yaml").replace(f"host: {SECOND}", f"host: {THIRD}")
    text = text.replace("0.0.0.0:9477", "127.0.0.1:9478") + "state_directory: /var/tmp/copied\n"
    other.write("/var/tmp/copied/agent.yaml", text)
    command = ("swarmkeeper", "run", "--config", "/var/tmp/copied/agent.yaml")
    ask = ("curl", "--silent", "http://127.0.0.1:9478/status")
    other.exec("systemd-run", "--unit", "copied", "--setenv", "GRPC_DNS_RESOLVER=native", *command)
    try:

        def refuses() -> None:
            said = json.loads(other.exec(*ask, check=False).stdout or "{}")
            assert "another agent runs as node-233, on another machine" in str(said.get("blocked")), said
            assert said.get("plan") == said.get("in_flight") == []

        eventually(refuses, SAID_S, "the second agent says that it does nothing")
        # Its passes go on: after a few of them nothing has changed.
        other.exec("docker", "network", "create", "a-reason-to-look")
        other.exec("docker", "network", "rm", "a-reason-to-look")
        refuses()
        assert members.cluster.started() == before
        now = members.cluster.status(members.lab[THIRD])
        assert (now["instance"], now["node_id"]) == (told["instance"], told["node_id"])
    finally:
        other.systemctl("stop", "copied")
    members.back()


def begin_with(host: Host, identity: str | None) -> None:
    """Start dockerd with a copy of another host's membership, or with none; its replicas were stopped before."""
    host.systemctl("stop", UNIT)
    host.exec("sh", "-c", "docker ps --quiet | xargs --no-run-if-empty docker stop --time 1")
    host.systemctl("stop", "docker.socket", "docker")
    host.exec("rm", "-rf", "/var/lib/docker/swarm")
    if identity is not None:
        host.exec("sh", "-c", "base64 -d | tar -C /var/lib/docker -x", input=identity)
    host.systemctl("start", "docker", UNIT)


@LONG_ONLY
def test_of_two_hosts_with_one_nodes_identity_the_copied_one_is_quarantined(members: Members) -> None:
    original, copied, node = members.lab[THIRD], members.lab[SECOND], members.node(THIRD)
    identity = original.exec("sh", "-c", "tar -C /var/lib/docker -c swarm | base64").stdout
    elsewhere = members.started_elsewhere(SECOND)

    begin_with(copied, identity)
    members.says(SECOND, "foreign", "one of the two machines is a clone of the other")
    # A dockerd that starts has no node id yet, and two of one id push each other out of their sessions.
    eventually(
        lambda: members.node(SECOND) == members.node(THIRD) == node, BACK_S, "both say they are that node"
    )
    assert not members.cluster.status(copied)["steps"]
    assert members.started_elsewhere(SECOND) == elsewhere

    begin_with(copied, None)
    members.changed(SECOND, node)
    members.back()
    assert members.node(THIRD) == node
    assert members.started_elsewhere(SECOND) == elsewhere


@LONG_ONLY
def test_the_workers_of_a_swarm_that_was_recreated_follow_its_manager(members: Members) -> None:
    manager, before = members.lab[MANAGER], {name: members.node(name) for name in (MANAGER, SECOND, THIRD)}
    replicas = {name: members.replicas(name) for name in before}
    since = time.monotonic()
    by_hand.leave_swarm(manager, "--force")
    manager.exec("docker", "swarm", "init", "--advertise-addr", manager.address)
    members.says(MANAGER, "foreign", "while the cluster's is")
    assert members.node(SECOND) == before[SECOND]  # nobody follows before the operator says which swarm it is

    members.cluster.delete("swarm")
    for name, node in before.items():
        members.changed(name, node)
    members.back()
    print(f"\nswarm recreated, followed after {time.monotonic() - since:.1f} s")
    assert {name: members.replicas(name) for name in before} == replicas
    eventually(partial(answers, members.lab), SAID_S, "a call from host to host to host is answered")


def answers(lab: Lab) -> None:
    """From the LAN to api, from there to order, from there to billing."""
    said = lab.lan.http_get(f"http://{lab[SECOND].address}/").json()
    assert said["called"]["called"]["service"] == "billing", said
