"""`doctor` on hosts that are well, and with faults planted: each is found with its remedy."""

import json
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext

import pytest

from integration.cluster import Cluster
from integration.guarded import IMAGE, PASSWORD, WORKER, GuardedCluster
from integration.lab.eventually import eventually
from integration.planted import FAULTS, LOOKING, OTHER, RESTART_S, route_in_the_bridge
from integration.ssh_server import serve_ssh


def findings(cluster: Cluster, *argv: str, host: str = LOOKING) -> list[dict[str, str]]:
    done = cluster.command("doctor", "-o", "json", *argv, host=cluster.lab[host], check=False)
    assert done.stdout, done.stderr
    shown = json.loads(done.stdout)
    assert done.returncode == (1 if shown["result"] == "FAIL" else 0), done.stderr
    return list(shown["findings"])


def wrong(found: list[dict[str, str]]) -> list[dict[str, str]]:
    return [each for each in found if each["level"] in ("WARN", "FAIL")]


def test_a_healthy_cluster_has_neither_a_fault_nor_a_warning(cluster: Cluster) -> None:
    for host in cluster.lab.hosts:
        found = findings(cluster, host=host.name)
        assert wrong(found) == []
        assert {each["check"] for each in found if each["level"] == "OK"} >= {
            *("agent.yaml", "files", "etcd", "engine", "disk", "firewall", "registries"),
            *("addresses", "mtu", "ports", "clocks"),
        }


def test_replicas_of_other_hosts_are_reached_over_the_overlay_and_nothing_is_left(cluster: Cluster) -> None:
    found = [each for each in findings(cluster, "--probe", IMAGE) if each["check"] == "overlays"]

    assert [each["level"] for each in found] == ["OK", "OK"], found
    names = [str(each.name) for each in cluster.lab[LOOKING].docker.containers.list(all=True)]
    assert [each for each in names if not each.startswith("prod-")] == []


@pytest.mark.parametrize("name", FAULTS)
def test_a_planted_fault_is_found_with_its_remedy_and_nothing_else_is(cluster: Cluster, name: str) -> None:
    plant, check, text, remedy = FAULTS[name]
    with plant(cluster):
        argv = ("--probe", IMAGE) if check == "overlays" else ()
        found: list[dict[str, str]] = []

        def is_found() -> None:
            """Raise AssertionError also while what was restarted, such as a registry, does not answer yet."""
            found[:] = wrong(findings(cluster, *argv))
            assert any(text in each["text"] and remedy in each["remedy"] for each in found), found

        eventually(is_found, RESTART_S, "the fault is found")

    assert {each["check"] for each in found} == {check}, found
    assert "of-the-past" not in json.dumps(found)


# ---- Other hosts


def test_a_fault_of_another_host_is_found_from_here_and_a_host_without_ssh_is_one(cluster: Cluster) -> None:
    away = "node-233"
    serve_ssh(cluster.lab, cluster.lab[LOOKING])
    healthy = findings(cluster, "--host", "all")
    assert wrong(healthy) == []
    assert {each["host"] for each in healthy if each["check"] == "firewall"} == {LOOKING, OTHER, away}

    cluster.lab[away].systemctl("stop", "lab-sshd")
    try:
        with route_in_the_bridge(cluster, on=OTHER):
            found = wrong(findings(cluster, "--host", "all"))
            (only,) = wrong(findings(cluster, "--host", OTHER))
            table = cluster.command("doctor", "--host", OTHER, "--host", away, check=False)
    finally:
        cluster.lab[away].systemctl("start", "lab-sshd")

    assert [(each["host"], each["check"], each["level"]) for each in found] == [
        (OTHER, "addresses", "FAIL"),
        (away, "ssh", "FAIL"),
    ], found
    assert only == found[0]
    assert "Connection refused" in found[1]["text"]
    assert "run `ssh 10.159.62.233 true`" in found[1]["remedy"]
    assert table.returncode == 1
    lines = table.stdout.splitlines()
    assert lines[0] == f"{OTHER}:"
    assert lines[lines.index(f"{away}:") + 1].startswith("FAIL  ssh         ssh to 10.159.62.233: ")


# ---- The role of the agent's user in etcd


def granted(cluster: GuardedCluster, verb: str, role: str) -> None:
    cluster.etcdctl("user", f"{verb}-role", LOOKING, role)


@contextmanager
def narrow_role(cluster: GuardedCluster) -> Iterator[None]:
    """A manager's user has the role of a worker, and of another host."""
    own, other = (f"swarmkeeper-prod-host-{each}" for each in (LOOKING, WORKER))
    granted(cluster, "grant", other)
    granted(cluster, "revoke", own)
    try:
        yield
    finally:
        granted(cluster, "grant", own)
        granted(cluster, "revoke", other)


@contextmanager
def wide_role(cluster: GuardedCluster) -> Iterator[None]:
    """The user has the operator's role beside its own."""
    granted(cluster, "grant", "swarmkeeper-prod-operator")
    try:
        yield
    finally:
        granted(cluster, "revoke", "swarmkeeper-prod-operator")


ROLES: dict[str, tuple[Callable[[GuardedCluster], AbstractContextManager[None]], str, str, str]] = {
    "right": (lambda _: nullcontext(), "OK", "the user has the rights of this host's agent", ""),
    "too wide": (
        wide_role,
        "WARN",
        "the role is too wide: the agent's user can write",
        "leave the user only",
    ),
    "too narrow": (
        narrow_role,
        "FAIL",
        "the role is too narrow, etcd denies: readwrite /swarmkeeper/prod/",
        f"swarmkeeper etcd-roles --host {LOOKING} --may-lead | sh; etcdctl user grant-role {LOOKING} swarmkeeper-prod-",
    ),
}


@pytest.mark.parametrize("name", ROLES)
def test_a_wrong_role_in_etcd_is_found_with_its_remedy_and_nothing_else_is(
    guarded: GuardedCluster, name: str
) -> None:
    plant, level, text, remedy = ROLES[name]
    with plant(guarded):
        found = findings(guarded)
        if level == "FAIL":
            (remedied,) = [each["remedy"] for each in wrong(found)]
            guarded.lab[LOOKING].exec(
                "env", f"ETCDCTL_USER=root:{PASSWORD}", "ETCDCTL_API=3", "sh", "-c", remedied
            )
            assert wrong(findings(guarded)) == []

    (role,) = [each for each in found if each["check"] == "role"]
    assert role["level"] == level
    assert text in role["text"]
    assert remedy in role["remedy"]
    assert wrong(found) == ([] if level == "OK" else [role])
    assert PASSWORD not in json.dumps(found)
