"""From the agents of format 1 to these ones, under running containers: nothing is restarted, recreated or lost.

The older package is built from the history of this repository.
"""

import subprocess
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from integration.cluster import EXAMPLE, ROOT, UNIT, Cluster, package
from integration.conftest import LONG_ONLY, session_name
from integration.journals import check_journals
from integration.lab.base import MACHINE
from integration.lab.eventually import eventually
from integration.lab.host import Host
from integration.lab.lab import Lab
from integration.test_secrets import give_key, new_key
from tests.support.document import document

EARLIER = "d88f2f7e4c9f9a849f4711f3deea86fcd7345f6b"
"""The last commit before the words of records, labels and the document changed."""
PACKAGED = ("agent", "deploy", "docs", "script", "requirements.lock", "pyproject.toml", "README.md")
PACKAGED_TOO = ("CHANGELOG.md", "LICENSE")
CONVERGE_S, PAUSED_S, UPGRADED_S = 150, 90, 60
SHOP = "prod-shop-"
GOOD, BAD = "good", "bad"
OLD_KEY, KEY = "pin_addresses", "reserve_addresses"
"""Of the policy, which every replica keeps its address by."""


def document_with(shop: str, addresses: str, **services: Any) -> str:
    """The example, and of each kind of service one; `shop` fails its health check if it is BAD."""
    image, common = "10.159.62.231/somecom/terminal:1.0.0", {"networks": ["my-network-overlay"]}
    ip = {"IP": "{{.Overlay.IP}}", "SLOT": "{{.Task.Slot}}", "ADDRESS": "{{.Host.Address}}"}
    check = {"test": ["CMD-SHELL", '[ "$$SHOP" != bad ]'], "interval": "1s", "retries": 1}
    more: dict[str, dict[str, Any]] = {
        "job": {"x-hosts": ["node-232"], "restart": "on-failure", "entrypoint": ["true"]},
        "everywhere": {
            "deploy": {"mode": "global"},
            "restart": "always",
            "environment": ip,
            "volumes": ["data:/data"],
            "mem_limit": "64m",
        },
        "placed": {"deploy": {"replicas": 2}, "restart": "always"},
        "shop": {
            "x-hosts": ["node-231", "node-232", "node-233"],
            "restart": "always",
            "environment": {"SHOP": shop},
            "healthcheck": check,
            "deploy": {"update_config": {"monitor": "2s", "failure_action": "pause"}},
        },
    }
    return document(
        EXAMPLE,
        cluster={"swarm": {"autolock": True}},
        policy={addresses: True},
        services={name: {"image": image, **common, **each} for name, each in more.items()} | services,
        volumes={"data": {}},
    )


def earlier_package() -> Path:
    """The package of the earlier commit, built as its own script does."""
    if subprocess.run(["git", "cat-file", "-e", f"{EARLIER}^{{commit}}"], cwd=ROOT, check=False).returncode:
        pytest.skip(f"the history of this checkout lacks {EARLIER[:7]}")
    tree = ROOT / "build" / "earlier"
    tree.mkdir(parents=True, exist_ok=True)
    archive = ["git", "archive", EARLIER, *PACKAGED, *PACKAGED_TOO]
    content = subprocess.run(archive, cwd=ROOT, check=True, capture_output=True).stdout
    subprocess.run(["tar", "-x", "-C", str(tree)], input=content, check=True)
    if not (tree / ".venv").exists():
        (tree / ".venv").symlink_to(ROOT / ".venv")  # it needs the build tool alone
    with pytest.MonkeyPatch.context() as environment:
        environment.setenv("SOURCE_DATE_EPOCH", "1700000000")
        return package(MACHINE.name, tree)


class Earlier(Cluster):
    """The agents of the earlier commit, whose agent.yaml has no policy of admission."""

    def config(self, host: Host) -> str:
        return super().config(host).partition("admission:")[0]


