"""Hosts of Debian 13 with the engine of sid: an API version that no test has seen, and images that containerd keeps."""

import json
import time
from collections.abc import Iterator
from functools import partial

import pytest

from integration import shown
from integration.cluster import EXAMPLE, ROOT, UNIT, Cluster
from integration.conftest import LONG_ONLY, example_on, session_name
from integration.lab.base import DOCKER_SID
from integration.lab.eventually import eventually
from integration.lab.host import Host
from integration.lab.lab import Lab
from tests.support.document import document

pytestmark = LONG_ONLY

CONVERGE_S = 120
SIDS_ENGINE = 28
OLDEST = "1.46"
"""The API version after the newest that was tested."""
REST_S = 10
MOST_PASSES = 4
"""Of a host at rest in that time; a loop that fails makes one each second."""
BUSY, IMAGES = "127.0.0.1:5003", 5
PULLS = 'swarmkeeper_docker_request_duration_seconds_count{call="pull"}'
HOLDS_S = 20
TOLD_S = 60


@pytest.fixture(scope="module")
def newer(_sweep: None) -> Iterator[Cluster]:
    """The example document carried out on these hosts."""
    with example_on(Lab(session_name("-newest"), base=DOCKER_SID.name)) as cluster:
        yield cluster


def passes_at_rest(cluster: Cluster, host: Host) -> float:
    before = cluster.passes(host)
    time.sleep(REST_S)  # a rate is what is asked for
    return cluster.passes(host) - before


def test_an_engine_that_dropped_every_tested_api_version_is_asked_in_its_oldest(newer: Cluster) -> None:
    host = newer.lab["node-232"]
    since = host.exec("date", "+%F %T.%N").stdout.strip()
    drop_in = f"[Service]\nEnvironment=DOCKER_MIN_API_VERSION={OLDEST}\n"
    host.write("/etc/systemd/system/docker.service.d/oldest.conf", drop_in)
    host.systemctl("daemon-reload")
    host.restart_dockerd()
    version = host.docker.version()
    assert int(version["Version"].split(".")[0]) >= SIDS_ENGINE
    assert version["MinAPIVersion"] == OLDEST

    newer.wait_converged(newer.put(document(EXAMPLE, tags={"order": "1.0.1"})), CONVERGE_S)
    eventually(
        lambda: passes_at_rest(newer, host) <= MOST_PASSES, 6 * REST_S, "a host that is done is at rest"
    )
    assert f"its oldest is used engine={OLDEST}" in host.journal_text(UNIT, since)


def test_a_registry_that_limits_pulls_is_left_alone_for_a_while_by_the_image_store_of_containerd(
    newer: Cluster,
) -> None:
    host = newer.lab["node-233"]
    settings = json.loads(host.read("/etc/docker/daemon.json"))
    settings["features"] = {"containerd-snapshotter": True}
    host.write("/etc/docker/daemon.json", json.dumps(settings))
    host.restart_dockerd()
    assert "io.containerd.snapshotter.v1" in str(host.docker.api.info()["DriverStatus"])
    newer.wait_converged(newer.put(EXAMPLE), CONVERGE_S)

    host.write("/var/tmp/registry.py", (ROOT / "tests/contract/registry.py").read_bytes())
    host.exec("systemd-run", "--unit=busy", "python3", "-I", "/var/tmp/registry.py", BUSY.partition(":")[2])
    services = {
        f"busy{number}": {"image": f"{BUSY}/busy:{number}", "restart": "always", "x-hosts": ["node-233"]}
        for number in range(IMAGES)
    }
    newer.put(document(EXAMPLE, services=services))
    eventually(partial(check_limited, host), TOLD_S, "the limit is told")

    before = newer.metrics(host)[PULLS]
    time.sleep(HOLDS_S)  # what does not happen in it is what is asked for
    assert newer.metrics(host)[PULLS] - before < IMAGES
    check_limited(host)
    newer.wait_converged(newer.put(EXAMPLE), CONVERGE_S)


def check_limited(host: Host) -> None:
    """AssertionError unless one problem says that the registry limits pulls, for all its images."""
    found = [each for each in shown.look(host).problems if each.key.startswith(f"image/{BUSY}/")]
    assert [each.reason for each in found] == ["PullFailed"], found
    assert "429 Too Many Requests" in found[0].text
    assert "of the same registry" in found[0].text
