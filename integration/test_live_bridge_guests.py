"""docker_gwbridge is changed under containers that are not simply running: restless, paused, the swarm's own."""

import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial

import pytest

from integration import by_hand
from integration.by_hand import CONTAINERS, OVERLAY, all_answer, answers, blocked_plan
from integration.conftest import LONG_ONLY
from integration.lab.eventually import eventually
from integration.lab.host import Host
from integration.lab.lab import Lab
from integration.live_bridge import BRIDGE, Live, check_bridge

pytestmark = pytest.mark.every_base

SETTLE_S = 30
TASK_PORT = 8090
RESTLESS = """\
image=$1
while read -t 0.01; [ $? -gt 128 ]; do  # until standard input ends
    docker run --detach --name restless --network my-network-overlay --publish 8099:8080 "$image"
    docker stop --time 0 restless
    docker start restless
    docker rm --force restless
done
docker run --detach --name restless --restart=always --network my-network-overlay --publish 8099:8080 "$image"
"""


@contextmanager
def restless(lab: Lab, host: Host) -> Iterator[None]:
    """A container that comes and goes all the time while the block runs, and is there after it."""
    image = CONTAINERS[1].image
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.STDOUT}
    with lab.lan.popen(*host.enter_command(), "bash", "-c", RESTLESS, "-", image, **pipes) as loop:
        try:
            yield
        finally:
            said, _ = loop.communicate(timeout=60)
    lines = said.splitlines()
    faults = sorted({line for line in lines if "Error" in line})
    print(f"{lines.count('restless')} starts and stops; docker said meanwhile: {faults}")


@LONG_ONLY
def test_a_container_that_starts_and_stops_all_the_time_does_not_keep_the_bridge_from_being_changed(
    live: Live,
) -> None:
    host, before = live.lab["node-233"], blocked_plan(live.lab)
    try:
        with restless(live.lab, host):
            live.change(live.other())
            live.change(live.other())
        eventually(lambda: answers(live.lab, f"{host.address}:8099"), SETTLE_S, "the restless one answers")
        assert {
            name: at for name, at in blocked_plan(live.lab).started.items() if "restless" not in name
        } == before.started
    finally:
        host.exec("docker", "rm", "--force", "restless", check=False)


def test_a_paused_container_stays_paused_and_answers_when_it_goes_on(live: Live) -> None:
    lab, before = live.lab, blocked_plan(live.lab)
    for host in lab:
        host.exec("docker", "pause", "hand-billing")
    live.change(live.other())
    for host in lab:
        assert host.docker.api.inspect_container("hand-billing")["State"]["Paused"]
        host.exec("docker", "unpause", "hand-billing")
    assert blocked_plan(lab) == before
    all_answer(lab, by_hand.published(lab))


def test_a_swarm_services_tasks_go_on_running(live: Live) -> None:
    lab = live.lab
    create = (
        "docker",
        "service",
        "create",
        "--detach",
        "--name",
        "tasks",
        "--mode",
        "global",
        "--no-resolve-image",
    )
    where = (
        "--network",
        OVERLAY,
        "--endpoint-mode",
        "dnsrr",
        "--publish",
        f"mode=host,published={TASK_PORT},target=8080",
    )
    lab.hosts[0].exec(*create, *where, CONTAINERS[1].image)
    try:
        ports = [f"{host.address}:{TASK_PORT}" for host in lab]
        all_answer(lab, ports)
        before = blocked_plan(lab)
        live.change(live.other())
        assert blocked_plan(lab) == before
        all_answer(lab, ports)
        tasks = (
            lab.hosts[0]
            .exec("docker", "service", "ps", "--format", "{{.DesiredState}}", "tasks")
            .stdout.split()
        )
        assert tasks == ["Running"] * len(lab.hosts)
    finally:
        lab.hosts[0].exec("docker", "service", "rm", "tasks")
        for host in lab:
            eventually(lambda: not tasks_on(host), SETTLE_S, f"the task on {host.name} is gone")  # noqa: B023


def test_a_container_on_a_bridge_of_its_own_as_well_is_not_touched(live: Live) -> None:
    """It has its gateway there; nothing of it is on docker_gwbridge."""
    host = live.lab["node-232"]
    host.exec("docker", "network", "create", "theirs")
    host.exec("docker", "network", "connect", "theirs", "hand-console")
    try:
        before = host.docker.api.inspect_container("hand-console")["NetworkSettings"]["Networks"]["theirs"]
        live.change(live.other())
        after = host.docker.api.inspect_container("hand-console")["NetworkSettings"]["Networks"]
        assert after["theirs"] == before
        assert sorted(after) == sorted((OVERLAY, "theirs"))
    finally:
        host.exec("docker", "network", "disconnect", "theirs", "hand-console")
        host.exec("docker", "network", "rm", "theirs")


def test_a_container_attached_to_the_bridge_by_hand_holds_it_until_it_is_taken_off(live: Live) -> None:
    host = live.lab["node-231"]
    host.exec("docker", "run", "--detach", "--name", "direct", "--network", BRIDGE, CONTAINERS[1].image)
    before = host.docker.api.inspect_network(BRIDGE)["Id"]
    revision = live.put(live.other())
    try:
        for other in ("node-232", "node-233"):
            eventually(
                partial(live.check, live.lab[other], live.agreed, revision), 60, f"{other} is as agreed"
            )
        assert host.docker.api.inspect_network(BRIDGE)["Id"] == before
        said = live.cluster.status(host)["blocked"]
        assert any("direct" in each["reason"] for each in said), said
    finally:
        host.exec("docker", "rm", "--force", "direct")
    live.wait_right(live.agreed, revision, 60)
    check_bridge(host, live.agreed)


def tasks_on(host: Host) -> list[str]:
    return [
        each["Names"][0] for each in host.docker.api.containers(all=True) if "/tasks." in each["Names"][0]
    ]
