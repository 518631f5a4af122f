"""Answers a real engine gives only at the wrong moment, or in another version."""

from collections.abc import Callable
from ipaddress import IPv4Network
from typing import Any

import pytest

from agent.clients.docker import DockerEngine, OverlayPeers
from agent.clients.docker.errors import creation_failure, failure, network_failure, pull_failure
from agent.clients.docker.networks import overlay_addresses, overlay_peers, overlay_users
from agent.clients.docker.reading import (
    container_state,
    network_state,
    network_states,
    node_state,
    swarm_state,
)
from agent.diff.container import FillContext
from agent.errors import Conflict, Missing, Refused, SwarmkeeperError, Unreachable
from agent.model.records import Replica
from agent.model.spec import ContainerSpec
from tests.unit.clients.docker.stub import StubDockerd

LABELS = {
    "io.swarmkeeper.cluster": "test",
    "io.swarmkeeper.service": "order",
    "io.swarmkeeper.slot": "1",
    "io.swarmkeeper.spec": "5bec",
}
NO_SWAP_LIMIT = "Your kernel does not support swap limit capabilities. Memory limited without swap."
NO_LEADER = "rpc error: code = Unknown desc = The swarm does not have a leader."


def _context(replica: Replica) -> FillContext:
    return FillContext(host="host-1", service=replica.service, slot=replica.slot)


@pytest.mark.parametrize(
    ("status", "message", "kind"),
    [
        (404, "No such container: x", Missing),
        (409, "You cannot remove a running container", Conflict),
        (400, "A valid join token is necessary to join this cluster", Refused),
        (403, "Pool overlaps with other one on this address space", Refused),
        (403, "error while removing network: network x id y has active endpoints", Conflict),
        (403, "conflicts with network x (docker_gwbridge): networks have same bridge name", Conflict),
        (429, "toomanyrequests", Unreachable),
        (500, "driver failed programming external connectivity: port is already allocated", Refused),
        (500, "name conflicts with an existing object", Conflict),
        (500, "invalid join token", Refused),
        (500, "remote CA does not match fingerprint. Expected: 3a", Refused),
        (500, "OCI runtime create failed: no such file or directory", Refused),
        (500, "Key not found in store", Conflict),
        (500, NO_LEADER, Unreachable),
        (500, "attaching to network failed: context deadline exceeded", Unreachable),
        (500, "something nobody has seen yet", Unreachable),
        (503, "Timeout was reached before node joined. The attempt to join the swarm will continue", Unreachable),
        (503, "rpc error: dial tcp 10.0.0.1:2377: connect: connection refused", Unreachable),
        (503, "This node is already part of a swarm. Use ...", Conflict),
        (503, "This node is not a swarm manager. Use ...", Refused),
        (503, "Swarm is encrypted and needs to be unlocked", Refused),
        (500, "--firewall-backend=nftables is incompatible with swarm mode", Refused),
    ],
)  # fmt: skip
def test_dockers_words_decide_what_an_error_is(
    status: int, message: str, kind: type[SwarmkeeperError]
) -> None:
    error = failure(status, message)

    assert (type(error), str(error)) == (kind, message)


@pytest.mark.parametrize(
    ("status", "message", "kind"),
    [
        (404, "manifest for x:1 not found: manifest unknown: manifest unknown", Refused),
        (404, "pull access denied for x, repository does not exist or may require 'docker login'", Refused),
        (500, "unauthorized: authentication required", Refused),
        (
            500,
            "unexpected status from HEAD request to https://r/v2/library/x/manifests/1: 429 Too Many Requests",
            Unreachable,
        ),
        (
            500,
            "unexpected status from GET request to https://r/v2/x/blobs/1: 408 Request Timeout",
            Unreachable,
        ),
        (
            500,
            'failed to resolve reference "docker.io/library/x:1": docker.io/library/x:1: not found',
            Refused,
        ),
        (500, 'Get "http://10.0.0.1/v2/": dial tcp 10.0.0.1:80: connect: connection refused', Unreachable),
        (500, "received unexpected HTTP status: 503 Service Unavailable", Unreachable),
        (500, "error pulling image configuration: unexpected EOF", Unreachable),
    ],
)
def test_of_a_pull_only_what_the_registry_means_as_no_is_one(
    status: int, message: str, kind: type[SwarmkeeperError]
) -> None:
    assert type(pull_failure(status, message)) is kind


