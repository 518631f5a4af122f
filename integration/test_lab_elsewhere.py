"""The lab on another kind of machine: pure cgroup v2 below a systemd, with a docker and an etcd of its owner.

That machine is itself a host of a lab. What it cannot show (other kernels, memory limits under v2) is in docs/lab.md.
"""

import io
import json
import subprocess
import tarfile
from collections.abc import Iterator

import pytest

from integration.conftest import session_name
from integration.lab.cgroups import FORCE_V2
from integration.lab.host import Host
from integration.lab.lab import Lab
from integration.lab.programs import REPOSITORY

REPO = "/var/lib/docker/repository"  # in a folder of a host that is no overlay, so can carry another overlay
INNER = """
import json
from dataclasses import asdict
from integration.lab.lab import Lab

lab = Lab("inner", hosts=("node-231",))
try:
    lab.up()
    host = lab["node-231"]
    scope = lab.groups.path(lab.groups.registry).name
    host.freeze()
    host.cycle()
    lab.lan.http_get(f"http://{host.address}/v2/")
    state = host.systemctl("is-active", "docker.service")
finally:
    lab.down()
print(json.dumps({"scope": scope, "docker": state, "left": asdict(lab.leaks())}))
"""


@pytest.fixture
def machine(monkeypatch: pytest.MonkeyPatch) -> Iterator[Host]:
    monkeypatch.setenv(FORCE_V2, "1")
    lab = Lab(session_name("-machine"), hosts=("node-231",))
    try:
        lab.up()
        host = lab["node-231"]
        host.write(f"{REPO}.tar", _sources())
        host.exec("mkdir", REPO)
        host.exec("tar", "-x", "-C", REPO, "-f", f"{REPO}.tar")
        yield host
    finally:
        lab.down()


def _sources() -> bytes:
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w") as tar:
        for part in ("__init__.py", "lab", "images"):
            tar.add(REPOSITORY / "integration" / part, f"integration/{part}")
    return packed.getvalue()


def run_inner(machine: Host, *prefix: str) -> subprocess.CompletedProcess[str]:
    variables = (f"SWARMKEEPER_LAB_STATE={REPO}/state", f"PYTHONPATH={REPO}")
    return machine.exec(*prefix, "env", *variables, "python3", "-c", INNER, check=False, timeout=120)


def test_a_machine_with_its_own_docker_and_etcd_carries_a_lab_and_keeps_them(machine: Host) -> None:
    own = ("show", "--property=MainPID,ActiveEnterTimestampMonotonic", "docker", "etcd", "containerd")
    before = machine.systemctl(*own)
    # The machine's own address lies in the lab's range here; a network namespace without it stands for one elsewhere.
    done = run_inner(machine, "unshare", "--net")
    assert done.returncode == 0, done.stderr
    seen = json.loads(done.stdout)
    assert seen["scope"] == "swarmkeeper-lab-inner.scope"
    assert seen["docker"] == "active"
    assert not any(seen["left"].values())
    assert machine.systemctl(*own) == before
    assert machine.systemctl("--failed", "--no-legend") == ""


def test_a_machine_that_lives_in_the_range_itself_is_refused_and_left_alone(machine: Host) -> None:
    routes = machine.exec("ip", "route").stdout
    done = run_inner(machine)
    assert "uses addresses of the lab's range" in done.stderr
    assert machine.exec("ip", "route").stdout == routes
