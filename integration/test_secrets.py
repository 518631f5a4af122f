"""No secret is to be found anywhere: not in etcd, a log or a page; and what they are for works all the same.

Values of environment variables have to be in the document, its specs and what docker shows of a container: everywhere
else they are looked for, too.
"""

import base64
import json
import os
from collections.abc import Iterator, Mapping
from functools import partial

import pytest

from integration.cluster import EXAMPLE, PREFIX, UNIT, Cluster
from integration.lab.eventually import eventually
from integration.lab.host import Host
from tests.support.document import SERVICES, document

KEY_FILE = "/etc/swarmkeeper/tokens.key"
STATE = "/var/lib/swarmkeeper"
BOOT_S = 120
BACK_S = 120
MARK = "marked0c2f"
SWARMS_OWN = ("SWMTKN-", "SWMKEY-")
MAY_HOLD_VALUES = (f"{PREFIX}intent", f"{PREFIX}accepted", f"{PREFIX}specs/")


def locking(word: str) -> str:
    """The example with autolock, and with that password for every service."""
    environment = {"PASSWORD": f"{MARK}-{word}"}
    services = {name: {"environment": environment} for name in SERVICES}
    return document(EXAMPLE, cluster={"swarm": {"autolock": True}}, services=services)


def give_key(cluster: Cluster, host: Host, key: str) -> None:
    host.write(KEY_FILE, f"{key}\n", mode=0o640)
    host.exec("chgrp", "swarmkeeper", KEY_FILE)
    settings = f"{cluster.config(host)}tokens:\n  key_file: {KEY_FILE}\n"
    host.write("/etc/swarmkeeper/agent.yaml", settings, mode=0o644)


def new_key() -> str:
    return base64.b64encode(os.urandom(32)).decode()


@pytest.mark.timeout(900)
def test_hosts_join_and_unlock_themselves_and_no_secret_is_found_anywhere(fresh_cluster: Cluster) -> None:
    cluster, key, other = fresh_cluster, new_key(), new_key()
    secrets = (*SWARMS_OWN, key, other, MARK)
    revision = boot_with_one_that_has_another_key(cluster, key, other)
    assert_nothing_tells(cluster, secrets)

    give_key(cluster, cluster.lab.hosts[-1], key)
    cluster.lab.hosts[-1].systemctl("restart", UNIT)
    cluster.wait_converged(revision, BOOT_S)
    eventually(partial(gone, cluster), 30, "the tokens are withdrawn")

    revision = cluster.put(locking("second"))
    cluster.wait_converged(revision, BOOT_S)
    restart_the_leaders_agent(cluster)
    for host in cluster.lab.hosts[1:]:
        restart_a_locked_manager(cluster, host, revision)
    assert_nothing_tells(cluster, secrets)


def boot_with_one_that_has_another_key(cluster: Cluster, key: str, other: str) -> int:
    """Two hosts make the swarm; the third one cannot open the tokens, says so and stays outside."""
    *first, last = cluster.lab.hosts
    for host in first:
        give_key(cluster, host, key)
    give_key(cluster, last, other)
    revision = cluster.put(locking("first"))
    for host in first:
        host.systemctl("start", UNIT)
    eventually(partial(sealed, cluster), BOOT_S, "tokens are published for the one that is missing")
    eventually(partial(autolocks, cluster), BOOT_S, "autolock is on, and the key published")

    last.systemctl("start", UNIT)
    eventually(partial(says_why, cluster, last), BOOT_S, "it says that it has another key")
    assert last.docker.api.info()["Swarm"]["LocalNodeState"] == "inactive"
    return revision


def restart_the_leaders_agent(cluster: Cluster) -> None:
    before = cluster.get("leader")
    assert before
    cluster.lab[before["host"]].systemctl("restart", UNIT)
    eventually(lambda: led_by_another(cluster, before), BACK_S, "another one leads")


def led_by_another(cluster: Cluster, before: Mapping[str, str]) -> None:
    now = cluster.get("leader")
    assert now
    assert now["since"] != before["since"]