def test_a_network_that_is_not_found_may_come_a_container_will_not() -> None:
    assert type(network_failure(404, "network my-overlay not found")) is Unreachable
    assert type(network_failure(404, "No such container: x")) is Missing


def test_a_driver_that_is_not_found_is_no_thing_that_went_away() -> None:
    assert type(creation_failure(404, 'plugin "nope" not found')) is Refused


@pytest.mark.parametrize("status", [400, 404, 409, 500])
@pytest.mark.parametrize("as_error", [failure, pull_failure, network_failure, creation_failure])
@pytest.mark.parametrize("secret", ["SWMTKN-1-3pu6hszjas-1awxwuwd3z", "SWMKEY-1-7c37Cc8654o6p38HnroywCi"])
def test_no_error_repeats_a_token_or_key(
    status: int, as_error: Callable[[int, str], SwarmkeeperError], secret: str
) -> None:
    assert str(as_error(status, f"cannot join with {secret} now")) == "cannot join with SWM*** now"


def test_a_task_that_is_over_holds_no_overlay_and_a_service_without_a_task_does() -> None:
    def task(number: int, state: str, desired: str = "running", on: str = "n") -> dict[str, Any]:
        return {
            "ID": f"task-{number}", "NodeID": f"node-{number}", "DesiredState": desired, "Status": {"State": state},
            "Spec": {"NetworkAttachmentSpec": {"ContainerID": f"container-{number}"}},
            "NetworksAttachments": [{"Network": {"ID": on}}],
        }  # fmt: skip

    starting = {**task(4, "preparing"), "Spec": {"ContainerSpec": {}}}
    serving = {
        **starting,
        "ID": "task-5",
        "Status": {"State": "running", "ContainerStatus": {"ContainerID": "c-5"}},
    }
    tasks = [
        task(1, "running"),
        task(2, "shutdown"),
        task(3, "running", "shutdown"),
        task(6, "running", on="x"),
    ]
    services: list[dict[str, Any]] = [
        {"ID": "s1", "Spec": {"Name": "web", "TaskTemplate": {"Networks": [{"Target": "n"}]}}},
        {"ID": "s2", "Spec": {"Name": "old", "Networks": [{"Target": "n"}]}},
        {"ID": "s3", "Spec": {"Name": "other", "TaskTemplate": {"Networks": [{"Target": "x"}]}}},
    ]

    for number, each in enumerate((*tasks, serving), 1):
        each["NetworksAttachments"][0]["Addresses"] = [f"10.10.0.{number}/16"]
    services[0]["Endpoint"] = {
        "VirtualIPs": [{"NetworkID": "x", "Addr": "10.9.0.1/16"}, {"NetworkID": "n", "Addr": "10.10.0.9/16"}]
    }

    # One that is to end has its address until it has.
    assert overlay_addresses("n", [*tasks, serving], services) == (
        ("10.10.0.1", "container-1", "node-1"),
        ("10.10.0.3", "container-3", "node-3"),
        ("10.10.0.5", "c-5", "node-4"),
        ("10.10.0.9", "service web", ""),
    )
    assert overlay_users("n", [*tasks, starting, serving], services) == (
        ("c-5", "node-4"),
        ("container-1", "node-1"),
        ("service old", ""),
        ("service web", ""),
        ("task-4", "node-4"),
    )


def test_an_overlay_that_nobody_here_is_on_has_no_peers() -> None:
    assert overlay_peers({"Name": "net", "Peers": None, "Containers": {}}) == OverlayPeers()
    peers = [{"Name": "b", "IP": "10.0.0.2"}, {"Name": "a", "IP": "10.0.0.1"}]
    ends = {"c1": {"IPv4Address": "10.10.0.2/16"}, "lb-net": {"IPv4Address": "10.10.0.3/16"}}
    found = overlay_peers({"Name": "net", "Peers": peers, "Containers": ends})
    assert found == OverlayPeers(("10.0.0.1", "10.0.0.2"), "10.10.0.3")


