"""Attacks on a cluster with a document, or with an agent's rights in etcd: no host runs more than it is to run."""

import time
from functools import partial
from random import Random
from typing import Any

import pytest

from agent.model.records import Accepted, encode
from integration.cluster import EXAMPLE, PREFIX, UNIT, Cluster
from integration.conftest import CONVERGE_S
from integration.lab.eventually import eventually
from integration.lab.host import Host
from tests.support.document import document
from tests.support.thoroughness import examples

NAMED_S = 10
"""Within this time each attack is named."""
IMAGE = "10.159.62.231/somecom/order:1.0.0"
HOST = "node-232"
ROOT: dict[str, dict[str, Any]] = {
    "disk": {"volumes": ["/:/host"]},
    "socket": {"volumes": ["/var/run/docker.sock:/docker.sock"]},
    "own-key": {"volumes": ["/etc/swarmkeeper:/keys:ro"]},
    "privileged": {"privileged": True},
    "processes": {"pid": "host"},
    "network": {"network_mode": "host"},
    "capability": {"cap_add": ["ALL"]},
    "memory": {"devices": ["/dev/mem:/dev/mem"]},
    "profile": {"security_opt": ["seccomp=unconfined"]},
}
"""Services that make whoever may write the document root on a host."""


def services(**more: dict[str, Any]) -> str:
    return document(EXAMPLE, services=more)


def created(host: Host, since: int, service: str) -> str:
    """The containers of a service that were created on the host since then."""
    filters = ("type=container", "event=create", f"label=io.swarmkeeper.service={service}")
    options = [word for each in filters for word in ("--filter", each)]
    until = int(time.time()) + 1
    return host.exec("docker", "events", f"--since={since}", f"--until={until}", *options).stdout


def blocked(cluster: Cluster, host: Host) -> dict[str, tuple[str, str]]:
    """Resource -> (kind, reason) of what the host reports as blocked."""
    return {each["resource"]: (each["kind"], each["reason"]) for each in cluster.status(host)["blocked"]}


def main_pids(cluster: Cluster) -> list[str]:
    return [host.systemctl("show", "--value", "--property=MainPID", UNIT) for host in cluster.lab.hosts]


def test_no_document_makes_its_author_root_on_a_host(cluster: Cluster) -> None:
    host, since, before = cluster.lab[HOST], int(time.time()), cluster.started()
    wanted = {name: {"image": IMAGE, "x-hosts": [HOST], **keys} for name, keys in ROOT.items()}

    cluster.put(services(billing={"privileged": True}, **wanted))

    def are_named() -> None:
        found = blocked(cluster, host)
        for name in (*ROOT, "billing"):
            kind, reason = found[f"container/prod-{name}-1"]
            assert kind == "admission", (name, reason)
            assert "admission" in reason

    eventually(are_named, NAMED_S, "the host names each service that it does not admit")
    assert {name: created(host, since, name) for name in (*ROOT, "billing")} == dict.fromkeys(
        (*ROOT, "billing"), ""
    )
    assert cluster.started() == before


@pytest.mark.parametrize("revisions", [1, 1000])
def test_a_document_that_no_operator_put_runs_nowhere(cluster: Cluster, revisions: int) -> None:
    since, before = int(time.time()), cluster.started()
    accepted = cluster.get("accepted") or {}
    text = services(forged={"image": IMAGE, "deploy": {"mode": "global"}})
    forged = Accepted(
        revision=accepted["revision"] + revisions, document=text, epoch=accepted.get("epoch", 0)
    )

    cluster.etcdctl("put", f"{PREFIX}accepted", document=encode(forged).decode())

    def is_repaired() -> None:
        assert (cluster.get("accepted") or {})["document"] == accepted["document"]

    eventually(is_repaired, NAMED_S, "the leader writes the document of the operator again")
    revision = cluster.put(document(EXAMPLE, tags={"order": "1.0.1"}))
    cluster.wait_converged(revision)
    assert [created(host, since, "forged") for host in cluster.lab.hosts] == ["", "", ""]
    said = [host.journal_text(UNIT) for host in cluster.lab.hosts]
    assert any("etcd's history of intent does not have it at revision" in each for each in said)
    kept = {name: at for name, at in cluster.started().items() if "-order-" not in name}
    assert kept == {name: at for name, at in before.items() if "-order-" not in name}