def restart_a_locked_manager(cluster: Cluster, host: Host, revision: int) -> None:
    """As after a reboot of the host: its dockerd is locked, and its agent knows what opens it."""
    since = host.exec("date", "+%F %T.%N").stdout.strip()
    node = host.docker.api.info()["Swarm"]["NodeID"]
    host.restart_dockerd()
    eventually(lambda: unlocked(cluster, host, since), BACK_S, f"{host.name} is unlocked by its agent")
    cluster.wait_converged(revision, BACK_S)
    assert host.docker.api.info()["Swarm"]["NodeID"] == node


def unlocked(cluster: Cluster, host: Host, since: str) -> None:
    assert "unlock swarm" in host.journal_text(UNIT, since)
    assert host.docker.api.info()["Swarm"]["LocalNodeState"] == "active"
    assert host.docker.api.info()["Swarm"]["ControlAvailable"]


# ---- what is found where


def assert_nothing_tells(cluster: Cluster, secrets: tuple[str, ...]) -> None:
    found = {
        f"{where}: {secret[:7]}"
        for where, text in everything_that_is_told(cluster)
        for secret in secrets
        if secret in text
    }
    assert not found, sorted(found)
    held = {key for key, value in content(cluster).items() if MARK in value}
    assert held
    assert {key for key in held if not key.startswith(MAY_HOLD_VALUES)} == set()
    for host in cluster.lab.hosts:
        assert any(MARK in value for value in kept(host).values()), (
            f"kept.json of {host.name} is not what it was"
        )


def everything_that_is_told(cluster: Cluster) -> Iterator[tuple[str, str]]:
    """(where, text) of all that a person, a log or a disk gets to see; of etcd what must hold no value either."""
    for key, value in content(cluster).items():
        yield key, value.replace(MARK, "") if key.startswith(MAY_HOLD_VALUES) else value
    for host in cluster.lab.hosts:
        yield f"journal of {host.name}", host.journal_text()
        yield f"processes of {host.name}", host.exec("ps", "-eo", "args").stdout
        if host.systemctl("is-active", UNIT, check=False).strip() == "active":
            for page in ("metrics", "status", "readyz"):
                url = f"http://{host.address}:9477/{page}"
                yield url, cluster.lab.lan.http_get(url).text
        yield f"files in the state directory of {host.name}", host.exec("sh", "-c", f"cat {STATE}/*").stdout
        for key, value in kept(host).items():
            where = f"{key} in the state directory of {host.name}"
            yield where, value.replace(MARK, "") if key.startswith(MAY_HOLD_VALUES) else value
    another = cluster.lab.hosts[0]
    another.write("/tmp/another.yaml", locking("third"))
    commands = (("status",), ("status", "-o", "json"), ("plan",), ("plan", "-o", "json"))
    for command in (*commands, ("plan", "/tmp/another.yaml"), ("plan", "-o", "json", "/tmp/another.yaml")):
        told = cluster.command(*command, host=another, check=False)
        yield f"swarmkeeper {' '.join(command)}", told.stdout + told.stderr


def content(cluster: Cluster) -> dict[str, str]:
    """Everything that is in etcd, as text."""
    listed = json.loads(cluster.etcdctl("get", "--prefix", "", "-w", "json"))
    return {
        base64.b64decode(each["key"]).decode(): base64.b64decode(each.get("value", "")).decode()
        for each in listed["kvs"]
    }


def kept(host: Host) -> dict[str, str]:
    """What the host's agent has on its disk for a start without etcd, by key: the file has the values in base64."""
    values = json.loads(host.read(f"{STATE}/kept.json"))["values"]
    return {each["key"]: base64.b64decode(each["value"]).decode() for each in values}


def sealed(cluster: Cluster) -> None:
    tokens = cluster.get("tokens")
    assert tokens is not None
    assert tokens["sealed"]
    assert (tokens["worker"], tokens["manager"]) == ("", "")


def autolocks(cluster: Cluster) -> None:
    unlock = cluster.get("unlock")
    assert unlock is not None
    assert unlock["on"]
    assert unlock["sealed"]
    assert unlock["keys"] == []


def says_why(cluster: Cluster, host: Host) -> None:
    reasons = [each["reason"] for each in cluster.status(host)["blocked"]]
    assert any(f"sealed with a key that is not in {KEY_FILE}" in each for each in reasons), reasons


def gone(cluster: Cluster) -> None:
    assert cluster.get("tokens") is None
