"""Random documents on hosts with objects of others under the names of ours: only the host concerned waits.

Nothing of theirs is used or touched, and each is named.
"""

import tempfile
from dataclasses import replace
from ipaddress import IPv4Network
from pathlib import Path
from typing import NamedTuple

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from agent.diff.container import CLUSTER as CLUSTER_LABEL
from agent.model.host_state import NetworkState, VolumeState
from tests.support.document import document
from tests.support.document_strategies import documents
from tests.support.simulated_cluster import NAMES, SimulatedCluster, parsed
from tests.support.thoroughness import examples

pytestmark = pytest.mark.usefixtures("unlogged")

NET, VOLUME = "my-network-overlay", "prod_data"
_LOCAL = NetworkState(
    id="",
    name=NET,
    driver="bridge",
    scope="local",
    subnet=IPv4Network("172.30.0.0/16"),
    gateway="172.30.0.1",
)
NETWORKS = {
    "bridge": _LOCAL,
    "macvlan": replace(_LOCAL, driver="macvlan"),
    "bridge of cluster test": replace(_LOCAL, cluster="test"),
    "overlay of another swarm": replace(_LOCAL, driver="overlay", scope="swarm", attachable=True),
    "overlay of another swarm, as declared": replace(
        _LOCAL,
        driver="overlay",
        scope="swarm",
        attachable=True,
        subnet=IPv4Network("10.10.0.0/16"),
        gateway="10.10.0.254",
    ),
}


VOLUMES = (VolumeState(name=VOLUME, driver="nfs"), VolumeState(name=VOLUME, of_cluster="test"))


class Planted(NamedTuple):
    """What others have on one host."""

    network: str = ""
    volume: VolumeState | None = None
    container: str = ""
    late: bool = False
    """True if the network comes when the replicas run."""


plants = st.builds(
    Planted,
    network=st.sampled_from(("", *NETWORKS)),
    volume=st.sampled_from((None, *VOLUMES)),
    container=st.sampled_from(("", "prod-order-1", "prod-shop-2")),
    late=st.booleans(),
)


@st.composite
def with_volumes(draw: st.DrawFn) -> str:
    drawn = draw(documents())
    names = [each.name for each in parsed(drawn).services]
    using = draw(st.sets(st.sampled_from(names))) if names else set()
    services = {each: {"volumes": ["data:/data"]} for each in sorted(using)}
    return document(drawn, services=services, volumes={"data": {}}) if using else drawn


@settings(
    max_examples=examples(5, 40),
    deadline=None,
    phases=(Phase.explicit, Phase.generate),
    suppress_health_check=list(HealthCheck),
)
@given(text=with_volumes(), planted=st.fixed_dictionaries(dict.fromkeys(NAMES, plants)))
def test_strangers(text: str, planted: dict[str, Planted]) -> None:
    with tempfile.TemporaryDirectory() as directory:
        _check(Path(directory), text, planted)


@pytest.mark.parametrize("network", [each for each in NETWORKS if each.startswith("overlay")])
def test_an_overlay_of_a_swarm_of_the_past_on_the_first_leader_holds_only_that_host(
    tmp_path: Path, network: str
) -> None:
    nothing = dict.fromkeys(NAMES, Planted())

    _check(tmp_path, document(), {**nothing, NAMES[0]: Planted(network=network)})


def _check(directory: Path, text: str, planted: dict[str, Planted]) -> None:
    cluster = SimulatedCluster(directory, text)
    theirs = {name: _plant(cluster, name, each) for name, each in planted.items()}
    cluster.put_intent(text)
    cluster.start()
    cluster.rounds(25)
    for name, each in planted.items():
        if each.network and each.late:
            _plant_network(cluster, name, each.network)
    cluster.rounds(20)

    intent = parsed(text)
    for name, each in planted.items():
        agent, host = cluster.agents[name], cluster.hosts[name]
        told = "\n".join(str(one) for one in agent.plan.blocked if one.kind in ("foreign", "name"))
        assert _seen(cluster, name) == theirs[name] | _late(name, each)
        assert f"network-{name}" not in _networks_used(cluster, name)
        if each.network:
            assert f"docker network rm network-{name}"[:30] in told
        assigned = cluster.assignment(name)
        for replica in assigned.replicas if assigned else ():
            called = f"prod-{replica.service}-{replica.slot}"
            service = intent.service(replica.service)
            assert service is not None
            uses_volume = each.volume is not None and bool(service.spec.volumes)
            if called == each.container or uses_volume:
                assert called not in host.running()
                # Of a volume the host tells once, whatever number of replicas waits for it.
                mine = {one.resource for one in agent.plan.blocked}
                mine |= {one.resource for one in agent.plan.waiting}
                assert f"container/{called}" in mine
                assert (f"volume/{VOLUME}" if uses_volume else f"container/{called}") in told
            elif not each.network:
                assert called in host.running(), agent.plan
            elif not each.late:
                assert called not in host.running()


def _plant(cluster: SimulatedCluster, name: str, each: Planted) -> dict[str, object]:
    engine = cluster.hosts[name].engine
    if each.network and not each.late:
        _plant_network(cluster, name, each.network)
    if each.volume:
        engine.volume_names.add(VOLUME)
        engine.made_volumes[VOLUME] = each.volume
    if each.container:
        engine.run_foreign(each.container)
        engine.by_hand.get(each.container)["Config"]["Labels"] = {CLUSTER_LABEL: "test"}
    return _seen(cluster, name)


def _plant_network(cluster: SimulatedCluster, name: str, which: str) -> None:
    cluster.hosts[name].engine.nets.local[NET] = replace(NETWORKS[which], id=f"network-{name}")


def _late(name: str, each: Planted) -> dict[str, object]:
    late = each.network and each.late
    return {"network": replace(NETWORKS[each.network], id=f"network-{name}")} if late else {}


def _seen(cluster: SimulatedCluster, name: str) -> dict[str, object]:
    """What is theirs on a host, in a form in which it can be compared."""
    engine = cluster.hosts[name].engine
    found: dict[str, object] = {}
    if NET in engine.nets.local:
        found["network"] = engine.nets.local[NET]
    if (volume := engine.made_volumes.get(VOLUME)) in VOLUMES:
        found["volume"] = volume
    for raw in engine.by_hand.raws.values():
        if (raw["Config"]["Labels"] or {}).get(CLUSTER_LABEL) == "test":
            found[raw["Name"]] = (raw["Id"], raw["State"]["Status"], raw["State"]["StartedAt"])
    return found


def _networks_used(cluster: SimulatedCluster, name: str) -> set[str]:
    replicas = cluster.hosts[name].replicas().values()
    return {
        str(end.get("NetworkID")) for raw in replicas for end in raw["NetworkSettings"]["Networks"].values()
    }