def test_duplicate_addresses_are_those_of_two_endpoints_in_what_the_engines_announce() -> None:
    """As engine 20.10 answers on a worker, with c233 on another host: plain containers are of the service ``."""
    announced = {"c233": "10.10.0.4", "d2": "10.10.0.5", "d1": "10.10.0.4", "lost": "", "lost too": ""}
    tasks = [
        {"Name": name, "EndpointID": f"id-{name}", "EndpointIP": address, "Info": {"Host IP": "10.0.0.1"}}
        for name, address in announced.items()
    ]
    services = {
        "": {"VIP": "<nil>", "Tasks": tasks[:3]},
        "web": {"Tasks": tasks[1:]},
        "none": {"Tasks": None},
    }
    assert overlay_peers({"Name": "net", "Services": services}).duplicates == ("10.10.0.4",)
    services = {"": {"Tasks": [tasks[0], tasks[0]]}}
    assert overlay_peers({"Name": "net", "Services": services}).duplicates == ()


def test_a_network_is_ours_by_its_label() -> None:
    raw = {"Id": "n", "Name": "net", "Labels": {"io.swarmkeeper.cluster": "test"}}

    assert network_state(raw, "test").ours
    assert not network_state(raw, "another").ours
    assert not network_state({**raw, "Labels": None}, "test").ours


_OF_SWARM: dict[str, object] = {
    "Id": "new",
    "Name": "ov",
    "Scope": "swarm",
    "Driver": "overlay",
    "Containers": None,
}
_STORED: dict[str, object] = {**_OF_SWARM, "Id": "old", "Containers": {}}
_OURS: dict[str, object] = {**_STORED, "Labels": {"io.swarmkeeper.cluster": "test"}}


@pytest.mark.parametrize(
    ("listed", "scopes"),
    [
        ([_OF_SWARM, _STORED], ["swarm", "local"]),  # a manager: dockerd asks its swarm for what it has
        ([_OF_SWARM, _OURS], ["swarm", "swarm"]),  # dockerd still removes it
        ([_STORED], ["swarm"]),  # a worker, or a manager without a quorum: only its own store answers
        ([{**_STORED, "Scope": "local"}], ["local"]),
    ],
)
def test_an_overlay_that_the_swarm_of_a_manager_does_not_have_is_local(
    listed: list[dict[str, object]], scopes: list[str]
) -> None:
    assert [each.scope for each in network_states(listed, "test")] == scopes


def test_a_swarm_says_for_which_cluster_an_agent_made_it() -> None:
    made = {"Cluster": {"ID": "s", "Spec": {"Labels": {"io.swarmkeeper.cluster": "test"}}}}

    assert swarm_state(made, "test").made_here
    assert not swarm_state(made, "another").made_here
    assert swarm_state(made, "another").cluster == "test"
    assert not swarm_state({"Cluster": {"ID": "s", "Spec": {"Labels": {}}}}, "test").made_here
    assert not swarm_state({"Cluster": None}, "test").made_here


def test_the_pool_of_a_swarm_is_told_without_what_is_ipv6() -> None:
    cluster = {"ID": "s", "DefaultAddrPool": ["10.200.0.0/16", "fd00::/48"]}

    assert swarm_state({"Cluster": cluster}, "test").pool == (IPv4Network("10.200.0.0/16"),)


def test_a_container_that_vanishes_between_list_and_inspect_is_not_there(
    stub: StubDockerd, engine: DockerEngine
) -> None:
    stub.answers["GET /containers/json"] = (
        200,
        [{"Id": "c0ffee", "Names": ["/prod-order-1"], "Labels": LABELS}],
    )
    stub.answers["GET /containers/c0ffee/json"] = (404, {"message": "No such container: c0ffee"})

    assert engine.containers({}, _context).ours == ()


def test_a_name_that_a_link_gives_is_not_the_containers_own(stub: StubDockerd, engine: DockerEngine) -> None:
    listed = {"Id": "c0ffee", "Names": ["/web/db", "/db"], "Labels": None}
    stub.answers["GET /containers/json"] = (200, [listed])

    assert engine.containers({}, _context).foreign_names == (("db", "c0ffee"),)