@pytest.fixture
def earlier() -> Iterator[Cluster]:
    """Three agents of the earlier commit that have carried out a document, with one rollout paused."""
    deb, key = earlier_package(), new_key()
    lab = Lab(session_name("-earlier"), base=MACHINE.name)
    try:
        lab.up()
        cluster = Earlier(lab)

        def begin(host: Host) -> None:
            cluster.install_on(host, deb)
            give_key(cluster, host, key)
            host.systemctl("start", UNIT)

        cluster.on_every_host(begin)
        revision = cluster.put(document_with(GOOD, OLD_KEY))
        eventually(partial(carried_out, cluster, revision), CONVERGE_S, "the older agents converge")
        cluster.put(document_with(BAD, OLD_KEY))
        eventually(partial(paused, cluster), PAUSED_S, "the rollout is paused")
        eventually(partial(at_rest, cluster, lab.hosts, "garbage"), PAUSED_S, "the older agents are at rest")
        yield cluster
        check_journals(lab)
    finally:
        lab.down()


def carried_out(cluster: Cluster, revision: int) -> None:
    for host in cluster.lab.hosts:
        status = cluster.status(host)
        assert (status["revision"], status["steps"], status["blocked"]) == (revision, [], []), status


def paused(cluster: Cluster) -> None:
    rollout = cluster.get("rollouts/shop")
    assert rollout is not None
    assert rollout["state"] == "paused"


def at_rest(cluster: Cluster, hosts: Sequence[Host], unread: str = "unreadable") -> None:
    """AssertionError if one of the hosts has something to do, or cannot read what is in etcd."""
    for host in hosts:
        status = cluster.status(host)
        left = [
            each for each in status["blocked"] if each["kind"] == unread or "shop" not in each["resource"]
        ]
        assert (status["steps"], left, status.get("waiting") or []) == ([], [], []), status
        assert host.systemctl("is-active", UNIT) == "active"


def seen(cluster: Cluster) -> dict[str, Any]:
    """Everything that an upgrade could disturb, as docker shows it."""
    found: dict[str, Any] = {}
    for host in cluster.lab.hosts:
        api = host.docker.api
        found[f"{host.name} node"] = api.info()["Swarm"]["NodeID"]
        found[f"{host.name} dockerd"] = host.systemctl("show", "docker", "--property", "MainPID")
        for each in api.networks():
            found[f"{host.name} network {each['Name']}"] = each["Id"], each["IPAM"]["Config"]
        for listed in api.containers(all=True):
            raw = api.inspect_container(listed["Id"])
            networks = raw["NetworkSettings"]["Networks"]
            addresses = {name: each["IPAddress"] for name, each in networks.items()}
            state = raw["State"]["StartedAt"], raw["State"]["Status"], raw["RestartCount"]
            found[f"{host.name} container {raw['Name']}"] = raw["Id"], state, addresses
    return found


def upgrade(cluster: Cluster, deb: Path, host: Host) -> None:
    """Install the package as an operator who keeps agent.yaml."""
    host.write(f"/var/tmp/{deb.name}", deb.read_bytes())
    keep = ("env", "DEBIAN_FRONTEND=noninteractive", "dpkg", "--force-confold", "--install")
    host.exec(*keep, f"/var/tmp/{deb.name}", timeout=300)


def host_by_host(cluster: Cluster, deb: Path, before: dict[str, Any]) -> None:
    hosts = cluster.lab.hosts
    for number, host in enumerate(hosts, start=1):
        upgrade(cluster, deb, host)
        eventually(partial(reads_format_2, cluster, hosts[:number]), UPGRADED_S, f"{host.name} reports")
        assert seen(cluster) == before


def all_at_once(cluster: Cluster, deb: Path, before: dict[str, Any]) -> None:
    cluster.on_every_host(partial(upgrade, cluster, deb))