def test_a_document_that_stands_for_too_much_is_refused_and_the_next_one_is_in_force(
    cluster: Cluster,
) -> None:
    pids, before = main_pids(cluster), cluster.started()
    many = {f"many-{n}": {"image": IMAGE, "deploy": {"replicas": 10000}} for n in range(120)}
    too_much = cluster.put(services(**many))

    def is_refused() -> None:
        verdict = cluster.get("verdict") or {}
        assert (verdict["revision"], verdict["accepted"]) == (too_much, False)
        assert any("20000" in each.replace(",", "") for each in verdict["errors"]), verdict["errors"]

    eventually(is_refused, NAMED_S, "the verdict names the limit")
    assert cluster.started() == before
    good = cluster.put(document(EXAMPLE, tags={"order": "1.0.1"}))

    def is_in_force() -> None:
        assert (cluster.get("accepted") or {})["revision"] == good

    eventually(is_in_force, NAMED_S, "the next document is in force")
    for host in cluster.lab.hosts:
        eventually(partial(cluster.check_converged, host, good), 60, "it is carried out")
    assert main_pids(cluster) == pids


MEMORY_MAX_KB = 256 << 10
NOWHERE = "10.159.62.231/somecom/no-such-image:1"


def around_the_limits(seed: int) -> str:
    """The example with services that ask for about as many replicas as may be, and sometimes for more."""
    dice = Random(seed)
    count = dice.choice([1, 2, 10, 100, 300])
    total = dice.choice([300, 2500, 2990, 3010, 20_000, 20_001, 1_200_000])
    share = max(1, min(10_000, total // count))
    return services(
        **{
            f"many-{number}": {
                "image": NOWHERE,
                "environment": {"LONG": "x" * dice.choice([1, 1, 1000, 5000])},
                **dice.choice(
                    [
                        {"deploy": {"replicas": share}},
                        {
                            "deploy": {
                                "replicas": share,
                                "placement": {"max_replicas_per_node": dice.randint(1, 999)},
                            }
                        },
                        {"x-hosts": {HOST: min(share, 999)}},
                    ]
                ),
            }
            for number in range(count)
        }
    )


@pytest.mark.timeout(3600)
def test_after_any_document_around_the_limits_the_next_one_is_in_force(cluster: Cluster) -> None:
    pids, before = main_pids(cluster), cluster.started()
    for seed in range(examples(10, 100)):
        revision = cluster.put(around_the_limits(seed))

        def is_judged(revision: int = revision) -> None:
            assert (cluster.get("verdict") or {})["revision"] == revision

        eventually(is_judged, NAMED_S, f"document {seed} is judged")
        good = cluster.put(document(EXAMPLE, cluster={"policy": {"reschedule_after": f"{60 + seed}s"}}))

        def is_in_force(good: int = good) -> None:
            assert (cluster.get("accepted") or {})["revision"] == good

        eventually(is_in_force, NAMED_S, f"the document after {seed} is in force")
    cluster.wait_converged(good, CONVERGE_S)
    assert main_pids(cluster) == pids
    assert cluster.started() == before
    peaks = [
        int(host.exec("awk", "/VmHWM/ {print $2}", f"/proc/{pid}/status").stdout)
        for host, pid in zip(cluster.lab.hosts, pids, strict=True)
    ]
    print(f"most memory of each agent, MB: {[peak >> 10 for peak in peaks]}")
    assert max(peaks) < MEMORY_MAX_KB