@pytest.mark.parametrize(
    ("address", "told"),
    [("0.0.0.0", "8080/tcp"), ("::", "8080/tcp"), ("", "8080/tcp"), ("10.0.0.1", "10.0.0.1:8080/tcp")],
)
def test_a_published_port_is_told_with_its_address_unless_that_is_every_one(
    stub: StubDockerd, engine: DockerEngine, address: str, told: str
) -> None:
    ports = [
        {"IP": address, "PrivatePort": 80, "PublicPort": 8080, "Type": "tcp"},
        {"PrivatePort": 81, "Type": "tcp"},
    ]
    listed = {"Id": "c0ffee", "Names": ["/web"], "Labels": None, "State": "running", "Ports": ports}
    stub.answers["GET /containers/json"] = (200, [listed])

    assert engine.containers({}, _context).attached[0].ports == (told,)


@pytest.mark.parametrize("number", ["", "one", "-1", "²"])
def test_labels_that_say_no_number_make_no_replica_of_ours(
    stub: StubDockerd, engine: DockerEngine, number: str
) -> None:
    labels = {**LABELS, "io.swarmkeeper.slot": number}
    stub.answers["GET /containers/json"] = (200, [{"Id": "c0ffee", "Names": ["/x"], "Labels": labels}])

    found = engine.containers({}, _context)

    assert (found.ours, found.foreign_names) == ((), (("x", "c0ffee"),))


@pytest.mark.parametrize("said", [300, 0, None])
def test_a_container_says_how_long_its_stop_may_take(said: int | None) -> None:
    raw = {"Id": "c0ffee", "Name": "/prod-order-1", "Config": {"StopTimeout": said}}

    assert container_state(raw, Replica(service="order", slot=1, spec="5bec"), ()).grace_s == said


@pytest.mark.parametrize(
    ("name", "of_image", "ours"),
    [
        ("debug", LABELS, False),
        ("prod-order-1-debug", LABELS, False),
        ("prod-order-1", LABELS, True),
        ("prod-order-1-c0ffee123456", LABELS, True),
        ("renamed", {}, True),
        ("renamed", None, True),
        ("renamed", {**LABELS, "io.swarmkeeper.spec": "01d"}, True),
    ],
)
def test_what_is_run_from_an_image_made_of_a_replica_is_not_ours(
    stub: StubDockerd, engine: DockerEngine, name: str, of_image: dict[str, str] | None, ours: bool
) -> None:
    """`docker commit` puts the labels of the replica into the image; one that is gone tells nothing."""
    labels = {**LABELS, "io.swarmkeeper.project": "prod"}
    entry = {"Id": "c0ffee", "Names": [f"/{name}"], "ImageID": "sha256:1", "Labels": labels}
    stub.answers["GET /containers/json"] = (200, [entry])
    raw = {"Id": "c0ffee", "Name": f"/{name}", "Image": "sha256:1", "Config": {}, "State": {}}
    stub.answers["GET /containers/c0ffee/json"] = (200, raw)
    if of_image is not None:
        stub.answers["GET /images/sha256%3A1/json"] = (200, {"Config": {"Labels": of_image}})

    found = engine.containers({}, _context)

    assert [each.name for each in found.ours] == ([name] if ours else [])
    assert found.foreign_names == (() if ours else ((name, "c0ffee"),))


@pytest.mark.parametrize("swap", [None, -1])
def test_a_kernel_that_limits_no_swap_does_all_that_was_asked_for_where_no_limit_was(
    stub: StubDockerd, engine: DockerEngine, swap: int | None
) -> None:
    stub.answers["POST /containers/c0ffee/update"] = (200, {"Warnings": [NO_SWAP_LIMIT]})

    engine.update("c0ffee", ContainerSpec(image="x", memory_limit_bytes=64 << 20, memory_swap_bytes=swap))


def test_a_limit_on_swap_that_the_kernel_cannot_keep_is_refused_and_not_asked_for_at_once_again(
    stub: StubDockerd, engine: DockerEngine
) -> None:
    """The engine takes it for unlimited, with a warning: the next look finds the limit missing as before."""
    stub.answers["POST /containers/c0ffee/update"] = (200, {"Warnings": [NO_SWAP_LIMIT]})
    limited = ContainerSpec(image="x", memory_limit_bytes=64 << 20, memory_swap_bytes=96 << 20)

    with pytest.raises(Refused, match="does not support swap limit"):
        engine.update("c0ffee", limited)