def without_etcd(cluster: Cluster, deb: Path, before: dict[str, Any]) -> None:
    """All at once while etcd is away: what the older agents saved on disk is all that there is."""
    since = cluster.lab.hosts[0].exec("date", "+%F %T.%N").stdout.strip()
    cluster.on_every_host(lambda host: host.systemctl("stop", "etcd"))
    all_at_once(cluster, deb, before)
    for host in cluster.lab.hosts:
        eventually(partial(has_loaded, host, since), UPGRADED_S, f"{host.name} reads its saved state")
    assert seen(cluster) == before
    cluster.on_every_host(lambda host: host.systemctl("start", "etcd"))
    cluster.lab.wait_etcd()


def has_loaded(host: Host, since: str) -> None:
    """AssertionError unless the agent has read the document and the assignment that its host has on disk."""
    text = host.journal_text(UNIT, since)
    assert "saved state loaded" in text
    assert "revision=0" not in text
    assert "saved state ignored" not in text
    assert "stop container" not in text


def reads_format_2(cluster: Cluster, hosts: Sequence[Host]) -> None:
    """AssertionError unless these hosts report in the present format and one of them is the leader."""
    assert {cluster.status(host)["v"] for host in hosts} == {2}
    at_rest(cluster, hosts)
    leader = cluster.get("leader")
    assert leader is not None
    assert leader["host"] in [host.name for host in hosts]


@pytest.mark.parametrize(
    "how",
    [
        host_by_host,
        pytest.param(all_at_once, marks=LONG_ONLY),
        pytest.param(without_etcd, marks=LONG_ONLY),
    ],
    ids=lambda each: each.__name__,
)
def test_an_upgrade_restarts_no_replica_and_the_cluster_goes_on(
    earlier: Cluster, how: Callable[[Cluster, Path, dict[str, Any]], None]
) -> None:
    cluster, hosts = earlier, earlier.lab.hosts
    before = seen(cluster)
    how(cluster, package(MACHINE.name), before)
    eventually(partial(reads_format_2, cluster, hosts), UPGRADED_S, "the upgraded agents are at rest")
    paused(cluster)
    assert seen(cluster) == before

    # The paused rollout is still known: its end changes the one replica that it had changed.
    revision = cluster.put(document_with(GOOD, KEY))
    cluster.wait_converged(revision, CONVERGE_S)
    after = seen(cluster)
    changed = {name for name in before.keys() | after.keys() if before.get(name) != after.get(name)}
    assert len(changed) == 1, changed
    assert SHOP in changed.pop()


@LONG_ONLY
def test_a_document_that_is_refused_now_leaves_everything_as_it_is(earlier: Cluster) -> None:
    """A limit of processors below what any engine takes, which the earlier agents did not know."""
    cluster, hosts = earlier, earlier.lab.hosts
    never = {"image": "10.159.62.231/somecom/terminal:1.0.0", "deploy": {"replicas": 0}, "cpus": 0.001}
    revision = cluster.put(document_with(GOOD, OLD_KEY, never=never))
    eventually(partial(accepted, cluster, revision), PAUSED_S, "the older agents accept it")
    eventually(partial(at_rest, cluster, hosts, "garbage"), PAUSED_S, "the older agents are at rest")
    before = seen(cluster)
    cluster.on_every_host(partial(upgrade, cluster, package(MACHINE.name)))
    for host in hosts:
        eventually(partial(refuses, cluster, host), UPGRADED_S, f"{host.name} says why it holds")
    assert seen(cluster) == before

    cluster.wait_converged(cluster.put(document_with(GOOD, KEY)), CONVERGE_S)
    after = seen(cluster)
    changed = {name for name in before.keys() | after.keys() if before.get(name) != after.get(name)}
    assert [each for each in changed if SHOP not in each] == []


def accepted(cluster: Cluster, revision: int) -> None:
    verdict = cluster.get("verdict")
    assert verdict is not None
    assert (verdict["revision"], verdict["accepted"]) == (revision, True), verdict


def refuses(cluster: Cluster, host: Host) -> None:
    reasons = [each["reason"] for each in cluster.status(host)["blocked"] if each["kind"] == "unreadable"]
    assert any("services.never.cpus" in each for each in reasons), reasons
