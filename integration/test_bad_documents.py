"""A document that cannot be accepted changes nothing, and says what is wrong and where."""

import re
from collections.abc import Callable
from functools import partial

import pytest

from integration.cluster import EXAMPLE, Cluster
from integration.lab.eventually import eventually
from integration.lab.host import Host

GOOD = EXAMPLE
VERDICT_S = 10

Edit = Callable[[str], str]


def swap(old: str, new: str) -> Edit:
    def edit(text: str) -> str:
        assert old in text, f"{old!r} is not in the document any more"
        return text.replace(old, new, 1)

    return edit


BAD: dict[str, tuple[Edit, str]] = {
    "an unknown key": (swap("image:", "imge:"), "image"),
    "a duplicate key": (lambda text: text + "\nname: prod\n", "name"),
    "no YAML": (lambda text: text + "\n  - [\n", "line"),
    "nothing at all": (lambda _: "", "empty"),
    "a list": (lambda _: "- a\n- b\n", "mapping"),
    "an unknown version": (swap("version: 1", "version: 2"), "version"),
    "a host nobody declared": (swap("[node-233]", "[node-234]"), "node-234"),
    "overlapping subnets": (lambda text: text.replace("172.21.0.", "10.10.0."), "overlap"),
    "a gateway outside its subnet": (swap("gateway: 10.10.0.254", "gateway: 10.11.0.254"), "10.11.0.254"),
    "no subnet at all": (swap("subnet: 10.10.0.0/16", "subnet: ten"), "ten"),
    "two services on one port of one host": (swap('"20880:20880"', '"80:20880"'), "80"),
    "a port that does not exist": (swap('"20880:20880"', '"70000:20880"'), "70000"),
    "no manager": (lambda text: text.replace("role: manager", "role: worker"), "manager"),
    "an unknown role": (swap("role: manager", "role: boss"), "boss"),
    "an unknown network": (swap("networks: [my-network-overlay]", "networks: [lan]"), "lan"),
    "an alias bomb": (lambda text: text + bomb(), "alias"),
    "a build": (swap("image:", "build: .\n    image:"), "build"),
    "two hosts at one address": (swap("10.159.62.233", "10.159.62.232"), "10.159.62.232"),
    "a name with a path in it": (swap("  order:", "  ../order:"), "order"),
    "no image": (swap("image:", "labels: {a: b} #"), "image"),
}


def bomb() -> str:
    levels = ["x-a: &a0 [lol, lol, lol, lol, lol, lol, lol, lol, lol]"]
    levels += [f"x-b{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 9)}]" for n in range(1, 9)]
    return "\n" + "\n".join(levels) + "\n"


def events(host: Host, since: str) -> str:
    """Everything docker did since then on that host."""
    until = host.exec("date", "+%s.%N").stdout.strip()
    return host.exec("docker", "events", "--since", since, "--until", until).stdout


def refused(cluster: Cluster, revision: int) -> str:
    verdict = cluster.get("verdict")
    assert verdict
    assert verdict["revision"] == revision, verdict
    assert not verdict["accepted"], verdict
    return "\n".join(verdict["errors"])


def test_twenty_bad_documents_touch_nothing_and_the_next_good_one_is_applied(cluster: Cluster) -> None:
    hosts = cluster.lab.hosts
    before, accepted = cluster.started(), cluster.get("accepted")
    moments = {host.name: host.exec("date", "+%s.%N").stdout.strip() for host in hosts}
    for what, (edit, word) in BAD.items():
        errors = eventually(
            partial(refused, cluster, cluster.put(edit(GOOD))), VERDICT_S, f"{what} is refused"
        )
        assert re.search(r"line \d+, column \d+: ", errors), f"{what}: {errors}"
        assert word in errors, f"{what}: {errors}"
    assert len(BAD) == 20
    for host in hosts:
        eventually(partial(says_invalid, cluster, host), 5, f"{host.name} says that the newest is invalid")
        assert events(host, moments[host.name]) == ""
    assert cluster.get("accepted") == accepted
    assert cluster.started() == before
    cluster.wait_converged(cluster.put(GOOD + "\n# and now it is right\n"))
    assert cluster.started() == before


def says_invalid(cluster: Cluster, host: Host) -> bool:
    return cluster.metrics(host)["swarmkeeper_intent_valid"] == 0


def test_bytes_that_are_no_text_are_refused_with_their_place(cluster: Cluster) -> None:
    host = cluster.lab.hosts[0]
    host.write("/tmp/latin1", GOOD.encode() + b"# caf\xe9\n")
    put = "ETCDCTL_API=3 etcdctl put /swarmkeeper/prod/intent < /tmp/latin1"
    host.exec("sh", "-c", put)
    eventually(lambda: "UTF-8" in str((cluster.get("verdict") or {})["errors"]), VERDICT_S, "it is refused")


def test_deleting_the_document_stops_nothing(cluster: Cluster) -> None:
    before = cluster.started()
    cluster.delete("intent")
    for host in cluster.lab.hosts:
        eventually(partial(holds, cluster, host), VERDICT_S, f"{host.name} says that it holds")
    assert cluster.started() == before


def holds(cluster: Cluster, host: Host) -> bool:
    return cluster.metrics(host)['swarmkeeper_intent_revision{kind="seen"}'] == 0


@pytest.fixture(autouse=True)
def _good_again(cluster: Cluster) -> None:
    """Every test begins with the example accepted; `cluster` has seen to it."""
