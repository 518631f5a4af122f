"""Anonymous volumes, and those that the image declares, through every replacement on a real dockerd."""

import itertools
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.contract.engines import DockerScene
from tests.contract.one_host import OneHost
from tests.support.docker_daemon import BARE, DockerDaemon

DB = "prod-db-1"
SLEEP = ["sleep", "1000"]
FILES = {"/data": "image", "/own": "document"}
"""A volume that the image declares, and one that the document has without a name."""


@pytest.fixture
def host(dockerd: DockerDaemon, tmp_path: Path) -> Iterator[OneHost]:
    scene, made = DockerScene(dockerd), OneHost(dockerd, tmp_path)
    # A database image: it declares a volume, and has content there.
    for tag in ("1", "2"):
        made.docker("create", "--name", "building", BARE, "sleep", "1")
        changes = ["VOLUME /data", "VOLUME /spare"] if tag == "1" else ["VOLUME /data"]
        flags = [each for change in changes for each in ("--change", change)]
        made.docker("commit", *flags, "building", f"db:{tag}")
        made.docker("rm", "-v", "building")
    yield made
    scene.clean()
    scene.close()
    for tag in ("1", "2"):
        made.docker("rmi", "-f", f"db:{tag}")
    made.close()


def db(version: str = "1", **more: Any) -> dict[str, Any]:
    service = {"image": f"db:{version}", "command": SLEEP, "stop_signal": "KILL", "network_mode": "none"}
    return {"db": {**service, "volumes": ["/own"], **more}}


def write(host: OneHost) -> dict[str, str]:
    for path, text in FILES.items():
        host.inside(DB, f"echo {text} > {path}/file")
    return content(host)


def content(host: OneHost) -> dict[str, str]:
    return {path: host.inside(DB, f"cat {path}/file || true").strip() for path in FILES}


def volumes(host: OneHost, name: str = DB) -> dict[str, str]:
    return {each["Destination"]: each["Name"] for each in host.inspected(name)["Mounts"]}


def test_not_a_byte_is_lost_through_edits_rollouts_rollbacks_and_kills_of_the_agent(host: OneHost) -> None:
    host.put(db())
    host.settle()
    written, mounted = write(host), volumes(host)
    assert written == FILES
    first = {"order": "start-first", "monitor": "1s"}
    last = {"order": "stop-first", "monitor": "1s"}
    for number, (order, kill) in enumerate(itertools.product((last, first), (None, 1, 2, 3, 4, 5))):
        version = "2" if number % 2 == 0 else "1"  # a rollout, and its way back
        before = host.inspected(DB)["Id"]
        host.put(db(version, environment={"N": str(number)}, deploy={"update_config": order}))
        host.settle(kill_after=kill)
        assert host.inspected(DB)["Id"] != before
        assert host.containers() == [DB]
        assert content(host) == written, (order, kill, version)
        assert volumes(host).items() >= {path: mounted[path] for path in FILES}.items()
    assert volumes(host) == mounted  # also the one that only version 1 declares
    assert host.kills >= 10


def test_a_new_container_that_docker_refuses_gives_the_volumes_back_to_the_old_one(host: OneHost) -> None:
    host.put(db())
    host.settle()
    written, mounted, before = write(host), volumes(host), host.inspected(DB)["Id"]
    for kill in (None, 1, 2, 3, 4, 5, 6, 7):
        host.put(db("2", user="not-there", environment={"N": str(kill)}))
        host.settle(kill_after=kill)
        assert [each.kind for each in host.plan.blocked if each.resource == f"container/{DB}"] == ["refused"]
        assert (host.inspected(DB)["Id"], content(host), volumes(host)) == (before, written, mounted), kill
        (new,) = (name for name in host.containers() if name != DB)
        assert volumes(host, new) == {path: mounted[path] for path in FILES}
        host.put(db())
        host.settle()
        assert host.containers() == [DB]
    assert host.kills >= 5
    host.put(db("2"))
    host.settle()
    assert host.inspected(DB)["Id"] != before
    assert content(host) == written


@pytest.mark.parametrize("by_hand", [("rm", "-f"), ("rename",), ("kill",)], ids=" ".join)
def test_what_somebody_does_to_the_container_costs_no_data(host: OneHost, by_hand: tuple[str, ...]) -> None:
    host.put(db())
    host.settle()
    written = write(host)

    host.docker(*by_hand, DB, *(["other"] if by_hand == ("rename",) else []))
    host.settle()

    assert content(host) == written


def test_a_carried_volume_is_no_drift(host: OneHost) -> None:
    host.put(db())
    host.settle()
    host.put(db(environment={"A": "1"}))
    host.settle()
    host.docker("rmi", "-f", "db:1")
    done = len(host.steps)

    host.settle()

    assert [str(each) for each in host.steps[done:] if each.resource != "history"] == []
    assert host.status().replicas[0].differences == ()


def test_a_drained_host_gives_the_data_back(host: OneHost) -> None:
    """The replica is removed, and comes back: its volume waits on the host."""
    host.put(db())
    host.settle()
    written, mounted = write(host), volumes(host)

    host.put({**db(), "other": {"image": BARE, "command": SLEEP, "network_mode": "none"}})
    host.put({"other": {"image": BARE, "command": SLEEP, "stop_signal": "KILL", "network_mode": "none"}})
    host.settle()

    assert host.containers() == ["prod-other-1"]
    (left,) = host.status().left_volumes
    assert (left.service, dict(left.volumes)) == ("db", mounted)
    (gone,) = [str(each) for each in host.steps if str(each).startswith(f"remove container/{DB}")]
    assert mounted["/data"][:12] in gone
    assert "stay on this host" in gone
    host.put(db())
    host.settle()
    assert content(host) == written
    assert host.status().left_volumes == ()


def test_a_volume_taken_out_of_the_document_is_not_mounted_and_not_deleted(host: OneHost) -> None:
    host.put(db())
    host.settle()
    written, mounted = write(host), volumes(host)

    host.put(db(volumes=[]))
    host.settle()

    assert volumes(host) == {path: name for path, name in mounted.items() if path != "/own"}
    (made,) = [str(each) for each in host.steps if "it keeps its volumes at /data, /spare" in str(each)]
    assert f"its volume stays on this host, unused: {mounted['/own'][:12]} (/own)" in made
    host.put(db())
    host.settle()
    assert content(host) == written


def test_a_volume_that_somebody_deleted_is_made_again_empty(host: OneHost) -> None:
    host.put(db())
    host.settle()
    write(host)

    host.docker("rm", "-f", "-v", DB)
    host.settle()

    assert content(host) == {"/data": "", "/own": ""}


def test_after_a_replacement_the_volume_goes_only_by_its_own_name(host: OneHost) -> None:
    """Docker takes a volume that is mounted by its name for a named one, which `docker rm -v` leaves."""
    host.put(db())
    host.settle()
    written = write(host)
    host.put(db(environment={"A": "1"}))
    host.settle()
    mounted = volumes(host)

    host.docker("rm", "-f", "-v", DB)
    host.settle()
    assert content(host) == written

    other = {"other": {"image": BARE, "command": SLEEP, "stop_signal": "KILL", "network_mode": "none"}}
    host.put({**db(), **other})
    host.put(other)
    host.settle()
    host.docker("volume", "rm", *mounted.values())
    host.put(db())
    host.settle()
    assert content(host) == {"/data": "", "/own": ""}
