"""Join tokens in etcd are sealed: a host with the hosts' key joins, one with another key says why it does not."""

import base64
import os
from functools import partial

from integration.cluster import DOCUMENT, UNIT, Cluster
from integration.lab.eventually import eventually
from integration.lab.host import Host

KEY_FILE = "/etc/swarmkeeper/tokens.key"
BOOT_S = 120


def give_key(cluster: Cluster, host: Host, key: str) -> None:
    host.write(KEY_FILE, f"{key}\n", mode=0o640)
    host.exec("chgrp", "swarmkeeper", KEY_FILE)
    settings = f"{cluster.config(host)}tokens:\n  key_file: {KEY_FILE}\n"
    host.write("/etc/swarmkeeper/agent.yaml", settings, mode=0o644)


def new_key() -> str:
    return base64.b64encode(os.urandom(32)).decode()


def test_what_etcd_holds_lets_nobody_join_without_the_key_of_the_hosts(fresh_cluster: Cluster) -> None:
    cluster, key, other = fresh_cluster, new_key(), new_key()
    *first, last = cluster.lab.hosts
    for host in first:
        give_key(cluster, host, key)
    give_key(cluster, last, other)
    revision = cluster.put(DOCUMENT.read_text())
    for host in first:
        host.systemctl("start", UNIT)
    eventually(partial(sealed, cluster), BOOT_S, "tokens are published for the one that is missing")

    last.systemctl("start", UNIT)
    eventually(partial(says_why, cluster, last), BOOT_S, "it says that it has another key")
    assert last.docker.api.info()["Swarm"]["LocalNodeState"] == "inactive"
    assert "SWMTKN" not in cluster.etcdctl("get", "--prefix", "")

    give_key(cluster, last, key)
    last.systemctl("restart", UNIT)
    cluster.wait_converged(revision, BOOT_S)
    eventually(lambda: gone(cluster), 30, "the tokens are withdrawn")
    for host in cluster.lab.hosts:
        journal = host.journal_text(UNIT)
        assert not any(secret in journal for secret in ("SWMTKN", key, other))


def sealed(cluster: Cluster) -> None:
    tokens = cluster.get("tokens")
    assert tokens is not None
    assert tokens["sealed"]
    assert (tokens["worker"], tokens["manager"]) == ("", "")


def says_why(cluster: Cluster, host: Host) -> None:
    reasons = [each["reason"] for each in cluster.status(host)["blocked"]]
    assert any(f"sealed with a key that is not in {KEY_FILE}" in each for each in reasons), reasons


def gone(cluster: Cluster) -> None:
    assert cluster.get("tokens") is None