def test_the_image_of_a_replica_is_looked_at_once(stub: StubDockerd, engine: DockerEngine) -> None:
    raw: dict[str, Any] = {
        "Id": "c0ffee",
        "Name": "/prod-order-1",
        "Image": "sha256:1",
        "Config": {},
        "State": {},
    }
    stub.answers["GET /containers/json"] = (
        200,
        [{"Id": "c0ffee", "Names": ["/prod-order-1"], "Labels": LABELS}],
    )
    stub.answers["GET /containers/c0ffee/json"] = (200, raw)
    stub.answers["GET /images/sha256%3A1/json"] = (200, {"Id": "sha256:1", "Config": {}})

    for _ in range(3):
        engine.containers({"5bec": ContainerSpec(image="x")}, _context)

    assert len([each for each in stub.asked if "/images/" in each]) == 1


def test_a_pull_reports_progress_and_raises_what_the_stream_says_went_wrong(
    stub: StubDockerd, engine: DockerEngine
) -> None:
    def stream(send: Any) -> None:
        send(
            '{"status":"Pulling from order","id":"1.0.0"}\r\n'
            '{"status":"Downloading","id":"ab","progressDetail":{"current":1048576,"total":4194304}}\r\n'
        )
        send('{"errorDetail":{"message":"no space left on device"},"error":"no space left on device"}\r\n')

    stub.answers["POST /images/create"] = stream
    heard: list[str] = []

    with pytest.raises(Refused, match="no space left on device"):
        engine.pull("10.159.62.231/somecom/order:1.0.0", heard.append)
    assert heard == ["0 of 1 layers, 1 of 4 MiB"]
    assert stub.asked[-1].endswith("fromImage=10.159.62.231%2Fsomecom%2Forder&tag=1.0.0")


def test_a_worker_knows_its_node_and_its_managers_but_not_the_swarms_id() -> None:
    """As 20.10 and 26.1 answer: only a manager has Cluster."""
    state = swarm_state(
        {
            "NodeID": "n2", "NodeAddr": "10.0.0.2", "LocalNodeState": "active", "ControlAvailable": False, "Error": "",
            "RemoteManagers": [{"NodeID": "n1", "Addr": "10.0.0.1:2377"}], "Cluster": None,
        },
        "test",
    )  # fmt: skip

    assert (state.node_id, state.swarm_id, state.is_manager) == ("n2", None, False)
    assert state.managers == (("n1", "10.0.0.1:2377"),)


def test_a_manager_without_quorum_says_so_in_its_state() -> None:
    raw = {"NodeID": "n1", "LocalNodeState": "active", "ControlAvailable": True, "Error": NO_LEADER}

    state = swarm_state({**raw, "RemoteManagers": None}, "test")

    assert (state.is_manager, state.error, state.managers) == (True, NO_LEADER, ())


def test_a_leader_that_knows_itself_as_0_0_0_0_has_the_address_it_advertises() -> None:
    state = node_state(
        {
            "ID": "n1", "Spec": {"Role": "manager", "Availability": "drain", "Labels": {"zone": "a"}},
            "Version": {"Index": 9},
            "Description": {"Hostname": "host-1"}, "Status": {"State": "ready", "Addr": "0.0.0.0"},
            "ManagerStatus": {"Leader": True, "Reachability": "reachable", "Addr": "10.0.0.1:2377"},
        }
    )  # fmt: skip

    assert (state.address, state.manager_address) == ("10.0.0.1", "10.0.0.1:2377")
    assert state.version == 9
    assert (state.leader, state.reachable, state.availability, state.labels) == (
        True,
        True,
        "drain",
        (("zone", "a"),),
    )


@pytest.mark.parametrize(
    ("config", "subnet", "gateway"),
    [
        ([{"Subnet": "172.21.0.1/20", "Gateway": "172.21.0.1"}], "172.21.0.0/20", "172.21.0.1"),
        ([{"Subnet": "fd00::/64"}, {"Subnet": "10.1.0.0/16", "Gateway": "10.1.0.1/16"}], "10.1.0.0/16", "10.1.0.1"),
        ([{"Subnet": "10.1.0.0/16"}], "10.1.0.0/16", None),
        (None, None, None),
    ],
)  # fmt: skip
def test_a_subnet_is_read_in_every_form_an_engine_keeps_it_in(config: Any, subnet: str, gateway: str) -> None:
    state = network_state({"Id": "n", "Name": "net", "IPAM": {"Config": config}, "Driver": ""}, "test")

    assert (str(state.subnet) if state.subnet else None, state.gateway) == (subnet, gateway)
